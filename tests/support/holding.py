# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold a module before one of its steps, to see what others may do meanwhile."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.recoverable import Recoverable
from tests.support.waiting import wait_until

# Runs on the managed side's interpreter. It says who it is when it has come to the step.
_PROGRAM = """
import os, runpy, sys, time
step, flag, program = sys.argv[1:4]
sys.argv[:] = [program]
from ansible_collections.pgark.postgres.plugins.module_utils._plan import apply
real = apply.carry_out
def carry_out(found, host, steps):
    if type(found).__name__ == step:
        with open(flag + ".new", "w") as file:
            file.write(str(os.getpid()))
        os.rename(flag + ".new", flag + ".at")
        while not os.path.exists(flag):
            time.sleep(0.02)
    return real(found, host, steps)
apply.carry_out = carry_out
runpy.run_path(program, run_name="__main__")
"""


class Held:
    """A module at work in a process of its own, which has come to the step before which it waits."""

    def __init__(self, subject: Recoverable, step: str, module: str, parameters: dict[str, Any]) -> None:
        self._flag = subject.cluster.home / f"go on with {step}"
        self._said = ""

        def work() -> None:
            arguments = [step, str(self._flag)]
            done = subject.modules.start(module, subject.options | parameters, program=_PROGRAM, arguments=arguments)
            self._said = done.stdout

        self._thread = threading.Thread(target=work)
        self._thread.start()
        at = self._flag.with_name(f"{self._flag.name}.at")
        wait_until(lambda: at.exists() or not self._thread.is_alive(), message=f"{module} to come to {step}")
        assert at.exists(), f"{module} has ended before {step}: {self._said}"
        self.pid = int(at.read_text())

    def go_on(self) -> dict[str, Any]:
        """Let it do the step and all others, and return its result."""
        self._flag.touch()
        self._thread.join()
        result: dict[str, Any] = json.loads(self._said)
        return result

    def kill(self) -> None:
        """End it where it is, as the loss of power does, or the hand of a stranger."""
        os.kill(self.pid, signal.SIGKILL)
        self._thread.join()
        wait_until(lambda: not Path(f"/proc/{self.pid}").exists(), message="the killed module to be reaped")

    def close(self) -> None:
        """Leave nothing behind."""
        self._flag.touch()
        self._thread.join()
        for name in (self._flag.name, f"{self._flag.name}.at"):
            self._flag.with_name(name).unlink(missing_ok=True)


@contextmanager
def held_before(subject: Recoverable, step: str, module: str = "pitr_restore", **parameters: Any) -> Iterator[Held]:
    """Start a module with a cluster's options, and have it wait before a step."""
    held = Held(subject, step, module, parameters)
    try:
        yield held
    finally:
        held.close()
