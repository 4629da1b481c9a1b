# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recovery windows: the stretches of time to which a cluster can be restored, and why each of them ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .._repository.catalog import Backup
from .._values.times import format_time
from .._wal.names import Lsn, SegmentName, TimelinePath
from .spans import Break, CoveredBackups, WalSpan


@dataclass(frozen=True)
class SpanEnd:
    """What the WAL behind some backups ends with.

    ``time`` and ``end`` are those of the last transaction after the oldest backup (None: there is none). ``live`` tells
    that a running server writes on here, so that every moment up to ``time`` can be reached. ``broken`` is what
    recovery does not get over, and ``past`` the latest moment of what the oldest backup holds.
    """

    time: datetime | None = None
    end: Lsn | None = None
    live: bool = False
    broken: Break | None = None
    past: datetime | None = None


@dataclass(frozen=True)
class Part:
    """Some of the backups of a stretch, and as much of it as can be replayed from them without a break."""

    backups: tuple[Backup, ...]
    stretch: WalSpan
    tail: SpanEnd


@dataclass(frozen=True)
class Window:
    """From the end of the oldest of some backups to the last transaction in the unbroken WAL that follows them.

    ``last_time`` is when that transaction ended (None: there is none, and the newest backup's end is all there is).
    ``missing`` is the segment at which the archive breaks off while later ones are there; ``ends`` says it in words.
    ``damaged`` is the segment that recovery does not get over though others follow. ``past`` is the latest moment of
    what the oldest backup holds (None: nothing tells). Where clocks were set back a window may begin after it ends: no
    moment in it can be restored, but every position can. ``now`` is when it was asked (None: it does not matter).
    """

    path: TimelinePath
    backups: tuple[Backup, ...]
    stretch: WalSpan | None
    last_time: datetime | None
    until_lsn: Lsn
    missing: SegmentName | None
    ends: str
    damaged: SegmentName | None = None
    live: bool = False
    past: datetime | None = None
    now: datetime | None = None

    @property
    def broken(self) -> bool:
        """Tell whether there is WAL behind the end, so that the end is not that of the archive."""
        return self.damaged is not None or self.missing is not None

    @property
    def timeline(self) -> int:
        """The timeline that its path leads to."""
        return self.path.timeline

    @property
    def since(self) -> datetime:
        """The end of the oldest backup, or of what it holds: where a clock was set back, that was later."""
        stop = self.backups[0].stop_time
        return stop if self.past is None else max(stop, self.past)

    @property
    def until(self) -> datetime:
        """The moment of the last transaction; where none follows a backup, that backup's end; never a future one."""
        newest, last = self.backups[-1], self.last_time
        if last is None or (self.until_lsn < newest.stop_lsn and last < newest.stop_time):
            last = newest.stop_time
        return last if self.now is None else min(last, self.now)

    @property
    def last_segment(self) -> SegmentName | None:
        """The last segment that recovery can read."""
        return None if self.stretch is None else self.stretch.name(self.stretch.last)

    def as_dict(self) -> dict[str, Any]:
        """Give the window in the form that is reported."""
        return {
            "timeline": self.timeline,
            "backups": [backup.label for backup in self.backups],
            "since": format_time(min(self.since, self.until)),
            "until": format_time(self.until),
            "since_lsn": str(self.backups[0].stop_lsn),
            "until_lsn": str(max(self.until_lsn, self.backups[-1].stop_lsn)),
            "seconds": max(0.0, (self.until - self.since).total_seconds()),
            "last_segment": None if self.last_segment is None else str(self.last_segment),
            "missing": None if self.missing is None else str(self.missing),
            "ends": self.ends,
        }


def windows_of(following: CoveredBackups, parts: Sequence[Part]) -> list[Window]:
    """Give the windows of some backups: several, where something in the WAL between them cannot be replayed."""
    if following.stretch is None:
        return [_without_wal(following)]
    return [_window(following.path, part) for part in parts]


def _without_wal(following: CoveredBackups) -> Window:
    backup, missing = following.backups[0], following.missing
    words = "the archive has no WAL of it" if missing is None else f"segment {missing}, in which it ends, is missing"
    return Window(
        *(following.path, following.backups, None, None, backup.stop_lsn, missing),
        f"backup '{backup.label}' ends here, and {words}",
    )


def _window(path: TimelinePath, part: Part) -> Window:
    tail, stretch = part.tail, part.stretch
    end = part.backups[-1].stop_lsn if tail.end is None else tail.end
    if tail.broken is None:
        ends = _natural_end(stretch, tail)
        return Window(path, part.backups, stretch, tail.time, end, stretch.missing, ends, None, tail.live, tail.past)
    name = stretch.name(tail.broken.number)
    return Window(path, part.backups, stretch, tail.time, end, None, tail.broken.text(stretch), name, False, tail.past)


def _natural_end(stretch: WalSpan, tail: SpanEnd) -> str:
    if stretch.missing is not None:
        return f"segment {stretch.missing} is missing"
    last = f"segment {stretch.name(stretch.last)}"
    return f"the server is running, and writes {last}" if tail.live else f"{last} is the last one"


def distinct(windows: Iterable[Window]) -> list[Window]:
    """Leave out each window that is wholly a part of another one; of two that are the same, the higher timeline stays.

    What is left is in the order of timelines, then of time.
    """
    kept: list[Window] = []
    for window in sorted(windows, key=lambda window: (window.until_lsn, window.timeline), reverse=True):
        if not any(other.path is not window.path and _is_part(window, other) for other in kept):
            kept.append(window)
    return sorted(kept, key=lambda window: (window.timeline, window.backups[0].stop_lsn))


def _is_part(window: Window, other: Window) -> bool:
    last = window.backups[-1]
    end = max(window.until_lsn, last.stop_lsn)
    return (
        end <= max(other.until_lsn, other.backups[-1].stop_lsn)
        and other.backups[0].stop_lsn <= window.backups[0].stop_lsn
        and last in other.backups
        and other.path.leads_through(window.path.timeline_before(end), end)
    )


def nearest(windows: Sequence[Window], moment: datetime) -> tuple[Window | None, Window | None]:
    """Give the window that ends last before a moment, and the one that begins first after it."""
    before = [window for window in windows if window.until <= moment]
    after = [window for window in windows if window.since > moment]
    return (
        max(before, key=lambda window: window.until, default=None),
        min(after, key=lambda window: window.since, default=None),
    )
