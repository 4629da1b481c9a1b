# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a moment, the end of the WAL or of a backup is reached, or why not, and what is possible instead."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pgark.postgres.plugins.module_utils._repository.catalog import Backup, Catalog
from ansible_collections.pgark.postgres.plugins.module_utils._values.target import Target
from ansible_collections.pgark.postgres.plugins.module_utils._values.times import parse_time
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn, SegmentName
from ansible_collections.pgark.postgres.plugins.module_utils._wal.records import Parameters
from ansible_collections.pgark.postgres.plugins.module_utils._windows.choice import check_past
from ansible_collections.pgark.postgres.plugins.module_utils._windows.refusals import Unreachable
from tests.unit.examples import SIZE, backup, catalog, fork, minutes
from tests.unit.replay import Record, begin, choose, commit, lsn, steady, wal_of
from tests.unit.windows.test_spans import FORKED, HISTORY, MONDAY, TUESDAY, WEDNESDAY, WHOLE, walk, without
from tests.unit.windows.test_windows import BACKUPS, NOW, THURSDAY

LATEST, IMMEDIATE = Target(), Target("immediate")


def at(minute: float, timeline: int | str | None = None, inclusive: bool = True) -> Target:
    return Target("time", minutes(minute), inclusive, timeline)


def refusal(subject: Catalog, target: Target, label: str | None = None, **more: Any) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        choose(subject, target, label, **more)
    return caught.value


@pytest.mark.parametrize(
    ("minute", "label"),
    [(30, "monday"), (59.99, "monday"), (60, "tuesday"), (75, "tuesday"), (90, "wednesday"), (119.99, "wednesday")],
)
def test_the_newest_backup_that_stopped_before_the_target_is_chosen(minute: float, label: str) -> None:
    assert choose(catalog(BACKUPS, WHOLE), at(minute)).backup.label == label


def test_a_backup_counts_by_its_stop_not_its_start() -> None:
    long = replace(TUESDAY, start_time=minutes(31))
    assert choose(catalog([MONDAY, long], WHOLE), at(45)).backup == MONDAY


def test_order_comes_from_the_wal_when_the_clock_was_set_back() -> None:
    late_clock = replace(MONDAY, stop_time=minutes(70))
    assert choose(catalog([late_clock, TUESDAY], WHOLE), at(80)).backup == TUESDAY


