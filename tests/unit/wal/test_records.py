# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pg_waldump prints is read as it is: lines of PostgreSQL 17 and 18, and forms that only look like them."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pgark.postgres.plugins.module_utils._wal.records import (
    EARLIEST,
    LATEST,
    Begun,
    Checkpoint,
    Parameters,
    Point,
    Record,
    Tablespace,
    TransactionEnd,
    is_before,
    moment_of,
    parse_position,
    parse_records,
    widened,
)
from ansible_collections.pgark.postgres.plugins.module_utils._wal.summary import Summary, summaries
from tests.unit.examples import SIZE

HEAD = "rmgr: {:11} len (rec/tot): {:6}/{:6}, tx: {:10}, lsn: {}, prev 0/016DC908, desc: {}\n"
TIME = "2026-11-21 09:12:19.887702"


def line(kind: str, description: str, lsn: str = "0/016DC948", length: int = 34, xid: int = 0) -> str:
    return HEAD.format(kind, length, length, xid, lsn, description)


@pytest.mark.parametrize(
    ("description", "xid", "found", "children"),
    [
        (f"COMMIT {TIME} UTC", 739, 739, ()),
        (f"COMMIT {TIME} UTC; inval msgs: catcache 80 snapshot 2608 relcache 16384", 739, 739, ()),
        (f"COMMIT {TIME} UTC; rels: base/5/16384; subxacts: 740 741; inval msgs: catcache 1", 739, 739, (740, 741)),
        (f"ABORT {TIME} UTC", 741, 741, ()),
        (f"ABORT {TIME} UTC; subxacts: 743", 741, 741, (743,)),
        (f"COMMIT_PREPARED 742: {TIME} UTC; subxacts: 743", 0, 742, (743,)),
        (f"ABORT_PREPARED 744: {TIME} UTC", 0, 744, ()),
    ],
)
def test_every_end_of_a_transaction_is_found(description: str, xid: int, found: int, children: tuple[int, ...]) -> None:
    (record,) = parse_records(line("Transaction", description, xid=xid))
    assert record == TransactionEnd(0x16DC948, 0x16DC948 + 40, found, TIME, children)


@pytest.mark.parametrize(
    "name", ["release", "it's 100%", "COMMIT 2026-11-21 09:12:19.887702 UTC", "rmgr: XLOG", "x" * 63, " spaced "]
)
def test_a_restore_point_has_its_whole_name(name: str) -> None:
    (record,) = parse_records(line("XLOG", f"RESTORE_POINT {name}", length=98))
    assert record == Point(0x16DC948, 0x16DC948 + 104, name)


@pytest.mark.parametrize("kind", ["ONLINE", "SHUTDOWN"])
def test_a_checkpoint_says_which_number_comes_next(kind: str) -> None:
    description = (
        f"CHECKPOINT_{kind} redo 1/16DCDC8; tli 1; prev tli 1; fpw true; wal_level replica; xid 3:745; oid 24576; "
        "multi 1; offset 0; oldest xid 730 in DB 1; oldest multi 1 in DB 1; oldest/newest commit timestamp xid: 0/0; "
        "oldest running xid 745; online"
    )
    (record,) = parse_records(line("XLOG", description, lsn="1/016DCE20", length=114))
    assert record == Checkpoint(0x1016DCE20, 0x1016DCDC8, (3 << 32) + 745)


@pytest.mark.parametrize(
    ("description", "began"),
    [
        ("END_OF_RECOVERY tli 2; prev tli 1; time 2026-11-21 09:12:19.887702 UTC", TIME),
        ("END_OF_RECOVERY tli 2; prev tli 1; time 2026-11-21 09:12:19.887702 UTC; wal_level replica", TIME),
        ("CHECKPOINT_SHUTDOWN redo 1/16DCDC8; tli 2; prev tli 1; fpw true; xid 0:745; oid 1; online", ""),
    ],
)
def test_a_timeline_begins_with_a_record_that_says_which_it_left(description: str, began: str) -> None:
    found, *_checkpoint = parse_records(line("XLOG", description))
    assert found == Begun(0x16DC948, 2, 1, began)


@pytest.mark.parametrize(("level", "minimal"), [("minimal", True), ("replica", False)])
def test_a_change_of_parameters_says_whether_recovery_gets_over_it(level: str, minimal: bool) -> None:
    text = (
        "max_connections=100 max_worker_processes=8 max_wal_senders=10 max_prepared_xacts=0 max_locks_per_xact=64 "
        f"wal_level={level} wal_log_hints=off track_commit_timestamp=off"
    )
    (record,) = parse_records(line("XLOG", f"PARAMETER_CHANGE {text}"))
    assert record == Parameters(0x16DC948, text)
    assert isinstance(record, Parameters)
    assert record.minimal == minimal


@pytest.mark.parametrize(
    ("description", "path"),
    [
        ('CREATE 24576 "/srv/fast disk"', "/srv/fast disk"),
        ('CREATE 24576 "/srv/a "quoted" place"', '/srv/a "quoted" place'),
        ("DROP 24576", ""),
    ],
)
def test_a_tablespace_that_is_made_says_where(description: str, path: str) -> None:
    assert list(parse_records(line("Tablespace", description))) == [Tablespace(0x16DC948, 24576, path)]


