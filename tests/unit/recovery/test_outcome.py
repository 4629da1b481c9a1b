# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A recovery is a success where it reached what was asked for, and nowhere else."""

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import RestoreRecord
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._recovery.outcome import Outcome, check_outcome, is_before
from ansible_collections.pgark.postgres.plugins.module_utils._values.target import Target
from ansible_collections.pgark.postgres.plugins.module_utils._values.times import format_time
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn, TimelinePath
from tests.unit.examples import minutes

AT = Lsn.parse("0/5001238")
EARLIER, LATER = Lsn(AT.value - 64), Lsn(AT.value + 64)
PAUSED = Outcome(True, True, 1, AT, minutes(9))
TARGETS = {
    "time": Target("time", minutes(10)),
    "xid": Target("xid", 7310),
    "name": Target("name", "release"),
    "lsn": Target("lsn", AT),
    "immediate": Target("immediate"),
    "latest": Target(),
}
STOPPING = [name for name in TARGETS if name != "latest"]


def record(target: Target, **changes: Any) -> RestoreRecord:
    made = RestoreRecord(target.as_dict(), "monday", "main", "73", "/data.before-x", timeline=1)
    return replace(made, undo_directory="/data.before-x", **changes)


def ended(timeline: int, history: str | None, **changes: Any) -> Outcome:
    path = None if history is None else TimelinePath.parse(timeline, history)
    return replace(PAUSED, in_recovery=False, paused=False, timeline=timeline, history=path, **changes)


def left_at(position: Lsn) -> Outcome:
    return ended(2, f"1\t{position}\tbefore 2026\n")


def refusal(found: RestoreRecord, outcome: Outcome) -> str:
    with pytest.raises(Error) as error:
        check_outcome(found, outcome)
    return str(error.value)


@pytest.mark.parametrize("name", STOPPING)
@pytest.mark.parametrize("outcome", [PAUSED, left_at(AT)], ids=["paused", "promoted"])
def test_what_was_asked_for_is_accepted(name: str, outcome: Outcome) -> None:
    check_outcome(record(TARGETS[name]), outcome)
    check_outcome(record(TARGETS[name], stop_lsn=str(AT), last_time=format_time(minutes(9))), outcome)


@pytest.mark.parametrize("name", list(TARGETS))
def test_a_recovery_that_goes_on_is_left_alone(name: str) -> None:
    check_outcome(record(TARGETS[name], stop_lsn=str(LATER), end_lsn=str(LATER)), replace(PAUSED, paused=False))


def test_a_pause_is_never_the_end_of_the_wal() -> None:
    told = refusal(record(TARGETS["latest"], end_lsn=str(AT)), PAUSED)
    assert f"has paused at {AT}, and it is to go on to the end of the archived WAL" in told
    assert "pg_wal_replay_resume()" in told


@pytest.mark.parametrize("name", list(TARGETS))
@pytest.mark.parametrize(
    ("found", "followed"), [(ended(1, None), 1), (ended(3, "1\t0/3\tx\n2\t0/4\tx\n"), 3), (ended(1, None), None)]
)
def test_a_server_that_is_out_of_recovery_without_a_new_timeline_has_not_been_in_one(
    name: str, found: Outcome, followed: int | None
) -> None:
    told = refusal(record(TARGETS[name], timeline=followed), found)
    assert f"not in recovery and on timeline {found.timeline}" in told
    assert f"no recovery to {TARGETS[name]} has ended here" in told
    assert "pitr_rollback.yml" in told


def test_a_timeline_of_another_history_is_none_of_this_recovery() -> None:
    told = refusal(record(TARGETS["time"], timeline=3), ended(5, "1\t0/3000000\tx\n2\t0/4000000\tx\n"))
    assert "on timeline 5, which does not descend from timeline 3" in told


def test_what_came_after_the_restore_does_not_matter() -> None:
    """Promoted to timeline 2, the server has failed over twice since, and was restarted."""
    history = f"1\t{AT}\tx\n2\t0/7000000\tx\n3\t0/8000000\tx\n"
    check_outcome(record(TARGETS["lsn"], stop_lsn=str(AT)), ended(4, history, time=None))


