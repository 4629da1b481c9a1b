# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is worth keeping of the records of one segment, so that it need not be read again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from .records import Begun, Checkpoint, Parameters, Point, Record, Tablespace, TransactionEnd, moment_of, parse_records


@dataclass(frozen=True)
class Summary:
    """What is worth knowing of the records that begin in one segment.

    ``count`` transactions ended in it, between the moments ``earliest`` and ``latest``; ``last`` is the moment of the
    last one in the order of the WAL, ``lsn`` and ``end`` its place, ``xids`` the lowest and highest that ended,
    subtransactions included. The other records stand in their order; of the checkpoints the first one counts.
    """

    count: int = 0
    earliest: str | None = None
    latest: str | None = None
    last: str | None = None
    lsn: int = 0
    end: int = 0
    xids: tuple[int, int] | None = None
    points: tuple[Point, ...] = ()
    checkpoint: Checkpoint | None = None
    begun: tuple[Begun, ...] = ()
    parameters: tuple[Parameters, ...] = ()
    tablespaces: tuple[Tablespace, ...] = ()

    @classmethod
    def of(cls, records: Iterable[Record]) -> Summary:
        """Sum records up, which come in the order of the WAL."""
        kinds: dict[type, list[Any]] = {
            kind: [] for kind in (TransactionEnd, Point, Checkpoint, Begun, Parameters, Tablespace)
        }
        for record in records:
            kinds[type(record)].append(record)
        others: dict[str, Any] = {
            "points": tuple(kinds[Point]),
            "checkpoint": kinds[Checkpoint][0] if kinds[Checkpoint] else None,
            "begun": tuple(kinds[Begun]),
            "parameters": tuple(kinds[Parameters]),
            "tablespaces": tuple(kinds[Tablespace]),
        }
        ended: list[TransactionEnd] = kinds[TransactionEnd]
        if not ended:
            return cls(**others)
        times = [record.time for record in ended]
        xids = [record.xid for record in ended]
        xids += (xid for record in ended for xid in record.children)
        last = ended[-1]
        span = (len(ended), min(times), max(times), last.time)
        return cls(*span, last.lsn, last.end, (min(xids), max(xids)), **others)

    def as_document(self) -> list[Any]:
        """Give the summary in a short form that JSON can hold."""
        return list(vars(self).values())

    @classmethod
    def from_document(cls, document: Sequence[Any]) -> Summary:
        """Read that form; raises TypeError or ValueError when it is none."""
        count, earliest, latest, last, lsn, end, xids, points, checkpoint, begun, parameters, tablespaces = document
        for time in (earliest, latest, last):
            if time is not None:
                moment_of(time)
        return cls(
            *(int(count), earliest, latest, last, int(lsn), int(end)),
            None if xids is None else (int(xids[0]), int(xids[1])),
            tuple(Point(int(at), int(behind), str(name)) for at, behind, name in points),
            None if checkpoint is None else Checkpoint(*(int(value) for value in checkpoint)),
            tuple(Begun(int(at), int(timeline), int(left), str(time)) for at, timeline, left, time in begun),
            tuple(Parameters(int(at), str(text)) for at, text in parameters),
            tuple(Tablespace(int(at), int(oid), str(path)) for at, oid, path in tablespaces),
        )


def summaries(text: str, segment_size: int) -> dict[int, Summary]:
    """Sum up what pg_waldump printed, by the number of the segment in which a record begins."""
    grouped = groupby(parse_records(text), key=lambda record: record.lsn // segment_size)
    return {number: Summary.of(records) for number, records in grouped}
