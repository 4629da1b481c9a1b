# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask pgark-wal, as PostgreSQL will call it: whether it can work, and how archiving stands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import CommandFailed, Error
from .._host.runner import CommandRunner, said
from .._host.tools import wal_program_cmd
from .observe import why_not_executable

_ANSWERS = (0, 1, 2)  # fine, warning, critical; anything else is no answer


@dataclass(frozen=True)
class WalProgram:
    """An installed pgark-wal, and what it is called with for one data directory."""

    path: str
    repositories: Sequence[str]
    cluster: str
    data_directory: str
    runner: CommandRunner

    def check(self, compression: str) -> None:
        """Have it write and read back in every repository; an error quotes what it says is wrong."""
        argv = self._argv("check", "--compression", compression)
        try:
            result = self.runner.run(argv, check=False)
        except CommandFailed as error:
            why = why_not_executable(self.path)
            raise Error(
                f"no setting was changed: {error.message if why is None else f'{self.path} {why}'}",
                "set ansible_python_interpreter to one that is there to stay, and program to where it may be executed",
            ) from None
        if result.status != 0:
            raise Error(f"no setting was changed: {said(result)}")

    def status(self) -> dict[str, Any]:
        """Give what it tells about the archiving, problems included; an error when it cannot tell."""
        result = self.runner.run(self._argv("status", "--json"), check=False)
        if result.status not in _ANSWERS or not result.stdout:  # a Python that cannot start ends with 1
            raise CommandFailed(f"the status of archiving is unknown: {said(result)}")
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer

    def _argv(self, verb: str, *options: str) -> list[str]:
        return wal_program_cmd(self.path, verb, self.repositories, self.cluster, *options, self.data_directory)
