# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring segments to where they can be read, and take only what a recovery would be given."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from .._errors import Error
from .._host.files import open_regular
from .._repository.catalog import SegmentFile
from .._repository.delivery import deliver
from .._wal.pages import HEADER, LONG_HEADER, PAGE, Place, problem_of_head, problem_of_pages


class Brought(NamedTuple):
    """What is wrong with a segment, and what a recovery passes over on its way to it (None: nothing)."""

    problem: str | None
    passed_over: str | None = None


def bring(files: Sequence[SegmentFile], place: Place, target: str) -> Brought:
    """Put a segment under the name ``target``, from the first of several repositories that gives it to a server.

    Whether it does, and with which bytes, pgark-wal decides. What follows is about those: what is wrong in a segment
    with a good checksum, another repository does not mend, as nobody asks it.
    """
    words: list[str] = []
    for file in files:
        given, why = _put(file, target, place.identity.wal_segment_size)
        words += [why] if why else []
        if given:
            try:
                problem = _problem(file, place, target)
            except FileNotFoundError:  # a running server removes what it has archived
                problem = f"{file.path} has gone meanwhile"
            if problem is not None:
                os.unlink(target)
            return Brought(problem, _passed_over(files[0], file, words))
    return Brought("; ".join(words))


def _put(file: SegmentFile, target: str, size: int) -> tuple[bool, str]:
    """Have a segment under another name; one in a data directory is read where it is."""
    if not file.own:
        return deliver(file.path, target, size)
    try:
        os.close(open_regular(file.path))
    except FileNotFoundError:
        return False, f"{file.path} has gone meanwhile"
    except Error as error:
        return False, error.message
    os.symlink(file.path, target)
    return True, ""


def _passed_over(first: SegmentFile, file: SegmentFile, words: Sequence[str]) -> str | None:
    instead = "another form of it" if file is first else file.path
    return f"{first.path} is damaged: {'; '.join(words)}; recovery reads {instead} instead" if words else None


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


def is_empty_from(path: str, offset: int) -> bool:
    """Tell whether nothing but zeros follows in a file: its writer had not filled it yet.

    The headers of pages that were made ready before anything was written into them do not count.
    """
    with open(path, "rb") as segment:
        segment.seek(offset)
        head = segment.read(-offset % PAGE)
        pages = iter(lambda: segment.read(PAGE), b"")
        return not any(part.strip(b"\0") for part in chain([head], (page[LONG_HEADER.size :] for page in pages)))
