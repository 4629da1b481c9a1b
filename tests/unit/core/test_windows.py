# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backup a restore starts from, and how far it can go: along forks, up to gaps, and not a segment further."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pgark.postgres.plugins.module_utils._core.catalog import Catalog
from ansible_collections.pgark.postgres.plugins.module_utils._core.target import Target
from ansible_collections.pgark.postgres.plugins.module_utils._core.wal import SegmentName, TimelinePath
from ansible_collections.pgark.postgres.plugins.module_utils._core.windows import (
    Unreachable,
    check_past,
    choose,
    on_path,
    window_of,
    windows,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import InvalidValue
from tests.unit.core.examples import SIZE, backup, catalog, fork, minutes

# Three backups on timeline 1; their last segments are 3, 6 and 9, every segment arrives ten minutes after noon plus n.
WHOLE = {(1, number): 10 * number for number in range(1, 13)}
MONDAY, TUESDAY, WEDNESDAY = backup("monday", 30, 3), backup("tuesday", 60, 6), backup("wednesday", 90, 9)
BACKUPS = (MONDAY, TUESDAY, WEDNESDAY)


def without(*numbers: int, timeline: int = 1) -> dict[tuple[int, int], int]:
    return {place: arrived for place, arrived in WHOLE.items() if place not in {(timeline, n) for n in numbers}}


def at(minute: float, timeline: int | None = None) -> Target:
    return Target("time", minutes(minute), timeline=timeline)


LATEST = Target()


@pytest.mark.parametrize(
    ("minute", "label"),
    [(30, "monday"), (59.99, "monday"), (60, "tuesday"), (75, "tuesday"), (90, "wednesday"), (120, "wednesday")],
)
def test_the_newest_backup_that_stopped_before_the_target_is_chosen(minute: float, label: str) -> None:
    assert choose(catalog(BACKUPS, WHOLE), at(minute), more_wal=False).backup.label == label


def test_for_the_end_of_the_wal_the_newest_backup_is_chosen() -> None:
    window = choose(catalog(BACKUPS, WHOLE), LATEST, more_wal=False)
    assert window.as_dict() == {
        "backup": "wednesday",
        "timeline": 1,
        "since": "2026-11-21T13:30:00.000000Z",
        "until": "2026-11-21T14:00:00.000000Z",
        "last_segment": "00000001000000000000000C",
        "missing": None,
    }


def test_a_backup_counts_by_its_stop_not_its_start() -> None:
    long = replace(TUESDAY, start_time=minutes(31))
    assert choose(catalog([MONDAY, long], WHOLE), at(45), more_wal=False).backup == MONDAY


def test_order_comes_from_the_wal_when_the_clock_was_set_back() -> None:
    late_clock = replace(MONDAY, stop_time=minutes(70))
    assert [found.label for found in on_path(catalog([TUESDAY, late_clock], WHOLE), TimelinePath.parse(1, ""))] == [
        "monday",
        "tuesday",
    ]
    assert choose(catalog([late_clock, TUESDAY], WHOLE), at(80), more_wal=False).backup == TUESDAY


def test_a_target_before_the_oldest_backup_is_refused_with_the_earliest_moment() -> None:
    with pytest.raises(Unreachable) as refusal:
        choose(catalog(BACKUPS, WHOLE), at(29))
    assert refusal.value.message == (
        "target 2026-11-21T12:29:00.000000Z is before the end of backup 'monday' (2026-11-21T12:30:00.000000Z), "
        "from which recovery would have to start"
    )
    assert refusal.value.hint == "the earliest moment that can be restored is 2026-11-21T12:30:00.000000Z"


def test_a_target_after_the_end_is_refused_unless_there_is_more_wal() -> None:
    whole = catalog(BACKUPS, WHOLE)
    with pytest.raises(
        Unreachable, match=r"after the end of the archived WAL .* 2026-11-21T14:00:00.*\n.*target=latest"
    ):
        choose(whole, at(120.01), more_wal=False)
    assert choose(whole, at(120.01), more_wal=True).backup == WEDNESDAY


def test_a_backup_without_any_wal_after_it_reaches_nothing_but_its_end() -> None:
    lonely = catalog([WEDNESDAY], {})
    window = choose(lonely, LATEST, more_wal=False)
    assert (window.until, window.last_segment, window.missing) == (None, None, None)
    with pytest.raises(Unreachable, match=r"follows backup 'wednesday', which is at 2026-11-21T13:30:00"):
        choose(lonely, at(91), more_wal=False)


def test_without_a_backup_there_is_nothing_to_restore_from() -> None:
    with pytest.raises(Unreachable, match=r"the repository has no backup on the way to timeline 1\nHINT: "):
        choose(catalog([], WHOLE), LATEST)


def test_a_named_backup_is_taken_though_a_newer_one_would_do() -> None:
    assert choose(catalog(BACKUPS, WHOLE), at(110), "monday").backup == MONDAY
    assert choose(catalog(BACKUPS, WHOLE), LATEST, "tuesday").backup == TUESDAY


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("sunday", "no backup 'sunday' on the way to timeline 1; the repository has: 'monday', 'tuesday', 'wednesday'"),
        ("wednesday", "is before the end of backup 'wednesday'"),
    ],
)
def test_a_named_backup_that_does_not_serve_is_refused(label: str, message: str) -> None:
    with pytest.raises(Unreachable, match=message):
        choose(catalog(BACKUPS, WHOLE), at(75), label)


