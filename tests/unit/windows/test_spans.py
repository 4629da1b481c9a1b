# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unbroken WAL on a path of timelines: along forks, up to gaps, and not a segment further."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn, SegmentName, TimelinePath
from ansible_collections.pgark.postgres.plugins.module_utils._windows.spans import (
    CoveredBackups,
    followings,
    on_path,
    stretches,
)
from tests.unit.examples import SIZE, backup, catalog, fork

# Three backups on timeline 1, which end in the segments 3, 6 and 9 of twelve.
WHOLE = {(1, number): 10 * number for number in range(1, 13)}
MONDAY, TUESDAY, WEDNESDAY = backup("monday", 30, 3), backup("tuesday", 60, 6), backup("wednesday", 90, 9)
FIRST = TimelinePath.parse(1, "")

# Timeline 1 was left in the middle of segment 7, and went on to 12 nevertheless; timeline 2 goes on from 7.
FORKED = {**WHOLE, **{(2, number): 100 + 10 * number for number in range(7, 11)}}
HISTORY = {2: fork(1, 7.5)}
SECOND = TimelinePath.parse(2, HISTORY[2])


def without(*numbers: int) -> dict[tuple[int, int], int]:
    return {place: arrived for place, arrived in WHOLE.items() if place[1] not in numbers}


def spans(found: list[CoveredBackups]) -> list[tuple[list[str], str | None, str | None]]:
    return [
        (
            [subject.label for subject in each.backups],
            None if each.stretch is None else str(each.stretch.name(each.stretch.last)),
            str(each.missing or (each.stretch and each.stretch.missing) or "") or None,
        )
        for each in found
    ]


def test_a_gap_divides_the_wal_and_is_named() -> None:
    found = stretches(catalog([], without(5, 6, 9)), FIRST)
    assert [(each.first, each.last, each.missing and str(each.missing)) for each in found] == [
        (1, 4, "000000010000000000000005"),
        (7, 8, "000000010000000000000009"),
        (10, 12, None),
    ]


def test_backups_are_gathered_by_the_stretch_in_which_they_end() -> None:
    assert spans(followings(catalog([], without(8)), FIRST, [MONDAY, TUESDAY, WEDNESDAY])) == [
        (["monday", "tuesday"], "000000010000000000000007", "000000010000000000000008"),
        (["wednesday"], "00000001000000000000000C", None),
    ]


def test_a_missing_last_segment_of_a_backup_is_named_when_there_are_later_ones() -> None:
    subject = catalog([], without(6))
    assert spans(followings(subject, FIRST, [TUESDAY])) == [(["tuesday"], None, "000000010000000000000006")]
    assert spans(followings(catalog([], without(*range(6, 13))), FIRST, [TUESDAY])) == [(["tuesday"], None, None)]


def test_wal_leads_over_the_fork_and_ends_with_the_new_timeline() -> None:
    found = followings(catalog([], FORKED), SECOND, [MONDAY, TUESDAY])
    assert spans(found) == [(["monday", "tuesday"], "00000002000000000000000A", None)]


def test_the_segment_of_the_switch_is_needed_from_the_new_timeline() -> None:
    """The old timeline's copy goes on with what happened there afterwards."""
    lost = {place: arrived for place, arrived in FORKED.items() if place != (2, 7)}
    assert spans(followings(catalog([], lost), SECOND, [TUESDAY])) == [
        (["tuesday"], "000000010000000000000006", "000000020000000000000007")
    ]


def test_the_old_timeline_may_lack_the_segment_of_the_switch() -> None:
    """A server that is promoted archives it with the suffix ``.partial``."""
    partial = {place: arrived for place, arrived in FORKED.items() if place[0] == 2 or place[1] < 7}
    assert spans(followings(catalog([], partial), SECOND, [TUESDAY])) == [
        (["tuesday"], "00000002000000000000000A", None)
    ]


def test_a_backup_that_stops_in_the_segment_of_the_switch_goes_on_with_the_new_timeline() -> None:
    sunday = backup("sunday", 65, 7, stop_lsn=Lsn(7 * SIZE + 0x158))
    assert spans(followings(catalog([], FORKED), SECOND, [sunday])) == [(["sunday"], "00000002000000000000000A", None)]


def test_several_switches_in_one_segment_are_followed() -> None:
    path = TimelinePath.parse(4, fork(1, 7.25) + fork(2, 7.5) + fork(3, 7.75))
    segments = {**without(*range(8, 13)), (2, 7): 110, (4, 7): 120, (4, 8): 130}
    assert spans(followings(catalog([], segments), path, [TUESDAY])) == [
        (["tuesday"], "000000040000000000000008", None)
    ]


def test_order_comes_from_the_wal_when_the_clock_was_set_back() -> None:
    late_clock = replace(MONDAY, stop_time=WEDNESDAY.stop_time)
    assert on_path([TUESDAY, late_clock], FIRST) == [late_clock, TUESDAY]


def test_a_backup_taken_after_the_fork_on_the_old_timeline_is_on_no_way() -> None:
    assert on_path([MONDAY, TUESDAY, WEDNESDAY], SECOND) == [MONDAY, TUESDAY]


@pytest.mark.parametrize(
    ("mine", "theirs", "place"),
    [
        ((1, ""), (2, fork(1, 7.5)), 7.5),
        ((2, fork(1, 7.5)), (1, ""), 7.5),
        ((2, fork(1, 7.5)), (3, fork(1, 5)), 5),
        ((3, fork(1, 5) + fork(2, 8)), (4, fork(1, 5) + fork(2, 6)), 6),
        ((3, fork(1, 5)), (2, fork(1, 5)), 5),
        ((2, fork(1, 7.5)), (2, fork(1, 7.5)), None),
    ],
)
def test_two_paths_part_where_the_first_of_them_leaves_the_common_timeline(
    mine: tuple[int, str], theirs: tuple[int, str], place: float | None
) -> None:
    expected = None if place is None else Lsn(int(place * SIZE))
    assert TimelinePath.parse(*mine).fork_from(TimelinePath.parse(*theirs)) == expected


def needed_timeline(forks: list[int], number: int) -> int:
    """Timelines count from 1; each fork, in half segments, begins the next: the newest that began by this segment."""
    return 1 + sum(halves // 2 <= number for halves in forks)


def walk(present: set[tuple[int, int]], forks: list[int], stop: int) -> tuple[str | None, str | None]:
    """The obvious model: go from segment to segment until one is not there; a gap has something needed behind it."""

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
    stops=st.lists(st.integers(1, 9), min_size=1, max_size=4).map(sorted),
)
def test_wal_reaches_as_far_as_walking_from_segment_to_segment(
    present: set[tuple[int, int]], forks: list[int], stops: list[int]
) -> None:
    path = TimelinePath.parse(
        len(forks) + 1, "".join(fork(timeline, halves / 2) for timeline, halves in enumerate(forks, 1))
    )
    backups = [backup(f"{i}", 0, stop, timeline=needed_timeline(forks, stop)) for i, stop in enumerate(stops)]
    found = followings(catalog([], dict.fromkeys(present, 0)), path, backups)
    assert [subject for each in found for subject in each.backups] == backups
    reached = [(last, gap) for members, last, gap in spans(found) for _label in members]
    assert reached == [walk(present, forks, stop) for stop in stops]
