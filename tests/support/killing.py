# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill a module in the middle of its work, at a change of the file system that is counted, not at a moment."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from tests.support.modules import Modules

# Runs on the managed side's interpreter. The call that kills has been carried out: what follows it has not.
PROGRAM = """
import os, runpy, signal, sys
left, program = int(sys.argv[1]), sys.argv[2]
sys.argv[:] = [program]
def counted(name):
    real = getattr(os, name)
    def call(*arguments, **options):
        global left
        result = real(*arguments, **options)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call
for name in ("rename", "mkdir", "symlink", "rmdir"):
    setattr(os, name, counted(name))
runpy.run_path(program, run_name="__main__")
"""


def run_and_kill(modules: Modules, name: str, at: int, **parameters: Any) -> dict[str, Any] | None:
    """Run a module and kill it after its `at`-th change of a name; return its result if it ended before that."""
    done = modules.start(name, parameters, interpreter_arguments=["-c", PROGRAM, str(at)])
    if done.returncode == -signal.SIGKILL:
        return None
    result: dict[str, Any] = json.loads(done.stdout)
    assert not result.get("failed"), result
    return result


def can_start(data_directory: Path) -> bool:
    """Tell whether a server would accept the directory: it has a control file."""
    return (data_directory / "global" / "pg_control").exists()
