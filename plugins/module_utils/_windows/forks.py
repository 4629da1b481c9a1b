# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a file in pg_wal and the archived one of that name are the same WAL, and what is said when they are not."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import zip_longest

from .._errors import Error

CHUNK = 1 << 20  # a multiple of every size that a page of WAL can have
# xlp_magic, xlp_info, xlp_tli, xlp_pageaddr: XLogPageHeaderData in src/include/access/xlog_internal.h
_PAGE_HEADER = struct.Struct("=HHIQ")
FORK_HINT = (
    "find the other server; the one whose WAL is not in the archive gets a place of its own there, by another"
    " backup_repository_cluster, setup_archiving.yml and a new backup"
)
_RESTORING = "; to restore what the archive has, without what only this data directory has: force=true"


class Forked(Error):
    """Two servers have written other WAL under one name, or one was put back to an earlier state and went on."""


def relation(own: Iterable[bytes], archived: Iterable[bytes], start: int, page: int) -> str:
    """Compare a segment in pg_wal that begins at ``start`` with the archived one of its name, in chunks of ``CHUNK``.

    ``same``; ``begun``, when the archived one goes on where the own one has not been written further; or ``other``.
    What follows the last page that was written is of no meaning: it is zero, or of what was there before.
    """
    for mine, theirs in zip_longest(own, archived, fillvalue=b""):
        if mine != theirs:
            return _at_first_difference(mine, theirs, start, page)
        start += len(mine)
    return "same"


def _at_first_difference(mine: bytes, theirs: bytes, start: int, page: int) -> str:
    if len(mine) != len(theirs):
        return "other"
    for offset in range(0, len(mine), page):
        own, other = mine[offset : offset + page], theirs[offset : offset + page]
        if own != other:
            written = len(own) >= _PAGE_HEADER.size and _PAGE_HEADER.unpack_from(own)[3] == start + offset
            return "other" if written and not other.startswith(own.rstrip(b"\0")) else "begun"
    return "same"


def fork_text(name: str, own: str, archive: str) -> str:
    """Say that two files of one name differ; ``own`` and ``archive`` are the directories that they are in.

    >>> fork_text("000000010000000000000003", "/data/pg_wal", "/srv/pgark/db1/wal")
    '000000010000000000000003 in /data/pg_wal and in /srv/pgark/db1/wal are not the same WAL: two servers archive into \
one place, or one was put back to an earlier state and went on from there'
    """
    return (
        f"{name} in {own} and in {archive} are not the same WAL: two servers archive into one place, or one was put"
        " back to an earlier state and went on from there"
    )


def forked(name: str, own: str, archive: str, force: bool = False) -> Forked:
    """Refuse to take one for the other; ``force`` tells whether that option helps."""
    return refused(fork_text(name, own, archive), force)


def refused(text: str, force: bool) -> Forked:
    """Refuse what a ``fork_text`` says."""
    return Forked(text, FORK_HINT + _RESTORING if force else FORK_HINT)
