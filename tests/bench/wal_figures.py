# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark of WAL makes of what it has seen: times from a server's log, and medians in a table."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

from tests.bench.report import Table

Way = TypeVar("Way")
SEGMENT_SIZE = 16 << 20
SEGMENT_NAME = re.compile(r"[0-9A-F]{24}")
READY = "database system is ready to accept connections"
RECOVERED = "archive recovery complete"
# With log_timezone = UTC.
_STAMP = r"^(\S+ \S+) UTC \[\d+\] LOG:  "


class Recovery(NamedTuple):
    """The seconds from a server's start to the last record that it replayed, and to the end of its recovery."""

    replayed: float
    complete: float


class Grid:
    """What was measured, by row and column, several times each; or a word on why it was not."""

    def __init__(self, rows: Sequence[str], columns: Sequence[str]) -> None:
        self._rows, self._columns = rows, columns
        self._values: dict[tuple[str, str], list[float]] = {}
        self._notes: dict[tuple[str, str], str] = {}

    def add(self, row: str, column: str, value: float) -> None:
        """Keep one more value."""
        self._values.setdefault((row, column), []).append(value)

    def note(self, row: str, column: str, words: str) -> None:
        """Say what stands in the place of values."""
        self._notes[row, column] = words

    def table(self, heading: str, what: str, digits: int) -> Table:
        """Show medians, and from where to where they go; a place that nothing is known of has a dash."""
        lines = [[row, *(self._cell(row, column, digits) for column in self._columns)] for row in self._rows]
        return Table(heading, [what, *self._columns], lines)

    def _cell(self, row: str, column: str, digits: int) -> str:
        values = self._values.get((row, column))
        return spread(values, digits) if values else self._notes.get((row, column), "-")


def spread(values: Sequence[float], digits: int) -> str:
    """Write the median, and the lowest and the highest where there are several."""
    median = f"{statistics.median(values):.{digits}f}"
    return median if len(values) == 1 else f"{median} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def moment(log: str, event: str) -> datetime:
    """Return when something happened first, by a server's log."""
    found = re.search(_STAMP + re.escape(event), log, re.MULTILINE)
    if found is None:
        raise AssertionError(f"the server's log does not have {event!r}:\n{log[-5000:]}")
    return datetime.fromisoformat(f"{found[1]}+00:00")


def recovery(log: str) -> Recovery:
    """Read how long a server recovered that was started once."""
    started, replayed, complete = (moment(log, event) for event in ("starting PostgreSQL", "redo done at", RECOVERED))
    return Recovery((replayed - started).total_seconds(), (complete - started).total_seconds())


def rotated(ways: Sequence[Way], turn: int) -> list[Way]:
    """Begin with another one in each turn: whatever comes first may find the machine in another state than the rest."""
    first = turn % max(1, len(ways))
    return [*ways[first:], *ways[:first]]


def segment_name(number: int) -> str:
    """Name a segment of 16 MB on the first timeline."""
    return f"{1:08X}{number // 256:08X}{number % 256:08X}"


def expand(command: str, path: str, file: str = "") -> str:
    """Put a file's path and name into a command as PostgreSQL does."""
    words = {"%p": path, "%f": file, "%%": "%"}
    return re.sub("%[pf%]", lambda found: words[found[0]], command)
