# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a recovery from the archive takes, each way: the same base backup, and the same segments."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.report import Table
from tests.bench.wal_backlog import PATIENCE_SECONDS, Backlog
from tests.bench.wal_figures import RECOVERED, Grid, Recovery, recovery, rotated
from tests.bench.wal_ways import Way
from tests.support.waiting import wait_until

HEADINGS = (
    "Recovering {count} segments, seconds from the start of the server to the last record replayed",
    "The same, seconds to the end of recovery",
)


class Recover:
    """All ways with all codecs, from archives that are filled once."""

    def __init__(self, backlog: Backlog, ways: Sequence[Way], codecs: Sequence[str]) -> None:
        self._backlog = backlog
        rows = [way.name for way in ways]
        self._grids = Grid(rows, codecs), Grid(rows, codecs)
        self._measured: list[tuple[Way, str]] = []
        for way, codec in ((way, codec) for codec in codecs for way in ways if codec in way.codecs):
            if missing := way.missing(codec):
                self._note(way.name, codec, missing)
            else:
                self._measured.append((way, codec))

    def archive(self) -> None:
        """Fill the archive of each way and codec with the segments since the base backup."""
        for way, codec in self._measured:
            self._backlog.say(f"{codec}, {way.name}: archiving {len(self._backlog.names)} segments to recover from")
            way.lay_out(codec)
            self._backlog.drain(self._backlog.names, way.archiving(codec))

    def turn(self, number: int) -> None:
        """Measure everything once more."""
        for way, codec in rotated(self._measured, number):
            self._backlog.cache(way.archive(codec))
            times = self._recover(way.restoring(codec))
            self._backlog.say(f"{codec}, {way.name}: {times}")
            for grid, seconds in zip(self._grids, times, strict=True):
                grid.add(way.name, codec, seconds)

    def tables(self) -> list[Table]:
        """Show what was found."""
        headings = (heading.format(count=len(self._backlog.names)) for heading in HEADINGS)
        return [grid.table(heading, "way, by codec", 1) for grid, heading in zip(self._grids, headings, strict=True)]

    def _note(self, row: str, column: str, words: str) -> None:
        for grid in self._grids:
            grid.note(row, column, words)

    def _recover(self, settings: dict[str, str]) -> Recovery:
        """Recover once. The new timeline is not archived: the archives stay as they are."""
        backlog, cluster = self._backlog, self._backlog.cluster
        with backlog.base_backup_in_place():
            backlog.configure({"archive_mode": "off", **settings})
            seen = len(cluster.log())
            backlog.start()
            try:
                what = f"recovery:\n{cluster.log()[seen:]}"
                wait_until(lambda: RECOVERED in cluster.log()[seen:], timeout=PATIENCE_SECONDS, message=what)
                wait_until(lambda: "ready to accept connections" in _tail(cluster.log()), message="connections")
                rows = int(cluster.value("SELECT count(*) FROM history"))
            finally:
                backlog.stop()
            if rows != backlog.rows:
                raise AssertionError(f"{rows} rows came back instead of {backlog.rows}")
            return recovery(cluster.log()[seen:])


def _tail(log: str) -> str:
    return log[log.rindex(RECOVERED) :]
