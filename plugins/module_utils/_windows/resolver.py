# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide what can be restored, and how a target is reached, by what the catalog lists and the WAL itself says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache

from .._repository.catalog import Backup, Catalog
from .._values.target import Target
from .._wal.names import Lsn, TimelinePath
from .._wal.records import Begun, TransactionEnd, moment_of
from .choice import Choice, RestoreQuery, candidates, check_newest, check_reach, choice, passed_over, path_for, pick
from .defects import Defect, problems
from .refusals import Unreachable, abandoned, beyond, came_early, cannot_be_replayed, damaged_behind, who_is_later
from .route import Behind, Route, behind, follow
from .search import Search
from .source import WalSource
from .spans import Break, CoveredBackups, WalSpan, followings, on_path, stretches
from .windows import Part, SpanEnd, Window, distinct, windows_of

_ALL = Target()
# How many segments behind a target are looked through to tell what will be lost: some seconds.
_LOOK_BEHIND = 64


@dataclass(frozen=True)
class LiveServer:
    """A running server that writes WAL: on which timeline, up to which position, at which moment."""

    timeline: int
    lsn: Lsn
    now: datetime


@dataclass(frozen=True)
class TargetResolver:
    """Decides with a catalog, with what can read its segments, and with the server that writes more (None: none)."""

    catalog: Catalog
    wal: WalSource
    server: LiveServer | None = None
    _pasts: dict[tuple[TimelinePath, str], datetime | None] = field(default_factory=dict)

    def windows(self, unusable: Mapping[str, Defect], now: datetime) -> list[Window]:
        """Give all windows, of every timeline whose history is known, after all of their WAL has been read.

        None reaches beyond ``now``: a clock that was ahead has left times in the WAL that have not come yet.
        """
        return [replace(window, now=now) for window in self._windows(unusable, whole=True)]

    def _windows(self, unusable: Mapping[str, Defect], whole: bool) -> list[Window]:
        usable = [backup for backup in self.catalog.backups if backup.label not in unusable]
        return distinct(w for path in self.catalog.known_paths for w in self.on(path, on_path(usable, path), whole))

    def broken_backups(self, windows: Sequence[Window], unusable: Mapping[str, Defect]) -> dict[str, Defect]:
        """Find the backups that have no window, because damage keeps them from becoming consistent, by label."""
        served = {backup.label for window in windows for backup in window.backups} | set(unusable)
        found = {}
        for backup in self.catalog.backups:
            path = self.catalog.path_through(backup)
            if backup.label not in served and path is not None:
                found[backup.label] = Defect("wal", backup.label, self._refusal(path, backup).message)
        return found

    def on(self, path: TimelinePath, backups: Sequence[Backup], whole: bool = False) -> list[Window]:
        """Give the windows of some backups on one path; unless ``whole``, by how the WAL ends alone."""
        found = followings(self.catalog, path, backups)
        parts = self._whole_parts if whole else self._parts
        return [window for following in found for window in windows_of(following, list(parts(following)))]

    def _whole_parts(self, following: CoveredBackups) -> Iterator[Part]:
        """Divide a stretch where recovery from its backups cannot go on; leave out what is broken before its stop."""
        stretch, rest = following.stretch, following.backups
        while stretch is not None and rest:
            first, rest = rest[0], rest[1:]
            broken = follow(self.wal, stretch, first.start_lsn, _ALL).broken
            if broken is not None and broken.is_in(first):
                continue
            inside = [backup for backup in rest if broken is None or backup.stop_lsn <= broken.lsn]
            rest = tuple(backup for backup in rest if backup not in inside)
            yield self._whole_part(following.path, stretch, (first, *inside), broken)

    def _whole_part(
        self, path: TimelinePath, stretch: WalSpan, backups: tuple[Backup, ...], broken: Break | None
    ) -> Part:
        past = self.past(path, backups[0])
        if broken is None and self._is_written(stretch) and self.server is not None:
            return Part(backups, stretch, SpanEnd(self.server.now, self.server.lsn, live=True, past=past))
        ends = follow(self.wal, stretch, backups[0].stop_lsn, _ALL, None if broken is None else broken.lsn).replayed
        tail = SpanEnd(ends.latest, ends.last, past=past)
        if broken is None:
            return Part(backups, stretch, tail)
        last = (broken.lsn.value - 1) // stretch.segment_size
        return Part(backups, replace(stretch, last=last), replace(tail, broken=broken))

    def _parts(self, following: CoveredBackups) -> Iterator[Part]:
        """Look at the end of a stretch only, back to its last transaction."""
        stretch, backups = following.stretch, following.backups
        if stretch is None:
            return
        tail = self._tail(stretch, backups[0].stop_lsn.value)
        broken = tail.broken
        if broken is None:
            yield Part(backups, stretch, tail)
            return
        before = tuple(backup for backup in backups if backup.stop_lsn <= broken.lsn)
        after = tuple(backup for backup in backups if broken.is_before(backup))
        if before:
            yield Part(before, replace(stretch, last=broken.number - 1), tail)
        if after:
            yield Part(after, replace(stretch, first=broken.number + 1), SpanEnd())

    def _tail(self, stretch: WalSpan, floor: int) -> SpanEnd:
        server, broken = self.server, None
        if server is not None and self._is_written(stretch):
            return SpanEnd(server.now, server.lsn, live=True)
        for seen in self.wal.backwards(stretch, (floor - 1) // stretch.segment_size, stretch.last):
            if seen.damage is not None:
                broken = Break.of(seen.number, stretch.segment_size, seen.damage)
            elif seen.summary.latest is not None and seen.summary.end > floor:
                return SpanEnd(moment_of(seen.summary.latest), Lsn(seen.summary.end), broken=broken)
        return SpanEnd(broken=broken)

    def _is_written(self, stretch: WalSpan) -> bool:
        if self.server is None or stretch.missing is not None or stretch.path.timeline != self.server.timeline:
            return False
        return stretch.last >= (self.server.lsn.value - 1) // stretch.segment_size

    def past(self, path: TimelinePath, backup: Backup) -> datetime | None:
        """Give the latest moment at which anything ended that a backup holds, as far as there is WAL to tell."""
        key = (path, backup.label)
        if key not in self._pasts:
            self._pasts[key] = self._latest_before(path, backup)
        return self._pasts[key]

    def _latest_before(self, path: TimelinePath, backup: Backup) -> datetime | None:
        """Read on from the newest backup before it of which that is known, so that a long archive is not read again."""
        if backup.latest_end is not None:
            return backup.latest_end
        earlier = [known for known in on_path(self.catalog.backups, path) if known.stop_lsn < backup.stop_lsn]
        known = next((known for known in reversed(earlier) if known.latest_end is not None), None)
        latest, floor = (None, Lsn(0)) if known is None else (known.latest_end, known.stop_lsn)
        for stretch in stretches(self.catalog, path):
            begin = max(floor, Lsn(stretch.first * stretch.segment_size))
            if begin.value >= (stretch.last + 1) * stretch.segment_size:
                continue
            while begin < backup.stop_lsn:
                route = follow(self.wal, stretch, begin, _ALL, backup.stop_lsn)
                found = route.replayed.latest
                latest = found if latest is None or (found is not None and found > latest) else latest
                if route.broken is None:
                    break
                begin = route.broken.end
        return latest

    def choice(self, target: Target, label: str | None) -> Choice:
        """Choose how a target is reached; raises Unreachable with what is possible instead.

        ``label`` names the backup to start from (None: any).
        """
        try:
            return self._choose(target, label)
        except Unreachable as refused:
            raise refused.tried(lambda other: self._can(other, label)) from None

    def _can(self, target: Target, label: str | None) -> bool:
        try:
            self._choose(target, label)
        except Unreachable:
            return False
        return True

    def _choose(self, target: Target, label: str | None) -> Choice:
        question = self._question(target, label)
        path = path_for(question)
        self._check_latest(question, path)
        found = candidates(question, path)
        check_newest(question, path, found)
        windows = self.on(path, on_path(question.usable, path))
        position = target.value if isinstance(target.value, Lsn) else None
        if target.kind in ("xid", "name"):
            position = Search(self.catalog, self.wal, self.on).find(question, path, found, windows)
        backup = pick(question, found, position)
        window = self._window(path, backup, windows)
        if target.kind == "lsn" and position is not None:
            self._check_position(question, window, backup, position)
        route = self._route(question, window, backup, backup.stop_lsn if target.kind == "immediate" else position)
        check_reach(question, window, backup, route)
        chosen = choice(question, window, backup, route, self._behind(target, window, route))
        warnings = [*passed_over(question, found, backup), *self._abandoned(question, path), *_early(target, chosen)]
        warnings += _damaged(chosen)
        return replace(chosen, warnings=(*chosen.warnings, *warnings))

    def _question(self, target: Target, label: str | None) -> RestoreQuery:
        unusable = problems(self.catalog)

        @lru_cache(maxsize=1)
        def windows() -> Sequence[Window]:
            return self._windows(unusable, whole=False)

        def past(backup: Backup) -> datetime | None:
            path = self.catalog.path_through(backup)
            return None if path is None else self.past(path, backup)

        return RestoreQuery(target, label, self.catalog, unusable, windows, past)

    def _window(self, path: TimelinePath, backup: Backup, windows: Sequence[Window]) -> Window:
        """Give the window of a backup; raises Unreachable where damage keeps it from becoming consistent."""
        found = next((window for window in windows if backup in window.backups), None)
        if found is None:
            raise self._refusal(path, backup)
        return found

    def _refusal(self, path: TimelinePath, backup: Backup) -> Unreachable:
        """Say what in the WAL keeps a backup from being used."""
        for following in followings(self.catalog, path, [backup]):
            stretch = following.stretch
            if stretch is not None:
                broken = follow(self.wal, stretch, backup.start_lsn, _ALL, backup.stop_lsn).broken
                if broken is not None:
                    return cannot_be_replayed(backup, broken.text(stretch))
        return cannot_be_replayed(backup, "something cannot be read")

    def _route(self, question: RestoreQuery, window: Window, backup: Backup, end: Lsn | None) -> Route:
        """Read all that is to be replayed; raises Unreachable where recovery would not get over something."""
        stretch = window.stretch
        if stretch is None:
            return Route(end)
        route = follow(self.wal, stretch, backup.start_lsn, question.target, end)
        if route.broken is None:
            return route
        if route.broken.is_in(backup):
            raise cannot_be_replayed(backup, route.broken.text(stretch))
        whole = self.on(window.path, on_path(question.usable, window.path), whole=True)
        found = next(found for found in whole if backup in found.backups)
        check_reach(replace(question, all_windows=lambda: whole), found, backup, replace(route, stop=None))
        raise beyond(question.target, found, backup, whole)

    def _behind(self, target: Target, window: Window, route: Route) -> Behind:
        if route.stop is None or window.stretch is None or target.kind == "latest":
            return Behind()
        found = behind(self.wal, window.stretch, route.stop, target, _LOOK_BEHIND)
        return replace(found, damaged=window.damaged) if found.complete else found

    def _check_latest(self, question: RestoreQuery, path: TimelinePath) -> None:
        """Refuse ``latest`` where a timeline that the path left was in use later than those that follow."""
        if question.target.kind != "latest" or question.target.timeline is not None:
            return
        for other in self.catalog.known_paths:
            fork = path.fork_from(other)
            theirs = None if fork is None else self._last_behind(other, fork)
            if fork is None or theirs is None:
                continue
            mine = self._last_behind(path, fork)
            if mine is None or mine < theirs:
                raise who_is_later(path.timeline, mine, other.timeline, theirs)

    def _last_behind(self, path: TimelinePath, position: Lsn) -> datetime | None:
        """Give the last moment that the WAL behind a position of a path tells of (None: of none)."""
        for stretch in reversed(stretches(self.catalog, path)):
            size = stretch.segment_size
            for seen in self.wal.backwards(stretch, max(stretch.first, position.value // size), stretch.last):
                if not seen.summary.count and not seen.summary.begun:
                    continue
                times = [
                    record.time
                    for record in self.wal.records(stretch, seen.number)
                    if isinstance(record, (TransactionEnd, Begun)) and record.lsn >= position.value and record.time
                ]
                if times:
                    return moment_of(max(times))
        return None

    def _check_position(self, question: RestoreQuery, window: Window, backup: Backup, position: Lsn) -> None:
        """Refuse a position behind which no record begins: PostgreSQL stops at a record."""
        stretch = window.stretch
        if stretch is not None:
            number = position.value // stretch.segment_size
            if number < stretch.last or (window.live and position <= window.until_lsn):
                return
            if number == stretch.last and self.wal.has_record_from(stretch, position):
                return
        raise beyond(question.target, window, backup, question.windows)

    def _abandoned(self, question: RestoreQuery, path: TimelinePath) -> list[str]:
        """Find timelines that were in use at the moment asked for, and that the path leaves before it."""
        moment, found = question.target.time, []
        if moment is None or question.target.timeline is not None:
            return []
        if not any(path.fork_from(other) for other in self.catalog.known_paths):
            return []
        for window in question.windows:
            fork = path.fork_from(window.path)
            if fork is None or window.stretch is None or not window.since <= moment <= window.until:
                continue
            left = self._last_before(window.stretch, fork)
            if left is not None and left <= moment:
                found.append(abandoned(question.target, window.timeline, path.timeline, fork, left))
        return found

    def _last_before(self, stretch: WalSpan, position: Lsn) -> datetime | None:
        """Give the time of the last transaction before a position."""
        last = min(stretch.last, (position.value - 1) // stretch.segment_size)
        for seen in self.wal.backwards(stretch, stretch.first, last):
            time = seen.summary.latest
            if time is not None and seen.summary.end > position.value:
                time = self._time_before(stretch, seen.number, position)
            if time is not None:
                return moment_of(time)
        return None

    def _time_before(self, stretch: WalSpan, number: int, position: Lsn) -> str | None:
        records = self.wal.records(stretch, number)
        ended = [record for record in records if isinstance(record, TransactionEnd) and record.lsn < position.value]
        return max((record.time for record in ended), default=None)


def _early(target: Target, chosen: Choice) -> list[str]:
    return [came_early(target, chosen.route.stop, chosen.behind.early)] if chosen.behind.early else []


def _damaged(chosen: Choice) -> list[str]:
    return [] if chosen.behind.damaged is None else [damaged_behind(chosen.behind.damaged)]
