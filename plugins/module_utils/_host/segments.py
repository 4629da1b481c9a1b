# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring segments to where they can be read, and take only what a recovery would be given."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain, islice
from typing import IO

from .._core.catalog import SegmentFile
from .._core.walpages import HEADER, LONG_HEADER, PAGE, Place, problem_of_head, problem_of_pages
from .._errors import Error
from .decompressed import opened, stored_at_most
from .digests import sha256_of
from .files import open_regular, read_small
from .runner import CommandRunner

_CHUNK = 1 << 20


def bring(file: SegmentFile, place: Place, target: str, runner: CommandRunner) -> str | None:
    """Put a segment under the name ``target``; tell what is wrong with it (None: nothing).

    pgark-wal gives a server only what is whole by the checksum of its compression, or by the one beside it.
    """
    try:
        plain = os.path.splitext(file.path)[1] == ""
        if plain:
            os.close(open_regular(file.path))
            os.symlink(file.path, target)
        else:
            size = place.identity.wal_segment_size
            with opened(file.path, runner, stored_at_most(size)) as stream, open(target, "wb") as out:
                _copy(stream, out, size)
        problem = _problem(file, place, target) or (_unproved(file) if plain and not file.own else None)
    except Error as error:
        problem = error.message
    except FileNotFoundError:
        problem = f"{file.path} has gone meanwhile"
    if problem is not None and os.path.lexists(target):
        os.unlink(target)
    return problem


def _copy(stream: IO[bytes], out: IO[bytes], size: int) -> None:
    """Copy a segment, and not what goes on without an end."""
    left = size
    while piece := stream.read(min(_CHUNK, left + 1)):
        if len(piece) > left:
            raise Error(f"it has more than {size} bytes, which is what a segment has")
        left -= out.write(piece)


def _problem(file: SegmentFile, place: Place, path: str) -> str | None:
    with open(path, "rb") as segment:
        size = os.fstat(segment.fileno()).st_size
        if size != place.identity.wal_segment_size:
            return f"it has {size} bytes, expected {place.identity.wal_segment_size}"
        problem = problem_of_head(place, segment.read(LONG_HEADER.size))
        if problem is not None:
            return problem
        headers = _headers(segment.fileno(), size)
        # A server's last segment goes on with pages from before it was recycled.
        return problem_of_pages(place, islice(headers, 1) if file.own else headers)


def _headers(descriptor: int, size: int) -> Iterator[bytes]:
    return (os.pread(descriptor, HEADER.size, offset) for offset in range(0, size, PAGE))


def _unproved(file: SegmentFile) -> str | None:
    """Compare a segment that is stored as it is with the checksum beside it."""
    try:
        expected = read_small(f"{file.path}.sha256").decode("ascii", "replace").split(" ")[0]
    except FileNotFoundError:
        return "the file with its checksum is missing"
    with open(file.path, "rb") as segment:
        found = sha256_of(segment).sha256
    return None if found == expected else f"it has SHA-256 {found}, expected {expected}"


def is_empty_from(path: str, offset: int) -> bool:
    """Tell whether nothing but zeros follows in a file: its writer had not filled it yet.

    The headers of pages that were made ready before anything was written into them do not count.
    """
    with open(path, "rb") as segment:
        segment.seek(offset)
        head = segment.read(-offset % PAGE)
        pages = iter(lambda: segment.read(PAGE), b"")
        return not any(part.strip(b"\0") for part in chain([head], (page[LONG_HEADER.size :] for page in pages)))
