# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that recovers, played by a shell, and what its restore_command leaves running."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from ansible_collections.pgark.postgres.plugins.module_utils._archiving.commands import get_command
from tests.support.waiting import wait_until
from tests.unit.wal_program.harness import ALL_CALLS, HISTORY, Repository, run_quickly, run_tampered
from tests.unit.wal_program.pgdata import NO_PROGRAM, OURS, content_of, expand

PATH = "pg_wal/RECOVERYXLOG"
HISTORY_OF_2 = HISTORY.replace(b"0/3000028", b"0/500028")


class Recovery:
    """One recovery in a data directory, from its start to its end."""

    def __init__(self, data: Path, *repositories: Repository, jobs: int = 2, start: tuple[str, ...] = ("sh",)) -> None:
        self.data, self.repositories, self.jobs = data, repositories, jobs
        self.through: str | None = None
        (data / "pg_wal").mkdir(parents=True, exist_ok=True)
        self.said = data / "stderr"
        self.process = subprocess.Popen(
            start, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.tell("echo started") == "started"
        self.place = data / self.spool()
        self.path = data / PATH

    def __enter__(self) -> Recovery:
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _traceback: TracebackType | None) -> None:
        self.end()
        if kind is None:
            self.assert_all_is_over()

    def end(self) -> None:
        """End the process as a crash does."""
        self.process.kill()
        self.process.communicate()

    def spool(self) -> str:
        """Name the directory of what is kept ready for this recovery, as restore_command does."""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        start = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{OURS}/get-{boot}-{self.process.pid}-{start}"

    def tell(self, command: str) -> str:
        """Have the process run a command, and return the line that it writes."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def command(self, name: str, program: str) -> str:
        """Return what the process has the shell do for a file."""
        paths = [str(repository.path) for repository in self.repositories]
        return expand(get_command(program, paths, self.repositories[0].cluster, self.jobs, self.through), PATH, name)

    def ask(self, name: str, program: str = NO_PROGRAM) -> int:
        """Ask for a file as RestoreArchivedFile() does, and return the status; the last file is removed before."""
        self.view(self.path).unlink(missing_ok=True)
        return int(self.tell(f"{self.line(name, program)} >/dev/null 2>{shlex.quote(str(self.said))}; echo $?"))

    def line(self, name: str, program: str) -> str:
        """Return what starts that shell in the data directory."""
        return f"sh -c {shlex.quote(f'cd {shlex.quote(str(self.data))}; {self.command(name, program)}')} </dev/null"

    def got(self) -> bytes:
        """Return what was delivered."""
        return self.view(self.path).read_bytes()

    def argv(self, name: str) -> list[str]:
        """Return what the program is called with."""
        words = shlex.split(self.command(name, "pgark-wal").partition("&& exit; ")[2].partition(";")[0])[1:]
        return [self.spool() if word == "$s" else word for word in words]

    def get(self, name: str, **constants: object) -> int:
        """Call the program in a child of this process, for the recovery."""
        self.path.unlink(missing_ok=True)
        return run_quickly(self.argv(name), self.data, **constants)

    def get_tampered(
        self,
        name: str,
        tamper: Callable[[int, str, str], None],
        calls: tuple[str, ...] = ALL_CALLS,
        **constants: object,
    ) -> int:
        """Call the program likewise, with its system calls tampered with."""
        self.path.unlink(missing_ok=True)
        return run_tampered(self.argv(name), tamper, calls, self.data, **constants)

    def view(self, path: Path) -> Path:
        """Return where this process sees what the recovery sees there."""
        return Path(f"/proc/{self.process.pid}/root{path}")

    def ready(self) -> list[str]:
        """Name what is ready for the shell to deliver."""
        try:
            return sorted(name for name in os.listdir(self.view(self.place)) if not name.startswith("."))
        except FileNotFoundError:
            return []

    def wait_for(self, names: list[str]) -> None:
        """Wait until exactly these are ready."""
        wait_until(lambda: self.ready() == names, message=f"{names} to be ready")

    def processes(self) -> list[int]:
        """Give the processes that work in the data directory: helpers, and what these have started."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if works_in(pid, self.data)]

    def is_over(self) -> bool:
        """Tell whether nothing is left of what was done ahead."""
        return not self.processes() and not os.path.lexists(self.place)

    def assert_all_is_over(self) -> None:
        wait_until(self.is_over, message="the helper to end and to remove its directory")


def works_in(pid: int, directory: Path) -> bool:
    """Tell whether a process has this for its working directory; one that has ended has none."""
    try:
        return os.readlink(f"/proc/{pid}/cwd") == str(directory)
    except OSError:
        return False


def archive(repository: Repository, names: list[str], compression: str = "none") -> None:
    """Archive synthetic segments."""
    source = repository.path.with_name("pushed")
    source.mkdir(exist_ok=True)
    for name in names:
        (source / name).write_bytes(HISTORY_OF_2 if name.endswith(".history") else content_of(name))
        assert run_quickly(["push", *repository.options(), "--compression", compression, str(source / name)]) == 0


def assert_delivered(recovery: Recovery, names: list[str], program: str | None = None) -> None:
    """Have the shell, or else the program, deliver these in turn."""
    for name in names:
        assert (recovery.ask(name, program) if program else recovery.ask(name)) == 0, name
        assert recovery.got() == content_of(name)
