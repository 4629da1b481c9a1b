# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find a transaction or a restore point in the WAL, from the newest backup backwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .catalog import Backup, Catalog
from .choice import Question
from .refusals import ambiguous, not_found, on_other_branches, subtransaction
from .stretches import Stretch, on_path
from .wal import Lsn, TimelinePath
from .walrecords import Checkpoint, Ended, Point, Summary, is_before
from .windows import Window

_SHOWN = 5


@dataclass(frozen=True)
class Seen:
    """What one segment holds; ``damage`` says why it could not be read to its end although others follow it."""

    number: int
    summary: Summary
    damage: str | None = None


class WalSource(Protocol):
    """What can read WAL."""

    def backwards(self, stretch: Stretch, first: int, last: int) -> Iterator[Seen]:
        """Look into the segments from ``last`` down to ``first``; the caller may end it early."""

    def records(self, stretch: Stretch, number: int) -> list[Ended | Point | Checkpoint]:
        """List the records that begin in one segment."""

    def has_record_from(self, stretch: Stretch, position: Lsn) -> bool:
        """Tell whether any record begins at a position of the last segment, or later."""


@dataclass(frozen=True)
class Range:
    """What recovery from one backup replays, up to where the next backup ended."""

    stretch: Stretch
    backup: Backup
    end: int


@dataclass
class Met:
    """What was met on the way, for what is said when nothing was found, and from which position on to look at all."""

    floor: int = 0
    names: list[str] = field(default_factory=list)
    xids: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Search:
    """Looks for the target of a question; ``windows`` gives the windows of some backups on a path."""

    catalog: Catalog
    wal: WalSource
    windows: Callable[[TimelinePath, Sequence[Backup]], list[Window]]

    def find(self, question: Question, path: TimelinePath, backups: Sequence[Backup], windows: Sequence[Window]) -> Lsn:
        """Give the position of the target on a path; raises Unreachable when it is not there, or not only once."""
        met = Met()
        for part in _ranges(windows, backups):
            found = None if part.end <= met.floor else self._in_range(question, part, met)
            if found is not None:
                return found
        elsewhere = self._elsewhere(question, path)
        if elsewhere:
            raise on_other_branches(question.target, path, elsewhere)
        raise not_found(question.target, path, windows, met.names[:_SHOWN], max(met.xids, default=None))

    def _elsewhere(self, question: Question, path: TimelinePath) -> list[tuple[TimelinePath, Lsn]]:
        """Find the target on other timelines, after the point where each and the path part; numbers are given again."""
        found: dict[tuple[int, Lsn], TimelinePath] = {}
        for other in self.catalog.known_paths:
            fork = path.fork_from(other)
            position = None if fork is None else self._behind(question, other, fork)
            if position is not None:
                found.setdefault((other.timeline_before(position), position), other)
        return [(other, position) for (_timeline, position), other in found.items()]

    def _behind(self, question: Question, path: TimelinePath, fork: Lsn) -> Lsn | None:
        """Find the target on a path behind a position."""
        backups = on_path(question.usable, path)
        for part in _ranges(self.windows(path, backups), backups):
            found = self._in_range(question, part, Met())
            if found is not None:
                return found if found > fork else None
            if part.backup.stop_lsn <= fork:
                return None
        return None

    def _in_range(self, question: Question, part: Range, met: Met) -> Lsn | None:
        target = question.target
        if isinstance(target.value, str):
            return self._point(question, part, target.value, met)
        return self._transaction(part, int(str(target.value)), met)

    def _point(self, question: Question, part: Range, name: str, met: Met) -> Lsn | None:
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

    def _transaction(self, part: Range, xid: int, met: Met) -> Lsn | None:
        """Find the end of a transaction, not looking further back than to where its number was not given yet."""
        size, start = part.stretch.segment_size, part.backup.stop_lsn.value
        for seen in self.wal.backwards(part.stretch, *_numbers(part, start)):
            summary, checkpoint = seen.summary, seen.summary.checkpoint
            if summary.xids is not None:
                met.xids += summary.xids
                if summary.xids[0] <= xid <= summary.xids[1]:
                    for end in self._ends(part, seen.number, xid):
                        return end
            if checkpoint is not None and not is_before(xid, checkpoint.next_xid):
                met.floor = max(met.floor, checkpoint.redo)
            if seen.number <= met.floor // size:
                break
        return None

    def _ends(self, part: Range, number: int, xid: int) -> Iterator[Lsn]:
        for record in self.wal.records(part.stretch, number):
            if isinstance(record, Ended) and part.backup.stop_lsn.value <= record.lsn < part.end:
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
