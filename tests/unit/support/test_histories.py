# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule that histories are compared with: what a restore gives is a number of events from the beginning."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.histories.expectations import Situation, expected, options, settled
from tests.support.histories.ledger import SPACE, Event, Ledger, State, Target, Unclear, kept, state
from tests.support.histories.plan import aim, draw, written
from tests.support.histories.shrinking import shrink

NOON = datetime(2026, 9, 15, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def event(kind: str, position: int, seconds: float, until: float | None = None, **more: Any) -> Event:
    """Make an event between two hundreds of positions, whose last record begins from the fiftieth on."""
    last = seconds if until is None else until
    return Event(kind, position, position + 50, position + 100, at(seconds), at(last), **more)


# The clock is put back a minute after the second commit, and an abort takes a second.
PATH = [
    event("commit", 100, 0, xid=10, changes={("entry", 0): "", ("entry", 1): "one"}),
    event("backup", 200, 5, 7, name="first"),
    event("commit", 300, 30, xid=11, changes={("entry", 2): "two", ("entry", 1): None}),
    event("commit", 400, -30, xid=12, changes={("entry", 3): "three"}),
    event("point", 500, 40, name="nightly", alone=True),
    event("abort", 600, 50, 51, xid=13, changes={("entry", 4): "four"}),
    event("prepare", 700, 60, xid=14, name="p", changes={("entry", 5): "five"}),
    event("backup", 800, 70, 72, name="second"),
    event("commit", 900, 90, xid=14, name="p", changes={("entry", 5): "five"}, alone=True),
    event("point", 1000, 91, name="nightly", alone=True),
]


@pytest.mark.parametrize(
    ("kind", "value", "inclusive", "count"),
    [
        ("latest", None, True, 10),
        ("immediate", None, True, 8),
        ("time", at(-1), True, 0),
        ("time", at(0), True, 2),
        ("time", at(0), False, 0),
        ("time", at(29), True, 2),
        ("time", at(30), True, 5),
        ("time", at(40), True, 5),
        ("time", at(55), True, 8),
        ("time", at(90), False, 8),
        ("time", at(95), True, 10),
        ("xid", 12, True, 4),
        ("xid", 12, False, 3),
        ("xid", 13, True, 6),
        ("xid", 14, True, 9),
        ("xid", 15, True, None),
        ("name", "nightly", True, 10),
        ("name", "never", True, None),
        ("lsn", 400, True, 3),
        ("lsn", 450, False, 3),
        ("lsn", 500, False, 4),
        ("lsn", 250, True, 1),
        ("lsn", 950, False, 8),
        ("lsn", 2000, True, 10),
    ],
)
def test_a_target_keeps_the_events_before_the_first_that_meets_it(
    kind: str, value: Any, inclusive: bool, count: int | None
) -> None:
    assert kept(PATH, Target(kind, value, inclusive)) == count


@pytest.mark.parametrize(
    ("kind", "value", "inclusive"),
    [
        ("time", at(50.5), True),
        ("lsn", 450, True),
        ("lsn", 460, False),
        ("lsn", 500, True),
        ("lsn", 950, True),
    ],
)
def test_what_the_client_cannot_know_is_not_asked_for(kind: str, value: Any, inclusive: bool) -> None:
    with pytest.raises(Unclear):
        kept(PATH, Target(kind, value, inclusive))


def test_rows_are_those_of_the_commits_and_what_was_prepared_waits() -> None:
    rows = {("entry", 0): "", ("entry", 2): "two", ("entry", 3): "three"}
    assert state(PATH, 8) == State(rows, frozenset({"p"}))
    assert state(PATH, 10) == State({**rows, ("entry", 5): "five"}, frozenset())


def ledger(*, forked: int | None = None) -> Ledger:
    created = Ledger()
    for one in PATH:
        created.add(one)
    if forked is not None:
        created.fork(2, 1, forked)
        created.add(event("commit", 9000, 200, xid=13, changes={("entry", 6): "six"}))
    return created


def test_a_timeline_inherits_what_it_kept() -> None:
    forked = ledger(forked=4)
    assert [one.xid for one in forked.path(2)] == [10, None, 11, 12, 13]
    assert forked.leaves_something(2)
    assert forked.leaves_something(1)
    assert not ledger(forked=10).leaves_something(2)


@pytest.mark.parametrize(
    ("target", "pardons"),
    [
        (Target("xid", 11), ()),
        (Target("xid", 11, label="second"), ("no backup",)),
        (Target("xid", 10, inclusive=False), ("no backup",)),
        (Target("xid", 15), ("no such thing",)),
        (Target("time", at(55)), ("clock",)),
        (Target("time", at(1000)), ("beyond", "clock", "future")),
        (Target("lsn", 2000), ("beyond",)),
        (Target("name", "nightly"), ("beyond", "name twice")),
        (Target("latest"), ()),
        (Target("immediate"), ()),
    ],
)
def test_a_target_may_be_refused_for_a_reason_only(target: Target, pardons: tuple[str, ...]) -> None:
    assert expected(ledger(), target, Situation(len(PATH), True, at(500))).pardons == pardons


@pytest.mark.parametrize(
    ("damaged", "label", "pardons"),
    [
        ((1, 1), None, ()),
        ((1, 1), "first", ("damage",)),
        ((1, 3), None, ("damage",)),
        ((2, 3), None, ()),
    ],
)
def test_damage_counts_from_the_backup_on(
    damaged: tuple[int, int], label: str | None, pardons: tuple[str, ...]
) -> None:
    there = Situation(len(PATH), True, at(500), frozenset({damaged}), segment_bytes=400)
    assert expected(ledger(), Target("latest", label=label), there).pardons == pardons


def test_beside_its_server_a_tablespace_that_would_be_made_anew_may_be_refused() -> None:
    grown = ledger()
    grown.add(event("commit", 1100, 100, name=SPACE))
    for beside in (True, False):
        there = Situation(len(PATH) + 1, beside, at(500))
        assert expected(grown, Target("latest"), there).pardons == (("tablespace",) if beside else ())
    assert expected(grown, Target("xid", 11), Situation(11, True, at(500))).pardons == ("tablespace",)


def test_where_two_timelines_could_be_meant_it_may_be_asked_which() -> None:
    there = Situation(5, True, at(500))
    assert expected(ledger(forked=4), Target("latest"), there).pardons == ("timelines",)
    assert expected(ledger(forked=4), Target("latest", timeline=1), there).pardons == ()


def test_every_aim_becomes_a_target_that_can_be_written_down() -> None:
    drawn = random.Random("aims")
    for _turn in range(300):
        target = settled(ledger(forked=4), aim(drawn))
        kept(ledger(forked=4).path(target.timeline or 2), target)
        assert options(target)


def test_the_same_seed_draws_the_same_history() -> None:
    assert draw(random.Random("5e7b-1")) == draw(random.Random("5e7b-1")) != draw(random.Random("5e7b-2"))


def test_a_history_is_shrunk_to_what_it_fails_by() -> None:
    long = [{"verb": verb} for verb in "abcdef"] + [{"verb": "look", "aims": [{"kind": 1}, {"kind": 2}]}]
    short = shrink(long, lambda some: {"verb": "c"} in some and "{'kind': 2}" in str(some), tries=100)
    assert [written(operation) for operation in short] == ["c", "look aims=[{'kind': 2}]"]
    assert shrink(long, lambda _some: True, tries=0) == long
