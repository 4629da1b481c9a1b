# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said when a target cannot be reached: what was found, and what can be restored instead."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from .._errors import Error
from .catalog import Backup
from .defects import Defect
from .target import Target, format_time
from .wal import Lsn, TimelinePath
from .windows import Window, nearest

_SHOWN = 5


class Unreachable(Error):
    """A target that cannot be restored to, with what can."""


def who_is_later(latest: int, arrived: datetime, other: int, other_arrived: datetime) -> Unreachable:
    """Two timelines could be meant by the latest one."""
    return Unreachable(
        f"it is not clear which timeline target=latest means: timeline {latest} has the highest number, but its last "
        f"file arrived at {format_time(arrived)}, and timeline {other} went on until {format_time(other_arrived)}",
        f"say which with target_timeline={latest} or target_timeline={other}",
    )


def no_backup(label: str, known: Sequence[str]) -> Unreachable:
    """The label is wrong."""
    return Unreachable(
        f"there is no backup '{label}'; the repository has: {', '.join(map(repr, known)) or 'none'}",
        "leave backup_label out to have the right one chosen",
    )


def unusable(backup: Backup, defect: Defect) -> Unreachable:
    """The backup that was asked for is broken."""
    return Unreachable(
        f"backup '{backup.label}' cannot be used: {defect.text}", "leave backup_label out to have the right one chosen"
    )


def on_another_branch(backup: Backup, path: TimelinePath, other: TimelinePath) -> Unreachable:
    """The backup is on a timeline that the path does not lead through, or left before."""
    return Unreachable(
        f"backup '{backup.label}' is on timeline {backup.timeline}, and not on the way to timeline {path.timeline}: "
        f"they part at {path.fork_from(other)}",
        f"use target_timeline={other.timeline} to follow the timeline that leads there",
    )


def on_other_branches(target: Target, path: TimelinePath, found: Sequence[tuple[TimelinePath, Lsn]]) -> Unreachable:
    """The target is on other timelines only, on each behind the point where the path leaves it."""
    places = " and ".join(f"on timeline {other.timeline_before(lsn)}, at {lsn}," for other, lsn in found)
    forks = " and ".join(dict.fromkeys(str(path.fork_from(other)) for other, _lsn in found))
    choices = " or ".join(f"target_timeline={other.timeline}" for other, _lsn in found)
    return Unreachable(
        f"target {target} is {places} and not on the way to timeline {path.timeline}: they part at {forks}",
        f"use {choices} to follow the timeline that leads there",
    )


def subtransaction(xid: int, parent: int) -> Unreachable:
    """The number is that of a savepoint that was released: its end is that of its transaction."""
    return Unreachable(
        f"transaction {xid} is a subtransaction of {parent}, and PostgreSQL stops only where {parent} ended",
        f"use target_xid={parent}",
    )


def ambiguous(target: Target, places: Sequence[tuple[Lsn, int]]) -> Unreachable:
    """There are several restore points of one name, and recovery would stop at the first one."""
    known = " and ".join(f"{lsn} (timeline {timeline})" for lsn, timeline in places)
    return Unreachable(
        f"there are {len(places)} restore points of this name behind one backup, at {known}: "
        f"target {target} could mean any of them",
        f"say which with its position, such as target_lsn={places[-1][0]} and target_inclusive=false",
    )


def not_found(
    target: Target, path: TimelinePath, windows: Sequence[Window], names: Sequence[str], highest: int | None
) -> Unreachable:
    """The WAL that can be replayed does not have it."""
    spans = [f"from {w.backups[0].stop_lsn} to {max(w.until_lsn, w.backups[-1].stop_lsn)}" for w in windows]
    where = f"the WAL on the way to timeline {path.timeline}, which can be replayed {' and '.join(spans[-_SHOWN:])}"
    if target.kind == "name":
        known = ", ".join(f"'{name}'" for name in names)
        return Unreachable(
            f"there is no {target} in {where}",
            f"its newest restore points are: {known}" if known else "it has no restore point at all; use a target_time",
        )
    seen = "no transaction ended in it" if highest is None else f"the highest number that ended in it is {highest}"
    return Unreachable(
        f"{target} did not end in {where}; {seen}",
        "a transaction that wrote nothing, or was still open at the end, is not there; use target_time or target_lsn",
    )


def beyond(target: Target, window: Window, backup: Backup, windows: Sequence[Window]) -> Unreachable:
    """No record begins at the position or behind it."""
    ends = f"which ends at {max(window.until_lsn, backup.stop_lsn)} or shortly after it: {window.ends}"
    position = target.value if isinstance(target.value, Lsn) else backup.stop_lsn
    others = [w for w in windows if w.timeline != window.timeline and w.backups[0].stop_lsn <= position < w.until_lsn]
    return Unreachable(
        f"target {target} is not in the WAL that follows backup '{backup.label}', {ends}",
        "; ".join(
            [
                "for everything that there is, use target=latest",
                *(f"timeline {w.timeline} has this position: target_timeline={w.timeline}" for w in others[:_SHOWN]),
            ]
        ),
    )


