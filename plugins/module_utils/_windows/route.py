# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What recovery replays on its way to a target, told from the WAL itself before anything is stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from .._values.target import Target
from .._values.times import format_time
from .._wal.names import Lsn, SegmentName
from .._wal.records import Parameters, Record, Tablespace, TransactionEnd, moment_of
from .._wal.summary import Summary
from .source import SegmentContents, WalSource
from .spans import Break, WalSpan

# Transactions take the time before they write their end, so ends that lie closer stand in either order every day.
_EVERYDAY = timedelta(seconds=1)


@dataclass(frozen=True)
class Ends:
    """The ends of transactions in a part of the WAL: how many, and the earliest and the latest moment.

    ``last`` is where the last one in the order of the WAL ends, and ``last_time`` its moment.
    """

    count: int = 0
    earliest: datetime | None = None
    latest: datetime | None = None
    last: Lsn | None = None
    last_time: datetime | None = None

    def with_summary(self, summary: Summary) -> Ends:
        """Add what a segment holds."""
        if summary.earliest is None or summary.latest is None or summary.last is None:
            return self
        earliest, latest = moment_of(summary.earliest), moment_of(summary.latest)
        return Ends(
            self.count + summary.count,
            earliest if self.earliest is None else min(earliest, self.earliest),
            latest if self.latest is None else max(latest, self.latest),
            Lsn(summary.end),
            moment_of(summary.last),
        )


@dataclass(frozen=True)
class Behind:
    """What lies behind the place where a recovery stops: it is not in the result.

    ``early`` are the ends that were no later than the target, though they come behind it, because the clock was set
    back; ``complete`` tells that the WAL was looked through to its end. ``damaged`` is a segment in it that a server is
    not given (None: none was met).
    """

    ends: Ends = Ends()
    early: int = 0
    complete: bool = True
    damaged: SegmentName | None = None

    @property
    def text(self) -> str:
        """Say what will be missing from the result.

        >>> noon = datetime.fromisoformat("2026-11-21T12:00:00+00:00")
        >>> Behind(Ends(2, noon, noon + _EVERYDAY), complete=False).text.split(", from")[0]
        'lost: 2 transactions or more that ended behind the target'
        """
        ends = self.ends
        if ends.earliest is None or ends.latest is None:
            where = "in the WAL behind the target" if self.complete else "shortly behind the target"
            return f"no transaction ended {where}"
        what = "1 transaction" if ends.count == 1 else f"{ends.count} transactions"
        more = "" if self.complete else " or more"
        when = f"from {format_time(ends.earliest)} to {format_time(ends.latest)}"
        return f"lost: {what}{more} that ended behind the target, {when}"


@dataclass(frozen=True)
class Route:
    """What recovery replays from a position.

    ``stop`` is where it stops for the target (None: it does not, and goes on to the end), ``replayed`` sums up the
    transactions before that; ``broken`` is what it would meet first and not get over. ``tablespaces`` and
    ``parameters`` are the records of these kinds that are replayed.
    """

    stop: Lsn | None = None
    replayed: Ends = Ends()
    broken: Break | None = None
    tablespaces: tuple[Tablespace, ...] = ()
    parameters: tuple[Parameters, ...] = ()


def stops_before(target: Target, record: Record) -> bool:
    """Tell whether recovery to a moment stops before a record: ``recoveryStopsBefore`` in ``xlogrecovery.c``."""
    return isinstance(record, TransactionEnd) and is_later(target, moment_of(record.time))


def is_later(target: Target, moment: datetime) -> bool:
    """Tell whether what ended at a moment is no more part of what a target asks for.

    >>> noon = datetime.fromisoformat("2026-11-21T12:00:00+00:00")
    >>> is_later(Target("time", noon), noon), is_later(Target("time", noon, inclusive=False), noon)
    (False, True)
    """
    return target.time is not None and (moment > target.time or (moment == target.time and not target.inclusive))