def test_where_nothing_tells_where_the_timeline_was_left_nothing_is_said() -> None:
    check_outcome(record(TARGETS["time"], stop_lsn=str(LATER)), ended(2, None))


@pytest.mark.parametrize("name", STOPPING)
@pytest.mark.parametrize(
    ("make", "verb"), [(lambda at: replace(PAUSED, lsn=at), "has paused"), (left_at, "ended")], ids=["pause", "end"]
)
def test_a_recovery_that_stops_elsewhere_than_foreseen_is_told_with_both_positions(
    name: str, make: Any, verb: str
) -> None:
    found = record(TARGETS[name], stop_lsn=str(AT))
    early, late = refusal(found, make(EARLIER)), refusal(found, make(LATER))
    assert f"recovery {verb} at {EARLIER}, and is at {TARGETS[name]} only at {AT}" in early
    assert f"recovery {verb} at {LATER}, which is behind {AT}, where {TARGETS[name]} is" in late


def test_a_position_that_is_the_target_is_reached_whether_it_was_foreseen_or_not() -> None:
    assert f"only at {AT}" in refusal(record(TARGETS["lsn"]), replace(PAUSED, lsn=EARLIER))
    check_outcome(record(TARGETS["lsn"]), replace(PAUSED, lsn=LATER))


def test_the_end_of_the_wal_is_not_reached_before_what_the_archive_has() -> None:
    latest = record(TARGETS["latest"], end_lsn=str(AT))
    check_outcome(latest, left_at(AT))
    check_outcome(latest, left_at(LATER))
    told = refusal(latest, left_at(EARLIER))
    assert f"ended at {EARLIER}, before {AT}, up to which the archive reaches" in told
    assert f"target_lsn={EARLIER}" in told


@pytest.mark.parametrize(
    ("inclusive", "minute", "accepted"), [(True, 10, True), (True, 11, False), (False, 10, False), (False, 9, True)]
)
def test_no_transaction_is_replayed_that_ended_after_the_moment(inclusive: bool, minute: int, accepted: bool) -> None:
    asked = record(replace(TARGETS["time"], inclusive=inclusive))
    outcome = replace(PAUSED, time=minutes(minute))
    if accepted:
        check_outcome(asked, outcome)
    else:
        assert f"the last transaction in it ended at {format_time(minutes(minute))}" in refusal(asked, outcome)


def test_another_last_transaction_than_was_foreseen_is_told() -> None:
    told = refusal(record(TARGETS["xid"], last_time=format_time(minutes(8))), PAUSED)
    assert format_time(minutes(8)) in told
    assert format_time(minutes(9)) in told
    check_outcome(record(TARGETS["xid"], last_time=format_time(minutes(8))), replace(PAUSED, time=None))


def test_there_is_no_way_back_where_nothing_was_replaced() -> None:
    told = refusal(replace(record(TARGETS["time"]), undo_directory=None), ended(1, None))
    assert "pitr_rollback.yml" not in told
    assert "force=true" in told


@pytest.mark.parametrize(
    ("position", "foreseen", "before"),
    [
        ("0/4000", "0/4000", False),
        ("0/4000", "0/4018", False),
        ("0/4000000", "0/4000028", False),
        ("0/4000", "0/4008", False),
        ("0/4000", "0/4030", True),
        ("0/4008", "0/4020", True),
        ("0/4008", "0/4000", False),
        ("0/3FF8", "1/4018", True),
    ],
)
def test_the_header_of_a_page_lies_between_two_records(position: str, foreseen: str, before: bool) -> None:
    assert is_before(Lsn.parse(position), Lsn.parse(foreseen)) is before


@pytest.mark.parametrize("name", list(TARGETS))
def test_a_target_is_read_back_from_a_record(name: str) -> None:
    assert Target.recorded(TARGETS[name].as_dict()) == TARGETS[name]


def test_a_timeline_and_an_exclusive_end_are_read_back_from_a_record() -> None:
    for timeline in (None, 3, "current"):
        target = Target("time", minutes(10), inclusive=False, timeline=timeline)
        assert Target.recorded(target.as_dict()) == target
