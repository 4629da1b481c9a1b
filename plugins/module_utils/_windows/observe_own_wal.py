# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The WAL that a data directory itself holds: of a dead server, or of one that has not archived it yet."""

from __future__ import annotations

import os
import struct
from contextlib import suppress

from .._errors import Error
from .._host.files import open_regular, read_history
from .._repository.catalog import SegmentFile
from .._repository.observe import segment_file
from .._server.server import Server
from .._wal.identity import Identity
from .._wal.names import Lsn, SegmentName, TimelinePath, classify
from .resolver import LiveServer

# xlp_magic, xlp_info, xlp_tli, xlp_pageaddr, xlp_rem_len and padding, xlp_sysid, which the first page of a segment has:
# XLogLongPageHeaderData in src/include/access/xlog_internal.h
PAGE_HEADER = struct.Struct("=HHIQ8xQ")


def writing(server: Server | None, identity: Identity) -> LiveServer | None:
    """Look where a server writes; None when there is none, it is recovering, or it is another cluster's."""
    if server is None or server.in_recovery():
        return None
    if str(server.value("SELECT system_identifier FROM pg_control_system()")) != identity.system_identifier:
        return None
    lsn = Lsn.parse(server.value("SELECT pg_current_wal_lsn()::text"))
    return LiveServer(server.segment_ending_at(lsn).timeline, lsn, server.now())


def own_segments(data_directory: str, identity: Identity) -> dict[tuple[int, int], SegmentFile]:
    """List the segments in ``pg_wal``, by timeline and number, that this cluster wrote as what they are called.

    One that was recycled has been renamed ahead of use; its pages are still those of an older segment.
    """
    directory, found = f"{data_directory}/pg_wal", {}
    histories = own_histories(data_directory)
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        if classify(name) == "segment":
            segment, path = SegmentName.parse(name), f"{directory}/{name}"
            status = _status_if_own(path, segment, identity, histories.get(segment.timeline))
            if status is not None:
                place = (segment.timeline, segment.number(identity.wal_segment_size))
                found[place] = segment_file(path, status, own=True)
    return found


def _status_if_own(
    path: str, segment: SegmentName, identity: Identity, history: TimelinePath | None
) -> os.stat_result | None:
    """Give a file's status where its first page is that of the segment."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            header, status = file.read(PAGE_HEADER.size), os.fstat(file.fileno())
    except FileNotFoundError:
        return None  # a running server removes what it has archived
    if len(header) < PAGE_HEADER.size or status.st_size != identity.wal_segment_size:
        return None
    if str(PAGE_HEADER.unpack(header)[4]) != identity.system_identifier:
        return None
    return status if is_itself(header, segment, identity.wal_segment_size, history) else None


def is_itself(header: bytes, segment: SegmentName, size: int, history: TimelinePath | None) -> bool:
    """Tell a segment from one that was recycled, by the header of its first page.

    Where a timeline begins in the middle of a segment, the page is its ancestor's. What the ancestor wrote behind that
    point is recycled by the promotion, and may get the same number again.
    """
    _magic, _info, timeline, address, _system_identifier = PAGE_HEADER.unpack(header)
    start = segment.start_lsn(size)
    if address != start.value:
        return False
    if history is None:
        return 0 < int(timeline) <= segment.timeline
    return int(timeline) in (segment.timeline, history.timeline_before(Lsn(start.value + 1)))


def waiting_files(data_directory: str) -> list[str]:
    """List what the server has marked as waiting to be archived."""
    status = f"{data_directory}/pg_wal/archive_status"
    return sorted(name[: -len(".ready")] for name in os.listdir(status) if name.endswith(".ready"))


def is_history(path: str, name: str) -> bool:
    """Tell whether a history file says anything."""
    try:
        return bool(read_history(path, int(name[:8], 16)))
    except (Error, OSError):
        return False


def own_histories(data_directory: str) -> dict[int, TimelinePath]:
    """Read the history files in ``pg_wal``, but for those that nobody can read.

    PostgreSQL keeps there what stood in for one that is damaged in the archive: is_only_counted() in pgark_wal.py.
    """
    directory, found = f"{data_directory}/pg_wal", {}
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        if classify(name) == "history":
            timeline = int(name[:8], 16)
            with suppress(Error, OSError):
                found[timeline] = read_history(f"{directory}/{name}", timeline)
    return found
