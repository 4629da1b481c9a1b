# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pg_waldump prints about the ends of transactions, restore points and checkpoints.

Source of the forms: ``XLogDumpDisplayRecord`` in ``src/bin/pg_waldump/pg_waldump.c`` and ``xactdesc.c``, ``xlogdesc.c``
in ``src/backend/access/rmgrdesc``. They are the same from PostgreSQL 13 to 18. Moments are printed in the zone of the
environment, which is to be UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import groupby
from typing import Any, NamedTuple

_LINE = re.compile(
    r"^rmgr: (?:Transaction|XLOG) +len \(rec/tot\): *\d+/ *(?P<length>\d+), tx: *(?P<xid>\d+), "
    r"lsn: (?P<high>[0-9A-F]+)/(?P<low>[0-9A-F]+), prev [0-9A-F]+/[0-9A-F]+, desc: (?:"
    r"(?P<end>COMMIT|ABORT|COMMIT_PREPARED|ABORT_PREPARED) (?:(?P<prepared>\d+): )?"
    r"(?P<time>\d{4,}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}) UTC(?:[^\n]*; subxacts:(?P<children>(?: \d+)+))?"
    r"|RESTORE_POINT (?P<name>.+)"
    r"|CHECKPOINT_(?:ONLINE|SHUTDOWN) redo (?P<redo_high>[0-9A-F]+)/(?P<redo_low>[0-9A-F]+);.* xid \d+:(?P<next>\d+);"
    r")",
    re.MULTILINE,
)
_POSITION = re.compile(r"(?:\bat|\bLSN|\bafter) ([0-9A-F]{1,8})/([0-9A-F]{1,8})")
# MAXALIGN: the next record begins at a multiple of it.
_ALIGNMENT = 8
_PAGE = 8192  # XLOG_BLCKSZ as PostgreSQL is built everywhere
_PAGE_HEADER = 24  # SizeOfXLogShortPHD


class Ended(NamedTuple):
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
    """A checkpoint: no transaction from ``next_xid`` on has written anything before ``redo``."""

    lsn: int
    redo: int
    next_xid: int


def parse_records(text: str) -> Iterator[Ended | Point | Checkpoint]:
    r"""Read the output of pg_waldump; records of other kinds are left out.

    A prepared transaction ends with COMMIT_PREPARED or ABORT_PREPARED, whose own header names no transaction.

    >>> list(parse_records(
    ...     "rmgr: Transaction len (rec/tot):     34/    34, tx:        739, lsn: 0/016DC948, prev 0/016DC908, "
    ...     "desc: COMMIT 2026-11-21 09:12:19.887702 UTC\n"
    ...     "rmgr: Transaction len (rec/tot):     42/    42, tx:          0, lsn: 0/016DC970, prev 0/016DC948, "
    ...     "desc: ABORT_PREPARED 744: 2026-11-21 09:12:20.000000 UTC\n"
    ...     "rmgr: XLOG        len (rec/tot):     98/    98, tx:          0, lsn: 0/016DC9A0, prev 0/016DC970, "
    ...     "desc: RESTORE_POINT it's 100%\n"
    ... ))  # doctest: +NORMALIZE_WHITESPACE
    [Ended(lsn=23972168, end=23972208, xid=739, time='2026-11-21 09:12:19.887702', children=()),
     Ended(lsn=23972208, end=23972256, xid=744, time='2026-11-21 09:12:20.000000', children=()),
     Point(lsn=23972256, end=23972360, name="it's 100%")]
    """
    for match in _LINE.finditer(text):
        lsn = int(match["high"], 16) << 32 | int(match["low"], 16)
        end = end_of_record(lsn, int(match["length"]))
        if match["end"]:
            children = tuple(int(word) for word in (match["children"] or "").split())
            yield Ended(lsn, end, int(match["prepared"] or match["xid"]), match["time"], children)
        elif match["name"]:
            yield Point(lsn, end, match["name"])
        else:
            yield Checkpoint(lsn, int(match["redo_high"], 16) << 32 | int(match["redo_low"], 16), int(match["next"]))


