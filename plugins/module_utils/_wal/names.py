# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Positions in the write-ahead log: LSN, segment, timeline and the path of timelines.

Source of the facts: PostgreSQL's ``src/include/access/xlog_internal.h`` (names of WAL files) and
``src/backend/access/transam/timeline.c`` (history files).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from .._errors import InvalidValue, shown

DEFAULT_SEGMENT_SIZE = 16 * 1024 * 1024
SEGMENT_SIZES = tuple(1 << bits for bits in range(20, 31))  # initdb --wal-segsize, in MB
_HIGHEST_TIMELINE = (1 << 32) - 1
_MOST_DURING_A_BACKUP = 1 << 46
_LOG_FILE_SIZE = 1 << 32

_LSN = re.compile(r"([0-9A-F]{1,8})/([0-9A-F]{1,8})", re.IGNORECASE)
_TIMELINE = re.compile(r"\d{1,10}", re.ASCII)
_WORD = re.compile(r"[^ \t\v\f\r]+")
_LONGEST_LINE = 1023  # readTimeLineHistory() reads into MAXPGPATH bytes, and takes the rest for another line
_SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")
_KINDS = {
    "segment": re.compile(r"[0-9A-F]{24}"),
    "partial": re.compile(r"[0-9A-F]{24}\.partial"),
    "history": re.compile(r"[0-9A-F]{8}\.history"),
    "backup": re.compile(r"[0-9A-F]{24}\.[0-9A-F]{8}\.backup"),
}


def classify(name: str) -> str | None:
    """Tell the kind of an archived file: ``segment``, ``partial``, ``history``, ``backup``, or None for anything else.

    >>> classify("00000002.history"), classify("000000010000000000000003"), classify("../passwd")
    ('history', 'segment', None)
    """
    return next((kind for kind, pattern in _KINDS.items() if pattern.fullmatch(name)), None)


@dataclass(frozen=True, order=True)
class Lsn:
    """A byte position in the write-ahead log.

    >>> str(Lsn.parse("1/A0000028"))
    '1/A0000028'
    """

    value: int

    @classmethod
    def parse(cls, text: str) -> Lsn:
        """Read PostgreSQL's form, two hexadecimal numbers with a slash between them."""
        match = _LSN.fullmatch(text)
        if not match:
            raise InvalidValue(f"{shown(text)} is not an LSN; expected two hexadecimal numbers such as 0/3000028")
        return cls(int(match[1], 16) << 32 | int(match[2], 16))

    def __str__(self) -> str:
        return f"{self.value >> 32:X}/{self.value & 0xFFFFFFFF:X}"


def is_span(start: Lsn, stop: Lsn) -> bool:
    """Tell whether a backup can have been taken between two positions: what is between them gets looked through."""
    return 0 < stop.value - start.value <= _MOST_DURING_A_BACKUP


