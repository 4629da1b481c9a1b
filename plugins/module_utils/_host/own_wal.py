# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The WAL that a data directory itself holds: of a dead server, or of one that has not archived it yet."""

from __future__ import annotations

import os
import struct

from .._core.catalog import Identity, SegmentFile
from .._core.decision import Writing
from .._core.wal import Lsn, SegmentName, TimelinePath, classify
from .server import Server

# xlp_magic, xlp_info, xlp_tli, xlp_pageaddr, xlp_rem_len and padding, xlp_sysid, which the first page of a segment has:
# XLogLongPageHeaderData in src/include/access/xlog_internal.h
_PAGE_HEADER = struct.Struct("=HHIQ8xQ")


def writing(server: Server | None, identity: Identity) -> Writing | None:
    """Look where a server writes; None when there is none, it is recovering, or it is another cluster's."""
    if server is None or server.in_recovery():
        return None
    if str(server.value("SELECT system_identifier FROM pg_control_system()")) != identity.system_identifier:
        return None
    lsn = Lsn.parse(server.value("SELECT pg_current_wal_lsn()::text"))
    return Writing(server.segment_ending_at(lsn).timeline, lsn, server.now())


def own_segments(data_directory: str, identity: Identity) -> dict[tuple[int, int], SegmentFile]:
    """List the segments in ``pg_wal``, by timeline and number, that this cluster wrote as what they are called.

    One that was recycled has been renamed ahead of use; its pages are still those of an older segment.
    """
    directory, found = f"{data_directory}/pg_wal", {}
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        if classify(name) == "segment":
            segment, path = SegmentName.parse(name), f"{directory}/{name}"
            status = _status_if_own(path, segment, identity)
            if status is not None:
                place = (segment.timeline, segment.number(identity.wal_segment_size))
                found[place] = SegmentFile(path, status.st_size, status.st_mtime_ns)
    return found


def _status_if_own(path: str, segment: SegmentName, identity: Identity) -> os.stat_result | None:
    """Give a file's status where its first page is that of the segment; a timeline begins with its ancestor's pages."""
    try:
        with open(path, "rb") as file:
            header, status = file.read(_PAGE_HEADER.size), os.fstat(file.fileno())
    except FileNotFoundError:
        return None  # a running server removes what it has archived
    if len(header) < _PAGE_HEADER.size or status.st_size != identity.wal_segment_size:
        return None
    _magic, _info, timeline, address, system_identifier = _PAGE_HEADER.unpack(header)
    found = (address, str(system_identifier))
    expected = (segment.start_lsn(identity.wal_segment_size).value, identity.system_identifier)
    return status if found == expected and 0 < timeline <= segment.timeline else None


def own_histories(data_directory: str) -> dict[int, TimelinePath]:
    """Read the history files in ``pg_wal``."""
    directory, found = f"{data_directory}/pg_wal", {}
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        if classify(name) == "history":
            timeline = int(name[:8], 16)
            with open(f"{directory}/{name}", encoding="ascii", errors="replace") as file:
                found[timeline] = TimelinePath.parse(timeline, file.read())
    return found