def test_a_choice_says_what_is_replayed() -> None:
    chosen = choose(catalog(BACKUPS, WHOLE), at(75))
    assert (chosen.timeline, chosen.start_lsn, chosen.until) == (1, TUESDAY.start_lsn, minutes(120))
    assert chosen.end_lsn == Lsn(8 * SIZE + SIZE // 4)  # before the transaction of minute 80
    assert chosen.segments == 3
    assert chosen.warnings == ()


def test_the_end_of_the_wal_is_reached_from_the_newest_backup() -> None:
    chosen = choose(catalog(BACKUPS, WHOLE), LATEST)
    assert (chosen.backup, chosen.end_lsn, chosen.segments) == (WEDNESDAY, Lsn(0xC400030), 4)


@pytest.mark.parametrize(("label", "chosen"), [(None, WEDNESDAY), ("monday", MONDAY)])
def test_a_consistent_backup_needs_no_more_than_its_own_wal(label: str | None, chosen: Backup) -> None:
    found = choose(catalog(BACKUPS, {}), IMMEDIATE, label)
    assert (found.backup, found.end_lsn) == (chosen, chosen.stop_lsn)


def test_a_target_before_the_oldest_backup_is_refused_with_the_earliest_moment() -> None:
    refused = refusal(catalog(BACKUPS, WHOLE), at(29))
    assert refused.message == (
        "target 2026-11-21T12:29:00.000000Z is before the end of backup 'monday' (2026-11-21T12:30:00.000000Z), "
        "from which recovery would have to start"
    )
    assert refused.hint == "the earliest moment that can be restored is 2026-11-21T12:30:00.000000Z"


@pytest.mark.parametrize(
    ("minute", "inclusive", "reached"),
    [(119.99, True, True), (120, True, False), (120, False, True), (120.01, False, False)],
)
def test_a_moment_needs_a_later_transaction_to_stop_at(minute: float, inclusive: bool, reached: bool) -> None:
    subject = catalog(BACKUPS, WHOLE)
    if reached:
        assert choose(subject, at(minute, inclusive=inclusive)).backup == WEDNESDAY
    else:
        refusal(subject, at(minute, inclusive=inclusive))


@pytest.mark.parametrize("minute", [115, 119, 121])
def test_a_moment_that_no_transaction_follows_is_refused_with_the_last_one(minute: float) -> None:
    refused = refusal(catalog(BACKUPS, WHOLE), at(minute), wal=wal_of((1, commit(11.5, 115))))
    assert refused.message == (
        f"target {at(minute)} is not before the last transaction in the WAL that follows backup 'wednesday', which "
        "ended at 2026-11-21T13:55:00.000000Z; PostgreSQL stops at a time only before a later transaction"
    )
    assert refused.hint == (
        "for everything that there is, use target=latest; a target_time has to be before 2026-11-21T13:55:00.000000Z"
    )


def test_a_moment_after_which_nothing_was_committed_is_refused() -> None:
    """It lies between two backups, but only the first of them ended before it."""
    refused = refusal(catalog([MONDAY, WEDNESDAY], WHOLE), at(85), wal=wal_of((1, commit(5, 50))))
    assert "which ended at 2026-11-21T12:50" in refused.message


@pytest.mark.parametrize("minute", [90, 91])
def test_a_backup_that_no_transaction_follows_is_no_place_to_stop_by_time(minute: float) -> None:
    refused = refusal(catalog(BACKUPS, WHOLE), at(minute), wal=wal_of((1, commit(5, 50))))
    assert "is not before the end of backup 'wednesday' (2026-11-21T13:30:00.000000Z), and no transaction" in str(
        refused
    )
    assert "use target=latest" in str(refused)


def test_a_running_server_reaches_every_moment_up_to_now() -> None:
    assert choose(catalog(BACKUPS, WHOLE), at(499), server=NOW).backup == WEDNESDAY
    assert choose(catalog(BACKUPS, WHOLE), LATEST, server=NOW).end_lsn == NOW.lsn


def test_without_a_backup_there_is_nothing_to_restore_from() -> None:
    refused = refusal(catalog([], WHOLE), LATEST)
    assert refused.message == "the repository has no usable backup on the way to timeline 1"
    assert "take one with base_backup.yml" in str(refused)


def test_a_named_backup_is_taken_though_a_newer_one_would_do() -> None:
    assert choose(catalog(BACKUPS, WHOLE), at(110), "monday").backup == MONDAY
    assert choose(catalog(BACKUPS, WHOLE), LATEST, "tuesday").backup == TUESDAY


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("sunday", "there is no backup 'sunday'; the repository has: 'monday', 'tuesday', 'wednesday'\nHINT: leave"),
        ("wednesday", "is before the end of backup 'wednesday'"),
    ],
)
def test_a_named_backup_that_does_not_serve_is_refused(label: str, message: str) -> None:
    assert message in str(refusal(catalog(BACKUPS, WHOLE), at(75), label))


@pytest.mark.parametrize(
    ("gap", "minute", "chosen"),
    [(7, 60, None), (7, 90, "wednesday"), (2, 30, "monday"), (8, 69, "tuesday")],
)
def test_only_a_gap_on_the_way_matters(gap: int, minute: float, chosen: str | None) -> None:
    subject = catalog(BACKUPS, without(gap))
    if chosen is None:
        refusal(subject, at(minute))
    else:
        assert choose(subject, at(minute)).backup.label == chosen


@pytest.mark.parametrize("target", [at(85), LATEST])
def test_a_gap_ends_the_way_and_is_named(target: Target) -> None:
    refused = refusal(catalog([MONDAY, TUESDAY], without(8)), target)
    assert refused.message == (
        "segment 000000010000000000000008 is missing from the archive, so recovery from backup 'tuesday' "
        f"ends at 2026-11-21T13:10:00.000000Z, before target {target}"
    )
    assert refused.hint is not None
    assert refused.hint.startswith("choose a target_time before 2026-11-21T13:10:00.000000Z, or find the segment")


def test_a_gap_is_refused_with_the_nearest_moments_on_both_sides() -> None:
    assert refusal(catalog(BACKUPS, without(8)), at(85)).hint == (
        "choose a target_time before 2026-11-21T13:10:00.000000Z, or find the segment and put it back; the next moment "
        "that can be restored is 2026-11-21T13:30:00.000000Z (target_timeline=1)"
    )