@dataclass(frozen=True, order=True)
class SegmentName:
    """The name of a WAL file of 24 hexadecimal digits: timeline, then the high and low part of its number.

    >>> name = SegmentName.parse("0000000100000000000000FF")
    >>> str(name.next(DEFAULT_SEGMENT_SIZE)), str(name.start_lsn(DEFAULT_SEGMENT_SIZE))
    ('000000010000000100000000', '0/FF000000')
    """

    timeline: int
    high: int
    low: int

    @classmethod
    def parse(cls, text: str) -> SegmentName:
        """Read the name of a complete segment; anything else is refused."""
        match = _SEGMENT.fullmatch(text)
        if not match:
            raise InvalidValue(
                f"{shown(text)} is not the name of a WAL segment; expected 24 upper-case hexadecimal digits"
            )
        return cls(*(int(part, 16) for part in match.groups()))

    @classmethod
    def containing(cls, timeline: int, lsn: Lsn, segment_size: int) -> SegmentName:
        """Name the segment of a timeline that holds the byte at ``lsn``."""
        return cls.numbered(timeline, lsn.value // segment_size, segment_size)

    @classmethod
    def ending_at(cls, timeline: int, lsn: Lsn, segment_size: int) -> SegmentName:
        """Name the segment that holds the last byte before ``lsn``: the one to have when WAL is needed up to there."""
        return cls.numbered(timeline, (lsn.value - 1) // segment_size, segment_size)

    @classmethod
    def numbered(cls, timeline: int, number: int, segment_size: int) -> SegmentName:
        """Name the segment with a number counted from the beginning of the log."""
        return cls(timeline, *divmod(number, _LOG_FILE_SIZE // segment_size))

    def number(self, segment_size: int) -> int:
        """Count the segments before this one since the beginning of the log."""
        return self.high * (_LOG_FILE_SIZE // segment_size) + self.low

    def start_lsn(self, segment_size: int) -> Lsn:
        """Give the position of the segment's first byte."""
        return Lsn(self.number(segment_size) * segment_size)

    def next(self, segment_size: int) -> SegmentName:
        """Name the segment that follows on the same timeline."""
        return self.numbered(self.timeline, self.number(segment_size) + 1, segment_size)

    def __str__(self) -> str:
        return f"{self.timeline:08X}{self.high:08X}{self.low:08X}"


def _ancestor(timeline: int, line: str) -> list[tuple[int, Lsn]]:
    """Read a line of a history as pgark-wal does, which delivers none that it cannot read: none is in a comment."""
    words = _WORD.findall(line[:_LONGEST_LINE])
    if not words or words[0].startswith("#"):
        return []
    if len(line) > _LONGEST_LINE or len(words) < 2 or not _TIMELINE.fullmatch(words[0]):
        raise InvalidValue(f"line {shown(line)} in the history of timeline {timeline} is not '<timeline> <LSN> ...'")
    return [(int(words[0]), Lsn.parse(words[1]))]


@dataclass(frozen=True)
class Branch:
    """A stretch of one timeline on a path: from ``begin`` up to ``end``, where the next one took over (None: open)."""

    timeline: int
    begin: Lsn
    end: Lsn | None


@dataclass(frozen=True)
class TimelinePath:
    """The way recovery takes to a timeline: its ancestors in order, then the timeline itself."""

    branches: tuple[Branch, ...]

    @classmethod
    def parse(cls, timeline: int, history: str) -> TimelinePath:
        r"""Read the content of ``<timeline>.history``: lines of parent timeline, switch point and reason.

        >>> path = TimelinePath.parse(3, "1\t0/5000000\treason\n\n2\t0/7000000\treason\n")
        >>> [(b.timeline, str(b.begin), str(b.end)) for b in path.branches]
        [(1, '0/0', '0/5000000'), (2, '0/5000000', '0/7000000'), (3, '0/7000000', 'None')]

        Who follows timeline 2, and stops before it left timeline 1, has left timeline 1 there; PostgreSQL keeps the
        line as it was.

        >>> path = TimelinePath.parse(3, "1\t0/7000000\treason\n2\t0/5000000\treason\n")
        >>> [(b.timeline, str(b.begin), str(b.end)) for b in path.branches]
        [(1, '0/0', '0/5000000'), (2, '0/5000000', '0/5000000'), (3, '0/5000000', 'None')]
        """
        lines = [found for line in history.split("\n") for found in _ancestor(timeline, line)]
        if not lines and timeline != 1:
            raise InvalidValue(f"the history of timeline {timeline} is empty, expected the timelines before it")
        # From behind: each is left where the first of those after it was.
        ends = [*accumulate((left for _ancestor, left in reversed(lines)), min)][::-1]
        begins = [Lsn(0), *ends]
        branches = [Branch(line[0], *span) for line, *span in zip(lines, begins, ends)]
        begin = begins[-1]
        return cls((*branches, Branch(timeline, begin, None)))

    def __post_init__(self) -> None:
        timelines = [branch.timeline for branch in self.branches]
        if timelines != sorted(set(timelines)) or not 0 < timelines[0] <= timelines[-1] <= _HIGHEST_TIMELINE:
            raise InvalidValue(
                f"the history of timeline {timelines[-1]} lists the timelines {shown(timelines[:-1])}, expected ones "
                "that ascend, and stay below its own"
            )

    @property
    def timeline(self) -> int:
        """The timeline that the path leads to."""
        return self.branches[-1].timeline

    @cached_property
    def ends(self) -> Mapping[int, Lsn | None]:
        """Where each timeline of the path was left (None: it is the last)."""
        return {branch.timeline: branch.end for branch in self.branches}

    def leads_through(self, timeline: int, lsn: Lsn) -> bool:
        """Tell whether the position ``lsn`` of ``timeline`` lies on this path."""
        if timeline not in self.ends:
            return False
        end = self.ends[timeline]
        return end is None or lsn <= end

    def timeline_before(self, lsn: Lsn) -> int:
        """Tell which timeline the byte before a position belongs to."""
        return next(b.timeline for b in self.branches if b.end is None or lsn <= b.end)

    def timeline_after(self, lsn: Lsn) -> int:
        """Tell which timeline the byte behind a position belongs to."""
        return self.timeline_before(Lsn(lsn.value + 1))

    def timeline_at(self, number: int, segment_size: int) -> int:
        """Tell from which timeline recovery reads the segment with a number.

        The segment with a switch in it is read from the newer timeline, which begins with a copy; the older one may go
        on with what happened there afterwards.
        """
        return next(b.timeline for b in reversed(self.branches) if b.begin.value // segment_size <= number)

    def fork_from(self, other: TimelinePath) -> Lsn | None:
        """Give the position up to which two paths are one (None: they never part)."""
        for mine, theirs in zip(self.branches, other.branches):
            if mine != theirs:
                ends = [branch.end for branch in (mine, theirs) if branch.end is not None]
                return min(ends) if mine.timeline == theirs.timeline else mine.begin
        return None
