# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the clusters of a fleet can be restored to, as text that is read in a hurry.

The input is what backup_info returned on each host, or what was returned in its place: a failure, an unreachable host,
or a message that says why the repository was not read.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from .._errors import InvalidValue
from .._values.progress import duration_text, size_text
from .._values.target import TARGETS, Target
from .._values.times import parse_time
from .report_servers import remarks

Result = Mapping[str, Any]
Fleet = Mapping[str, Result]
# Brings a moment into the time zone of whoever reads it.
Localize = Callable[[datetime], datetime]

WIDTH = 100
# What a text has to the right of other columns in any case, so that it does not become a column itself.
_ROOM = 70
_SECOND = timedelta(seconds=1)
_TICK = timedelta(microseconds=1)
_HEADINGS = ("timeline", "from", "until", "length", "backups")
_RIGHT = ("timeline", "backups")
# Up to the moments; what follows them in the second line of a window is text.
_MOMENTS = 3
_ENDS = ("latest", "immediate")


def asked_target(options: Mapping[str, Any]) -> Target | None:
    """Read the variables of a play that name a target; empty ones count as not given, and none at all as no question.

    >>> str(asked_target({"target_xid": 7310, "target_name": ""}))
    'transaction 7310'
    """
    given = {name: str(options[name]) for name in TARGETS if options.get(name) not in (None, "")}
    if not given:
        return None
    if given.get("target", "latest") not in _ENDS:
        raise InvalidValue(f"there is no target={given['target']}; expected {' or '.join(_ENDS)}")
    how = {
        "target_inclusive": options.get("target_inclusive", True),
        "target_timeline": str(options.get("target_timeline") or "latest"),
    }
    return Target.parse({**dict.fromkeys(TARGETS), **given, **how})


@dataclass(frozen=True)
class Clock:
    """Writes moments in UTC, and as the reader's clock showed them; both are forms that ``target_time`` takes."""

    localize: Localize

    def utc(self, moment: datetime) -> str:
        """Write a moment in UTC, to the second unless it has a fraction of one."""
        return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")

    def local(self, moment: datetime) -> str:
        """Write a moment with the reader's offset; nothing where that is UTC."""
        there = self.localize(moment)
        return there.isoformat() if there.utcoffset() else ""

    def both(self, moment: datetime) -> str:
        """Write a moment both ways."""
        return self.utc(moment) + (f" ({self.local(moment)} here)" if self.local(moment) else "")


def fleet_report(fleet: Fleet, target: Target | None, now: datetime, localize: Localize) -> list[str]:
    """Write the report: a table of the windows, the answers when a target was asked about, the defects, and a count."""
    clock = Clock(localize)
    lines = [f"what can be restored, as of {clock.both(now.replace(microsecond=0))}", "", *_table(fleet, clock)]
    if target is not None:
        lines += ["", *_answers(fleet, target, clock)]
    for host, text in remarks(fleet):
        lines += ["", *_paragraph([host], text)]
    if any(problem(result) is None for result in fleet.values()):
        lines += ["", *_defects(fleet)]
    return [*lines, "", *_summary(fleet)]


def problem(result: Result) -> str | None:
    """Say why nothing is known of a host; None when its repository was read."""
    said = "\n".join(filter(str.strip, str(result.get("msg", "")).splitlines())) or "no reason is known"
    if result.get("unreachable"):
        return f"unreachable: {said}"
    if result.get("failed"):
        return f"failed: {said}"
    return None if "windows" in result else said


def _table(fleet: Fleet, clock: Clock) -> list[str]:
    """Lay the windows of all hosts out in columns; a host without any has the reason to the right of its name."""
    windows = {host: [_cells(window, clock) for window in result.get("windows", ())] for host, result in fleet.items()}
    rows = [_HEADINGS, *(row for rows in windows.values() for row, _below, _ends in rows)]
    belows = [below for rows in windows.values() for _row, below, _ends in rows]
    lengths = [max(len(row[column]) for row in [*rows, *belows]) for column in range(len(_HEADINGS))]
    width = max(map(len, ["host", *fleet]))
    lines = [_line("host", _HEADINGS, width, lengths)]
    for host, result in fleet.items():
        if not windows[host]:
            lines += _paragraph([host.ljust(width)], _nothing(result))
        for number, (row, below, ends) in enumerate(windows[host]):
            lines.append(_line("" if number else host, row, width, lengths))
            margin = [cell.ljust(length) for cell, length in zip(below[:_MOMENTS], lengths)]
            lines += _paragraph(["".ljust(width), *margin], ends)
    return lines


