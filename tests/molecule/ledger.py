# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a load generator was told, compared with what is there after a restore.

The generator logs a row once it is acknowledged, with the times of sending and acknowledgement by the clock that the
server has, too. A row that was acknowledged before the moment has to be there. One that was sent after it must not be.
Between the two there is at most one row of each worker, of which nobody outside the server can tell.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

# Worker and number.
Row = tuple[int, int]


@dataclass(frozen=True)
class Entry:
    """A line of the log; times are in seconds since 1970."""

    row: Row
    sent: float
    acknowledged: float


@dataclass(frozen=True)
class Count:
    """How many rows a restore to a moment had to bring back, and to leave out, and what it did wrong."""

    before: int
    after: int
    missing: frozenset[Row]
    surplus: frozenset[Row]


def parse(lines: Iterable[str]) -> list[Entry]:
    """Read a log.

    >>> parse(["2 17 1.5 1.75"])
    [Entry(row=(2, 17), sent=1.5, acknowledged=1.75)]
    """
    fields = (line.split() for line in lines)
    return [Entry((int(worker), int(number)), float(sent), float(told)) for worker, number, sent, told in fields]


def count(entries: Collection[Entry], moment: datetime, found: Collection[Row]) -> Count:
    """Compare the log with the rows that are there."""
    target = moment.timestamp()
    before = frozenset(entry.row for entry in entries if entry.acknowledged < target)
    possible = frozenset(entry.row for entry in entries if entry.sent <= target)
    return Count(
        before=len(before),
        after=len(entries) - len(possible),
        missing=before - frozenset(found),
        surplus=frozenset(found) - possible,
    )