@pytest.mark.parametrize("target", [at(85), LATEST])
def test_damage_ends_the_way_and_is_named(target: Target) -> None:
    wal = wal_of((1, commit(6.75, 61)), damaged={(1, 7): "invalid magic number 0000"})
    refused = refusal(catalog([MONDAY, TUESDAY], WHOLE), target, wal=wal)
    assert refused.message == (
        "segment 000000010000000000000007 is damaged: invalid magic number 0000, so recovery from backup 'tuesday' "
        f"ends at 2026-11-21T13:01:00.000000Z, before target {target}"
    )


def test_a_broken_backup_is_passed_over_with_a_warning() -> None:
    subject = replace(catalog(BACKUPS, WHOLE), incomplete={"tuesday": ["base.tar"]})
    chosen = choose(subject, at(75))
    assert (chosen.backup, chosen.warnings) == (
        MONDAY,
        ("a newer backup cannot be used: base.tar of backup 'tuesday' is missing",),
    )
    assert choose(subject, at(100)).warnings == ()
    assert refusal(subject, at(75), "tuesday").message == (
        "backup 'tuesday' cannot be used: base.tar of backup 'tuesday' is missing"
    )


def test_when_every_backup_is_broken_the_refusal_says_how() -> None:
    subject = replace(catalog([MONDAY], WHOLE), incomplete={"monday": ["pg_wal.tar"]})
    assert refusal(subject, LATEST).message == (
        "the repository has no usable backup on the way to timeline 1: pg_wal.tar of backup 'monday' is missing"
    )


FORKED_CATALOG = catalog([*BACKUPS, THURSDAY], FORKED, HISTORY)


@pytest.mark.parametrize(
    ("target", "backup"),
    [
        (LATEST, THURSDAY),
        (Target(timeline=1), WEDNESDAY),
        (Target(timeline=2), THURSDAY),
        (Target(timeline="current"), THURSDAY),
        (at(185), TUESDAY),
        (at(95, timeline=1), WEDNESDAY),
        (at(95, timeline="current"), WEDNESDAY),
        (at(192, timeline="current"), THURSDAY),
    ],
)
def test_the_latest_timeline_is_followed_unless_another_is_asked_for(target: Target, backup: Backup) -> None:
    assert choose(FORKED_CATALOG, target).backup == backup


def test_the_current_timeline_is_that_of_the_named_backup() -> None:
    assert choose(FORKED_CATALOG, Target(timeline="current"), "tuesday").timeline == 1


@pytest.mark.parametrize(
    ("label", "timeline", "other"),
    [("wednesday", None, 2), ("thursday", 1, 1)],
)
def test_a_backup_on_another_branch_is_refused_with_the_fork(label: str, timeline: int | None, other: int) -> None:
    assert str(refusal(FORKED_CATALOG, Target(timeline=timeline), label)) == (
        f"backup '{label}' is on timeline {3 - other}, and not on the way to timeline {other}: they part at 0/7800000\n"
        f"HINT: use target_timeline={3 - other} to follow the timeline that leads there"
    )


def test_a_moment_that_only_another_timeline_has_is_refused_with_its_number() -> None:
    refused = refusal(FORKED_CATALOG, at(185, timeline=1))
    assert refused.hint is not None
    assert refused.hint.endswith("; timeline 2 has this moment: target_timeline=2")


def test_a_moment_at_which_an_abandoned_timeline_was_in_use_is_a_warning() -> None:
    """Timeline 1 was left at minute 70, and went on to 120; the first commit of timeline 2 is of minute 170."""
    (warning,) = choose(FORKED_CATALOG, at(95)).warnings
    assert warning == (
        "at 2026-11-21T13:35:00.000000Z the cluster was on timeline 1, which timeline 2 left at 0/7800000, after "
        "2026-11-21T13:10:00.000000Z: what was committed there later is not in the result. "
        "To restore it, use target_timeline=1"
    )


@pytest.mark.parametrize(("minute", "timeline"), [(65, None), (185, None), (95, 1)])
def test_any_other_moment_is_none(minute: float, timeline: int | None) -> None:
    assert choose(FORKED_CATALOG, at(minute, timeline)).warnings == ()


