# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module of the collection as Ansible would, on the managed side's interpreter and as the servers' user.

Each runs in a process of its own, which begins with what modules import: see `forking`.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.sandbox import Sandbox


class ModuleFailure(AssertionError):
    """A module failed, or failed to fail; `result` is what it returned."""

    def __init__(self, name: str, result: dict[str, Any], expected: str) -> None:
        super().__init__(f"{name} was to {expected}, and returned\n{json.dumps(result, indent=2)}")
        self.result = result


class Modules:
    """Runs modules directly, without the half second that Ansible takes to start; `environment` is added to theirs."""

    def __init__(self, sandbox: Sandbox, environment: Mapping[str, str] | None = None) -> None:
        self._sandbox = sandbox
        library = sandbox.library
        self._directory = library / "ansible_collections" / "pgark" / "postgres" / "plugins" / "modules"
        self._environment = {"PYTHONPATH": str(library), "PYTHONPYCACHEPREFIX": str(sandbox.home / "bytecode")}
        self._environment |= dict(environment or {})

    def run(self, name: str, /, *, check_mode: bool = False, diff: bool = False, **parameters: Any) -> dict[str, Any]:
        """Run the module and return its result; raises ModuleFailure when it fails."""
        result = self._run(name, check_mode, diff, parameters)
        if result.get("failed"):
            raise ModuleFailure(name, result, "succeed")
        return result

    def fail(self, name: str, /, *, check_mode: bool = False, diff: bool = False, **parameters: Any) -> dict[str, Any]:
        """Run the module and return the result of its failure; raises ModuleFailure when it succeeds."""
        result = self._run(name, check_mode, diff, parameters)
        if not result.get("failed"):
            raise ModuleFailure(name, result, "fail")
        return result

    def start(
        self, name: str, parameters: dict[str, Any], *, program: str | None = None, arguments: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run the module's file to its end, whatever end that is; or a program with arguments, and the file's path."""
        internal = {"_ansible_remote_tmp": str(self._sandbox.temporary)}
        return self._sandbox.fork(
            [*([] if program is None else ["-c"]), *arguments, str(self._directory / f"{name}.py")],
            program=program,
            stdin=json.dumps({"ANSIBLE_MODULE_ARGS": parameters | internal}, default=str),
            environment=self._environment,
        )

    def _run(self, name: str, check_mode: bool, diff: bool, parameters: dict[str, Any]) -> dict[str, Any]:
        mode = {"_ansible_check_mode": check_mode, "_ansible_diff": diff}
        done = self.start(name, parameters | mode)
        try:
            result: dict[str, Any] = json.loads(done.stdout)
        except json.JSONDecodeError:
            said = f"{done.stdout}{done.stderr}"
            raise AssertionError(f"{name} exited {done.returncode} without a result:\n{said}") from None
        if "warnings" in result:
            result["warnings"] = [_text(warning) for warning in result["warnings"]]
        return result


def _text(warning: str | dict[str, Any]) -> str:
    """Give a warning's text, which ansible-core wraps for the controller from 2.19 on."""
    return warning if isinstance(warning, str) else str(warning["event"]["msg"])