def abandoned(target: Target, timeline: int, followed: int, fork: Lsn, left: datetime) -> str:
    """Warn of a moment at which another timeline was in use."""
    return (
        f"at {target} the cluster was on timeline {timeline}, which timeline {followed} left at {fork}, after "
        f"{format_time(left)}: what was committed there later is not in the result. To restore it, use "
        f"target_timeline={timeline}"
    )


def only_here(count: int, directory: str) -> str:
    """Warn of WAL that would be lost with the old data directory."""
    what = "1 segment that is needed is" if count == 1 else f"{count} segments that are needed are"
    return f"{what} not in the archive, but in {directory} only: keep that directory until the restore is done"


def before_the_oldest(target: Target, oldest: Backup, position: Lsn | None, windows: Sequence[Window]) -> Unreachable:
    """Recovery would have to start from a backup that ended later."""
    if position is not None and target.time is None:
        at = "" if target.kind == "lsn" else f", at {position},"
        return Unreachable(
            f"target {target}{at} is before the end of backup '{oldest.label}' ({oldest.stop_lsn}), "
            "from which recovery would have to start",
            f"the first position that can be restored is {oldest.stop_lsn}, at {format_time(oldest.stop_time)}",
        )
    return Unreachable(
        f"target {target} is before the end of backup '{oldest.label}' ({format_time(oldest.stop_time)}), "
        "from which recovery would have to start",
        "; ".join(
            [
                f"the earliest moment that can be restored is {format_time(oldest.stop_time)}",
                *_elsewhere(target, windows),
            ]
        ),
    )


def after_the_end(
    target: Target, window: Window, backup: Backup, arrived: datetime | None, windows: Sequence[Window]
) -> Unreachable:
    """Recovery ends before the target: at a gap, at damage, or where the WAL, or its last transaction, is."""
    if window.broken:
        return _broken_off(target, window, backup, windows)
    elsewhere = _elsewhere(target, windows)
    if window.last_time is None or window.until_lsn < backup.stop_lsn:
        return Unreachable(
            f"target {target} is not before the end of backup '{backup.label}' ({format_time(backup.stop_time)}), and "
            "no transaction follows that in the archive; PostgreSQL stops at a time only before a later transaction",
            "; ".join(["for everything that there is, use target=latest", *_earlier(target, window), *elsewhere]),
        )
    end = format_time(window.last_time)
    if arrived is not None and target.time is not None and target.time <= arrived:
        return Unreachable(
            f"target {target} is not before the last transaction in the archive, which ended at {end}; the WAL goes on "
            f"for a while (its last segment arrived at {format_time(arrived)}), but nothing was committed in it, and "
            "PostgreSQL stops at a time only before a later transaction",
            f"target=latest gives what there was at that moment; a target_time has to be before {end}",
        )
    return Unreachable(
        f"target {target} is after the end of the archived WAL that follows backup '{backup.label}': its last "
        f"transaction ended at {end}{_arrival(arrived)}",
        "; ".join(
            [f"for everything that there is, use target=latest; a target_time has to be before {end}", *elsewhere]
        ),
    )


def _arrival(arrived: datetime | None) -> str:
    return "" if arrived is None else f", and its last segment arrived at {format_time(arrived)}"


def _earlier(target: Target, window: Window) -> list[str]:
    """Say up to when a window can be used, where that is worth saying."""
    if window.last_time is None or window.last_time <= window.since:
        return []
    return [f"a target_time has to be before {format_time(window.last_time)}"]


def _broken_off(target: Target, window: Window, backup: Backup, windows: Sequence[Window]) -> Unreachable:
    until, moment = format_time(window.until), target.time
    cause = f"segment {window.missing} is missing from the archive" if window.missing is not None else window.ends
    later = nearest(windows, moment)[1] if moment is not None else None
    choices = [f"choose a target_time before {until}"]
    if later is not None:
        choices.append(f"one from {format_time(later.since)} on (timeline {later.timeline})")
    choices.append("find the segment and put it back")
    return Unreachable(
        f"{cause}, so recovery from backup '{backup.label}' ends at {until}, before target {target}",
        "; ".join([", or ".join(choices), *_elsewhere(target, windows)]),
    )


def _elsewhere(target: Target, windows: Sequence[Window]) -> list[str]:
    """Name the timelines on which a moment can be reached, where that is another one than was asked for."""
    moment = target.time
    if moment is None:
        return []
    reaching = [window.timeline for window in windows if window.since <= moment < window.until]
    return [f"timeline {timeline} has this moment: target_timeline={timeline}" for timeline in reaching[:_SHOWN]]
