# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster can be restored to, and which backup a restore starts from.

How far the archive reaches is known here to the segment: every commit in it is older than the moment at which the
last segment arrived, so a target after that moment is out of reach for certain.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .._errors import Error
from .catalog import Backup, Catalog
from .target import Target, format_time
from .wal import Branch, SegmentName, TimelinePath


class Unreachable(Error):
    """A target that cannot be restored to, with what can."""


@dataclass(frozen=True)
class Window:
    """How far recovery can go from one backup: ``since`` its stop, ``until`` the arrival of the last unbroken segment.

    ``missing`` is the segment at which the archive breaks off while later ones are there (None: no gap).
    """

    backup: Backup
    timeline: int
    since: datetime
    until: datetime | None
    last_segment: SegmentName | None
    missing: SegmentName | None

    def as_dict(self) -> dict[str, Any]:
        """Give the window in the form that is reported."""
        return {
            "backup": self.backup.label,
            "timeline": self.timeline,
            "since": format_time(self.since),
            "until": None if self.until is None else format_time(self.until),
            "last_segment": None if self.last_segment is None else str(self.last_segment),
            "missing": None if self.missing is None else str(self.missing),
        }


@dataclass(frozen=True, order=True)
class _Run:
    """Segments ``first`` to ``last`` by number, on one branch."""

    first: int
    last: int
    timeline: int
    archived: datetime


def window_of(catalog: Catalog, backup: Backup, path: TimelinePath) -> Window:
    """Follow the archived WAL along a path of timelines from a backup's last segment to the first gap."""
    size = catalog.identity.wal_segment_size
    position = SegmentName.ending_at(backup.timeline, backup.stop_lsn, size).number(size)
    runs = [run for run in sorted(_runs(catalog, path, size)) if run.last >= position]
    reached, until = None, None
    for run in runs:
        if run.first > position:
            break
        position, until = run.last + 1, run.archived
        reached = SegmentName.numbered(run.timeline, run.last, size)
    gap = _needed(path, position, size) if any(run.first > position for run in runs) else None
    return Window(backup, path.timeline, backup.stop_time, until, reached, gap)


def _runs(catalog: Catalog, path: TimelinePath, size: int) -> list[_Run]:
    return [
        _Run(first, last, branch.timeline, found.archived)
        for branch in path.branches
        for found in catalog.wal
        if found.timeline == branch.timeline
        for first, last in [_clip(branch, found.first.number(size), found.last.number(size), size)]
        if first <= last
    ]


def _clip(branch: Branch, first: int, last: int, size: int) -> tuple[int, int]:
    """Keep what recovery reads of a branch; the segment with the switch point is read from the new timeline.

    The old timeline's segment of that number may go on with what happened after the switch there.
    """
    end = last if branch.end is None else branch.end.value // size - 1
    return max(first, branch.begin.value // size), min(last, end)


def _needed(path: TimelinePath, number: int, size: int) -> SegmentName:
    timeline = next(b.timeline for b in reversed(path.branches) if b.begin.value // size <= number)
    return SegmentName.numbered(timeline, number, size)


def windows(catalog: Catalog, timeline: int | None = None) -> tuple[Window, ...]:
    """Give the window of every backup on the path to a timeline (None: the latest), oldest first."""
    path = catalog.path_to(catalog.latest_timeline if timeline is None else timeline)
    return tuple(window_of(catalog, backup, path) for backup in on_path(catalog, path))


def on_path(catalog: Catalog, path: TimelinePath) -> list[Backup]:
    """List the backups that recovery along a path can start from, oldest first."""
    found = [backup for backup in catalog.backups if path.leads_through(backup.timeline, backup.stop_lsn)]
    return sorted(found, key=lambda backup: backup.stop_lsn)


def choose(catalog: Catalog, target: Target, label: str | None = None, more_wal: bool = True) -> Window:
    """Choose the newest backup from which the target can be reached, and give its window.

    ``more_wal`` tells that WAL which is not archived yet exists beside the archive (a live server, or its pg_wal).
    Raises Unreachable with what is possible instead.
    """
    path = catalog.path_to(numbered(target.timeline) or catalog.latest_timeline)
    candidates = on_path(catalog, path)
    if label is not None:
        candidates = _labelled(catalog, candidates, label, path)
    if not candidates:
        raise Unreachable(
            f"the repository has no backup on the way to timeline {path.timeline}",
            "take one with base_backup.yml; without a backup there is nothing to restore from",
        )
    fitting = [backup for backup in candidates if target.time is None or backup.stop_time <= target.time]
    if not fitting:
        oldest = candidates[0]
        raise Unreachable(
            f"target {target} is before the end of backup '{oldest.label}' ({format_time(oldest.stop_time)}), "
            "from which recovery would have to start",
            f"the earliest moment that can be restored is {format_time(oldest.stop_time)}",
        )
    window = window_of(catalog, fitting[-1], path)
    _check_reach(window, target, more_wal)
    return window


def numbered(timeline: int | str | None) -> int | None:
    """Give the number of a timeline that was asked for by number."""
    return timeline if isinstance(timeline, int) else None


def check_past(target: Target, now: datetime) -> None:
    """Refuse a moment that has not come yet: nobody has the WAL of it."""
    if target.time is not None and target.time > now:
        raise Unreachable(
            f"target {target} is in the future; it is {format_time(now)}",
            "for everything that there is, use target=latest",
        )


def _labelled(catalog: Catalog, candidates: list[Backup], label: str, path: TimelinePath) -> list[Backup]:
    found = [backup for backup in candidates if backup.label == label]
    if not found:
        known = ", ".join(repr(backup.label) for backup in catalog.backups) or "none"
        raise Unreachable(
            f"no backup '{label}' on the way to timeline {path.timeline}; the repository has: {known}",
            "leave backup_label out to have the right one chosen",
        )
    return found


def _check_reach(window: Window, target: Target, more_wal: bool) -> None:
    beyond = target.time is None or window.until is None or target.time > window.until
    until = format_time(window.until or window.since)
    if window.missing is not None and beyond:
        raise Unreachable(
            f"segment {window.missing} is missing from the archive, so recovery from backup '{window.backup.label}' "
            f"ends at {until}, before target {target}",
            f"choose a target_time up to {until}, or find the segment and put it back",
        )
    if target.time is not None and beyond and not more_wal:
        raise Unreachable(
            f"target {target} is after the end of the archived WAL that follows backup '{window.backup.label}', "
            f"which is at {until}",
            "for everything that there is, use target=latest",
        )
