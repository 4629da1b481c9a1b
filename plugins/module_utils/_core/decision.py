# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide what can be restored, and how a target is reached, by what the catalog lists and the WAL itself says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from .catalog import Backup, Catalog
from .choice import Choice, Question, candidates, check_reach, choice, path_for, pick
from .defects import Defect, problems
from .refusals import abandoned, beyond
from .search import Search, WalSource
from .stretches import Following, Stretch, followings, on_path
from .target import Target
from .wal import Lsn, TimelinePath
from .walrecords import Ended, moment_of
from .windows import Tail, Window, distinct, windows_of


@dataclass(frozen=True)
class Writing:
    """A running server that writes WAL: on which timeline, up to which position, at which moment."""

    timeline: int
    lsn: Lsn
    now: datetime


@dataclass(frozen=True)
class Decision:
    """Decides with a catalog, with what can read its segments, and with the server that writes more (None: none)."""

    catalog: Catalog
    wal: WalSource
    server: Writing | None = None

    def windows(self, unusable: Mapping[str, Defect]) -> list[Window]:
        """Give all windows, of every timeline whose history is known."""
        usable = [backup for backup in self.catalog.backups if backup.label not in unusable]
        return distinct(w for path in self.catalog.known_paths for w in self.on(path, on_path(usable, path)))

    def on(self, path: TimelinePath, backups: Sequence[Backup]) -> list[Window]:
        """Give the windows of some backups on one path."""
        found = followings(self.catalog, path, backups)
        return [window for following in found for window in windows_of(following, self._tail(following))]

    def _tail(self, following: Following) -> Tail:
        stretch = following.stretch
        if stretch is None:
            return Tail()
        if self._is_written(stretch):
            server = self.server
            return Tail() if server is None else Tail(server.now, server.lsn, live=True)
        floor = following.backups[0].stop_lsn.value
        damage: tuple[int | None, str | None] = (None, None)
        for seen in self.wal.backwards(stretch, (floor - 1) // stretch.segment_size, stretch.last):
            if seen.damage is not None:
                damage = (seen.number, seen.damage)
            time = seen.summary.time
            if time is not None and seen.summary.end > floor:
                return Tail(moment_of(time), Lsn(seen.summary.end), *damage)
        return Tail(None, None, *damage)

    def _is_written(self, stretch: Stretch) -> bool:
        if self.server is None or stretch.missing is not None or stretch.path.timeline != self.server.timeline:
            return False
        return stretch.last >= (self.server.lsn.value - 1) // stretch.segment_size

    def choice(self, target: Target, label: str | None, arrivals: Mapping[int, datetime]) -> Choice:
        """Choose how a target is reached; raises Unreachable with what is possible instead.

        ``label`` names the backup to start from (None: any); ``arrivals`` tells when the last file of each timeline was
        archived, to know what is latest.
        """
        unusable = problems(self.catalog)
        question = Question(target, label, self.catalog, unusable, self.windows(unusable))
        path = path_for(question, arrivals)
        found = candidates(question, path)
        windows = self.on(path, on_path(question.usable, path))
        position = target.value if isinstance(target.value, Lsn) else None
        if target.kind in ("xid", "name"):
            position = Search(self.catalog, self.wal, self.on).find(question, path, found, windows)
        backup = pick(question, found, position)
        window = next(window for window in windows if backup in window.backups)
        if target.kind == "lsn" and position is not None:
            self._check_position(question, window, backup, position)
        check_reach(question, window, backup, self._arrived(window))
        chosen = choice(question, window, backup, position)
        return replace(chosen, warnings=(*chosen.warnings, *self._abandoned(question, path)))

    def _arrived(self, window: Window) -> datetime | None:
        if window.stretch is None:
            return None
        last = window.stretch.last
        file = self.catalog.files.get((window.path.timeline_at(last, window.stretch.segment_size), last))
        return None if file is None else file.arrived

    def _check_position(self, question: Question, window: Window, backup: Backup, position: Lsn) -> None:
        """Refuse a position behind which no record begins: PostgreSQL stops at a record."""
        stretch = window.stretch
        if stretch is not None:
            number = position.value // stretch.segment_size
            if number < stretch.last or (window.live and position <= window.until_lsn):
                return
            if number == stretch.last and self.wal.has_record_from(stretch, position):
                return
        raise beyond(question.target, window, backup, question.windows)

    def _abandoned(self, question: Question, path: TimelinePath) -> list[str]:
        """Find timelines that were in use at the moment asked for, and that the path leaves before it."""
        moment, found = question.target.time, []
        if moment is None or question.target.timeline is not None:
            return []
        for window in question.windows:
            fork = path.fork_from(window.path)
            if fork is None or window.stretch is None or not window.since <= moment <= window.until:
                continue
            left = self._last_before(window.stretch, fork)
            if left is not None and left <= moment:
                found.append(abandoned(question.target, window.timeline, path.timeline, fork, left))
        return found

    def _last_before(self, stretch: Stretch, position: Lsn) -> datetime | None:
        """Give the time of the last transaction before a position."""
        last = min(stretch.last, (position.value - 1) // stretch.segment_size)
        for seen in self.wal.backwards(stretch, stretch.first, last):
            time = seen.summary.time
            if time is not None and seen.summary.end > position.value:
                time = self._time_before(stretch, seen.number, position)
            if time is not None:
                return moment_of(time)
        return None

    def _time_before(self, stretch: Stretch, number: int, position: Lsn) -> str | None:
        records = self.wal.records(stretch, number)
        ended = [record for record in records if isinstance(record, Ended) and record.lsn < position.value]
        return max((record.time for record in ended), default=None)
