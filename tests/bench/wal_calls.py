# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one call of pgark-wal takes when much is waiting, and when the archive is large. No server takes part."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.bench.report import Table
from tests.bench.stopwatch import Command, clocked
from tests.bench.wal_backlog import OURS, give
from tests.bench.wal_figures import SEGMENT_SIZE, Grid, expand, segment_name
from tests.bench.wal_program import get_command, install, push_command, status_command
from tests.bench.wal_ways import JOBS
from tests.support.sandbox import Sandbox
from tests.unit.wal_program.harness import COMPRESSIONS, Repository, segment

# The archive has the segments below this number, if it has any, and those from there on wait.
FIRST = 100_000
WAITING = (1, 100, 10_000)
REPEATS = 7
ARCHIVES = {"empty archive": 0, f"{FIRST:,} segments archived": FIRST}
HEADING = f"One call, in ms (medians of {REPEATS})"
SHELL, PYTHON = "a shell that does nothing", "a Python that does nothing"
ACKNOWLEDGED = "archive_command for a segment that was archived ahead"
ABSENT = "restore_command for a history file that is not there"
STATUS = f"pgark-wal status, {WAITING[-1]:,} waiting"


class Calls:
    """Data directories with nothing but waiting segments, and archives, one of them empty."""

    def __init__(self, sandbox: Sandbox, say: Callable[[str], None]) -> None:
        self._sandbox, self._say = sandbox, say
        self._home = sandbox.directory(sandbox.home / "calls")
        self._program = install(sandbox, sandbox.root)
        self._codec = "gzip" if shutil.which("lz4") is None else "lz4"
        pushes = [_push_row(count) for count in WAITING]
        self._archived: dict[int, int] = {}
        self._grid = Grid([SHELL, PYTHON, *pushes, ACKNOWLEDGED, ABSENT, STATUS], list(ARCHIVES))

    def measure(self) -> Table:
        """Measure each call with each archive."""
        for count in WAITING:
            _lay_out_data(self._data(count), count)
        for column, archived in ARCHIVES.items():
            self._say(f"calls, {column}")
            repository = self._home / str(archived)
            _lay_out_archive(repository, archived, COMPRESSIONS[self._codec])
            give(self._sandbox, self._home)
            self._nothing(column)
            for count in WAITING:
                self._push(column, repository, count)
            self._acknowledged(column, repository)
            self._absent(column, repository)
            self._status(column, repository)
        shutil.rmtree(self._home)
        return self._grid.table(HEADING, "call", 1)

    def archived(self) -> str:
        """Say how many of the waiting segments one call archived."""
        return ", ".join(f"{archived} of {waiting:,}" for waiting, archived in self._archived.items())

    def _nothing(self, column: str) -> None:
        for row, argv in ((SHELL, ["sh", "-c", ":"]), (PYTHON, [str(self._sandbox.python), "-IS", "-c", ""])):
            for _repeat in range(REPEATS):
                self._call(row, column, argv, self._home)

    def _push(self, column: str, repository: Path, count: int) -> None:
        """Call as often as wanted, each time from the same state; the first call is not counted."""
        data, row = self._data(count), _push_row(count)
        for repeat in range(REPEATS + 1):
            _forget(repository, data)
            self._call(row if repeat else "", column, self._push_words(repository, 0), data)
        self._archived[count] = len(_archived(repository))

    def _acknowledged(self, column: str, repository: Path) -> None:
        data = self._data(WAITING[1])
        _forget(repository, data)
        self._call("", column, self._push_words(repository, 0), data)
        if not any((data / "pg_wal").glob(f"{OURS}/*/{segment_name(FIRST + 1)}")):
            self._grid.note(ACKNOWLEDGED, column, "there is none")
            return
        for _repeat in range(REPEATS):
            self._call(ACKNOWLEDGED, column, self._push_words(repository, 1), data)

    def _absent(self, column: str, repository: Path) -> None:
        line = expand(get_command(self._program, repository, JOBS), "pg_wal/RECOVERYHISTORY", "00000002.history")
        for _repeat in range(REPEATS):
            self._call(ABSENT, column, ["sh", "-c", line], self._data(1), expected=(1,))

    def _status(self, column: str, repository: Path) -> None:
        data = self._data(WAITING[-1])
        argv = status_command(self._program, repository, data)
        for _repeat in range(REPEATS):  # it may well warn of what waits
            self._call(STATUS, column, argv, data, expected=(0, 1, 2))

    def _call(self, row: str, column: str, argv: list[str], cwd: Path, expected: tuple[int, ...] = (0,)) -> None:
        done = clocked(self._sandbox, [Command(argv)], cwd=str(cwd))
        if done.statuses[0] not in expected:
            raise AssertionError(f"{argv} exited {done.statuses[0]}, expected {expected}")
        if row:
            self._grid.add(row, column, done.seconds * 1000)

    def _push_words(self, repository: Path, offset: int) -> list[str]:
        """Return how PostgreSQL calls for the first segment that waits, or one that follows it."""
        name = segment_name(FIRST + offset)
        return ["sh", "-c", expand(push_command(self._program, repository, self._codec, JOBS), f"pg_wal/{name}", name)]

    def _data(self, count: int) -> Path:
        return self._home / f"data-{count}"


def _push_row(count: int) -> str:
    return f"archive_command, {count:,} waiting"


def _lay_out_data(data: Path, count: int) -> None:
    """Make segments that are all holes but for their header: what they cost to compress is measured elsewhere."""
    status = data / "pg_wal" / "archive_status"
    status.mkdir(parents=True)
    for number in range(FIRST, FIRST + count):
        name = segment_name(number)
        head = segment(name, size=8192, segment_size=SEGMENT_SIZE, address=number * SEGMENT_SIZE)
        with (data / "pg_wal" / name).open("wb") as file:
            file.write(head)
            file.truncate(SEGMENT_SIZE)
        (status / f"{name}.ready").touch()


def _lay_out_archive(path: Path, count: int, suffix: str) -> None:
    """Make a repository with so many segments in it, which are empty: nobody reads them."""
    wal = Repository.create(path).wal
    for number in range(count):
        name = segment_name(number)
        directory = wal / name[:16]
        if not number % 256:
            directory.mkdir()
        (directory / f"{name}{suffix}").touch()


def _archived(repository: Path) -> list[Path]:
    """Return the files of segments that wait: those from FIRST on."""
    first = segment_name(FIRST)
    files = (repository / "main" / "wal" / first[:16]).glob("0*")
    return [path for path in files if path.name >= first]


def _forget(repository: Path, data: Path) -> None:
    """Have it as if nothing of what waits had been archived."""
    for path in _archived(repository):
        path.unlink()
    shutil.rmtree(data / "pg_wal" / OURS, ignore_errors=True)
