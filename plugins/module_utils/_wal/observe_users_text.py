# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read from records themselves what users have named, which pg_waldump prints raw."""

from __future__ import annotations

import locale
import os
from collections.abc import Callable

from .._errors import Error
from .names import Lsn
from .pages import LONG_HEADER, PAGE
from .records import PAGE_HEADER
from .users_text import one_line_each, text_of

_ENOUGH = 2048  # for whatever is named in a record, the prefix of a message apart


def lines_of_records(text: str, path_of: Callable[[int], str], size: int, major: int) -> str:
    """Make one line of each record that pg_waldump printed of segments, whose paths are told by their numbers."""
    segments = _Segments(path_of, size)

    def read(kind: str, lsn: int, length: int) -> str:
        found = text_of(segments.read(lsn, min(length, _ENOUGH)), kind, major)
        if found is None:
            found = text_of(segments.read(lsn, length), kind, major) or b""
        # as the runner reads what programs print
        return found.decode(locale.getpreferredencoding(False), "surrogateescape")

    try:
        return one_line_each(text, read)
    finally:
        segments.close()


class _Segments:
    """Segments, of which records are read; each is opened once."""

    def __init__(self, path_of: Callable[[int], str], size: int) -> None:
        self._path_of = path_of
        self._size = size
        self._opened: dict[int, int] = {}

    def close(self) -> None:
        for descriptor in self._opened.values():
            os.close(descriptor)

    def read(self, lsn: int, length: int) -> bytes:
        """Give the first bytes of a record, without the headers of the pages that it goes on in."""
        parts = []
        while length > 0:
            if lsn % PAGE == 0:
                lsn += PAGE_HEADER if lsn % self._size else LONG_HEADER.size
            part = self._part(lsn, min(length, PAGE - lsn % PAGE))
            parts.append(part)
            lsn, length = lsn + len(part), length - len(part)
        return b"".join(parts)

    def _part(self, lsn: int, length: int) -> bytes:
        number = lsn // self._size
        try:
            if number not in self._opened:
                self._opened[number] = os.open(self._path_of(number), os.O_RDONLY | os.O_CLOEXEC)
            found = os.pread(self._opened[number], length, lsn % self._size)
        except FileNotFoundError:
            found = b""  # a running server removes what it has archived
        if not found:
            raise Error(f"the WAL at {Lsn(lsn)} has gone while it was read", "call it again")
        return found