@given(st.integers(0, 2**63), st.integers(1 - 2**31, 2**31 - 1))
def test_a_number_near_a_checkpoint_is_known_with_all_its_bits(next_xid: int, distance: int) -> None:
    number = max(0, next_xid + distance)
    assert widened(number % 2**32, Checkpoint(0, 0, next_xid)) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        line("Transaction", f"PREPARE gid x y: {TIME} UTC; subxacts: 743"),
        line("Transaction", "INVALIDATION ; inval msgs: catcache 21"),
        line("Transaction", "ASSIGNMENT xtop 740: subxacts: 741"),
        line("XLOG", "SWITCH "),
        line("XLOG", "CHECKPOINT_REDO wal_level replica"),
        line("Heap", f"COMMIT {TIME} UTC"),
        line(
            "LogicalMessage", f"rmgr: XLOG len (rec/tot): 98/ 98, tx: 0, lsn: 0/1, prev 0/0, desc: RESTORE_POINT {TIME}"
        ),
        line("Transaction", f"COMMIT {TIME} CET"),
        "pg_waldump: first record is after 0/3000000, at 0/3000028, skipping over 40 bytes\n",
    ],
)
def test_nothing_else_is_taken_for_one(text: str) -> None:
    assert list(parse_records(text)) == []


AFTER = "error in WAL record at 0/3000A28: "


@pytest.mark.parametrize(
    ("message", "position"),
    [
        (f"{AFTER}invalid record length at 0/3000B60: expected at least 24, got 0", 0x3000B60),
        (f"{AFTER}invalid record length at 0/3000B60: wanted 24, got 0", 0x3000B60),
        (f"{AFTER}record with incorrect prev-link 0/F0 at 0/3000110", 0x3000110),
        (f"{AFTER}invalid magic number 0000 in WAL segment 0000000100000004, LSN 0/4000000, offset 0", 0x4000000),
        (f"{AFTER}incorrect resource manager data checksum in record at 1/A000B60", 0x10A000B60),
        ("could not find a valid record after 0/5000000", 0x5000000),
        ('could not locate WAL file "000000010000000000000002"', None),
    ],
)
@pytest.mark.parametrize("level", ["error", "fatal"])
def test_an_error_says_where(message: str, position: int | None, level: str) -> None:
    assert parse_position(f"pg_waldump: {level}: {message}\n") == position


def test_records_are_summed_up_by_the_segment_in_which_they_begin() -> None:
    text = (
        line("Transaction", "COMMIT 2026-11-21 09:00:02.000000 UTC", "0/3000100", xid=740)
        + line("XLOG", "RESTORE_POINT a", "0/3000200", 98)
        + line("Transaction", "ABORT 2026-11-21 09:00:01.000000 UTC", "0/3FFFFF8", xid=738)
        + line("XLOG", "RESTORE_POINT b", "0/5000028", 98)
    )
    assert summaries(text, SIZE) == {
        3: Summary(
            *(2, "2026-11-21 09:00:01.000000", "2026-11-21 09:00:02.000000", "2026-11-21 09:00:01.000000"),
            *(0x3FFFFF8, 0x4000038, (738, 740)),
            points=(Point(0x3000200, 0x3000268, "a"),),
        ),
        5: Summary(points=(Point(0x5000028, 0x5000090, "b"),)),
    }


def test_of_several_checkpoints_the_first_one_counts() -> None:
    records = [Checkpoint(100, 90, 700), Checkpoint(200, 190, 710)]
    assert Summary.of(records).checkpoint == records[0]


numbers = st.integers(0, 2**64 - 1)
records = st.lists(
    st.builds(TransactionEnd, numbers, numbers, numbers, st.just(TIME))
    | st.builds(Point, numbers, numbers, st.text())
    | st.builds(Checkpoint, numbers, numbers, numbers)
    | st.builds(Begun, numbers, numbers, numbers, st.just(TIME))
    | st.builds(Parameters, numbers, st.text())
    | st.builds(Tablespace, numbers, numbers, st.text())
)


@given(records)
def test_a_summary_survives_the_cache(found: list[Record]) -> None:
    summary = Summary.of(found)
    assert Summary.from_document(json.loads(json.dumps(summary.as_document()))) == summary


@pytest.mark.parametrize(
    "document",
    [
        [],
        [1, 2, 3, 4, 5, 6],
        [0, "x", None, None, 0, 0, None, [], None, [], [], []],
        [0, None, None, None, "x", 0, None, [], None, [], [], []],
        [0, None, None, None, 0, 0, None, [[1]], None, [], [], []],
    ],
)
def test_what_is_no_summary_is_noticed(document: list[object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        Summary.from_document(document)


def test_a_moment_is_in_utc() -> None:
    assert moment_of(TIME) == datetime(2026, 11, 21, 9, 12, 19, 887702, UTC)


@given(st.integers(0, 2**32 - 1), st.integers(1, 2**31 - 1))
def test_a_number_is_before_those_that_are_given_next(xid: int, distance: int) -> None:
    later = (xid + distance) % 2**32
    assert is_before(xid, later)
    assert not is_before(later, xid)
    assert not is_before(xid, xid)


@pytest.mark.parametrize(
    ("year", "time"), [("20000", LATEST), ("294276", LATEST), ("1", EARLIEST), ("-4712", EARLIEST)]
)
def test_a_moment_that_no_datetime_can_hold_is_the_latest_or_the_earliest_one(year: str, time: str) -> None:
    [ended] = parse_records(
        "rmgr: Transaction len (rec/tot):     34/    34, tx:        739, lsn: 0/016DC948, prev 0/016DC908, "
        f"desc: COMMIT {year}-01-01 09:12:19.887702 UTC\n"
    )
    assert isinstance(ended, TransactionEnd)
    assert ended.time == time
    assert EARLIEST < "2026-11-21 09:12:19.887702" < LATEST
    for zone in (timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))):
        assert moment_of(ended.time).astimezone(zone).year in (1000, 999, 9999)