def follow(wal: WalSource, stretch: WalSpan, begin: Lsn, target: Target, end: Lsn | None = None) -> Route:
    """Read from a position to where the target is, to ``end``, or to what cannot be read.

    Of a target that is no moment, the position where it ends is to be given as ``end`` (None: there is none, as for
    the end of all WAL).
    """
    size = stretch.segment_size
    last = stretch.last if end is None else min(stretch.last, max(begin.value, end.value - 1) // size)
    route = Route(None if target.time is not None else end)
    for seen in wal.forwards(stretch, max(stretch.first, begin.value // size), last):
        part, stop = _part(wal, stretch, seen, (begin, end), target)
        route = _with(route, part)
        broken = _break(seen, part, size)
        if broken is not None:
            return replace(route, broken=broken)
        if stop is not None:
            return replace(route, stop=stop)
    return route


def _part(
    wal: WalSource, stretch: WalSpan, seen: SegmentContents, limits: tuple[Lsn, Lsn | None], target: Target
) -> tuple[Summary, Lsn | None]:
    """Sum up what is replayed of a segment, and give the place in it where recovery stops."""
    if seen.damage is not None:
        return Summary(), None  # a segment that is damaged anywhere is not given to a server at all
    begin, end = limits
    first = seen.number * stretch.segment_size
    whole = begin.value <= first and (end is None or first + stretch.segment_size <= end.value)
    latest = seen.summary.latest
    if whole and (latest is None or not is_later(target, moment_of(latest))):
        return seen.summary, None
    replayed: list[Record] = []
    for record in wal.records(stretch, seen.number):
        if record.lsn < begin.value or (end is not None and record.lsn >= end.value):
            continue
        if stops_before(target, record):
            return Summary.of(replayed), Lsn(record.lsn)
        replayed.append(record)
    return Summary.of(replayed), None


def _with(route: Route, part: Summary) -> Route:
    """Add a segment; what comes behind a change to too little WAL is not replayed any more."""
    return replace(
        route,
        replayed=route.replayed.with_summary(part),
        tablespaces=(*route.tablespaces, *part.tablespaces),
        parameters=(*route.parameters, *part.parameters),
    )


def _break(seen: SegmentContents, part: Summary, size: int) -> Break | None:
    if seen.damage is not None:
        return Break.of(seen.number, size, seen.damage)
    minimal = next((change for change in part.parameters if change.minimal), None)
    if minimal is None:
        return None
    words = f"has, at {Lsn(minimal.lsn)}, the change to wal_level=minimal, over which no recovery gets"
    return Break(seen.number, Lsn(minimal.lsn), Lsn(minimal.lsn + 1), words)


def behind(wal: WalSource, stretch: WalSpan, stop: Lsn, target: Target, most: int) -> Behind:
    """Look at what lies behind a position, in at most so many segments."""
    first = stop.value // stretch.segment_size
    last = min(stretch.last, first + most - 1)
    ends, early = Ends(), 0
    bound: datetime | None = None
    for seen in wal.forwards(stretch, max(first, stretch.first), last):
        if seen.damage is not None:
            return Behind(ends, early, complete=False, damaged=stretch.name(seen.number))
        summary = seen.summary
        if seen.number == first or _has_early(summary, bound):
            records = [record for record in wal.records(stretch, seen.number) if record.lsn >= stop.value]
            summary = Summary.of(records)
            bound = bound or _bound(target, records)
            early += sum(_is_early(record, bound) for record in records)
        ends = ends.with_summary(summary)
    return Behind(ends, early, complete=last == stretch.last)


def _bound(target: Target, records: Sequence[Record]) -> datetime | None:
    """Give the moment up to which what ended is early, though it stands behind the record at which recovery stops.

    That is the target, but for what stands there by everyday's changes of order.
    """
    stops = next((moment_of(record.time) for record in records if isinstance(record, TransactionEnd)), None)
    return None if target.time is None or stops is None else min(target.time, stops - _EVERYDAY)


def _has_early(summary: Summary, bound: datetime | None) -> bool:
    return bound is not None and summary.earliest is not None and moment_of(summary.earliest) <= bound


def _is_early(record: Record, bound: datetime | None) -> bool:
    return bound is not None and isinstance(record, TransactionEnd) and moment_of(record.time) <= bound