def test_when_an_older_timeline_went_on_the_latest_one_is_not_clear() -> None:
    wal = steady(FORKED_CATALOG)
    wal.held[1, 12] = [commit(12.25, 999)]
    assert str(refusal(FORKED_CATALOG, LATEST, wal=wal)) == (
        "it is not clear which timeline target=latest means: timeline 2 has the highest number, but it was last used "
        "at 2026-11-21T15:20:00.000000Z, and timeline 1, which it left before, went on until "
        "2026-11-22T04:39:00.000000Z\n"
        "HINT: say which with target_timeline=2 or target_timeline=1"
    )
    assert choose(FORKED_CATALOG, Target(timeline=2), wal=wal).timeline == 2
    assert choose(FORKED_CATALOG, at(185), wal=wal).timeline == 2


@pytest.mark.parametrize(("began", "clear"), [(None, False), (119, False), (121, True)])
def test_a_timeline_that_nothing_ended_on_yet_is_the_latest_by_the_moment_at_which_it_began(
    began: float | None, clear: bool
) -> None:
    wal = steady(FORKED_CATALOG)
    quiet: list[Record] = [] if began is None else [begin(2, 7.5, began)]
    wal.held.update({(2, number): quiet if number == 7 else [] for number in range(7, 11)})
    if clear:
        assert choose(FORKED_CATALOG, LATEST, wal=wal).timeline == 2
    else:
        assert "HINT: say which with target_timeline=2" in str(refusal(FORKED_CATALOG, LATEST, wal=wal))


def test_the_end_of_the_newest_backup_is_not_clear_when_that_is_on_a_branch_which_was_left() -> None:
    subject = catalog(BACKUPS, FORKED, HISTORY)
    assert str(refusal(subject, IMMEDIATE)) == (
        "it is not clear which backup target=immediate means: on the way to timeline 2 the newest one is 'tuesday' "
        "(2026-11-21T13:00:00.000000Z), and 'wednesday' (2026-11-21T13:30:00.000000Z), which is newer, is on timeline "
        "1\n"
        "HINT: say which with backup_label=tuesday, or with backup_label=wednesday and target_timeline=1"
    )
    assert choose(subject, IMMEDIATE, "tuesday").backup == TUESDAY
    assert choose(subject, replace(IMMEDIATE, timeline=1)).backup == WEDNESDAY
    assert choose(FORKED_CATALOG, IMMEDIATE).backup == THURSDAY


# A backup that ends at minute 50 by a clock that was set back, though what it holds ended at minute 80 before.
SET_BACK = backup("behind", 50, 9)


def test_a_backup_that_holds_what_ended_later_is_passed_over_with_a_warning() -> None:
    chosen = choose(catalog([MONDAY, SET_BACK], WHOLE), at(55))
    assert (chosen.backup, chosen.end_lsn) == (MONDAY, Lsn(6 * SIZE + SIZE // 4))
    (warning,) = chosen.warnings
    assert warning == (
        "backup 'behind' ended at 2026-11-21T12:50:00.000000Z by the server's clock, but holds what ended at "
        "2026-11-21T13:30:00.000000Z, after target 2026-11-21T12:55:00.000000Z: the clock was set back before the "
        "backup ended"
    )
    assert choose(catalog([MONDAY, SET_BACK], WHOLE), at(95)).backup == SET_BACK


def test_what_a_backup_notes_of_its_past_is_not_read_again() -> None:
    """The WAL before it may be gone, or be years of it."""
    noted = replace(SET_BACK, latest_end=minutes(90))
    wal = steady(catalog([noted], WHOLE))
    assert "holds what ended at 2026-11-21T13:30" in refusal(catalog([noted], WHOLE), at(55), wal=wal).message
    assert min(wal.looked) >= 9
    later = backup("later", 100, 10)
    wal = steady(catalog([noted, later], WHOLE))
    assert choose(catalog([noted, later], WHOLE), at(105), wal=wal).backup == later
    assert min(wal.looked) >= 9


@pytest.mark.parametrize("label", [None, "behind"])
def test_a_moment_is_refused_when_every_backup_holds_what_ended_later(label: str | None) -> None:
    refused = refusal(catalog([SET_BACK], WHOLE), at(55), label)
    assert "by the server's clock, but holds what ended at 2026-11-21T13:30:00.000000Z" in refused.message
    assert refused.hint == (
        "the earliest moment that can be restored is 2026-11-21T13:30:00.000000Z; to stop at a place in the "
        "WAL, whatever the clock said, use a target_lsn from 0/9800000 on"
    )


@pytest.mark.parametrize("number", [7, 12])
def test_a_damaged_segment_behind_the_target_is_said(number: int) -> None:
    wal = steady(catalog([MONDAY], WHOLE))
    wal.damaged = {(1, number): "incorrect checksum"}
    chosen = choose(catalog([MONDAY], WHOLE), at(55), wal=wal)
    assert chosen.behind.damaged == SegmentName.numbered(1, number, SIZE)
    assert "which lies behind the target, is damaged: recovery does not read ahead" in chosen.warnings[-1]


def test_what_ended_just_before_the_target_by_a_clock_that_was_set_back_is_said() -> None:
    wal = wal_of(
        (1, commit(4, 40)), (1, commit(5, 50.005)), (1, commit(6, 45)), (1, commit(7, 49.995)), (1, commit(8, 70))
    )
    chosen = choose(catalog([MONDAY], WHOLE), at(50), wal=wal)
    assert (chosen.end_lsn, chosen.behind.early, chosen.behind.ends.count) == (Lsn(5 * SIZE), 1, 4)
    assert chosen.route.replayed.count == 1
    assert chosen.behind.text == (
        "lost: 4 transactions that ended behind the target, from 2026-11-21T12:45:00.000000Z to "
        "2026-11-21T13:10:00.000000Z"
    )
    (warning,) = chosen.warnings
    assert warning == (
        "1 transaction behind 0/5000000 ended before 2026-11-21T12:50:00.000000Z by the server's clock, which was set "
        "back: recovery stops at 0/5000000, before the first one that ended later, and these are not in the result; a "
        "target_lsn reaches them"
    )


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (at(75), "so recovery from backup 'monday' ends at 2026-11-21T13:00"),
        (LATEST, "so recovery from backup 'mon"),
    ],
)
def test_damage_anywhere_on_the_way_is_refused_before_anything_is_done(target: Target, words: str) -> None:
    wal = steady(catalog([MONDAY], WHOLE))
    wal.damaged = {(1, 7): "incorrect checksum"}
    refused = refusal(catalog([MONDAY], WHOLE), target, wal=wal)
    assert refused.message.startswith(f"segment 000000010000000000000007 is damaged: incorrect checksum, {words}")
    assert choose(catalog([MONDAY], WHOLE), at(55), wal=wal).backup == MONDAY


