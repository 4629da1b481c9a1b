# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast a backlog is archived, each way, and how fast the compressor and the disk alone could do it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tests.bench.report import Table
from tests.bench.stopwatch import Command, clocked
from tests.bench.wal_backlog import Backlog
from tests.bench.wal_figures import SEGMENT_SIZE, Grid, rotated
from tests.bench.wal_ways import JOBS, NOT_INSTALLED, Way

# Compressors write to their standard output; the options are those that pgark-wal uses, which add a checksum.
PROGRAMS = {
    "none": ["cp"],
    "lz4": ["lz4", "-q", "-1", "--frame-crc", "-c"],
    "zstd": ["zstd", "-q", "-1", "-T1", "--check", "-c"],
    "gzip": ["gzip", "-1", "-c"],
}
LIMIT = f"the program alone, {JOBS} processes"
LIMIT_SYNCED = f"the program alone, {JOBS} processes, and fsync"
HEADING = "Draining a backlog of {count} segments of 16 MB, in segments a second"


class Drain:
    """All ways with all codecs, one after the other in each turn."""

    def __init__(self, backlog: Backlog, ways: Sequence[Way], codecs: Sequence[str], names: Sequence[str]) -> None:
        self._backlog, self._ways, self._codecs, self._names = backlog, ways, codecs, names
        self._directory = backlog.sandbox.home / "limit"
        self._grid = Grid([*(way.name for way in ways), LIMIT, LIMIT_SYNCED], codecs)
        self._sizes: dict[str, int] = {}

    def turn(self, number: int) -> None:
        """Measure everything once more."""
        for codec in self._codecs:
            for way in rotated(self._ways, number):
                if codec in way.codecs:
                    self._measure(way.name, codec, way.missing(codec), partial(self._drain, way, codec))
            absent = NOT_INSTALLED if shutil.which(PROGRAMS[codec][0]) is None else ""
            for name, sync in ((LIMIT, False), (LIMIT_SYNCED, True)):
                self._measure(name, codec, absent, partial(self._alone, codec, sync))

    def table(self) -> Table:
        """Show what was found."""
        return self._grid.table(HEADING.format(count=len(self._names)), "way, by codec", 1)

    def shrunk(self) -> str:
        """Say what the codecs make of the segments."""
        whole = SEGMENT_SIZE * len(self._names)
        return ", ".join(f"{codec} {size / whole:.0%}" for codec, size in self._sizes.items() if codec != "none")

    def _measure(self, name: str, codec: str, missing: str, seconds: Callable[[], float]) -> None:
        if missing:
            self._grid.note(name, codec, missing)
            return
        rate = len(self._names) / seconds()
        self._backlog.say(f"{codec}, {name}: {rate:.1f} segments/s")
        self._grid.add(name, codec, rate)

    def _drain(self, way: Way, codec: str) -> float:
        way.lay_out(codec)
        seconds = self._backlog.drain(self._names, way.archiving(codec))
        if lost := set(self._names) - way.archived(codec):
            raise AssertionError(f"{way.name} has not archived {sorted(lost)}")
        shutil.rmtree(way.archive(codec))
        return seconds

    def _alone(self, codec: str, sync: bool) -> float:
        directory = self._backlog.empty(self._directory)
        commands = [_command(codec, self._backlog.wal / name, directory / name) for name in self._names]
        self._backlog.sandbox.run(["sync"], timeout=600)
        done = clocked(self._backlog.sandbox, commands, jobs=JOBS, sync=sync)
        if any(done.statuses):
            raise AssertionError(f"{PROGRAMS[codec]} exited {done.statuses}")
        self._sizes[codec] = sum(path.stat().st_size for path in directory.iterdir())
        shutil.rmtree(directory)
        return done.seconds


def _command(codec: str, source: Path, written: Path) -> Command:
    if codec == "none":
        return Command([*PROGRAMS[codec], str(source), str(written)], written=str(written))
    return Command([*PROGRAMS[codec], str(source)], output=str(written))
