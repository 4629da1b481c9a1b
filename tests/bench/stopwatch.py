# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run commands, several at once, and print how long they took together: a program of its own, and a small one.

It runs as the servers' user, and starting a program from a large process, or as another user, takes longer. Reads and
writes JSON; the other side is `clocked`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox


@dataclass(frozen=True)
class Command:
    """A program to run, and the file that it writes, by itself or as its standard output; "" is none."""

    argv: list[str]
    written: str = ""
    output: str = ""


@dataclass(frozen=True)
class Clocked:
    """The seconds that all took together, and the exit status of each."""

    seconds: float
    statuses: list[int]


def clocked(sandbox: Sandbox, commands: list[Command], *, jobs: int = 1, sync: bool = False, cwd: str = "/") -> Clocked:
    """Run commands as the servers' user, so many at once, each with an fsync of what it wrote if that is wanted."""
    program = sandbox.root / "stopwatch.py"
    if not program.exists():
        sandbox.provide(Path(__file__), program)
    wanted = {"commands": [asdict(command) for command in commands], "jobs": jobs, "sync": sync, "cwd": cwd}
    done = sandbox.run([sandbox.python, "-IS", program], stdin=json.dumps(wanted), timeout=3600)
    return Clocked(**json.loads(done.stdout))


def _run(command: Command, sync: bool) -> int:
    with open(command.output or os.devnull, "wb") as output:
        status = subprocess.run(command.argv, stdin=subprocess.DEVNULL, stdout=output, check=False).returncode
    if sync:
        fd = os.open(command.output or command.written, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    return status


def _statuses(commands: list[Command], jobs: int, sync: bool) -> Iterator[int]:
    if jobs == 1:
        return (_run(command, sync) for command in commands)
    with ThreadPoolExecutor(jobs) as pool:
        return pool.map(lambda command: _run(command, sync), commands)


def _main() -> None:
    wanted = json.load(sys.stdin)
    commands = [Command(**command) for command in wanted["commands"]]
    os.chdir(wanted["cwd"])
    begun = time.monotonic()
    statuses = list(_statuses(commands, wanted["jobs"], wanted["sync"]))
    print(json.dumps({"seconds": time.monotonic() - begun, "statuses": statuses}))


if __name__ == "__main__":
    _main()