def test_a_backup_whose_own_wal_is_damaged_is_refused_by_name() -> None:
    wal = steady(catalog([MONDAY], WHOLE))
    wal.damaged = {(1, 3): "incorrect checksum"}
    for target in (LATEST, IMMEDIATE, at(55)):
        refused = refusal(catalog([MONDAY], WHOLE), target, wal=wal)
        assert refused.message == (
            "backup 'monday' cannot be used, because it needs WAL in which segment 000000010000000000000003 is "
            "damaged: incorrect checksum"
        )


def test_recovery_does_not_get_over_too_little_wal() -> None:
    wal = steady(catalog([MONDAY], WHOLE))
    wal.held[1, 7] = [commit(7.1, 70), Parameters(lsn(7.2), "max_connections=100 wal_level=minimal"), commit(7.3, 71)]
    refused = refusal(catalog([MONDAY], WHOLE), at(75), wal=wal)
    assert refused.message == (
        "segment 000000010000000000000007 has, at 0/7333333, the change to wal_level=minimal, over which no recovery "
        "gets, so recovery from backup 'monday' ends at 2026-11-21T13:10:00.000000Z, before target "
        "2026-11-21T13:15:00.000000Z"
    )
    assert choose(catalog([MONDAY], WHOLE), at(69), wal=wal).end_lsn == Lsn(lsn(7.1))
    assert choose(catalog([MONDAY, WEDNESDAY], WHOLE), LATEST, wal=wal).backup == WEDNESDAY


@pytest.mark.parametrize(
    ("timeline", "message"),
    [
        (2, "the history file 00000002.history of timeline 2 is not in the repository\nHINT: choose .* archived: 1"),
        (9, "the repository has nothing of timeline 9\nHINT: it has the timelines 1"),
    ],
)
def test_a_timeline_without_its_history_is_refused_by_name(timeline: int, message: str) -> None:
    with pytest.raises(Unreachable, match=message):
        choose(catalog(BACKUPS, FORKED), Target(timeline=timeline))


@pytest.mark.parametrize(("minute", "past"), [(99.99, True), (100, True), (100.01, False)])
def test_a_target_in_the_future_is_refused(minute: float, past: bool) -> None:
    check_past(LATEST, minutes(100))
    if past:
        check_past(at(minute), minutes(100))
    else:
        with pytest.raises(Unreachable, match="is in the future; it is 2026-11-21T13:40:00"):
            check_past(at(minute), minutes(100))


