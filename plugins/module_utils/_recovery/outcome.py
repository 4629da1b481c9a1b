# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a recovery has reached, compared with what was asked for and with what its WAL foretold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .._cluster.data_directory import RestoreRecord
from .._errors import Error
from .._values.target import Target
from .._values.times import format_time, parse_time
from .._wal.names import Lsn, TimelinePath

# SizeOfXLogLongPHD in src/include/access/xlog_internal.h, the longer one of two, shorter than the other with a record
# behind it; and the size of a page of WAL that all but specially built servers have.
_LONGEST_HEADER = 40
_PAGE = 8192
_ROLLBACK = "put the data from before back with pitr_rollback.yml"


@dataclass(frozen=True)
class Outcome:
    """Where a server is.

    ``lsn`` is up to where it has replayed WAL, and ``time`` when the last transaction in that ended (None: there was
    none, or it has restarted since). ``history`` is the way to the timeline it is on, None where nothing tells.
    """

    in_recovery: bool
    paused: bool
    timeline: int
    lsn: Lsn | None = None
    time: datetime | None = None
    history: TimelinePath | None = None


def check_outcome(record: RestoreRecord, outcome: Outcome) -> None:
    """Refuse a recovery that has paused or ended where it was not to; one that goes on is left alone."""
    target = Target.recorded(record.target)
    if outcome.in_recovery and not outcome.paused:
        return
    if outcome.in_recovery and target.kind == "latest":
        raise Error(
            f"recovery has paused at {outcome.lsn}, and it is to go on to {target}, where nothing pauses it",
            "find out who paused it; SELECT pg_wal_replay_resume() has it go on",
        )
    position = outcome.lsn if outcome.in_recovery else _left(record, target, outcome)
    verb = "has paused" if outcome.in_recovery else "ended"
    if position is not None:
        _check_position(record, target, position, verb)
    if outcome.time is not None:
        _check_time(record, target, outcome.time, verb)


def _left(record: RestoreRecord, target: Target, outcome: Outcome) -> Lsn | None:
    """Give the position at which a server left the timeline that it was to follow; None when nothing tells.

    Every recovery from an archive ends with a new timeline, and nothing else that a server does at its start begins
    one.
    """
    if outcome.timeline == (record.timeline or 1):
        raise Error(
            f"the server is not in recovery and on timeline {outcome.timeline}, from which it was restored, so no "
            f"recovery to {target} has ended here: it would have begun a timeline of its own",
            f"the server's log says what it did instead; {_again(record)}",
        )
    if outcome.history is None:
        return None
    if record.timeline is None:
        return outcome.history.branches[-2].end if len(outcome.history.branches) > 1 else None
    if record.timeline not in outcome.history.ends:
        raise Error(
            f"the server is on timeline {outcome.timeline}, which does not descend from timeline {record.timeline}, "
            "which its recovery was to follow",
            _again(record),
        )
    return outcome.history.ends[record.timeline]


def _again(record: RestoreRecord) -> str:
    back = f"{_ROLLBACK}, or " if record.undo_directory is not None else ""
    return f"{back}repeat the restore with force=true"


def _check_position(record: RestoreRecord, target: Target, position: Lsn, verb: str) -> None:
    if target.kind == "latest" and record.end_lsn is not None and is_before(position, Lsn.parse(record.end_lsn)):
        raise Error(
            f"recovery {verb} at {position}, before {record.end_lsn}, up to which the archive reaches: what was "
            "committed between the two is missing from the restored data",
            f"{_ROLLBACK}; the server's log says where the WAL could not be read, and a restore to "
            f"target_lsn={position} gives deliberately what is there now",
        )
    foreseen = _foreseen(record, target)
    if foreseen is not None and is_before(position, foreseen):
        raise Error(
            f"recovery {verb} at {position}, and is at {target} only at {foreseen}: what was committed between the two "
            "is missing",
            f"find out who paused or ended it; {_again(record)}",
        )
    if record.stop_lsn is not None and Lsn.parse(record.stop_lsn) < position:
        raise Error(
            f"recovery {verb} at {position}, which is behind {record.stop_lsn}, where {target} is: what was committed "
            "between the two is not to be there",
            _again(record),
        )


def _foreseen(record: RestoreRecord, target: Target) -> Lsn | None:
    """Give the position before which the target is not reached: the WAL's own, else the one that is the target."""
    if record.stop_lsn is not None:
        return Lsn.parse(record.stop_lsn)
    return target.value if isinstance(target.value, Lsn) else None


def _check_time(record: RestoreRecord, target: Target, found: datetime, verb: str) -> None:
    wanted = target.time
    if wanted is not None and (found > wanted or (found == wanted and not target.inclusive)):
        raise Error(
            f"recovery {verb} behind its target: the last transaction in it ended at {format_time(found)}, and the "
            f"target is {'' if target.inclusive else 'before '}{target}",
            _again(record),
        )
    if record.last_time is not None and found != parse_time(record.last_time):
        raise Error(
            f"recovery {verb} with a last transaction that ended at {format_time(found)}; the one at {target} ended at "
            f"{record.last_time}",
            _again(record),
        )


def is_before(position: Lsn, foreseen: Lsn) -> bool:
    """Tell whether a recovery that has replayed up to a position still has records to replay up to another one.

    A server gives the end of the last record. The next one begins there, or behind the header of a page: a position
    that was read off that next record is as many bytes higher, and one in the header is before it.

    >>> [is_before(Lsn(0x4000), Lsn(0x4000 + more)) for more in (0, 24, 40, 64)]
    [False, False, False, True]
    """
    header = _LONGEST_HEADER if position.value % _PAGE == 0 else 0
    return position.value + header < foreseen.value
