# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill a module in the middle of its work, at something that is counted, not at a moment."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from tests.support.modules import Modules

# These run on the managed side's interpreter. What kills has been carried out: what follows it has not.
_BEGIN = """
import os, runpy, signal, sys
left, program = int(sys.argv[1]), sys.argv[2]
sys.argv[:] = [program]
def count(number=1):
    global left
    left -= number
    if left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
def counted(real):
    def call(*arguments, **options):
        result = real(*arguments, **options)
        below = options.get("dir_fd")
        words = [*map(str, arguments), *([] if below is None else [os.readlink("/proc/self/fd/%d" % below)])]
        if not any(word.startswith(os.environ["TMPDIR"]) for word in words):  # where WAL is read, each time
            count()
        return result
    return call
"""
_END = """
runpy.run_path(program, run_name="__main__")
"""
_WHAT = {
    "change": """
for name in ("rename", "mkdir", "symlink", "rmdir"):
    setattr(os, name, counted(getattr(os, name)))
""",
    "step": """
from ansible_collections.pgark.postgres.plugins.module_utils._plan import apply
apply.carry_out = counted(apply.carry_out)
""",
    # Killed instead of it: what was written to a configuration file is not in force.
    "reload": """
from ansible_collections.pgark.postgres.plugins.module_utils._server.server import Server
Server.reload = lambda server: count()
""",
    # No more than so many bytes of what is unpacked are written, and then the module is killed.
    "byte": """
from ansible_collections.pgark.postgres.plugins.module_utils._host import tree
class Counting:
    def __getattr__(self, name):
        return getattr(os, name)
    def write(self, descriptor, content):
        done = os.write(descriptor, content[:left])
        count(done)
        return done
tree.os = Counting()
""",
}


def run_and_kill(
    modules: Modules, name: str, at: int, what: str = "change", **parameters: Any
) -> dict[str, Any] | None:
    """Run a module and kill it after its `at`-th change of a name, or "step", or unpacked "byte", or at a "reload".

    Returns its result if it ended before that, else nothing.
    """
    program = _BEGIN + _WHAT[what] + _END
    done = modules.start(name, parameters, program=program, arguments=[str(at)])
    if done.returncode == -signal.SIGKILL:
        return None
    result: dict[str, Any] = json.loads(done.stdout)
    assert not result.get("failed"), result
    return result


def can_start(data_directory: Path) -> bool:
    """Tell whether a server would accept the directory: it has a control file."""
    return (data_directory / "global" / "pg_control").exists()
