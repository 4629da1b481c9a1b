# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said when a target cannot be reached: what was found, and what can be restored instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from .._errors import Error
from .._repository.catalog import Backup
from .._values.target import Target
from .._values.times import format_time
from .._wal.names import Lsn, SegmentName, TimelinePath
from .defects import Defect
from .windows import Window, nearest

_SHOWN = 5


class Offer(NamedTuple):
    """A target that may be had instead, and what is said of it."""

    text: str
    target: Target


class Unreachable(Error):
    """A target that cannot be restored to, with what can.

    Of each group in ``offers`` the first one counts that can really be had, which is tried before anybody is told. That
    of the first group is said before the hint.
    """

    def __init__(self, message: str, hint: str | None = None, offers: Sequence[Sequence[Offer]] = ()) -> None:
        super().__init__(message, hint)
        self.offers = offers

    def tried(self, can: Callable[[Target], bool]) -> Unreachable:
        """Give the refusal with the offers that can be had."""
        texts = [next((offer.text for offer in group if can(offer.target)), None) for group in self.offers]
        return Unreachable(self.message, "; ".join(filter(None, [*texts[:1], self.hint, *texts[1:]])) or None)


def who_is_later(latest: int, ended: datetime | None, other: int, other_ended: datetime) -> Unreachable:
    """Two timelines could be meant by the latest one."""
    own = (
        "nothing in its WAL tells when it was in use" if ended is None else f"it was last used at {format_time(ended)}"
    )
    return Unreachable(
        f"it is not clear which timeline target=latest means: timeline {latest} has the highest number, but {own}, and "
        f"timeline {other}, which it left before, went on until {format_time(other_ended)}",
        f"say which with target_timeline={latest} or target_timeline={other}",
    )


def which_backup(newest: Backup, other: Backup, path: TimelinePath) -> Unreachable:
    """Two backups could be meant by the newest one, because each is on a branch of its own."""
    return Unreachable(
        f"it is not clear which backup target=immediate means: on the way to timeline {path.timeline} the newest one "
        f"is '{newest.label}' ({format_time(newest.stop_time)}), and '{other.label}' "
        f"({format_time(other.stop_time)}), which is newer, is on timeline {other.timeline}",
        f"say which with backup_label={newest.label}, or with backup_label={other.label} and "
        f"target_timeline={other.timeline}",
    )


def holds_later(target: Target, backup: Backup, past: datetime) -> str:
    """Say why a backup does not serve a moment although it ended before it, by the clock."""
    return (
        f"backup '{backup.label}' ended at {format_time(backup.stop_time)} by the server's clock, but holds what ended "
        f"at {format_time(past)}, after target {target}: the clock was set back before the backup ended"
    )


def only_later_ones(target: Target, backup: Backup, past: datetime) -> Unreachable:
    """No backup is without what ended after the target."""
    return Unreachable(
        holds_later(target, backup, past),
        f"to stop at a place in the WAL, whatever the clock said, use a target_lsn from {backup.stop_lsn} on",
        [_earliest(target, [past])],
    )


def of_another_epoch(xid: int, known: set[int]) -> Unreachable:
    """The lower half of the number is there, but the number is another one."""
    found = " and ".join(str(number) for number in sorted(known))
    return Unreachable(
        f"transaction {xid} did not end in the WAL that can be replayed: what ended there under the number "
        f"{xid % (1 << 32)} is transaction {found}",
        f"use target_xid={max(known)} if that is the one; numbers are given again after 4294967296 transactions",
    )


def cannot_be_replayed(backup: Backup, cause: str) -> Unreachable:
    """WAL is broken before the backup is consistent."""
    return Unreachable(
        f"backup '{backup.label}' cannot be used, because it needs WAL in which {cause}",
        "find a whole copy of the segment and put it back; what lies before it can be had from an earlier backup",
    )


def came_early(target: Target, stop: Lsn | None, count: int) -> str:
    """Warn of what lies behind the place where recovery stops although it ended before the target."""
    what = "1 transaction" if count == 1 else f"{count} transactions"
    return (
        f"{what} behind {stop} ended before {target} by the server's clock, which was set back: recovery stops at "
        f"{stop}, before the first one that ended later, and these are not in the result; a target_lsn reaches them"
    )


def damaged_behind(segment: SegmentName) -> str:
    """Warn of what no later target gets over."""
    return (
        f"segment {segment}, which lies behind the target, is damaged: recovery does not read ahead, so as not to meet "
        "it, and no target behind it can be reached from an earlier backup; take a base backup after the restore"
    )


def no_backup(label: str, known: Sequence[str]) -> Unreachable:
    """The label is wrong."""
    return Unreachable(
        f"there is no backup '{label}'; the repository has: {', '.join(map(repr, known)) or 'none'}",
        "leave backup_label out to have the right one chosen",
    )


