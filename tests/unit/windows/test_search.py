# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transactions, restore points and positions are found where they are, and what is nowhere is refused with what is."""

from dataclasses import replace

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._values.target import Target
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn
from ansible_collections.pgark.postgres.plugins.module_utils._wal.records import Checkpoint
from ansible_collections.pgark.postgres.plugins.module_utils._windows.choice import RestoreQuery
from ansible_collections.pgark.postgres.plugins.module_utils._windows.refusals import Unreachable
from ansible_collections.pgark.postgres.plugins.module_utils._windows.search import Search
from tests.unit.examples import backup, catalog, fork
from tests.unit.replay import LENGTH, FakeWal, choose, commit, lsn, point, steady, wal_of, windows
from tests.unit.windows.test_spans import FORKED, HISTORY, WHOLE, without
from tests.unit.windows.test_windows import BACKUPS, NOW

SHORT = tuple(replace(each, start_lsn=Lsn(each.stop_lsn.value - 0x1000)) for each in BACKUPS)
SUBJECT = catalog(SHORT, WHOLE)
BRANCHES = catalog(SHORT, FORKED, HISTORY)


def named(name: str, timeline: int | None = None) -> Target:
    return Target("name", name, timeline=timeline)


def numbered(xid: int, timeline: int | None = None) -> Target:
    return Target("xid", xid, timeline=timeline)


def placed(segment: float, timeline: int | None = None, inclusive: bool = True) -> Target:
    return Target("lsn", Lsn(lsn(segment)), inclusive, timeline)


def refused(target: Target, wal: FakeWal, label: str | None = None, subject: object = SUBJECT) -> str:
    with pytest.raises(Unreachable) as caught:
        choose(subject, target, label, wal)
    return str(caught.value)


POINTS = wal_of((1, point(4, "old")), (1, point(7, "release")), (1, point(10, "newest")), (1, commit(11, 110)))


@pytest.mark.parametrize(
    ("name", "label", "segment"), [("old", "monday", 4), ("release", "tuesday", 7), ("newest", "wednesday", 10)]
)
def test_a_restore_point_is_reached_from_the_newest_backup_before_it(name: str, label: str, segment: int) -> None:
    chosen = choose(SUBJECT, named(name), wal=POINTS)
    assert (chosen.backup.label, chosen.end_lsn) == (label, Lsn(lsn(segment) + LENGTH))
    assert chosen.segments == 2


def test_a_search_ends_with_the_backup_behind_which_it_found_something() -> None:
    wal = wal_of((1, point(4, "release")), (1, point(10, "release")), (1, commit(12, 120)))
    assert choose(SUBJECT, named("release"), wal=wal).backup.label == "wednesday"
    assert choose(SUBJECT, named("release"), "monday", wal_of((1, point(4, "release")))).backup.label == "monday"


@pytest.mark.parametrize(("first", "second"), [(9.75, 10), (9.25, 10)])
def test_two_restore_points_of_one_name_behind_one_backup_are_refused(first: float, second: float) -> None:
    """Recovery would stop at the first one, and not even start when that lies before the end of the backup."""
    subject = catalog([*SHORT[:2], backup("wednesday", 90, 9, start_lsn=Lsn(lsn(9.125)))], WHOLE)
    said = refused(named("twice"), wal_of((1, point(first, "twice")), (1, point(second, "twice"))), subject=subject)
    places = [Lsn(lsn(place) + LENGTH) for place in (first, second)]
    assert said == (
        f"there are 2 restore points of this name behind one backup, at {places[0]} (timeline 1) and {places[1]} "
        "(timeline 1): target restore point 'twice' could mean any of them\n"
        f"HINT: say which with its position, such as target_lsn={places[1]} and target_inclusive=false"
    )


def test_a_restore_point_between_start_and_end_of_a_backup_is_reached_from_an_older_one() -> None:
    subject = catalog([*SHORT[:2], backup("wednesday", 90, 9, start_lsn=Lsn(lsn(9)))], WHOLE)
    assert choose(subject, named("within"), wal=wal_of((1, point(9.25, "within")))).backup.label == "tuesday"


