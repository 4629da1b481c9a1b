# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moments, read and written with their offset from UTC, and durations."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from .._errors import InvalidValue

_TIME = re.compile(
    r"(?P<date>\d{4,}-\d{2}-\d{2})"
    r"(?:[T ](?P<clock>\d{2}:\d{2})(?::(?P<seconds>\d{2})(?:\.(?P<fraction>\d{1,6}))?)?"
    r" ?(?P<zone>Z|[+-]\d{2}(?::?\d{2})?)?)?",
    re.ASCII,
)


EXAMPLE = "2026-09-15T14:30:00Z or 2026-09-15T16:30:00+02:00"
_AGE = re.compile(r"(\d{1,7})\s*([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_time(text: str) -> datetime:
    """Read a moment that is given with its offset from UTC; any other form is refused.

    >>> parse_time("2026-09-15T16:30:00+02").isoformat()
    '2026-09-15T14:30:00+00:00'
    """
    match = _TIME.fullmatch(text.strip())
    if not match:
        raise InvalidValue(f"target_time {text!r} is not a time with an offset; expected {EXAMPLE}")
    if not match["clock"]:
        raise InvalidValue(
            f"target_time {text!r} is a date without a time; expected {EXAMPLE}",
            "on the command line, `-e target_time=...` ends at a space: write T between date and time",
        )
    if not match["zone"]:
        raise InvalidValue(
            f"target_time {text!r} has no offset from UTC, so it names a different moment on every host",
            f"add Z for UTC, or the offset: {EXAMPLE}",
        )
    return _build(text, match)


def _build(text: str, match: re.Match[str]) -> datetime:
    zone = "+0000" if match["zone"] == "Z" else match["zone"].replace(":", "").ljust(5, "0")
    clock = f"{match['clock']}:{match['seconds'] or '00'}.{match['fraction'] or '0'}"
    try:
        local = datetime.strptime(f"{match['date']} {clock} {zone}", "%Y-%m-%d %H:%M:%S.%f %z")
        return local.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise InvalidValue(f"target_time {text!r} does not exist in the calendar; expected {EXAMPLE}") from None


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
    # strftime() has no zeros before a year of three digits.
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
