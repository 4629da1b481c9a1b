# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recovery targets: where a restore is to stop."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from .._errors import InvalidValue

_TIME = re.compile(
    r"(?P<date>\d{4,}-\d{2}-\d{2})"
    r"(?:[T ](?P<clock>\d{2}:\d{2})(?::(?P<seconds>\d{2})(?:\.(?P<fraction>\d{1,6}))?)?"
    r" ?(?P<zone>Z|[+-]\d{2}(?::?\d{2})?)?)?",
    re.ASCII,
)
_EXAMPLE = "2026-09-15T14:30:00Z or 2026-09-15T16:30:00+02:00"
_AGE = re.compile(r"(\d{1,7})\s*([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_time(text: str) -> datetime:
    """Read a moment that is given with its offset from UTC; any other form is refused.

    >>> parse_time("2026-09-15T16:30:00+02").isoformat()
    '2026-09-15T14:30:00+00:00'
    """
    match = _TIME.fullmatch(text.strip())
    if not match:
        raise InvalidValue(f"target_time {text!r} is not a time with an offset; expected {_EXAMPLE}")
    if not match["clock"]:
        raise InvalidValue(
            f"target_time {text!r} is a date without a time; expected {_EXAMPLE}",
            "on the command line, `-e target_time=...` ends at a space: write T between date and time",
        )
    if not match["zone"]:
        raise InvalidValue(
            f"target_time {text!r} has no offset from UTC, so it names a different moment on every host",
            f"add Z for UTC, or the offset: {_EXAMPLE}",
        )
    return _build(text, match)


def _build(text: str, match: re.Match[str]) -> datetime:
    zone = "+0000" if match["zone"] == "Z" else match["zone"].replace(":", "").ljust(5, "0")
    clock = f"{match['clock']}:{match['seconds'] or '00'}.{match['fraction'] or '0'}"
    try:
        local = datetime.strptime(f"{match['date']} {clock} {zone}", "%Y-%m-%d %H:%M:%S.%f %z")
        return local.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise InvalidValue(f"target_time {text!r} does not exist in the calendar; expected {_EXAMPLE}") from None


def parse_age(text: str) -> timedelta:
    """Read a duration such as ``90m``, ``24h`` or ``7d``, of up to seven digits.

    >>> parse_age("24h")
    datetime.timedelta(days=1)
    """
    match = _AGE.fullmatch(text.strip())
    if not match:
        raise InvalidValue(f"{text!r} is not an age; expected a number and one of s, m, h, d, w, such as 24h")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def format_time(moment: datetime) -> str:
    """Write a moment in UTC, with all its digits, in the form that ``target_time`` takes.

    >>> format_time(datetime(2026, 11, 21, 1, 15, 0, 120000, tzinfo=timezone.utc))
    '2026-11-21T01:15:00.120000Z'
    """
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True)
class Target:
    """Where recovery stops: at a moment, or (``time`` is None) at the end of the archived WAL.

    ``timeline`` is the timeline to follow; None means the latest one in the archive.
    """

    time: datetime | None = None
    inclusive: bool = True
    timeline: int | None = None

    @classmethod
    def parse(cls, time: str | None, name: str | None, timeline: str, inclusive: bool) -> Target:
        """Read the options of a task; exactly one of ``time`` and ``name`` (``latest``) must be given."""
        if (time is None) == (name is None):
            raise InvalidValue(
                "no recovery target is given" if time is None else "two recovery targets are given",
                f"give exactly one of target_time ({_EXAMPLE}) and target=latest",
            )
        return cls(None if time is None else parse_time(time), inclusive, parse_timeline(timeline))

    def settings(self, timeline: int) -> dict[str, str]:
        """Give the recovery settings that make PostgreSQL stop here, and pause there so that it can be checked.

        ``timeline`` is the number that ``latest`` means in the archive, so that the server follows what was planned.
        """
        chosen = {"recovery_target_timeline": str(timeline)}
        if self.time is not None:
            chosen["recovery_target_time"] = self.time.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f+00")
            chosen["recovery_target_inclusive"] = "on" if self.inclusive else "off"
            chosen["recovery_target_action"] = "pause"
        return chosen

    def as_dict(self) -> dict[str, object]:
        """Give the target in the form that is reported and recorded."""
        return {
            "time": None if self.time is None else format_time(self.time),
            "inclusive": self.inclusive,
            "timeline": "latest" if self.timeline is None else self.timeline,
        }

    def __str__(self) -> str:
        return "the end of the archived WAL" if self.time is None else format_time(self.time)


def parse_timeline(text: str) -> int | None:
    """Read ``latest`` (None) or the number of a timeline."""
    if text == "latest":
        return None
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 1 << 32:
        raise InvalidValue(f"target_timeline {text!r} is not a timeline; expected latest or a number from 1")
    return int(text)
