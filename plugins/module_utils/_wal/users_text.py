# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users have named, in what pg_waldump prints: it prints it raw, so that a line of it may look like a record.

Anybody may name a prepared transaction, or give a message a prefix, of several lines. What stands before the first of
them is pg_waldump's own, so the record is where its line says, and tells how long the text is; what follows is
pg_waldump's own again, up to the next one. The forms of records are those of ``src/include/access/xlogrecord.h``.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .._errors import Error
from .names import Lsn

_BEGINNING = re.compile(
    r"^rmgr: (\w+) +len \(rec/tot\): *\d+/ *(\d+), tx: *\d+, lsn: ([0-9A-F]+)/([0-9A-F]+), prev [0-9A-F]+/[0-9A-F]+, "
    r"desc: (PREPARE gid |RESTORE_POINT |CREATE \d+ \"|MESSAGE [a-z-]+, prefix \")",
    re.MULTILINE,
)
# What stands behind the text. A restore point's is the last of its line.
_BEHIND = {"PREPARE": ": ", "RESTORE_POINT": "\n", "CREATE": '"', "MESSAGE": '"'}
# Where the text begins in the record's data, up to a zero byte: xl_restore_point, xl_tblspc_create_rec,
# xl_logical_message; and xl_xact_prepare, which has two numbers more since PostgreSQL 15.
_OFFSETS = {"RESTORE_POINT": 8, "CREATE": 4, "MESSAGE": 24}
_OF_PREPARE, _OF_PREPARE_BEFORE_15 = 72, 64
_HEADER = 24  # SizeOfXLogRecord
# XLR_BLOCK_ID_DATA_SHORT and _LONG with the length of the data, which is the last; _ORIGIN and _TOPLEVEL_XID
_DATA = {255: 2, 254: 5}
_OTHERS = {253: 3, 252: 5}
# C's strings have no zero byte, so nobody can have named anything with one.
_LINE_BREAK = "\0"

Read = Callable[[str, int, int], str]


def one_line_each(text: str, read: Read) -> str:
    """Make one line of each record that pg_waldump printed; ``named`` gives back what a user has named on one.

    ``read`` gives what was named from the record itself, of a kind, at a position and with a length. Raises Error where
    that is not what was printed.
    """
    if not any(f"desc: {kind} " in text for kind in _BEHIND):
        return text  # most is, and has ends of transactions by the thousand
    parts, at = [], 0
    beginning = _BEGINNING.search(text)
    while beginning is not None:
        length, high, low, words = beginning.group(2, 3, 4, 5)
        kind, lsn = words.split(" ")[0], int(high, 16) << 32 | int(low, 16)
        given = read(kind, lsn, int(length))
        printed = _as_it_is_read(given + _BEHIND[kind])
        if not text.startswith(printed, beginning.end()):
            raise Error(
                f"the record at {Lsn(lsn)} is not what pg_waldump has printed of it",
                "call it again, and compare bin_directory with the version of the cluster",
            )
        parts += [text[at : beginning.end()], given.replace("\n", _LINE_BREAK)]
        at = beginning.end() + len(printed) - len(_BEHIND[kind])
        beginning = _BEGINNING.search(text, at)
    return "".join([*parts, text[at:]])


def named(text: str) -> str:
    """Give what a user has named as it was, from a line of ``one_line_each``."""
    return text.replace(_LINE_BREAK, "\n")


def text_of(record: bytes, kind: str, major: int) -> bytes | None:
    """Find the text in a record, or in the beginning of one (None: it is not there, or not all of it)."""
    offset = _OFFSETS.get(kind, _OF_PREPARE if major >= 15 else _OF_PREPARE_BEFORE_15)
    at = _HEADER
    while record[at : at + 1] and record[at] in _OTHERS:
        at += _OTHERS[record[at]]
    if not record[at : at + 1] or record[at] not in _DATA:
        return None
    found, end, _rest = record[at + _DATA[record[at]] + offset :].partition(b"\0")
    return found if end else None


def _as_it_is_read(text: str) -> str:
    # what a program prints is read with all line breaks as one
    return text.replace("\r\n", "\n").replace("\r", "\n")
