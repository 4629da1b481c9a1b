# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the files in pg_wal with the archived ones of their names: a name alone proves nothing."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import IO

from .._errors import Error
from .._host.digests import sha256_of
from .._host.files import open_regular
from .._repository.catalog import Catalog
from .._repository.delivery import content_of, has_checksum
from .._repository.layout import SUFFIXES, Layout
from .._wal.names import SegmentName, classify
from .defects import Defect
from .forks import CHUNK, fork_text, relation
from .observe_own_wal import is_history, own_histories, own_segments, waiting_files

# The first page of a segment: XLogLongPageHeaderData in src/include/access/xlog_internal.h, with xlp_tli,
# xlp_pageaddr, xlp_seg_size and xlp_xlog_blcksz.
_FIRST_PAGE = struct.Struct("=4xIQ16xII")


def digest_of(data_directory: str, segment: SegmentName) -> str | None:
    """Give the SHA-256 of a finished segment in ``pg_wal``; None when the server has removed or recycled it.

    That it does only with what its archive_command has archived. A recycled segment is the same file under another
    name, which is written to from its first page on: while that page is there, nothing has been overwritten.
    """
    try:
        with open(f"{data_directory}/pg_wal/{segment}", "rb") as file:
            entry = sha256_of(file)
            head = os.pread(file.fileno(), _FIRST_PAGE.size, 0)
    except FileNotFoundError:
        os.stat(f"{data_directory}/pg_wal")  # which is an error when it is not there
        return None
    is_itself = len(head) == _FIRST_PAGE.size and _FIRST_PAGE.unpack(head)[1] == segment.start_lsn(entry.size).value
    return entry.sha256 if is_itself else None


def compare(path: str, name: str, layout: Layout) -> str:
    """Compare a file with the archived one of its name: ``same``, ``begun``, ``other``, ``absent`` or ``unreadable``.

    What is damaged in the archive is nobody else's WAL; a plain segment is told by the checksum beside it.
    """
    forms = [layout.wal_file(name) + suffix for suffix in SUFFIXES.values()]
    found = [_compare_with(form, path, name) for form in forms if os.path.isfile(form)]
    return next((word for word in ("other", "same", "begun", "unreadable") if word in found), "absent")


def _compare_with(archived: str, path: str, name: str) -> str:
    try:
        with open(path, "rb") as own, closing(content_of(archived)) as content:
            start, page = _place_and_page(own, name)
            found = relation(_chunks(_pieces(own)), _chunks(content), start, page)
            for _rest in content:
                pass  # to the end, where it is known whether it is whole
        if found == "begun" and classify(name) != "segment":
            found = "other"
        if found == "other" and classify(name) == "segment":
            with closing(content_of(archived)) as content:
                head = next(_chunks(content), b"")[: _FIRST_PAGE.size]
            found = found if _begins_as(head, name, start) else "unreadable"
        if found == "other" and classify(name) == "history":
            found = found if is_history(path, name) and is_history(archived, name) else "unreadable"
    except Error:  # also when the program is missing that it takes
        return "unreadable"
    intact = found == "same" or not archived.endswith(f"/{name}") or _sidecar_agrees(archived, name)
    return found if intact else "unreadable"


def _begins_as(head: bytes, name: str, start: int) -> bool:
    """Tell whether a file begins as a segment of a name does, at its position, whoever wrote it."""
    if len(head) < _FIRST_PAGE.size:
        return False
    timeline, address, _size, _page = _FIRST_PAGE.unpack(head)
    # The first segment of a timeline begins with pages of the one that it left.
    return timeline <= SegmentName.parse(name).timeline and bool(address == start)


def _place_and_page(own: IO[bytes], name: str) -> tuple[int, int]:
    """Give the position at which a segment begins, and the size of its pages; of a history file, what fits."""
    if classify(name) != "segment":
        return 0, CHUNK
    head = os.pread(own.fileno(), _FIRST_PAGE.size, 0)
    page: int = _FIRST_PAGE.unpack(head)[3] if len(head) == _FIRST_PAGE.size else 0
    size = os.fstat(own.fileno()).st_size
    return SegmentName.parse(name).start_lsn(size).value, page if 0 < page <= CHUNK else CHUNK


def _sidecar_agrees(archived: str, name: str) -> bool:
    """Tell whether a plain archived segment has the checksum that was written with it; a history file has none."""
    if classify(name) == "history":
        return True
    try:
        with os.fdopen(open_regular(archived), "rb") as segment:
            return has_checksum(archived, sha256_of(segment).sha256)
    except (Error, FileNotFoundError):  # it is no regular file, or has gone
        return False


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: stream.read(CHUNK), b"")


def _chunks(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Yield what comes in pieces in chunks of one size."""
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) >= CHUNK:
            yield bytes(held[:CHUNK])
            del held[:CHUNK]
    if held:
        yield bytes(held)


def goes_on(path: str, name: str, other: str) -> bool:
    """Tell whether a segment goes on where another copy of it, which is the same before, was not written further."""
    with open(path, "rb") as longer, open(other, "rb") as shorter:
        return relation(_chunks(_pieces(shorter)), _chunks(_pieces(longer)), *_place_and_page(shorter, name)) == "begun"


def waiting_fork(data_directory: str, layout: Layout) -> str | None:
    """Look whether the file that has been waiting for the longest is archived with other content already.

    That is the one at which archiving has stopped. What is archived and still waits, with the same content, is the
    usual case: the server has not asked for it yet.
    """
    names = (name for name in waiting_files(data_directory) if classify(name) in ("segment", "history"))
    name = next(names, None)
    if name is None:
        return None
    try:
        found = compare(f"{data_directory}/pg_wal/{name}", name, layout)
    except FileNotFoundError:
        return None  # archived and removed meanwhile
    return fork_text(name, f"{data_directory}/pg_wal", layout.wal) if found in ("other", "begun") else None


def own_fork(data_directory: str, catalog: Catalog, layout: Layout) -> str | None:
    """Name what a data directory and the archive both have with other content: a history, or their newest segment.

    Two servers that have parted never write the same again, so the newest segment tells; each history for itself.
    """
    for timeline in sorted(own_histories(data_directory)):
        name = f"{timeline:08X}.history"
        if compare(f"{data_directory}/pg_wal/{name}", name, layout) == "other":
            return name
    size = catalog.identity.wal_segment_size
    common = sorted(place for place in own_segments(data_directory, catalog.identity) if place in catalog.files)
    for place in reversed(common):
        name = str(SegmentName.numbered(*place, size))
        try:
            found = compare(f"{data_directory}/pg_wal/{name}", name, layout)
        except FileNotFoundError:
            continue
        if found != "unreadable":
            return name if found == "other" else None
    return None


def fork_defects(data_directory: str, catalog: Catalog, layout: Layout) -> list[Defect]:
    """Report a fork between a data directory and the archive."""
    name = own_fork(data_directory, catalog, layout)
    return [] if name is None else [Defect("fork", name, fork_text(name, f"{data_directory}/pg_wal", layout.wal))]
