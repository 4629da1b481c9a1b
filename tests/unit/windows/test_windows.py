# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows: from the end of a backup to the last transaction that follows without a gap, for every timeline, once."""

from dataclasses import replace

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn
from ansible_collections.pgark.postgres.plugins.module_utils._wal.records import Parameters
from ansible_collections.pgark.postgres.plugins.module_utils._windows.resolver import LiveServer
from ansible_collections.pgark.postgres.plugins.module_utils._windows.windows import nearest
from tests.unit.examples import SIZE, backup, catalog, fork, minutes
from tests.unit.replay import commit, labels, lsn, steady, wal_of, windows
from tests.unit.windows.test_spans import FORKED, HISTORY, MONDAY, TUESDAY, WEDNESDAY, WHOLE, without

BACKUPS = (MONDAY, TUESDAY, WEDNESDAY)
THURSDAY = backup("thursday", 190, 9, timeline=2)


def test_a_window_is_reported_with_all_its_facts() -> None:
    (window,) = windows(catalog(BACKUPS, WHOLE))
    assert window.as_dict() == {
        "timeline": 1,
        "backups": ["monday", "tuesday", "wednesday"],
        "since": "2026-11-21T12:30:00.000000Z",
        "until": "2026-11-21T14:00:00.000000Z",
        "since_lsn": str(MONDAY.stop_lsn),
        "until_lsn": "0/C400030",
        "seconds": 5400.0,
        "last_segment": "00000001000000000000000C",
        "missing": None,
        "ends": "segment 00000001000000000000000C is the last one",
    }


def test_a_gap_makes_two_windows_of_one() -> None:
    before, after = windows(catalog(BACKUPS, without(8)))
    assert labels([before, after]) == [["monday", "tuesday"], ["wednesday"]]
    assert (before.until, after.since) == (minutes(70), minutes(90))
    assert before.as_dict()["missing"] == "000000010000000000000008"
    assert before.ends == "segment 000000010000000000000008 is missing"
    assert after.missing is None


@pytest.mark.parametrize(
    ("gone", "ends"),
    [
        (range(1, 13), "backup 'monday' ends here, and the archive has no WAL of it"),
        ([3], "backup 'monday' ends here, and segment 000000010000000000000003, in which it ends, is missing"),
    ],
)
def test_a_backup_without_wal_reaches_nothing_but_its_end(gone: list[int], ends: str) -> None:
    (window,) = windows(catalog([MONDAY], without(*gone)))
    assert (window.since, window.until, window.last_segment, window.ends) == (minutes(30), minutes(30), None, ends)
    assert window.as_dict()["seconds"] == 0


def test_where_no_transaction_follows_the_newest_backup_its_end_is_the_windows() -> None:
    subject = catalog(BACKUPS, WHOLE)
    (window,) = windows(subject, wal_of((1, commit(4, 40)), (1, commit(5, 50))))
    assert (window.until, window.last_time) == (WEDNESDAY.stop_time, minutes(50))
    assert window.as_dict()["until_lsn"] == str(WEDNESDAY.stop_lsn)


def test_what_ended_before_the_oldest_backup_counts_for_nothing() -> None:
    wal = wal_of((1, commit(1, 10)), (1, commit(3.25, 29)))
    (window,) = windows(catalog([MONDAY], WHOLE), wal)
    assert (window.until, window.last_time) == (minutes(30), None)


def test_a_window_begins_when_all_that_its_oldest_backup_holds_had_ended() -> None:
    """The clock was set back before the backup ended."""
    (window,) = windows(catalog([backup("behind", 50, 9)], WHOLE))
    assert (window.since, window.until) == (minutes(90), minutes(120))


def test_a_window_never_begins_after_it_ends() -> None:
    """The clock was ahead while the backup was taken: no moment can be restored, but every position can."""
    (window,) = windows(catalog([backup("ahead", 500, 9)], WHOLE))
    report = window.as_dict()
    assert (report["since"], report["until"], report["seconds"]) == (*["2026-11-21T14:00:00.000000Z"] * 2, 0)


def test_the_latest_time_counts_of_transactions_that_end_almost_at_once() -> None:
    """A transaction takes the time before it writes its end, so two of them may be there in the other order."""
    wal = wal_of((1, commit(12.1, 118)), (1, commit(12.2, 117)))
    assert windows(catalog(BACKUPS, WHOLE), wal)[0].until == minutes(118)


def test_a_window_leads_over_the_fork_and_each_timeline_has_its_own() -> None:
    first, second = windows(catalog([*BACKUPS, THURSDAY], FORKED, HISTORY))
    assert (first.timeline, labels([first])) == (1, [["monday", "tuesday", "wednesday"]])
    assert (second.timeline, labels([second])) == (2, [["monday", "tuesday", "thursday"]])
    assert (first.until, second.until) == (minutes(120), minutes(200))


def test_what_arrived_later_on_the_old_timeline_does_not_prolong_the_new_window() -> None:
    late = {**FORKED, (1, 12): 999}
    assert [window.until for window in windows(catalog(BACKUPS, late, HISTORY))] == [minutes(999), minutes(200)]


