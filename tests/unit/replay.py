# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""WAL that is made up for tests, and the decisions on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ansible_collections.pgark.postgres.plugins.module_utils._repository.catalog import Catalog
from ansible_collections.pgark.postgres.plugins.module_utils._values.target import Target
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn
from ansible_collections.pgark.postgres.plugins.module_utils._wal.records import (
    Begun,
    Checkpoint,
    Parameters,
    Point,
    Tablespace,
    TransactionEnd,
)
from ansible_collections.pgark.postgres.plugins.module_utils._wal.summary import Summary
from ansible_collections.pgark.postgres.plugins.module_utils._windows.choice import Choice
from ansible_collections.pgark.postgres.plugins.module_utils._windows.defects import problems
from ansible_collections.pgark.postgres.plugins.module_utils._windows.resolver import LiveServer, TargetResolver
from ansible_collections.pgark.postgres.plugins.module_utils._windows.source import SegmentContents
from ansible_collections.pgark.postgres.plugins.module_utils._windows.spans import WalSpan
from ansible_collections.pgark.postgres.plugins.module_utils._windows.windows import Window
from tests.unit.examples import SIZE, minutes

Record = TransactionEnd | Point | Checkpoint | Begun | Parameters | Tablespace
LENGTH = 0x30


def lsn(segment: float) -> int:
    """Give the position that lies so many segments after the beginning."""
    return int(segment * SIZE)


def commit(segment: float, minute: float, xid: int = 0) -> TransactionEnd:
    """Make a transaction that ended at a place, given in segments, some minutes after noon."""
    at = lsn(segment)
    time = minutes(minute).strftime("%Y-%m-%d %H:%M:%S.%f")
    return TransactionEnd(at, at + LENGTH, xid or 700 + int(segment * 10), time)


def begin(timeline: int, segment: float, minute: float) -> Begun:
    """Make the record with which a timeline begins at a place, given in segments, some minutes after noon."""
    return Begun(lsn(segment), timeline, timeline - 1, minutes(minute).strftime("%Y-%m-%d %H:%M:%S.%f"))


def point(segment: float, name: str) -> Point:
    """Make a restore point at a place, given in segments."""
    return Point(lsn(segment), lsn(segment) + LENGTH, name)


@dataclass
class FakeWal:
    """What each segment holds, by timeline and number; ``damaged`` ones have a reason why they end early.

    ``looked`` are the numbers of the segments that were looked into, in their order.
    """

    held: dict[tuple[int, int], list[Record]]
    damaged: Mapping[tuple[int, int], str] = field(default_factory=dict)
    looked: list[int] = field(default_factory=list)

    def backwards(self, stretch: WalSpan, first: int, last: int) -> Iterator[SegmentContents]:
        for number in range(last, first - 1, -1):
            yield self.seen(stretch, number)

    def forwards(self, stretch: WalSpan, first: int, last: int) -> Iterator[SegmentContents]:
        for number in range(first, last + 1):
            yield self.seen(stretch, number)

    def seen(self, stretch: WalSpan, number: int) -> SegmentContents:
        self.looked.append(number)
        place = (stretch.path.timeline_at(number, SIZE), number)
        return SegmentContents(number, Summary.of(self.held.get(place, [])), self.damaged.get(place))

    def records(self, stretch: WalSpan, number: int) -> list[Record]:
        return self.held.get((stretch.path.timeline_at(number, SIZE), number), [])

    def has_record_from(self, stretch: WalSpan, position: Lsn) -> bool:
        return any(record.lsn >= position.value for record in self.records(stretch, stretch.last))


def wal_of(*records: tuple[int, Record], damaged: Mapping[tuple[int, int], str] | None = None) -> FakeWal:
    """Put records, each with the timeline of its segment's file, where they belong."""
    held: dict[tuple[int, int], list[Record]] = {}
    for timeline, record in sorted(records, key=lambda item: item[1].lsn):
        held.setdefault((timeline, record.lsn // SIZE), []).append(record)
    return FakeWal(held, damaged or {})


def steady(subject: Catalog, offset: float = 0.25) -> FakeWal:
    """Let one transaction end in each segment, at the minute in which the segment arrives."""
    noon = minutes(0).timestamp()
    return wal_of(
        *(
            (timeline, commit(number + offset, (file.mtime_ns / 1e9 - noon) / 60))
            for (timeline, number), file in subject.files.items()
        )
    )


def windows(subject: Catalog, wal: FakeWal | None = None, server: LiveServer | None = None) -> list[Window]:
    """Give all windows of a catalog."""
    return TargetResolver(subject, wal or steady(subject), server).windows(problems(subject), minutes(5000))


def choose(
    subject: Catalog,
    target: Target,
    label: str | None = None,
    wal: FakeWal | None = None,
    server: LiveServer | None = None,
) -> Choice:
    """Choose how a target is reached."""
    return TargetResolver(subject, wal or steady(subject), server).choice(target, label)


def labels(found: Iterable[Window]) -> list[list[str]]:
    """List the backups of windows."""
    return [[backup.label for backup in window.backups] for window in found]
