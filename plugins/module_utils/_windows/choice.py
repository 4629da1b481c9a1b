# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to a target: which timelines a restore follows, which backup it starts from, and how much it replays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from .._errors import InvalidValue
from .._repository.catalog import Backup, Catalog
from .._values.target import Target
from .._values.times import format_time
from .._wal.names import Lsn, TimelinePath
from .defects import Defect
from .refusals import (
    Unreachable,
    after_the_end,
    before_the_oldest,
    holds_later,
    no_backup,
    on_another_branch,
    only_later_ones,
    unusable,
    which_backup,
)
from .route import Behind, Route, is_later
from .spans import on_path
from .windows import Window


@dataclass(frozen=True)
class Choice:
    """How a target is reached.

    ``start_lsn`` is where replay begins, ``end_lsn`` where it ends as far as that is known (None: nothing tells),
    ``segments`` counts the WAL files between, ``until`` is the last moment that can be reached from this backup, and
    ``warnings`` are for a person to read before going on. ``route`` is what is replayed, and ``behind`` what lies
    behind the target and will not be in the result.
    """

    backup: Backup
    path: TimelinePath
    end_lsn: Lsn | None
    segments: int
    until: datetime
    warnings: tuple[str, ...] = ()
    route: Route = field(default_factory=Route)
    behind: Behind = field(default_factory=Behind)

    @property
    def timeline(self) -> int:
        """The timeline that is followed."""
        return self.path.timeline

    @property
    def start_lsn(self) -> Lsn:
        """The position where replay begins."""
        return self.backup.start_lsn


@dataclass(frozen=True)
class RestoreQuery:
    """What is asked: a target and the backup to start from (None: any), and what there is to answer with.

    ``problems`` are those of unusable backups; ``all_windows`` gives all that can be restored, for what is said in a
    refusal; ``past`` tells the latest moment of what a backup holds (None: not known).
    """

    target: Target
    label: str | None
    catalog: Catalog
    problems: Mapping[str, Defect]
    all_windows: Callable[[], Sequence[Window]] = tuple
    past: Callable[[Backup], datetime | None] = lambda _backup: None

    @property
    def windows(self) -> Sequence[Window]:
        """All that can be restored."""
        return self.all_windows()

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


def path_for(question: RestoreQuery) -> TimelinePath:
    """Settle which timelines to follow."""
    try:
        return question.catalog.path_to(_timeline(question))
    except InvalidValue as error:
        raise Unreachable(error.message, error.hint) from None


def _timeline(question: RestoreQuery) -> int:
    catalog, wanted = question.catalog, question.target.timeline
    if isinstance(wanted, int):
        return wanted
    if wanted == "current":
        backups = [b for b in question.usable if question.label in (None, b.label) and fits(question, b)]
        return backups[-1].timeline if backups else catalog.latest_timeline
    return catalog.latest_timeline


def fits(question: RestoreQuery, backup: Backup) -> bool:
    """Tell whether a target lies behind a backup; for a moment, whether all that the backup holds ended before it."""
    target = question.target
    if isinstance(target.value, Lsn):
        return backup.stop_lsn <= target.value
    if target.time is None:
        return True
    return backup.stop_time <= target.time and _too_late(question, backup) is None


def _too_late(question: RestoreQuery, backup: Backup) -> datetime | None:
    """Give the moment of what a backup holds, where a target is before it although the backup ended earlier."""
    past = question.past(backup)
    return past if past is not None and is_later(question.target, past) else None


def check_newest(question: RestoreQuery, path: TimelinePath, found: Sequence[Backup]) -> None:
    """Refuse ``immediate`` where the newest backup of all lies on a branch that the path does not lead to."""
    target = question.target
    if target.kind != "immediate" or target.timeline is not None or question.label is not None:
        return
    others = [backup for backup in question.usable if backup not in on_path(question.usable, path)]
    other = max(others, key=lambda backup: backup.stop_time, default=None)
    if other is not None and other.stop_time > found[-1].stop_time:
        raise which_backup(found[-1], other, path)


