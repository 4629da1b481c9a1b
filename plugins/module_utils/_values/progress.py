# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far something is, how fast it goes, and how long it will take, from looks at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from .._wal.names import Lsn

# A rate is that of the last looks: what a restore does changes, from large files to small ones for example.
_RATE_SECONDS = 60.0
_DONE = {"unpack": "unpacked", "verify": "verified"}
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


class Look(NamedTuple):
    """Where something was, in bytes, at a time in seconds of any clock that does not jump."""

    time: float
    position: int


@dataclass(frozen=True)
class Track:
    """What was seen of something that goes from ``start`` to ``end``; where they are not known, less can be said."""

    start: int | None = None
    end: int | None = None
    looks: tuple[Look, ...] = ()

    def seen(self, time: float, position: int) -> Track:
        """Add a look; one that is too old to say how fast it goes now is dropped."""
        recent = [look for look in self.looks if time - look.time <= _RATE_SECONDS]
        return replace(self, looks=(*recent, Look(time, position)))

    @property
    def position(self) -> int | None:
        """Where it was last."""
        return self.looks[-1].position if self.looks else None

    @property
    def percent(self) -> int | None:
        """How much of the way is done; 100 only at the end."""
        if self.start is None or self.end is None or self.position is None:
            return None
        if self.position >= self.end:
            return 100
        # Before the start it is at none of the way; so the division is never by zero.
        return 0 if self.position <= self.start else (self.position - self.start) * 100 // (self.end - self.start)

    @property
    def rate(self) -> float | None:
        """Bytes a second of late; None before there is something to compare."""
        if len(self.looks) < 2:
            return None
        first, last = self.looks[0], self.looks[-1]
        return max(0.0, (last.position - first.position) / (last.time - first.time)) if last.time > first.time else None

    @property
    def remaining(self) -> float | None:
        """Seconds to the end if it goes on at that rate; None while it does not move, or has no end that is known."""
        if self.end is None or self.position is None or not self.rate:
            return None
        return max(0, self.end - self.position) / self.rate

    @property
    def speed_text(self) -> str:
        """Say how fast it goes and how long it will take, as far as that is known, each after a comma."""
        rate = "" if self.rate is None else f", {size_text(self.rate)}/s"
        return f"{rate}, {duration_text(self.remaining)} left" if self.remaining else rate


def size_text(size: float) -> str:
    """Write a number of bytes for a person, in PostgreSQL's units, which are powers of 1024.

    >>> [size_text(size) for size in (0, 1023, 1536, 16 * 2**20, 5.55 * 2**30, 3 * 2**60)]
    ['0 B', '1023 B', '1.5 kB', '16 MB', '5.5 GB', '3072 PB']
    """
    power = 0
    while round(size) >= 1024 and power < len(_UNITS) - 1:
        size, power = size / 1024, power + 1
    number = f"{size:.1f}" if size < 10 and power else f"{size:.0f}"
    return f"{number.removesuffix('.0')} {_UNITS[power]}"


def duration_text(seconds: float) -> str:
    """Write a duration for a person, in at most two units, and no finer than a second.

    >>> [duration_text(seconds) for seconds in (0.3, 59.6, 200, 7500, 180000)]
    ['1 s', '1 min', '3 min 20 s', '2 h 5 min', '2 d 2 h']
    """
    rest = max(1, round(seconds))
    parts = []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        parts.append((rest // length, unit))
        rest %= length
    first = next(index for index, (number, _unit) in enumerate(parts) if number)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2] if number)


class StagingProgress:
    """The looks at a restore that is being staged, one step after the other; ``began`` is when that was started."""

    def __init__(self, began: float) -> None:
        self._step = ""
        self._track = Track()
        self._last_look = began

    def text(self, now: float, staging: Mapping[str, Any] | None) -> str | None:
        """Say how far it is; None when nothing is being staged. ``staging`` is what recovery_info gives."""
        step_began, self._last_look = self._last_look, now
        if staging is None or staging["complete"]:
            return None
        begin = f"staging {staging['backup']}"
        done, total = staging["bytes"], staging["total"]
        if done is None:
            return f"{begin}, writing it to disk"
        if staging["step"] != self._step:
            self._step, self._track = staging["step"], Track(0, total).seen(step_began, 0)
        self._track = self._track.seen(now, done)
        whole = "" if total is None else f" of {size_text(total)} ({self._track.percent} %)"
        return f"{begin}, {_DONE[self._step]} {size_text(done)}{whole}{self._track.speed_text}"


class ReplayProgress:
    """The looks at a recovery; ``idle`` is for how many seconds it has not moved."""

    def __init__(self, began: float) -> None:
        self._began = self._moved = began
        self._seen: str | None = None
        self._track = Track()
        self.idle = 0.0

    def text(self, now: float, result: Mapping[str, Any]) -> str:
        """Say how far it is; ``result`` is what the module recovery gives."""
        if result["progress"] != self._seen:
            self._seen, self._moved = result["progress"], now
        self.idle = now - self._moved
        if result["position"] is not None:
            position = Lsn.parse(result["position"]).value
            if not self._track.looks:
                self._track = Track(_value(result["start_lsn"]), _value(result["end_lsn"]))
            self._track = self._track.seen(now, position)
        percent = "" if self._track.percent is None else f", {self._track.percent} %"
        return f"{self._seen}{percent}{self._track.speed_text}, {duration_text(now - self._began)} so far"


def _value(lsn: str | None) -> int | None:
    return None if lsn is None else Lsn.parse(lsn).value