def test_an_unknown_restore_point_is_refused_with_the_known_ones() -> None:
    assert refused(named("releese"), POINTS) == (
        "there is no restore point 'releese' in the WAL on the way to timeline 1, which can be replayed from 0/3800000 "
        "to 0/B000030\nHINT: its newest restore points are: 'newest', 'release', 'old'"
    )
    assert "HINT: it has no restore point at all; use a target_time" in refused(named("x"), wal_of())


TRANSACTIONS = wal_of(
    (1, commit(4, 40, 704)), (1, commit(7, 70, 709)), (1, commit(8, 80, 707)), (1, commit(10, 100, 710))
)


@pytest.mark.parametrize(
    ("xid", "label", "segment"), [(704, "monday", 4), (709, "tuesday", 7), (707, "tuesday", 8), (710, "wednesday", 10)]
)
@pytest.mark.parametrize("inclusive", [True, False])
def test_a_transaction_is_reached_where_it_ended(xid: int, label: str, segment: int, inclusive: bool) -> None:
    chosen = choose(SUBJECT, Target("xid", xid, inclusive), wal=TRANSACTIONS)
    assert (chosen.backup.label, chosen.end_lsn) == (label, Lsn(lsn(segment) + LENGTH))


@pytest.mark.parametrize("xid", [700, 708, 99999])
def test_a_transaction_that_did_not_end_is_refused_with_the_highest_number(xid: int) -> None:
    said = refused(numbered(xid), TRANSACTIONS)
    assert said.startswith(
        f"transaction {xid} did not end in the WAL on the way to timeline 1, which can be replayed from 0/3800000 to "
        "0/A000030; the highest number that ended in it is 710\nHINT: a transaction that wrote nothing, or was still "
    )
    assert "no transaction ended in it" in refused(numbered(xid), wal_of())


def test_a_transaction_is_not_looked_for_before_its_number_was_given() -> None:
    checkpoint = Checkpoint(lsn(8.5), lsn(7.5), 709)
    wal = wal_of((1, commit(10, 100, 710)), (1, checkpoint), (1, commit(8, 80, 709)), (1, commit(5, 50, 701)))
    question = RestoreQuery(numbered(715), None, SUBJECT, {})
    (window,) = windows(SUBJECT)
    with pytest.raises(Unreachable):
        Search(SUBJECT, wal, lambda path, backups: []).find(question, window.path, SHORT, [window])
    assert wal.looked == [12, 11, 10, 9, 9, 8, 7]


def test_numbers_go_round() -> None:
    wal = wal_of((1, commit(10, 100, 5)), (1, Checkpoint(lsn(9.75), lsn(9.75), 3)), (1, commit(7, 70, 4294967290)))
    assert choose(SUBJECT, numbered(4294967290), wal=wal).backup.label == "tuesday"
    assert choose(SUBJECT, numbered(5), wal=wal).backup.label == "wednesday"


@pytest.mark.parametrize(
    ("segment", "label"), [(3.5, "monday"), (6.4, "monday"), (6.5, "tuesday"), (11.9, "wednesday"), (12.2, "wednesday")]
)
def test_a_position_is_reached_from_the_newest_backup_that_ended_before_it(segment: float, label: str) -> None:
    chosen = choose(SUBJECT, placed(segment))
    assert (chosen.backup.label, chosen.end_lsn) == (label, Lsn(lsn(segment)))


@pytest.mark.parametrize("segment", [12.3, 13, 500])
def test_a_position_behind_the_last_record_is_refused(segment: float) -> None:
    assert refused(placed(segment), steady(SUBJECT)) == (
        f"target LSN {Lsn(lsn(segment))} is not in the WAL that follows backup 'wednesday', which ends at 0/C400030 or "
        "shortly after it: segment 00000001000000000000000C is the last one\n"
        "HINT: for everything that there is, use target=latest"
    )


def test_a_position_before_the_oldest_backup_is_refused_with_the_first_one() -> None:
    assert refused(placed(3.25), steady(SUBJECT)) == (
        "target LSN 0/3400000 is before the end of backup 'monday' (0/3800000), from which recovery would have to start"
        "\nHINT: the first position that can be restored is 0/3800000, at 2026-11-21T12:30:00.000000Z"
    )