def candidates(question: RestoreQuery, path: TimelinePath) -> list[Backup]:
    """List the usable backups that recovery along a path can start from, oldest first; raises Unreachable."""
    catalog, label = question.catalog, question.label
    found = on_path(question.usable, path)
    if label is not None:
        known = next((backup for backup in catalog.backups if backup.label == label), None)
        if label in question.catalog.broken:
            raise unusable(label, question.problems[label])
        if known is None:
            raise no_backup(label, [backup.label for backup in catalog.backups])
        if label in question.problems:
            raise unusable(label, question.problems[label])
        other = catalog.path_through(known)
        if known not in found and other is not None:
            raise on_another_branch(known, path, other)
        return [known]
    if not found:
        raise no_usable_backup(question, path)
    return found


def no_usable_backup(question: RestoreQuery, path: TimelinePath) -> Unreachable:
    """Say that there is nothing to start from on a path."""
    broken = [defect.text for defect in question.problems.values()]
    return Unreachable(
        f"the repository has no usable backup on the way to timeline {path.timeline}"
        + (f": {'; '.join(broken)}" if broken else ""),
        "take one with base_backup.yml; without a backup there is nothing to restore from",
    )


def pick(question: RestoreQuery, found: Sequence[Backup], position: Lsn | None) -> Backup:
    """Pick the newest backup that ended before the target, which a position stands for where one was found."""
    if position is not None:
        fitting = [backup for backup in found if backup.stop_lsn <= position]
    else:
        # The newest one alone has to be looked into, as long as no clock was set back.
        fitting = [backup for backup in reversed(found) if fits(question, backup)][:1]
    if fitting:
        return fitting[-1]
    target, oldest = question.target, found[0]
    past = _too_late(question, oldest) if target.time is not None and oldest.stop_time <= target.time else None
    if past is not None:
        raise only_later_ones(target, oldest, past)
    raise before_the_oldest(target, oldest, position, question.windows)


def passed_over(question: RestoreQuery, found: Sequence[Backup], picked: Backup) -> list[str]:
    """Say which newer backups end before the target by the clock alone."""
    target, newer = question.target, found[list(found).index(picked) + 1 :]
    if target.time is None:
        return []
    late = [(backup, _too_late(question, backup)) for backup in newer if backup.stop_time <= target.time]
    return [holds_later(target, backup, past) for backup, past in late if past is not None]


def check_reach(question: RestoreQuery, window: Window, backup: Backup, route: Route) -> None:
    """Refuse a moment, or the end of the WAL, that recovery would not get to."""
    target = question.target
    last = route.replayed.last
    follows = last is not None and last > backup.stop_lsn
    if target.kind == "latest" and window.broken:
        raise after_the_end(target, window, backup, None, question.windows)
    # PostgreSQL stops before a later transaction, recoveryStopsBefore in xlogrecovery.c; a running server writes one.
    if target.time is not None and route.stop is None and not window.live:
        raise after_the_end(target, window, backup, route.replayed.latest if follows else None, question.windows)


def choice(question: RestoreQuery, window: Window, backup: Backup, route: Route, behind: Behind) -> Choice:
    """Put together how the target is reached, from a backup and its window."""
    size = question.catalog.identity.wal_segment_size
    end = _end(question, window, backup, route)
    first, last = backup.start_lsn.value // size, (max(end, backup.stop_lsn).value - 1) // size
    newer = [b for b in on_path(question.catalog.backups, window.path) if b.stop_lsn > backup.stop_lsn]
    skipped = [question.problems[b.label] for b in newer if b.label in question.problems and question.label is None]
    warnings = [f"a newer backup cannot be used: {defect.text}" for defect in skipped]
    if question.label is None:  # whether a better one is among them, nobody can tell
        warnings += [question.problems[label].text for label in sorted(question.catalog.broken)]
    return Choice(backup, window.path, end, last - first + 1, window.until, tuple(warnings), route, behind)


def _end(question: RestoreQuery, window: Window, backup: Backup, route: Route) -> Lsn:
    if route.stop is not None:
        return route.stop
    if question.target.kind == "immediate" or window.stretch is None:
        return backup.stop_lsn
    return max(window.until_lsn, backup.stop_lsn)