def _cells(window: Result, clock: Clock) -> tuple[Sequence[str], Sequence[str], str]:
    """Give a window's two lines in columns, and why it ends, which stands to the right in the second one."""
    moments = askable(parse_time(window["since"]), parse_time(window["until"]))
    length = duration_text(window["seconds"]) if window["seconds"] else "a moment"
    row = (str(window["timeline"]), *map(clock.utc, moments), length, str(len(window["backups"])))
    return row, ("", *map(clock.local, moments), "", ""), window["ends"]


def _nothing(result: Result) -> str:
    unknown = problem(result)
    return f"nothing: {_count(len(result['backups']), 'backup')}, and no window" if unknown is None else unknown


def askable(since: datetime, until: datetime) -> tuple[datetime, datetime]:
    """Narrow a window to moments that can be asked for, to whole seconds if there are any in it.

    Recovery to a time needs a later transaction, so the end of a window is none of them.
    """
    last = max(since, until - _TICK)
    begin, end = (since + _SECOND - _TICK).replace(microsecond=0), last.replace(microsecond=0)
    return (begin, end) if begin <= end else (since, last)


def _line(host: str, cells: Sequence[str], width: int, lengths: Sequence[int]) -> str:
    laid_out = [
        cell.rjust(length) if heading in _RIGHT else cell.ljust(length)
        for heading, cell, length in zip(_HEADINGS, cells, lengths)
    ]
    return "  ".join([host.ljust(width), *laid_out]).rstrip()


def _answers(fleet: Fleet, target: Target, clock: Clock) -> list[str]:
    """Say for each host whether the target can be restored, from what and how long it takes, or why it cannot."""
    width = max((len(host) for host in fleet), default=0)
    lines = [f"can {clock.both(target.time) if target.time else target} be restored?"]
    for host, result in fleet.items():
        word, text = _answer(result)
        lines += _paragraph([host.ljust(width), word.ljust(3)], text)
        for warning in result.get("warnings") or ():
            lines += _paragraph(["".ljust(width), "   "], f"warning: {warning}")
    return lines


def _answer(result: Result) -> tuple[str, str]:
    if problem(result) is not None:
        return "?", "not known: its repository was not read, see above"
    if not result["reachable"]:
        return "no", result["reason"]
    if result.get("refused"):
        there = f"backup {result['chosen']} and its WAL are there"
        return "no", f"{there}, but a restore is refused here: {result['refused']}"
    replayed = f"{_count(result['segments'], 'segment')} of WAL ({size_text(result['bytes'])})"
    return "yes", (
        f"from backup {result['chosen']}, replaying {replayed} on the way to timeline {result['timeline']}; "
        f"about {duration_text(result['estimated_seconds'])}"
    )


def _defects(fleet: Fleet) -> list[str]:
    """List what is wrong in the repositories that were read."""
    found = [(host, defect) for host, result in fleet.items() for defect in result.get("defects") or ()]
    if not found:
        return ["no defects found"]
    width = max(len(host) for host, _defect in found)
    lines = ["defects"]
    for host, defect in found:
        lines += _paragraph([host.ljust(width)], f"{defect['kind']}: {defect['text']}")
    return lines


def _summary(fleet: Fleet) -> list[str]:
    """Count the hosts, and name those of which nothing is known: among many they are easily overlooked."""
    unknown = [host for host, result in fleet.items() if problem(result) is not None]
    windows = sum(bool(result.get("windows")) for result in fleet.values())
    names = f"; not read: {', '.join(unknown)}" if unknown else ""
    return _paragraph([], f"{_count(len(fleet), 'host')}, {windows} with a recovery window{names}")


def _paragraph(before: Sequence[str], text: str) -> list[str]:
    """Break a text into lines, to the right of what stands before it."""
    margin = "".join(f"{word}  " for word in before)
    wrapper = textwrap.TextWrapper(
        width=max(WIDTH, len(margin) + _ROOM),
        initial_indent=" " * len(margin),
        subsequent_indent=" " * len(margin),
        # Moments, paths and names are to be copied.
        break_long_words=False,
        break_on_hyphens=False,
    )
    first, *rest = [line for part in text.splitlines() for line in wrapper.wrap(part)]
    return [margin + first[len(margin) :], *rest]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