def end_of_record(lsn: int, length: int) -> int:
    """Give the position behind a record: the header of each page that it goes on in is no part of its length.

    The first page of a segment has a longer header, by 16 bytes; a record that crosses into one ends that much later.

    >>> hex(end_of_record(0x2000028, 42)), hex(end_of_record(0xD01FB8, 98))
    ('0x2000058', '0xd02038')
    """
    left, room = length, _PAGE - lsn % _PAGE
    while left > room:
        lsn, left, room = lsn + room + _PAGE_HEADER, left - room, _PAGE - _PAGE_HEADER
    return lsn + -(-left // _ALIGNMENT) * _ALIGNMENT


def parse_position(message: str) -> int | None:
    """Find in an error of pg_waldump the position at which it could not go on.

    >>> hex(parse_position("pg_waldump: error: error in WAL record at 0/3000A28: "
    ...                    "invalid record length at 0/3000B60: expected at least 24, got 0"))
    '0x3000b60'
    """
    found = _POSITION.findall(message)
    return int(found[-1][0], 16) << 32 | int(found[-1][1], 16) if found else None


def moment_of(text: str) -> datetime:
    """Give the moment that a record holds."""
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Summary:
    """What is worth knowing of the records that begin in one segment.

    ``time`` is the latest at which one of its transactions ended, ``lsn`` and ``end`` are the place of the last one,
    ``xids`` the lowest and highest that ended, subtransactions included; ``points`` are its restore points, in order.
    """

    time: str | None = None
    lsn: int = 0
    end: int = 0
    xids: tuple[int, int] | None = None
    points: tuple[Point, ...] = ()
    checkpoint: Checkpoint | None = None

    @classmethod
    def of(cls, records: Iterable[Ended | Point | Checkpoint]) -> Summary:
        """Sum records up, which come in the order of the WAL; of several checkpoints the first one counts."""
        ended: list[Ended] = []
        points: list[Point] = []
        checkpoints: list[Checkpoint] = []
        kinds: dict[type, list[Any]] = {Ended: ended, Point: points, Checkpoint: checkpoints}
        for record in records:
            kinds[type(record)].append(record)
        if not ended:
            return cls(points=tuple(points), checkpoint=checkpoints[0] if checkpoints else None)
        xids = [xid for record in ended for xid in (record.xid, *record.children)]
        return cls(
            max(record.time for record in ended),
            *(ended[-1].lsn, ended[-1].end, (min(xids), max(xids))),
            *(tuple(points), checkpoints[0] if checkpoints else None),
        )

    def as_document(self) -> list[Any]:
        """Give the summary in a short form that JSON can hold."""
        return [self.time, self.lsn, self.end, self.xids, self.points, self.checkpoint]

    @classmethod
    def from_document(cls, document: Sequence[Any]) -> Summary:
        """Read that form; raises TypeError or ValueError when it is none."""
        time, lsn, end, xids, points, checkpoint = document
        if time is not None:
            moment_of(time)
        return cls(
            *(time, int(lsn), int(end), None if xids is None else (int(xids[0]), int(xids[1]))),
            tuple(Point(int(point[0]), int(point[1]), str(point[2])) for point in points),
            None if checkpoint is None else Checkpoint(*(int(value) for value in checkpoint)),
        )


def summaries(text: str, segment_size: int) -> dict[int, Summary]:
    """Sum up what pg_waldump printed, by the number of the segment in which a record begins."""
    grouped = groupby(parse_records(text), key=lambda record: record.lsn // segment_size)
    return {number: Summary.of(records) for number, records in grouped}


def is_before(xid: int, other: int) -> bool:
    """Tell whether one transaction number was given before another; numbers go round: ``TransactionIdPrecedes``.

    >>> is_before(4294967295, 3), is_before(3, 4294967295)
    (True, False)
    """
    return 0 < (other - xid) % (1 << 32) < 1 << 31