def timeline_of(forks: list[int], segment: float) -> int:
    """Timelines count from 1; each fork, in half segments, begins the next one."""
    return 1 + sum(halves / 2 < segment for halves in forks)


def replayed(present: set[tuple[int, int]], forks: list[int], idle: set[int], stop: int) -> list[int]:
    """The obvious model: read one segment after the other from the backup's last one, and note when something ends."""
    last, _gap = walk(present, forks, stop)
    numbers = range(stop, 0 if last is None else int(last[8:], 16) + 1)
    return [10 * number + 7 for number in numbers if number not in idle]


@given(
    present=st.sets(st.tuples(st.integers(1, 3), st.integers(1, 9))),
    forks=st.lists(st.integers(2, 18), max_size=2).map(sorted),
    stops=st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True).map(sorted),
    idle=st.sets(st.integers(1, 9)),
    minute=st.integers(0, 110),
    inclusive=st.booleans(),
)
def test_the_choice_is_what_trying_recovery_from_every_backup_finds(
    present: set[tuple[int, int]], forks: list[int], stops: list[int], idle: set[int], minute: int, inclusive: bool
) -> None:
    """Backups end in the middle of segment n at minute 10 n + 5; then, unless it is idle, a transaction at 10 n + 7."""
    path = "".join(fork(timeline, halves / 2) for timeline, halves in enumerate(forks, 1))
    backups = [backup(f"b{n}", 10 * n + 5, n, timeline=timeline_of(forks, n + 0.5)) for n in stops]
    subject = catalog(backups, {(t, n): 10 * n + 7 for t, n in present}, {len(forks) + 1: path} if forks else {})
    wal = wal_of(*((t, commit(n + 0.75, 10 * n + 7)) for t, n in present if n not in idle))
    expected = [
        f"b{n}"
        for n in stops
        if 10 * n + 5 <= minute
        and any(end > minute or (end == minute and not inclusive) for end in replayed(present, forks, idle, n))
    ]
    target = at(minute, len(forks) + 1, inclusive)
    if expected:
        assert choose(subject, target, wal=wal).backup.label == expected[-1]
    else:
        refusal(subject, target, wal=wal)


_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
_OFFERS = (
    re.compile(rf"earliest moment that can be restored is ({_MOMENT.pattern})"),
    re.compile(rf"next moment that can be restored is ({_MOMENT.pattern}) \(target_timeline=(\d+)\)"),
    re.compile(r"timeline (\d+) has this moment: target_timeline=(\d+)"),
)


def offered(told: str, target: Target) -> list[Target]:
    """List the targets that a refusal offers instead."""
    found = []
    for match in _OFFERS[0].finditer(told):
        found.append(replace(target, value=parse_time(match[1]), inclusive=True))
    for match in _OFFERS[1].finditer(told):
        found.append(replace(target, value=parse_time(match[1]), inclusive=True, timeline=int(match[2])))
    for match in _OFFERS[2].finditer(told):
        found.append(replace(target, timeline=int(match[2])))
    return found


@given(
    present=st.sets(st.tuples(st.integers(1, 3), st.integers(1, 9)), min_size=3),
    forks=st.lists(st.integers(2, 18), max_size=2).map(sorted),
    stops=st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True).map(sorted),
    idle=st.sets(st.integers(1, 9)),
    minute=st.integers(0, 110),
    timeline=st.none() | st.integers(1, 3),
)
def test_what_a_refusal_offers_can_be_had(
    present: set[tuple[int, int]], forks: list[int], stops: list[int], idle: set[int], minute: int, timeline: int | None
) -> None:
    paths = {
        n: "".join(fork(t, halves / 2) for t, halves in enumerate(forks[: n - 1], 1)) for n in range(2, len(forks) + 2)
    }
    backups = [backup(f"b{n}", 10 * n + 5, n, timeline=timeline_of(forks, n + 0.5)) for n in stops]
    subject = catalog(backups, {(t, n): 10 * n + 7 for t, n in present}, paths)
    wal = wal_of(*((t, commit(n + 0.75, 10 * n + 7)) for t, n in present if n not in idle))
    target = at(minute, timeline)
    try:
        choose(subject, target, wal=wal)
    except Unreachable as error:
        for other in offered(str(error), target):
            choose(subject, other, wal=wal)
