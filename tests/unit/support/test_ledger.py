# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import doctest
from datetime import UTC, datetime

import pytest

from tests.support import ledger
from tests.support.ledger import Notes, Path, State, Target, Transaction, labelled, read_wal

WAL = """\
rmgr: Heap        len (rec/tot):     59/    59, tx:        739, lsn: 0/00000010, prev 0/00000000, desc: INSERT off: 1
rmgr: Transaction len (rec/tot):     34/    34, tx:        739, lsn: 0/00000020, prev 0/00000010, \
desc: COMMIT 2026-11-21 09:06:30.000001 UTC
rmgr: Transaction len (rec/tot):     34/    34, tx:        740, lsn: 0/00000030, prev 0/00000020, \
desc: ABORT 2026-11-21 09:06:30.000002 UTC
rmgr: XLOG        len (rec/tot):     98/    98, tx:          0, lsn: 0/00000040, prev 0/00000030, \
desc: RESTORE_POINT before, "it"
rmgr: Transaction len (rec/tot):    242/   242, tx:        741, lsn: 0/00000050, prev 0/00000040, \
desc: PREPARE gid a: b: 2026-11-21 09:06:30.000003 UTC
rmgr: Standby     len (rec/tot):     50/    50, tx:          0, lsn: 0/00000060, prev 0/00000050, desc: RUNNING_XACTS
rmgr: Transaction len (rec/tot):     42/    42, tx:          0, lsn: 0/00000070, prev 0/00000060, \
desc: COMMIT_PREPARED 741: 2026-11-21 09:06:30.000004 UTC
rmgr: Transaction len (rec/tot):     46/    46, tx:        742, lsn: 0/00000080, prev 0/00000070, \
desc: COMMIT 2026-11-21 09:06:30.000004 UTC; subxacts: 743
rmgr: Heap        len (rec/tot):     59/    59, tx:        744, lsn: 0/00000090, prev 0/00000080, desc: INSERT off: 9
"""
NOTES = Notes(
    {
        739: Transaction("one", {1: "one", 2: "one"}),
        740: Transaction("lost", {3: "lost"}),
        741: Transaction("two", {1: "two"}, gid="a: b"),
        742: Transaction("three", {2: None}),
    },
    ["mark"],
)


def at(microsecond: int) -> datetime:
    return datetime(2026, 11, 21, 9, 6, 30, microsecond, UTC)


@pytest.fixture
def path() -> Path:
    return read_wal(WAL, 1, NOTES)


def test_examples_in_docstrings() -> None:
    result = doctest.testmod(ledger)
    assert result.attempted > 0
    assert result.failed == 0


def test_events_are_read_with_what_their_writer_said(path: Path) -> None:
    found = [(event.kind, event.label, event.xid, event.name) for event in path.events]
    assert found == [
        ("commit", "one", 739, None),
        ("abort", "lost", 740, None),
        ("name", "mark", None, 'before, "it"'),
        ("prepare", None, 741, "a: b"),
        ("commit", "two", 741, "a: b"),
        ("commit", "three", 742, None),
    ]
    assert labelled(path.events, "two").time == at(4)
    assert len(path.records) == 9


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        (Target("time", at(1)), 1),
        (Target("time", at(1), inclusive=False), 0),
        (Target("time", at(3)), 4),
        (Target("time", at(4), inclusive=False), 4),
        (Target("xid", 739), 1),
        (Target("xid", 739, inclusive=False), 0),
        (Target("xid", 740), 2),
        (Target("xid", 741), 5),
        (Target("name", 'before, "it"'), 3),
        (Target("name", 'before, "it"', inclusive=False), 3),
        (Target("lsn", 0x20), 1),
        (Target("lsn", 0x20, inclusive=False), 0),
        (Target("lsn", 0x21), 2),
        (Target("lsn", 0x21, inclusive=False), 1),
        (Target("lsn", 0x10), 0),
        (Target("lsn", 0x60), 4),
        (Target("latest", None), 6),
    ],
    ids=str,
)
def test_recovery_stops_where_the_server_would(path: Path, target: Target, kept: int) -> None:
    assert path.kept(target) == kept


@pytest.mark.parametrize("target", [Target("xid", 743), Target("name", "nosuch"), Target("time", at(4))], ids=str)
def test_a_target_that_recovery_never_meets_is_an_error(path: Path, target: Target) -> None:
    with pytest.raises(ValueError, match="recovery never meets"):
        path.kept(target)


@pytest.mark.parametrize(
    ("kept", "state"),
    [
        (0, State({}, frozenset())),
        (2, State({1: "one", 2: "one"}, frozenset())),
        (4, State({1: "one", 2: "one"}, frozenset({"a: b"}))),
        (5, State({1: "two", 2: "one"}, frozenset())),
        (6, State({1: "two"}, frozenset())),
    ],
)
def test_commits_add_up(path: Path, kept: int, state: State) -> None:
    assert path.state(kept) == state


def test_a_timeline_inherits_what_was_before_it(path: Path) -> None:
    child = path.up_to(1, 0x30) + Path([0x38], [])
    assert child.records == [0x10, 0x20, 0x38]
    assert child.state(1) == path.state(1)


def test_the_server_and_the_wal_have_to_agree_on_a_time() -> None:
    with pytest.raises(AssertionError, match="transaction 739"):
        read_wal(WAL, 1, Notes({739: Transaction("one", {}, at(2))}, ["mark"]))