def test_a_position_behind_a_gap_is_refused_with_it() -> None:
    subject = catalog(SHORT[:2], without(8))
    assert "is missing" in refused(placed(10), steady(subject), subject=subject)


def test_a_running_server_reaches_up_to_where_it_writes() -> None:
    assert choose(SUBJECT, Target("lsn", NOW.lsn), server=NOW).end_lsn == NOW.lsn
    with pytest.raises(Unreachable, match="is not in the WAL"):
        choose(SUBJECT, Target("lsn", Lsn(NOW.lsn.value + 0x10000000)), server=NOW)


ON_BRANCHES = wal_of(
    (1, point(5, "common")),
    (1, point(10, "abandoned")),
    (1, commit(10.5, 100, 800)),
    (2, point(8, "new")),
    (2, commit(8.5, 180, 900)),
    (1, commit(12, 120, 850)),
)


@pytest.mark.parametrize(
    ("target", "label", "timeline"),
    [
        (named("common"), "monday", 2),
        (named("new"), "tuesday", 2),
        (named("abandoned", 1), "wednesday", 1),
        (numbered(900), "tuesday", 2),
        (numbered(800, 1), "wednesday", 1),
        (placed(8), "tuesday", 2),
        (placed(11, 1), "wednesday", 1),
    ],
)
def test_what_is_on_the_path_is_reached_on_it(target: Target, label: str, timeline: int) -> None:
    chosen = choose(BRANCHES, target, wal=ON_BRANCHES)
    assert (chosen.backup.label, chosen.timeline) == (label, timeline)


@pytest.mark.parametrize(
    ("target", "place", "there", "asked"),
    [
        (named("abandoned"), 10, 1, 2),
        (numbered(800), 10.5, 1, 2),
        (named("new", 1), 8, 2, 1),
        (numbered(900, 1), 8.5, 2, 1),
    ],
)
def test_what_is_on_another_branch_is_refused_with_the_fork(
    target: Target, place: float, there: int, asked: int
) -> None:
    assert refused(target, ON_BRANCHES, subject=BRANCHES) == (
        f"target {target} is on timeline {there}, at {Lsn(lsn(place) + LENGTH)}, and not on the way to timeline "
        f"{asked}: they part at 0/7800000\nHINT: use target_timeline={there} to follow the timeline that leads there"
    )


def test_of_a_number_that_was_given_on_several_timelines_all_are_named() -> None:
    """Timelines 2 and 4 go on from 1 and 3 behind it, so they have it as well; it is named where it was written."""
    histories = {2: fork(1, 11), 3: fork(1, 7.5), 4: fork(1, 7.5) + fork(3, 9.5), 5: fork(1, 5.5)}
    segments = {**WHOLE, (2, 11): 200, (3, 7): 300, (3, 8): 310, (3, 9): 320, (4, 9): 400, (5, 5): 500, (5, 6): 510}
    wal = wal_of((1, commit(10, 100, 800)), (3, commit(8, 310, 800)), (5, commit(6, 510, 900)))
    assert refused(numbered(800), wal, subject=catalog(SHORT, segments, histories)) == (
        f"target transaction 800 is on timeline 1, at {Lsn(lsn(10) + LENGTH)}, and on timeline 3, at "
        f"{Lsn(lsn(8) + LENGTH)}, and not on the way to timeline 5: they part at 0/5800000\n"
        "HINT: use target_timeline=1 or target_timeline=3 to follow the timeline that leads there"
    )


def test_the_number_of_a_released_savepoint_is_refused_with_its_transaction() -> None:
    wal = wal_of((1, commit(10, 100, 710)._replace(children=(711, 712))))
    assert refused(numbered(712), wal) == (
        "transaction 712 is a subtransaction of 710, and PostgreSQL stops only where 710 ended\n"
        "HINT: use target_xid=710"
    )


def test_a_position_that_only_another_timeline_has_is_refused_with_its_number() -> None:
    said = refused(placed(11), steady(BRANCHES), subject=BRANCHES)
    assert "target LSN 0/B000000 is not in the WAL that follows backup 'tuesday'" in said
    assert said.endswith("; timeline 1 has this position: target_timeline=1")
