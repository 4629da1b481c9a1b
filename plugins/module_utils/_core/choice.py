# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to a target: which timelines a restore follows, which backup it starts from, and how much it replays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from .._errors import InvalidValue
from .catalog import Backup, Catalog
from .defects import Defect
from .refusals import (
    Unreachable,
    after_the_end,
    before_the_oldest,
    no_backup,
    on_another_branch,
    unusable,
    who_is_later,
)
from .stretches import Stretch, on_path
from .target import Target, format_time
from .wal import Lsn, TimelinePath
from .windows import Window


@dataclass(frozen=True)
class Choice:
    """How a target is reached.

    ``start_lsn`` is where replay begins, ``end_lsn`` where it ends as far as that is known (None: nothing tells),
    ``segments`` counts the WAL files between, ``until`` is the last moment that can be reached from this backup, and
    ``warnings`` are for a person to read before going on.
    """

    backup: Backup
    path: TimelinePath
    end_lsn: Lsn | None
    segments: int
    until: datetime
    warnings: tuple[str, ...] = ()

    @property
    def timeline(self) -> int:
        """The timeline that is followed."""
        return self.path.timeline

    @property
    def start_lsn(self) -> Lsn:
        """The position where replay begins."""
        return self.backup.start_lsn


@dataclass(frozen=True)
class Question:
    """What is asked: a target and the backup to start from (None: any), and what there is to answer with.

    ``problems`` are those of unusable backups, ``windows`` all that can be restored, for what is said in a refusal.
    """

    target: Target
    label: str | None
    catalog: Catalog
    problems: Mapping[str, Defect]
    windows: Sequence[Window] = ()

    @property
    def usable(self) -> list[Backup]:
        """The backups that a restore can start from."""
        return [backup for backup in self.catalog.backups if backup.label not in self.problems]


def check_past(target: Target, now: datetime) -> None:
    """Refuse a moment that has not come yet: nobody has the WAL of it."""
    if target.time is not None and target.time > now:
        raise Unreachable(
            f"target {target} is in the future; it is {format_time(now)}",
            "for everything that there is, use target=latest",
        )


def path_for(question: Question, arrivals: Mapping[int, datetime]) -> TimelinePath:
    """Settle which timelines to follow; raises Unreachable where ``latest`` could mean two different ones.

    ``arrivals`` tells when the last file of each timeline was archived.
    """
    try:
        return question.catalog.path_to(_timeline(question, arrivals))
    except InvalidValue as error:
        raise Unreachable(error.message, error.hint) from None


def _timeline(question: Question, arrivals: Mapping[int, datetime]) -> int:
    catalog, wanted = question.catalog, question.target.timeline
    if isinstance(wanted, int):
        return wanted
    if wanted == "current":
        backups = [b for b in question.usable if question.label in (None, b.label) and _is_before(b, question.target)]
        return backups[-1].timeline if backups else catalog.latest_timeline
    latest = catalog.latest_timeline
    if question.target.kind == "latest":
        newest = max(arrivals, key=lambda timeline: (arrivals[timeline], timeline), default=latest)
        if newest != latest and latest in arrivals:
            raise who_is_later(latest, arrivals[latest], newest, arrivals[newest])
    return latest


def _is_before(backup: Backup, target: Target) -> bool:
    if isinstance(target.value, Lsn):
        return backup.stop_lsn <= target.value
    return target.time is None or backup.stop_time <= target.time


def candidates(question: Question, path: TimelinePath) -> list[Backup]:
    """List the usable backups that recovery along a path can start from, oldest first; raises Unreachable."""
    catalog, label = question.catalog, question.label
    found = on_path(question.usable, path)
    if label is not None:
        known = next((backup for backup in catalog.backups if backup.label == label), None)
        if known is None:
            raise no_backup(label, [backup.label for backup in catalog.backups])
        if label in question.problems:
            raise unusable(known, question.problems[label])
        other = catalog.path_through(known)
        if known not in found and other is not None:
            raise on_another_branch(known, path, other)
        return [known]
    if not found:
        raise no_usable_backup(question, path)
    return found


def no_usable_backup(question: Question, path: TimelinePath) -> Unreachable:
    """Say that there is nothing to start from on a path."""
    broken = [defect.text for defect in question.problems.values()]
    return Unreachable(
        f"the repository has no usable backup on the way to timeline {path.timeline}"
        + (f": {'; '.join(broken)}" if broken else ""),
        "take one with base_backup.yml; without a backup there is nothing to restore from",
    )


def pick(question: Question, found: Sequence[Backup], position: Lsn | None) -> Backup:
    """Pick the newest backup that ended before the target, which a position stands for where one was found."""
    target = question.target
    if position is not None:
        fitting = [backup for backup in found if backup.stop_lsn <= position]
    else:
        fitting = [backup for backup in found if target.time is None or backup.stop_time <= target.time]
    if not fitting:
        raise before_the_oldest(target, found[0], position, question.windows)
    return fitting[-1]


def check_reach(question: Question, window: Window, backup: Backup, arrived: datetime | None) -> None:
    """Refuse a moment, or the end of the WAL, that recovery would not get to; ``arrived``: when the last WAL did."""
    target = question.target
    if target.kind == "latest" and window.broken:
        raise after_the_end(target, window, backup, arrived, question.windows)
    if target.time is not None and not _has_later(window, target):
        raise after_the_end(target, window, backup, arrived, question.windows)


def _has_later(window: Window, target: Target) -> bool:
    """Tell whether a transaction ends after the target, without which PostgreSQL does not stop there.

    ``recoveryStopsBefore`` in ``src/backend/access/transam/xlogrecovery.c``; a running server still writes one.
    """
    if target.time is None or window.last_time is None:
        return window.live
    return window.live or window.last_time > target.time or (window.last_time == target.time and not target.inclusive)


def choice(question: Question, window: Window, backup: Backup, position: Lsn | None) -> Choice:
    """Put together how the target is reached, from a backup and its window."""
    size = question.catalog.identity.wal_segment_size
    end = _end(question, window, backup, position)
    first, last = backup.start_lsn.value // size, (max(end, backup.stop_lsn).value - 1) // size
    newer = [b for b in on_path(question.catalog.backups, window.path) if b.stop_lsn > backup.stop_lsn]
    skipped = [question.problems[b.label] for b in newer if b.label in question.problems and question.label is None]
    warnings = tuple(f"a newer backup cannot be used: {defect.text}" for defect in skipped)
    return Choice(backup, window.path, end, last - first + 1, window.until, warnings)


def _end(question: Question, window: Window, backup: Backup, position: Lsn | None) -> Lsn:
    target = question.target
    if position is not None:
        return position
    if target.kind == "immediate" or window.stretch is None:
        return backup.stop_lsn
    end = max(window.until_lsn, backup.stop_lsn)
    if target.time is None:
        return end
    return min(end, _arrived_by(question.catalog, window.stretch, backup, target.time))


def _arrived_by(catalog: Catalog, stretch: Stretch, backup: Backup, moment: datetime) -> Lsn:
    """Give the end of the first segment that arrived after a moment: what was committed before it is in there."""
    size = stretch.segment_size
    arrived = int(moment.timestamp() * 1e9)
    for number in range((backup.stop_lsn.value - 1) // size, stretch.last):
        file = catalog.files.get((stretch.path.timeline_at(number, size), number))
        if file is not None and file.mtime_ns >= arrived:
            return Lsn((number + 1) * size)
    return Lsn((stretch.last + 1) * size)