def unusable(label: str, defect: Defect) -> Unreachable:
    """The backup that was asked for is broken."""
    return Unreachable(
        f"backup '{label}' cannot be used: {defect.text}", "leave backup_label out to have the right one chosen"
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
        offers=[
            [_latest(target), _immediate(target)],
            *(
                [
                    Offer(
                        f"timeline {w.timeline} has this position: target_timeline={w.timeline}",
                        replace(target, timeline=w.timeline),
                    )
                ]
                for w in others[:_SHOWN]
            ),
        ],
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
        first = f"the first position that can be restored is {oldest.stop_lsn}, at {format_time(oldest.stop_time)}"
        return Unreachable(
            f"target {target}{at} is before the end of backup '{oldest.label}' ({oldest.stop_lsn}), "
            "from which recovery would have to start",
            offers=[[Offer(first, replace(target, kind="lsn", value=oldest.stop_lsn)), _immediate(target)]],
        )
    moments = sorted({oldest.stop_time, *(window.since for window in windows)})
    return Unreachable(
        f"target {target} is before the end of backup '{oldest.label}' ({format_time(oldest.stop_time)}), "
        "from which recovery would have to start",
        offers=[[*_earliest(target, moments), _immediate(target)], *_elsewhere(target, windows)],
    )


def _earliest(target: Target, moments: Sequence[datetime]) -> list[Offer]:
    text = "the earliest moment that can be restored is {}"
    return [Offer(text.format(format_time(moment)), _at(target, moment)) for moment in moments]


def _at(target: Target, moment: datetime) -> Target:
    return replace(target, kind="time", value=moment, inclusive=True)


def _latest(target: Target) -> Offer:
    return Offer("for everything that there is, use target=latest", replace(target, kind="latest", value=None))


def _immediate(target: Target) -> Offer:
    text = "for the end of the newest backup, use target=immediate"
    return Offer(text, replace(target, kind="immediate", value=None))


def after_the_end(
    target: Target, window: Window, backup: Backup, last: datetime | None, windows: Sequence[Window]
) -> Unreachable:
    """Recovery ends before the target: at a gap, at damage, or where the WAL, or its last transaction, is.

    ``last`` is the latest moment at which one of the transactions behind the backup ended (None: there is none).
    """
    if window.broken:
        return _broken_off(target, window, backup, windows)
    offers = [[_latest(target), _immediate(target)], *_elsewhere(target, windows)]
    if last is None:
        return Unreachable(
            f"target {target} is not before the end of backup '{backup.label}' ({format_time(backup.stop_time)}), and "
            "no transaction follows that in the archive; PostgreSQL stops at a time only before a later transaction",
            _earlier(window),
            offers,
        )
    end = format_time(last)
    return Unreachable(
        f"target {target} is not before the last transaction in the WAL that follows backup '{backup.label}', which "
        f"ended at {end}; PostgreSQL stops at a time only before a later transaction",
        f"a target_time has to be before {end}",
        offers,
    )


def _earlier(window: Window) -> str | None:
    """Say up to when a window can be used, where that is worth saying."""
    if window.last_time is None or window.last_time <= window.since:
        return None
    return f"a target_time has to be before {format_time(window.last_time)}"


def _broken_off(target: Target, window: Window, backup: Backup, windows: Sequence[Window]) -> Unreachable:
    until, moment = format_time(window.until), target.time
    cause = f"segment {window.missing} is missing from the archive" if window.missing is not None else window.ends
    later = nearest(windows, moment)[1] if moment is not None else None
    offers: list[list[Offer]] = [[]]
    if later is not None:
        text = f"the next moment that can be restored is {format_time(later.since)} (target_timeline={later.timeline})"
        offers.append([Offer(text, replace(_at(target, later.since), timeline=later.timeline))])
    return Unreachable(
        f"{cause}, so recovery from backup '{backup.label}' ends at {until}, before target {target}",
        f"choose a target_time before {until}, or find the segment and put it back",
        [*offers, *_elsewhere(target, windows)],
    )


def _elsewhere(target: Target, windows: Sequence[Window]) -> list[list[Offer]]:
    """Name the timelines on which a moment can be reached, where that is another one than was asked for."""
    moment = target.time
    if moment is None:
        return []
    reaching = [window.timeline for window in windows if window.since <= moment < window.until]
    return [[_on(target, timeline)] for timeline in dict.fromkeys(reaching[:_SHOWN])]


def _on(target: Target, timeline: int) -> Offer:
    return Offer(f"timeline {timeline} has this moment: target_timeline={timeline}", replace(target, timeline=timeline))