@pytest.mark.parametrize(
    ("gap", "minute", "chosen"),
    [(7, 60, "tuesday"), (7, 90, "wednesday"), (2, 30, "monday"), (8, 70, "tuesday")],
)
def test_a_gap_that_is_not_on_the_way_does_not_matter(gap: int, minute: float, chosen: str) -> None:
    assert choose(catalog(BACKUPS, without(gap)), at(minute), more_wal=False).backup.label == chosen


@pytest.mark.parametrize("more_wal", [True, False])
@pytest.mark.parametrize("target", [at(85), LATEST])
def test_a_gap_ends_the_window_and_is_named(target: Target, more_wal: bool) -> None:
    with pytest.raises(Unreachable) as refusal:
        choose(catalog([MONDAY, TUESDAY], without(8)), target, more_wal=more_wal)
    assert refusal.value.message == (
        "segment 000000010000000000000008 is missing from the archive, so recovery from backup 'tuesday' "
        f"ends at 2026-11-21T13:10:00.000000Z, before target {target}"
    )
    assert "choose a target_time up to 2026-11-21T13:10:00.000000Z" in str(refusal.value)


def test_a_missing_last_segment_of_a_backup_is_named() -> None:
    window = window_of(catalog([TUESDAY], without(6)), TUESDAY, TimelinePath.parse(1, ""))
    assert (window.until, window.last_segment) == (None, None)
    assert str(window.missing) == "000000010000000000000006"


def test_every_backup_has_its_window() -> None:
    found = windows(catalog(BACKUPS, without(8)))
    assert [(w.backup.label, str(w.last_segment)[-2:], w.missing and str(w.missing)[-2:]) for w in found] == [
        ("monday", "07", "08"),
        ("tuesday", "07", "08"),
        ("wednesday", "0C", None),
    ]


# Timeline 1 was left in the middle of segment 7, and went on to 12 nevertheless; timeline 2 goes on from 7.
FORKED = {**WHOLE, **{(2, number): 100 + 10 * number for number in range(7, 11)}}
HISTORY = {2: fork(1, 7.5)}
THURSDAY = backup("thursday", 190, 9, timeline=2)


def test_the_latest_timeline_is_followed_unless_another_is_asked_for() -> None:
    forked = catalog([*BACKUPS, THURSDAY], FORKED, HISTORY)
    assert choose(forked, LATEST).backup == THURSDAY
    assert choose(forked, Target(timeline=1)).backup == WEDNESDAY
    assert choose(forked, at(185)).backup == TUESDAY
    assert choose(forked, at(95, timeline=1)).backup == WEDNESDAY


def test_a_backup_taken_after_the_fork_on_the_old_timeline_is_on_no_way() -> None:
    forked = catalog(BACKUPS, FORKED, HISTORY)
    assert [w.backup.label for w in windows(forked)] == ["monday", "tuesday"]
    assert [w.backup.label for w in windows(forked, 1)] == ["monday", "tuesday", "wednesday"]
    with pytest.raises(Unreachable, match="no backup 'wednesday' on the way to timeline 2"):
        choose(forked, LATEST, "wednesday")


def test_a_window_leads_over_the_fork_and_ends_with_the_new_timeline() -> None:
    window = choose(catalog(BACKUPS, FORKED, HISTORY), LATEST)
    assert window.timeline == 2
    assert str(window.last_segment) == "00000002000000000000000A"
    assert window.until == minutes(200)


