# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pg_waldump prints about the records that decide over a recovery.

Those are ends of transactions, restore points, checkpoints, beginnings of timelines, changes of parameters and
tablespaces. Source of the forms: ``XLogDumpDisplayRecord`` in ``src/bin/pg_waldump/pg_waldump.c`` and ``xactdesc.c``,
``xlogdesc.c``, ``tblspcdesc.c`` in ``src/backend/access/rmgrdesc``. They are the same from PostgreSQL 13 to 18. Moments
are printed in the zone of the environment, which is to be UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import MAXYEAR, datetime, timezone
from typing import NamedTuple, Union

from .users_text import named

_LINE = re.compile(
    r"^rmgr: (?:Transaction|XLOG|Tablespace) +len \(rec/tot\): *\d+/ *(?P<length>\d+), tx: *(?P<xid>\d+), "
    r"lsn: (?P<high>[0-9A-F]+)/(?P<low>[0-9A-F]+), prev [0-9A-F]+/[0-9A-F]+, desc: (?:"
    r"(?P<end>COMMIT|ABORT|COMMIT_PREPARED|ABORT_PREPARED) (?:(?P<prepared>\d+): )?"
    r"(?P<time>-?\d+-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}) UTC(?:[^\n]*; subxacts:(?P<children>(?: \d+)+))?"
    r"|RESTORE_POINT (?P<name>.+)"
    r"|CHECKPOINT_(?:ONLINE|SHUTDOWN) redo (?P<redo_high>[0-9A-F]+)/(?P<redo_low>[0-9A-F]+); "
    r"tli (?P<timeline>\d+); prev tli (?P<left>\d+);.* xid (?P<epoch>\d+):(?P<next>\d+);"
    r"|END_OF_RECOVERY tli (?P<new>\d+); prev tli (?P<old>\d+);(?: time (?P<began>[-\d]+ [:\d.]+) UTC)?"
    r"|PARAMETER_CHANGE (?P<parameters>.+)"
    r"|(?P<tablespace>CREATE|DROP) (?P<oid>\d+)(?: \"(?P<path>.*)\")?"
    r")",
    re.MULTILINE,
)
_OF_AN_END = ("length", "xid", "high", "low", "end", "prepared", "time", "children")
_POSITION = re.compile(r"(?:\bat|\bLSN|\bafter) ([0-9A-F]{1,8})/([0-9A-F]{1,8})")
# MAXALIGN: the next record begins at a multiple of it.
_ALIGNMENT = 8
_PAGE = 8192  # XLOG_BLCKSZ as PostgreSQL is built everywhere
PAGE_HEADER = 24  # SizeOfXLogShortPHD


class TransactionEnd(NamedTuple):
    """The end of a transaction; ``end`` is where its record ends, or a little before that; ``time`` is in UTC.

    ``children`` are the subtransactions that ended with it: released savepoints, which have no end of their own.
    """

    lsn: int
    end: int
    xid: int
    time: str
    children: tuple[int, ...] = ()


class Point(NamedTuple):
    """A restore point."""

    lsn: int
    end: int
    name: str


class Checkpoint(NamedTuple):
    """A checkpoint: no transaction from ``next_xid`` on, which has 64 bits, has written anything before ``redo``."""

    lsn: int
    redo: int
    next_xid: int


class Begun(NamedTuple):
    """The first record of a timeline, with the one that it left; ``time`` is empty where the record has none."""

    lsn: int
    timeline: int
    left: int
    time: str


class Parameters(NamedTuple):
    """A change of the settings that a recovery depends on, as pg_waldump prints them: ``max_connections=100 ...``."""

    lsn: int
    text: str

    @property
    def minimal(self) -> bool:
        """Tell whether the WAL behind it has too little for a recovery, which refuses to go on here."""
        return "wal_level=minimal" in self.text.split()


class Tablespace(NamedTuple):
    """A tablespace that is made at ``path``, or dropped, where ``path`` is empty."""

    lsn: int
    oid: int
    path: str


_FIRST_YEAR = 1000
EARLIEST, LATEST = "1000-01-01 00:00:00.000000", "9999-12-30 23:59:59.999999"

Record = Union[TransactionEnd, Point, Checkpoint, Begun, Parameters, Tablespace]


