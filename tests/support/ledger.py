# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of commits that tests keep outside the database, and the obvious rule of what a restore has to give.

Recovery replays a path of timelines, record by record, and stops at the first that meets the target
(`recoveryStopsBefore` and `recoveryStopsAfter` in `src/backend/access/transam/xlogrecovery.c`). What is then in the
table is the sum of the commits before. This is a walk over a list; it knows nothing of backups, segments and archives.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

Changes = Mapping[int, str | None]
"""Rows that a transaction wrote, by key; None for a deleted one."""

_RECORD = re.compile(r"rmgr: (?P<manager>\w+) .*, tx: +(?P<xid>\d+), lsn: (?P<lsn>[0-9A-F/]+), .*?desc: (?P<text>.*)")
_ENDS = {"COMMIT": "commit", "COMMIT_PREPARED": "commit", "ABORT": "abort", "ABORT_PREPARED": "abort"}
_END = re.compile(r"(?P<verb>[A-Z_]+)(?: (?P<xid>\d+):)? (?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) UTC")
_PREPARE = re.compile(r"PREPARE gid (?P<gid>.*): .*? UTC")


@dataclass(frozen=True)
class Event:
    """A record that matters: `kind` is commit, abort, prepare or name; `lsn` is where it starts.

    `label` is what its writer called it; `name` is that of a restore point or of a prepared transaction.
    """

    kind: str
    lsn: int
    timeline: int
    time: datetime | None = None
    xid: int | None = None
    name: str | None = None
    label: str | None = None
    changes: Changes = field(default_factory=dict)

    @property
    def ends(self) -> bool:
        """Tell whether a transaction ends here, be it a part of one that had a savepoint."""
        return self.kind in ("commit", "abort")


@dataclass(frozen=True)
class Transaction:
    """What its writer knows of a transaction; `time` is the server's word for a committed one."""

    label: str
    changes: Changes
    time: datetime | None = None
    gid: str | None = None


@dataclass(frozen=True)
class Target:
    """Where recovery is to stop; the value is a datetime, an xid, a name, an LSN, or None for `latest`."""

    kind: str
    value: datetime | int | str | None
    inclusive: bool = True


@dataclass(frozen=True)
class State:
    """What a restored server has to show: the rows of the table, and the transactions that wait to be committed."""

    rows: Mapping[int, str]
    prepared: frozenset[str]


@dataclass(frozen=True)
class Path:
    """All that recovery reads on the way to the end of a timeline: the starts of the records, and the events."""

    records: Sequence[int]
    events: Sequence[Event]

    def kept(self, target: Target) -> int:
        """Count the events that a restore to the target keeps; raises ValueError when recovery would not stop."""
        if target.kind == "latest":
            return len(self.events)
        if target.kind == "lsn":
            return self._kept_at_lsn(target)
        meets = _is_after if target.kind == "time" else _is_named
        found = [at for at, event in enumerate(self.events) if meets(event, target)]
        if not found:
            raise ValueError(f"recovery never meets {target}")
        return found[0] + (target.kind == "name" or (target.kind == "xid" and target.inclusive))

    def _kept_at_lsn(self, target: Target) -> int:
        """Recovery stops at the first record that starts at the position or after it, whatever it is."""
        assert isinstance(target.value, int)
        last = next(start for start in self.records if start >= target.value)
        return sum(event.lsn <= last if target.inclusive else event.lsn < last for event in self.events)

    def state(self, kept: int) -> State:
        """Add up the first events."""
        rows: dict[int, str] = {}
        prepared = set()
        for event in self.events[:kept]:
            if event.kind == "prepare":
                prepared.add(event.name)
            elif event.ends:
                prepared.discard(event.name)
            if event.kind == "commit":
                rows.update({key: text for key, text in event.changes.items() if text is not None})
                for key in [key for key, text in event.changes.items() if text is None]:
                    rows.pop(key)
        return State(rows, frozenset(name for name in prepared if name is not None))

    def up_to(self, kept: int, end: int) -> Path:
        """Give what a timeline inherits that begins at position `end`, with the first events."""
        return Path([start for start in self.records if start < end], self.events[:kept])

    def __add__(self, other: Path) -> Path:
        return Path([*self.records, *other.records], [*self.events, *other.events])


def _is_after(event: Event, target: Target) -> bool:
    assert isinstance(target.value, datetime)
    if not event.ends or event.time is None:
        return False
    return event.time > target.value if target.inclusive else event.time >= target.value


def _is_named(event: Event, target: Target) -> bool:
    if target.kind == "name":
        return event.kind == "name" and event.name == target.value
    return event.ends and event.xid == target.value


@dataclass(frozen=True)
class Notes:
    """What was written on a timeline, by xid, and the labels of its restore points in their order."""

    transactions: dict[int, Transaction] = field(default_factory=dict)
    points: list[str] = field(default_factory=list)


def read_wal(text: str, timeline: int, notes: Notes) -> Path:
    """Read what pg_waldump prints with TZ=UTC, and say of each event what its writer called it.

    Raises AssertionError where the WAL and the server tell different times for one commit.
    """
    records = [match for line in text.splitlines() if (match := _RECORD.match(line))]
    points = iter(notes.points)
    found = [_point(match, timeline, points) or _end_of(match, timeline, notes.transactions) for match in records]
    return Path([parse_lsn(match["lsn"]) for match in records], [event for event in found if event])


def _point(record: re.Match[str], timeline: int, labels: Iterator[str]) -> Event | None:
    if record["manager"] != "XLOG" or not record["text"].startswith("RESTORE_POINT "):
        return None
    name = record["text"].removeprefix("RESTORE_POINT ")
    return Event("name", parse_lsn(record["lsn"]), timeline, name=name, label=next(labels))


def _end_of(record: re.Match[str], timeline: int, transactions: Mapping[int, Transaction]) -> Event | None:
    text, lsn = record["text"], parse_lsn(record["lsn"])
    if record["manager"] != "Transaction":
        return None
    if prepared := _PREPARE.match(text):
        return Event("prepare", lsn, timeline, xid=int(record["xid"]), name=prepared["gid"])
    end = _END.match(text)
    if not end:
        return None
    xid, time = int(end["xid"] or record["xid"]), datetime.fromisoformat(f"{end['time']}+00:00")
    wanted = transactions.get(xid, Transaction("", {}))
    assert wanted.time in (None, time), f"transaction {xid}: the WAL says {time}, the server {wanted.time}"
    return Event(_ENDS[end["verb"]], lsn, timeline, time, xid, wanted.gid, wanted.label, wanted.changes)


def parse_lsn(text: str) -> int:
    """Read an LSN.

    >>> parse_lsn("1/28")
    4294967336
    """
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def format_lsn(position: int) -> str:
    """Write an LSN.

    >>> format_lsn(4294967336)
    '1/28'
    """
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def labelled(events: Iterable[Event], label: str) -> Event:
    """Find the one event that its writer called so."""
    [found] = [event for event in events if event.label == label]
    return found
