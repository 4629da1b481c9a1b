# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find a transaction or a restore point in the WAL, from the newest backup backwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from .._repository.catalog import Backup, Catalog
from .._wal.names import Lsn, TimelinePath
from .._wal.records import Point, TransactionEnd, is_before, widened
from .choice import RestoreQuery
from .refusals import ambiguous, not_found, of_another_epoch, on_other_branches, subtransaction
from .source import SegmentContents, WalSource
from .spans import WalSpan, on_path
from .windows import Window

_SHOWN = 5


@dataclass(frozen=True)
class Range:
    """What recovery from one backup replays, up to where the next backup ended."""

    stretch: WalSpan
    backup: Backup
    end: int


@dataclass
class SearchTrace:
    """What was met on the way, for what is said when nothing was found, and from which position on to look at all."""

    floor: int = 0
    names: list[str] = field(default_factory=list)
    xids: list[int] = field(default_factory=list)
    others: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Search:
    """Looks for the target of a question; ``windows`` gives the windows of some backups on a path."""

    catalog: Catalog
    wal: WalSource
    windows: Callable[[TimelinePath, Sequence[Backup]], list[Window]]

    def find(
        self, question: RestoreQuery, path: TimelinePath, backups: Sequence[Backup], windows: Sequence[Window]
    ) -> Lsn:
        """Give the position of the target on a path; raises Unreachable when it is not there, or not only once."""
        met = SearchTrace()
        for part in _ranges(windows, backups):
            found = None if part.end <= met.floor else self._in_range(question, part, met)
            if found is not None:
                return found
        elsewhere = self._elsewhere(question, path)
        if elsewhere:
            raise on_other_branches(question.target, path, elsewhere)
        if met.others:
            raise of_another_epoch(int(str(question.target.value)), met.others)
        raise not_found(question.target, path, windows, met.names[:_SHOWN], max(met.xids, default=None))

    def _elsewhere(self, question: RestoreQuery, path: TimelinePath) -> list[tuple[TimelinePath, Lsn]]:
        """Find the target on other timelines, after the point where each and the path part; numbers are given again."""
        found: dict[tuple[int, Lsn], TimelinePath] = {}
        for other in self.catalog.known_paths:
            fork = path.fork_from(other)
            position = None if fork is None else self._behind(question, other, fork)
            if position is not None:
                found.setdefault((other.timeline_before(position), position), other)
        return [(other, position) for (_timeline, position), other in found.items()]

    def _behind(self, question: RestoreQuery, path: TimelinePath, fork: Lsn) -> Lsn | None:
        """Find the target on a path behind a position."""
        backups = on_path(question.usable, path)
        for part in _ranges(self.windows(path, backups), backups):
            found = self._in_range(question, part, SearchTrace())
            if found is not None:
                return found if found > fork else None
            if part.backup.stop_lsn <= fork:
                return None
        return None

    def _in_range(self, question: RestoreQuery, part: Range, met: SearchTrace) -> Lsn | None:
        target = question.target
        if isinstance(target.value, str):
            return self._point(question, part, target.value, met)
        return self._transaction(part, int(str(target.value)), met)

    def _point(self, question: RestoreQuery, part: Range, name: str, met: SearchTrace) -> Lsn | None:
        """Find the restore point of a name; recovery would stop at the first one, be it before the backup's end."""
        size = part.stretch.segment_size
        hits: list[Point] = []
        for seen in self.wal.backwards(part.stretch, *_numbers(part, part.backup.start_lsn.value)):
            points = [p for p in seen.summary.points if part.backup.start_lsn.value <= p.lsn < part.end]
            met.names += [p.name for p in reversed(points) if p.name not in met.names]
            hits = [p for p in points if p.name == name] + hits
        if not hits or hits[-1].lsn < part.backup.stop_lsn.value:
            return None
        if len(hits) > 1:
            timelines = [part.stretch.path.timeline_at(p.lsn // size, size) for p in hits]
            raise ambiguous(question.target, [(Lsn(p.end), t) for p, t in zip(hits, timelines)])
        return Lsn(hits[0].end)

    def _transaction(self, part: Range, xid: int, met: SearchTrace) -> Lsn | None:
        """Find the end of a transaction, not looking further back than to where its number was not given yet.

        The WAL has the lower half of a number; the upper one, where it was given, is that of a checkpoint nearby.
        """
        size, low = part.stretch.segment_size, xid % (1 << 32)
        hit: Lsn | None = None
        for seen in self.wal.backwards(part.stretch, *_numbers(part, part.backup.stop_lsn.value)):
            checkpoint = seen.summary.checkpoint
            hit = hit or self._hit(part, seen, low, met)
            if hit is not None and (xid == low or (checkpoint is not None and widened(low, checkpoint) == xid)):
                return hit
            if checkpoint is not None:
                met.others |= {widened(low, checkpoint)} if hit is not None else set()
                met.floor = max(met.floor, 0 if is_before(low, checkpoint.next_xid) else checkpoint.redo)
                hit = None
            if seen.number <= met.floor // size:
                break
        return hit

    def _hit(self, part: Range, seen: SegmentContents, xid: int, met: SearchTrace) -> Lsn | None:
        xids = seen.summary.xids
        if xids is None:
            return None
        met.xids += xids
        return next(self._ends(part, seen.number, xid), None) if xids[0] <= xid <= xids[1] else None

    def _ends(self, part: Range, number: int, xid: int) -> Iterator[Lsn]:
        for record in self.wal.records(part.stretch, number):
            if isinstance(record, TransactionEnd) and part.backup.stop_lsn.value <= record.lsn < part.end:
                if record.xid == xid:
                    yield Lsn(record.end)
                if xid in record.children:
                    raise subtransaction(xid, record.xid)


def _numbers(part: Range, start: int) -> tuple[int, int]:
    """Give the first and last segment of a range, as far as the archive has them."""
    size = part.stretch.segment_size
    return max(part.stretch.first, start // size), min(part.stretch.last, (part.end - 1) // size)


def _ranges(windows: Sequence[Window], backups: Sequence[Backup]) -> list[Range]:
    """Divide what can be replayed among backups, the newest first."""
    found = []
    for window in windows:
        if window.stretch is None:
            continue
        members = [backup for backup in window.backups if backup in backups]
        end = (window.stretch.last + 1) * window.stretch.segment_size
        ends = [*(backup.stop_lsn.value for backup in members[1:]), end]
        found += [Range(window.stretch, backup, end) for backup, end in zip(members, ends)]
    return found[::-1]