@pytest.mark.parametrize("last", [4, 6, 7])
def test_a_timeline_that_was_left_has_no_window_of_its_own_when_nothing_happened_there_since(last: int) -> None:
    """The segment of the switch may be there from the old timeline as well, as far as it was written."""
    segments = {place: arrived for place, arrived in FORKED.items() if place[0] == 2 or place[1] <= last}
    filled = {**segments, **{(1, number): number for number in range(1, 7)}}
    subject = catalog([MONDAY, TUESDAY], filled, HISTORY)
    assert [window.timeline for window in windows(subject)] == [2]


def test_of_two_windows_that_are_the_same_the_higher_timeline_stays() -> None:
    """The server was promoted, and has archived nothing but the history yet."""
    segments = {place: arrived for place, arrived in WHOLE.items() if place[1] < 7}
    (window,) = windows(catalog([MONDAY, TUESDAY], segments, HISTORY))
    assert (window.timeline, str(window.last_segment)) == (2, "000000010000000000000006")


def test_a_timeline_without_its_history_is_left_out() -> None:
    assert [window.timeline for window in windows(catalog(BACKUPS, FORKED))] == [1]


def test_a_damaged_segment_ends_a_window_and_later_backups_have_their_own() -> None:
    subject = catalog(BACKUPS, WHOLE)
    wal = steady(subject)
    wal.damaged = {(1, 7): "invalid magic number 0000"}
    before, after = windows(subject, wal)
    assert labels([before, after]) == [["monday", "tuesday"], ["wednesday"]]
    assert (before.until, str(before.damaged)) == (minutes(60), "000000010000000000000007")
    assert str(before.last_segment) == "000000010000000000000006"
    assert before.ends == "segment 000000010000000000000007 is damaged: invalid magic number 0000"
    assert (after.since, after.until, after.broken) == (minutes(90), minutes(120), False)


def test_a_backup_whose_own_wal_is_damaged_opens_no_window() -> None:
    subject = catalog(BACKUPS, WHOLE)
    wal = steady(subject)
    wal.damaged = {(1, 6): "invalid magic number 0000"}
    assert labels(windows(subject, wal)) == [["monday"], ["wednesday"]]


def test_too_little_wal_ends_a_window_where_it_begins() -> None:
    subject = catalog(BACKUPS, WHOLE)
    wal = steady(subject)
    wal.held[1, 7] = [commit(7.1, 70), Parameters(lsn(7.2), "wal_level=minimal"), commit(7.3, 71)]
    before, after = windows(subject, wal)
    assert (labels([before, after]), before.until) == ([["monday", "tuesday"], ["wednesday"]], minutes(70))
    assert before.ends.startswith("segment 000000010000000000000007 has, at 0/7333333, the change to wal_level=minimal")


def test_a_backup_that_cannot_be_used_opens_no_window() -> None:
    subject = replace(catalog(BACKUPS, WHOLE), incomplete={"monday": ["base.tar"]})
    assert labels(windows(subject)) == [["tuesday", "wednesday"]]


NOW = LiveServer(1, Lsn(12 * SIZE + 0x2000), minutes(500))


def test_a_running_server_reaches_up_to_now() -> None:
    (window,) = windows(catalog(BACKUPS, WHOLE), server=NOW)
    assert (window.until, window.live) == (minutes(500), True)
    assert window.ends == "the server is running, and writes segment 00000001000000000000000C"


@pytest.mark.parametrize(
    "server",
    [replace(NOW, timeline=2), replace(NOW, lsn=Lsn(14 * SIZE))],
    ids=["on another timeline", "behind a gap"],
)
def test_a_server_elsewhere_does_not_count(server: LiveServer) -> None:
    (window,) = windows(catalog(BACKUPS, WHOLE), server=server)
    assert (window.until, window.live) == (minutes(120), False)


def test_a_running_server_does_not_close_a_gap() -> None:
    assert [window.live for window in windows(catalog(BACKUPS, without(8)), server=NOW)] == [False, True]


def test_the_nearest_windows_before_and_after_a_moment() -> None:
    before, after = windows(catalog(BACKUPS, without(8)))
    assert nearest([before, after], minutes(80)) == (before, after)
    assert nearest([before, after], minutes(20)) == (None, before)
    assert nearest([before, after], minutes(200)) == (after, None)


def test_every_window_of_a_long_branching_history_is_found_once() -> None:
    """Six timelines, each left in the middle of what the one before it wrote."""
    segments = {
        (timeline, n): 100 * timeline + n for timeline in range(1, 7) for n in range(5 * timeline, 5 * timeline + 9)
    }
    histories = {t: "".join(fork(older, 5 * older + 5.5) for older in range(1, t)) for t in range(2, 7)}
    first = backup("first", 101, 5)
    found = windows(catalog([first], segments, histories))
    assert [window.timeline for window in found] == [1, 2, 3, 4, 5, 6]
    assert [window.until for window in found] == [minutes(100 * t + 5 * t + 8) for t in range(1, 7)]
