# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The segments in the middle of which a timeline was left, which a recovery has under the next timeline's name only.

A timeline begins with a copy of the segment in which its parent was left, and recovery fetches the newest one. While it
replays the parent's part, it may have to read a transaction back that was prepared there, and looks in ``pg_wal`` for
the segment of the timeline that it replays: ``read_local_xlog_page`` in ``src/backend/access/transam/xlogutils.c``,
for ``XlogReadTwoPhaseData`` in ``twophase.c``. That is so at a shutdown checkpoint, and where recovery ends.
"""

from __future__ import annotations

from dataclasses import dataclass

from .._wal.names import Lsn, SegmentName, TimelinePath


@dataclass(frozen=True)
class LeftSegment:
    """A segment of a timeline that was left in it: the first ``length`` bytes of ``source``, which recovery has."""

    name: SegmentName
    source: SegmentName
    length: int


def left_segments(path: TimelinePath, start: Lsn, end: Lsn | None, size: int) -> tuple[LeftSegment, ...]:
    """List those that are replayed on a path between two positions (``end`` None: up to the end of all WAL).

    What lies behind ``end`` is read, too: only there recovery sees that it has got to where it stops. A timeline that
    was left at a segment's first byte has all of its segments under its own name.
    """
    found = []
    for branch in path.branches:
        left = branch.end
        if left is None or left <= max(branch.begin, start) or left.value % size == 0:
            continue
        number = left.value // size
        if end is None or number * size <= end.value:
            name = SegmentName.numbered(branch.timeline, number, size)
            source = SegmentName.numbered(path.timeline_at(number, size), number, size)
            found.append(LeftSegment(name, source, left.value % size))
    return tuple(found)
