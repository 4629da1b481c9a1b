# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the headers of a segment's pages have to say, for the segment to be whole, in its place, and of one cluster.

pg_waldump looks at records and their checksums, but takes the WAL of another cluster, and of any timeline. Source of
the forms: ``XLogPageHeaderData`` and ``XLogLongPageHeaderData`` in ``src/include/access/xlog_internal.h``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from .identity import Identity
from .names import Lsn, TimelinePath

PAGE = 8192  # XLOG_BLCKSZ as PostgreSQL is built everywhere
# xlp_magic, xlp_info, xlp_tli, xlp_pageaddr, xlp_rem_len and padding; xlp_sysid, xlp_seg_size, xlp_xlog_blcksz
LONG_HEADER = struct.Struct("=HHIQ8xQII")
HEADER = struct.Struct("=HHIQ")
_LONG = 0x0002  # XLP_LONG_HEADER
_MAGIC = {13: 0xD106, 14: 0xD10D, 15: 0xD110, 16: 0xD113, 17: 0xD116, 18: 0xD118}


@dataclass(frozen=True)
class Place:
    """Where a segment belongs: its cluster, the path of timelines on which recovery reads it, and its number."""

    identity: Identity
    path: TimelinePath
    number: int

    @property
    def start(self) -> int:
        """The position of its first byte."""
        return self.number * self.identity.wal_segment_size

    @property
    def timelines(self) -> list[tuple[int, int]]:
        """The timelines that have pages in it, each with the position of the first one, the oldest first."""
        start, end = self.start, self.start + self.identity.wal_segment_size
        inside = [(b.begin.value, b.timeline) for b in self.path.branches if start < b.begin.value < end]
        first = [branch.timeline for branch in self.path.branches if branch.begin.value <= start][-1]
        return [(start, first), *inside]


def problem_of_head(place: Place, head: bytes) -> str | None:
    """Tell what is wrong with the first page's header (None: nothing)."""
    if len(head) < LONG_HEADER.size:
        return f"it has {len(head)} bytes"
    magic, flags, _timeline, _address, identifier, segment_size, page = LONG_HEADER.unpack_from(head)
    identity = place.identity
    expected = _MAGIC.get(identity.major, magic)
    if magic != expected:
        return f"its first page has magic number {magic:04X}, expected {expected:04X} of PostgreSQL {identity.major}"
    if not flags & _LONG:
        return "its first page has no header of a segment"
    if str(identifier) != identity.system_identifier:
        return f"it is WAL of the cluster with system identifier {identifier}, expected {identity.system_identifier}"
    if (segment_size, page) != (identity.wal_segment_size, PAGE):
        return f"its segments have {segment_size} bytes, expected {identity.wal_segment_size}"
    return None


def problem_of_pages(place: Place, headers: Iterable[bytes]) -> str | None:
    """Tell of the first page that does not belong where it is (None: all of them do).

    What follows a switch to the next segment is zero to its end, headers too: ``CopyXLogRecordToWAL`` in ``xlog.c``. A
    page in which a timeline begins keeps the header of the timeline before it.
    """
    timelines, empty = place.timelines, False
    for index, header in enumerate(headers):
        address = place.start + index * PAGE
        if not any(header):
            empty = True
            continue
        _magic, _flags, timeline, found = HEADER.unpack(header)
        while len(timelines) > 1 and timelines[1][0] <= address:
            timelines = timelines[1:]
        if empty:
            return f"a page at {Lsn(address)} follows empty ones"
        if found != address:
            return f"the page at {Lsn(address)} says that it is that at {Lsn(found)}"
        if timeline != timelines[0][1]:
            return f"the page at {Lsn(address)} is of timeline {timeline}, expected {timelines[0][1]}"
    return None