def test_what_arrived_later_on_the_old_timeline_does_not_prolong_the_window() -> None:
    late = {**FORKED, (1, 12): 999}
    assert choose(catalog(BACKUPS, late, HISTORY), LATEST).until == minutes(200)


def test_the_segment_of_the_switch_is_needed_from_the_new_timeline() -> None:
    """The old timeline's copy goes on with what happened there afterwards."""
    lost = {place: arrived for place, arrived in FORKED.items() if place != (2, 7)}
    window = window_of(catalog(BACKUPS, lost, HISTORY), TUESDAY, TimelinePath.parse(2, HISTORY[2]))
    assert str(window.last_segment) == "000000010000000000000006"
    assert str(window.missing) == "000000020000000000000007"


def test_the_old_timeline_may_lack_the_segment_of_the_switch() -> None:
    """A server that is promoted archives it with the suffix ``.partial``."""
    partial = {place: arrived for place, arrived in FORKED.items() if place[0] == 2 or place[1] < 7}
    assert choose(catalog(BACKUPS, partial, HISTORY), LATEST).missing is None


def test_a_backup_that_stops_in_the_segment_of_the_switch_goes_on_with_the_new_timeline() -> None:
    sunday = backup("sunday", 65, 7, stop_lsn=replace(TUESDAY.stop_lsn, value=7 * SIZE + 0x158))
    window = choose(catalog([sunday], FORKED, HISTORY), LATEST)
    assert (window.backup, str(window.last_segment)) == (sunday, "00000002000000000000000A")


def test_several_switches_in_one_segment_are_followed() -> None:
    history = fork(1, 7.25) + fork(2, 7.5) + fork(3, 7.75)
    segments = {**without(*range(8, 13)), (2, 7): 110, (4, 7): 120, (4, 8): 130}
    window = choose(catalog([TUESDAY], segments, {4: history}), LATEST)
    assert (str(window.last_segment), window.missing) == ("000000040000000000000008", None)


def test_a_timeline_without_its_history_is_refused_by_name() -> None:
    with pytest.raises(InvalidValue, match=r"00000002.history"):
        windows(catalog(BACKUPS, FORKED))


@pytest.mark.parametrize(("minute", "past"), [(99.99, True), (100, True), (100.01, False)])
def test_a_target_in_the_future_is_refused(minute: float, past: bool) -> None:
    check_past(LATEST, minutes(100))
    if past:
        check_past(at(minute), minutes(100))
    else:
        with pytest.raises(Unreachable, match="is in the future; it is 2026-11-21T13:40:00"):
            check_past(at(minute), minutes(100))


def needed_timeline(forks: list[int], number: int) -> int:
    """Timelines count from 1; each fork, in half segments, begins the next: the newest that began by this segment."""
    return 1 + sum(halves // 2 <= number for halves in forks)


def slow_window(
    subject: Catalog, present: set[tuple[int, int]], forks: list[int], stop: int
) -> tuple[str | None, str | None]:
    """The obvious model: walk segment by segment until one is not there; a gap has something needed behind it."""

    def name(number: int) -> str:
        return str(SegmentName.numbered(needed_timeline(forks, number), number, SIZE))

    last, number = None, stop
    while (needed_timeline(forks, number), number) in present:
        last, number = name(number), number + 1
    behind = any((needed_timeline(forks, later), later) in present for later in range(number + 1, 20))
    return last, name(number) if behind else None


@given(
    present=st.sets(st.tuples(st.integers(1, 3), st.integers(1, 9))),
    forks=st.lists(st.integers(2, 18), max_size=2).map(sorted),
    stop=st.integers(1, 9),
)
def test_a_window_is_what_walking_from_segment_to_segment_finds(
    present: set[tuple[int, int]], forks: list[int], stop: int
) -> None:
    path = TimelinePath.parse(
        len(forks) + 1, "".join(fork(timeline, halves / 2) for timeline, halves in enumerate(forks, 1))
    )
    timeline = needed_timeline(forks, stop)
    subject = catalog([], dict.fromkeys(present, 0))
    window = window_of(subject, backup("x", 0, stop, timeline=timeline), path)
    found = tuple(None if name is None else str(name) for name in (window.last_segment, window.missing))
    assert found == slow_window(subject, present, forks, stop)
    assert (window.until is None) == (window.last_segment is None)