def parse_records(text: str) -> Iterator[Record]:
    r"""Read the output of pg_waldump, each record of it on one line; records of other kinds are left out.

    What users have named may have more lines, of which any may look like a record: see ``users_text.py``.
    A prepared transaction ends with COMMIT_PREPARED or ABORT_PREPARED, whose own header names no transaction.

    >>> list(parse_records(
    ...     "rmgr: Transaction len (rec/tot):     34/    34, tx:        739, lsn: 0/016DC948, prev 0/016DC908, "
    ...     "desc: COMMIT 2026-11-21 09:12:19.887702 UTC\n"
    ...     "rmgr: Transaction len (rec/tot):     42/    42, tx:          0, lsn: 0/016DC970, prev 0/016DC948, "
    ...     "desc: ABORT_PREPARED 744: 2026-11-21 09:12:20.000000 UTC\n"
    ...     "rmgr: XLOG        len (rec/tot):     98/    98, tx:          0, lsn: 0/016DC9A0, prev 0/016DC970, "
    ...     "desc: RESTORE_POINT it's 100%\n"
    ... ))  # doctest: +NORMALIZE_WHITESPACE
    [TransactionEnd(lsn=23972168, end=23972208, xid=739, time='2026-11-21 09:12:19.887702', children=()),
     TransactionEnd(lsn=23972208, end=23972256, xid=744, time='2026-11-21 09:12:20.000000', children=()),
     Point(lsn=23972256, end=23972360, name="it's 100%")]
    """
    for match in _LINE.finditer(text):
        length, xid, high, low, ended, prepared, time, words = match.group(*_OF_AN_END)
        lsn = int(high, 16) << 32 | int(low, 16)
        if ended:  # of which there are thousands in a segment
            children = tuple(map(int, words.split())) if words else ()
            if len(time) != len(LATEST) or not EARLIEST <= time <= LATEST:
                time = representable(time)
            yield TransactionEnd(lsn, end_of_record(lsn, int(length)), int(prepared or xid), time, children)
        else:
            yield from _other_records(match, lsn)


def _other_records(match: re.Match[str], lsn: int) -> Iterator[Record]:
    if match["name"]:
        yield Point(lsn, end_of_record(lsn, int(match["length"])), named(match["name"]))
    elif match["parameters"]:
        yield Parameters(lsn, match["parameters"].strip())
    elif match["tablespace"]:
        yield Tablespace(lsn, int(match["oid"]), named(match["path"] or ""))
    elif match["new"]:
        yield Begun(lsn, int(match["new"]), int(match["old"]), representable(match["began"] or ""))
    else:
        # A timeline begins with a record of its own, or with the checkpoint of a shutdown.
        if match["timeline"] != match["left"]:
            yield Begun(lsn, int(match["timeline"]), int(match["left"]), "")
        redo = int(match["redo_high"], 16) << 32 | int(match["redo_low"], 16)
        yield Checkpoint(lsn, redo, int(match["epoch"]) << 32 | int(match["next"]))


def end_of_record(lsn: int, length: int) -> int:
    """Give the position behind a record: the header of each page that it goes on in is no part of its length.

    The first page of a segment has a longer header, by 16 bytes; a record that crosses into one ends that much later.

    >>> hex(end_of_record(0x2000028, 42)), hex(end_of_record(0xD01FB8, 98))
    ('0x2000058', '0xd02038')
    """
    left, room = length, _PAGE - lsn % _PAGE
    while left > room:
        lsn, left, room = lsn + room + PAGE_HEADER, left - room, _PAGE - PAGE_HEADER
    return lsn + -(-left // _ALIGNMENT) * _ALIGNMENT


def parse_position(message: str) -> int | None:
    """Find in an error of pg_waldump the position at which it could not go on.

    >>> hex(parse_position("pg_waldump: error: error in WAL record at 0/3000A28: "
    ...                    "invalid record length at 0/3000B60: expected at least 24, got 0"))
    '0x3000b60'
    """
    found = _POSITION.findall(message)
    return int(found[-1][0], 16) << 32 | int(found[-1][1], 16) if found else None


def representable(time: str) -> str:
    """Give a record's time with a year of four digits, so that times are in the order of their texts.

    PostgreSQL takes years up to 294276. One of more digits is later than any target, as is the last day that every zone
    can name; one of less is earlier.

    >>> representable("20000-01-01 00:00:00.000000"), representable("1-01-01 00:00:00.000000")
    ('9999-12-30 23:59:59.999999', '1000-01-01 00:00:00.000000')
    """
    if not time:
        return time
    year = int(time[: time.index("-", 1)])
    return EARLIEST if year < _FIRST_YEAR else min(time, LATEST) if year <= MAXYEAR else LATEST


def moment_of(text: str) -> datetime:
    """Give the moment that a record holds."""
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def widened(xid: int, checkpoint: Checkpoint) -> int:
    """Give all 64 bits of a transaction's number that stands near a checkpoint: the WAL has the lower half.

    >>> hex(widened(5, Checkpoint(0, 0, (7 << 32) + 0xFFFFFFFE))), hex(widened(0xFFFFFFF0, Checkpoint(0, 0, 8 << 32)))
    ('0x800000005', '0x7fffffff0')
    """
    distance = (xid - checkpoint.next_xid) % (1 << 32)
    return checkpoint.next_xid + distance - (1 << 32 if distance >= 1 << 31 else 0)


def is_before(xid: int, other: int) -> bool:
    """Tell whether one transaction number was given before another; numbers go round: ``TransactionIdPrecedes``.

    >>> is_before(4294967295, 3), is_before(3, 4294967295)
    (True, False)
    """
    return 0 < (other - xid) % (1 << 32) < 1 << 31
