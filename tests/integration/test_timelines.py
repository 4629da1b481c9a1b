# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores to points on six timelines, each compared row by row with a ledger that was kept outside the database.

The history is written once for each version; every restore goes into a directory of its own beside it. The gate has
one of each kind, and draws a few of the others; all of them, on every version, belong to the soak.
"""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import cycle, product
from typing import Any

import pytest

from tests.support.history import SCENES, History, options
from tests.support.ledger import Target, parse_lsn
from tests.support.marks import ALL
from tests.support.postgres import versions
from tests.support.scenes import SHARED_NAME
from tests.support.scratch import Scratch
from tests.support.soak import FULL, Share

SHAPES = (
    "changed",
    "between",
    "aborted",
    "in parts, taken back",
    "in parts",
    "while prepared",
    "prepared",
    "at once 1",
    "at once 2",
)
KINDS = [(kind, inclusive) for kind in ("time", "xid", "lsn") for inclusive in (True, False)]
# The shapes, spread over all timelines, kinds of target, inclusive and exclusive: 36 points, four of each shape.
POINTS = [
    (timeline, *kind, f"{SCENES[timeline][-1]} {shape}")
    for (timeline, kind), shape in zip(product(SCENES, KINDS), cycle(SHAPES), strict=False)
]
# Going round by fives, nine of them have every shape, every timeline and every kind of target.
NINE_POINTS = [POINTS[5 * number % len(POINTS)] for number in range(len(SHAPES))]
LAST = [("time", True), ("time", False), ("xid", True), ("lsn", True)]
BEFORE_A_FORK = [(timeline, *kind) for timeline in (2, 4, 6) for kind in LAST]
AT_A_FORK = list(product([2, 5], ["parent", "child"], [True, False]))
ON_EACH = [(timeline,) for timeline in SCENES]
SHARED = [(1, "b"), (2, "c"), (3, "d"), (5, "f"), (6, "g")]
BACKUPS = [("first", 1), ("second", 1), ("second", 5), ("stray", 2), ("third", 3), ("third", 6)]
NEWEST = versions()[-1]
SHARE = Share("timelines")
TRIED = ALL if FULL else [NEWEST]


def spread(
    names: str, everything: list[tuple[Any, ...]], one_of_each: list[tuple[Any, ...]], drawn: int = 1
) -> pytest.MarkDecorator:
    """Have the gate try one of each kind, on the newest version, and draw some more; the soak tries everything."""
    kept = [] if FULL else [(NEWEST, *case) for case in one_of_each]
    others = [case for case in ((version, *rest) for version in TRIED for rest in everything) if case not in kept]
    marked = [(case, ()) for case in kept] + [(case, pytest.mark.soak) for case in SHARE.of(others, drawn)]
    cases = [pytest.param(*case, marks=marks, id=f"pg{'-'.join(map(str, case))}") for case, marks in marked]
    return pytest.mark.parametrize(f"version, {names}", cases, indirect=["version"])


@pytest.fixture
def scratch(history: History) -> Scratch:
    """Restore beside the history."""
    return Scratch(history.subject)


def check(history: History, scratch: Scratch, timeline: int, target: Target, lsn: int) -> None:
    """Restore to a target on a timeline; the nearest backup before the position of the target is the one to use."""
    restored = scratch.restore(**options(target), target_timeline=str(timeline))
    assert restored.state.rows == history.state(timeline, target).rows
    assert restored.backup == history.nearest_backup(timeline, lsn)


@spread("timeline, kind, inclusive, label", POINTS, NINE_POINTS, drawn=4)
def test_a_point_on_a_timeline(
    history: History, scratch: Scratch, timeline: int, kind: str, inclusive: bool, label: str
) -> None:
    target = history.target(timeline, kind, label, inclusive)
    check(history, scratch, timeline, target, history.event(timeline, label).lsn)


@spread("timeline", ON_EACH, [(4,)])
def test_a_restore_point_with_quotes_in_its_name(history: History, scratch: Scratch, timeline: int) -> None:
    label = f"{SCENES[timeline][-1]} point"
    check(history, scratch, timeline, history.target(timeline, "name", label), history.event(timeline, label).lsn)


@spread("timeline, tag", SHARED, [(6, "g")])
def test_a_name_that_every_timeline_has_is_the_last_one_on_the_path(
    history: History, scratch: Scratch, timeline: int, tag: str
) -> None:
    restored = scratch.restore(target_name=SHARED_NAME, target_timeline=str(timeline))
    path = history.paths[timeline]
    kept = path.events.index(history.event(timeline, f"{tag} {SHARED_NAME}")) + 1
    assert restored.state.rows == path.state(kept).rows


def test_a_name_that_is_there_twice_is_settled_by_the_position_that_is_offered(
    history: History, scratch: Scratch
) -> None:
    told = history.subject.run("backup_info", target_name=SHARED_NAME, target_timeline="4")["reason"]
    offered = re.search(r"target_lsn=(\S+) and target_inclusive=false", told)
    assert offered, told
    restored = scratch.restore(target_lsn=offered[1], target_inclusive=False, target_timeline="4")
    path = history.paths[4]
    kept = path.events.index(history.event(4, f"e {SHARED_NAME}")) + 1
    assert restored.state.rows == path.state(kept).rows


@spread("timeline, kind, inclusive", BEFORE_A_FORK, BEFORE_A_FORK[::5] + BEFORE_A_FORK[3:4], drawn=2)
def test_the_last_transaction_before_a_fork(
    history: History, scratch: Scratch, timeline: int, kind: str, inclusive: bool
) -> None:
    """What the parent went on to do is not there, however near."""
    _parent, kept, _begin = history.forks[timeline]
    last = next(event for event in reversed(history.paths[timeline].events[:kept]) if event.label)
    check(history, scratch, timeline, history.target(timeline, kind, str(last.label), inclusive), last.lsn)


@spread("timeline, on, inclusive", AT_A_FORK, AT_A_FORK[:4])
def test_the_position_of_a_fork(history: History, scratch: Scratch, timeline: int, on: str, inclusive: bool) -> None:
    """The same position is another moment on the branch that was left and on the one that was taken."""
    parent, _kept, begin = history.forks[timeline]
    followed = parent if on == "parent" else timeline
    check(history, scratch, followed, Target("lsn", begin, inclusive), begin)


@pytest.mark.parametrize("inclusive", [True, False])
def test_a_position_in_the_middle_of_a_record(history: History, scratch: Scratch, inclusive: bool) -> None:
    lsn = history.event(3, "d at once 1").lsn + 1
    check(history, scratch, 3, Target("lsn", lsn, inclusive), lsn)


@pytest.mark.parametrize("microseconds", [-1, 1])
@pytest.mark.parametrize("inclusive", [True, False])
def test_a_microsecond_beside_a_commit(history: History, scratch: Scratch, microseconds: int, inclusive: bool) -> None:
    event = history.event(2, "c at once 1")
    assert event.time
    moment = event.time + timedelta(microseconds=microseconds)
    check(history, scratch, 2, Target("time", moment, inclusive), event.lsn)


@pytest.mark.parametrize("kind", ["time", "xid", "lsn"])
def test_a_point_within_a_backup_is_reached_from_the_one_before(history: History, scratch: Scratch, kind: str) -> None:
    start, stop = (parse_lsn(history.backups["second"][name]) for name in ("start_lsn", "stop_lsn"))
    event = next(event for event in history.paths[1].events if start < event.lsn < stop and event.label)
    assert history.nearest_backup(1, event.lsn) == "first"
    check(history, scratch, 1, history.target(1, kind, str(event.label)), event.lsn)


@spread("timeline", ON_EACH, [(1,), (3,)])
def test_all_of_a_timeline(history: History, scratch: Scratch, timeline: int) -> None:
    restored = scratch.restore(target="latest", target_timeline=str(timeline))
    assert restored.state == history.state(timeline, Target("latest", None))


def test_latest_is_the_end_of_the_latest_timeline(history: History, scratch: Scratch) -> None:
    restored = scratch.restore(target="latest")
    assert restored.state == history.state(6, Target("latest", None))
    assert restored.backup == "third"


@spread("label, timeline", BACKUPS, [("second", 5), ("third", 3)])
def test_immediate_is_the_end_of_the_backup(history: History, scratch: Scratch, label: str, timeline: int) -> None:
    restored = scratch.restore(target="immediate", backup_label=label, target_timeline=str(timeline))
    path, stop = history.paths[timeline], parse_lsn(history.backups[label]["stop_lsn"])
    assert restored.state.rows == path.state(sum(event.lsn < stop for event in path.events)).rows


@spread("label, timeline", [("first", 1), ("stray", 2), ("third", 3)], [("stray", 2)])
def test_current_is_the_timeline_of_the_backup(history: History, scratch: Scratch, label: str, timeline: int) -> None:
    restored = scratch.restore(target="latest", backup_label=label, target_timeline="current")
    assert restored.state == history.state(timeline, Target("latest", None))


def test_a_moment_on_an_abandoned_branch_is_that_moment_on_the_latest_path(history: History, scratch: Scratch) -> None:
    """At that moment timeline 4 was being written; on the way to 6 nothing happened then."""
    target = history.target(4, "time", "e last")
    restored = scratch.restore(**options(target))
    assert restored.state.rows == history.state(6, target).rows
    assert "target_timeline=4" in " ".join(restored.warnings)


def test_an_earlier_backup_may_be_asked_for(history: History, scratch: Scratch) -> None:
    target = history.target(6, "xid", "g aborted")
    restored = scratch.restore(**options(target), backup_label="first")
    assert (restored.backup, restored.state.rows) == ("first", history.state(6, target).rows)


def test_a_prepared_transaction_still_waits_after_the_promotion(history: History, scratch: Scratch) -> None:
    target = history.target(5, "xid", "f while prepared")
    restored = scratch.restore(promote=True, **options(target), target_timeline="5")
    assert restored.state == history.state(5, target)
    assert restored.state.prepared == {"f's"}


def test_the_windows_end_with_the_last_transaction_of_each_timeline(history: History) -> None:
    """A timeline that another one goes on from at its very end has no window of its own."""
    found = {window["timeline"]: window["until"] for window in history.subject.run("backup_info")["windows"]}
    assert found == {timeline: last_transaction(history, timeline) for timeline in (1, 2, 4, 5, 6)}


def last_transaction(history: History, timeline: int) -> str:
    times = [event.time for event in history.paths[timeline].events if event.ends and event.time]
    return times[-1].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
