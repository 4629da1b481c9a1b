# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a clone gets a system identifier of its own, what is left to do after an interruption, and what is refused."""

from dataclasses import replace

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._clone.plan_detach import (
    SIGNALS,
    ChangeIdentity,
    Clone,
    NoteIdentity,
    OfferHistory,
    ResetWal,
    plan_detach,
)
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import (
    DataDirectory,
    RestoreRecord,
    check_stopped,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._plan.plan import Plan
from ansible_collections.pgark.postgres.plugins.module_utils._values.target import Target

PATH = "/srv/clone"
RECORD = RestoreRecord(Target().as_dict(), "monday", "db1", "73", f"{PATH}.before-x", source="db1")
NOTED = replace(RECORD, identity="1001")
HISTORY = "00000002.history"


def clone(record: RestoreRecord | None = RECORD, identifier: str = "73", state: str = "shut down") -> Clone:
    """Describe a clone that was promoted and stopped; its WAL is whole, and of one cluster with its control file."""
    directory = DataDirectory(PATH, PATH, "cluster", system_identifier=identifier, record=record)
    return Clone(directory, state)


def running(found: Clone, process: int = 4711) -> Clone:
    return replace(found, directory=replace(found.directory, postmaster=process), state="in production")


def kinds(plan: Plan) -> list[type]:
    return [type(step) for step in plan.steps]


def test_everything_is_planned_in_an_order_that_can_be_interrupted() -> None:
    plan = plan_detach(replace(clone(), history=HISTORY), "1001")
    assert plan.steps == (
        NoteIdentity(PATH, NOTED),
        OfferHistory(PATH, HISTORY),
        ChangeIdentity(PATH, "1001"),
        ResetWal(PATH),
    )
    assert (plan.before, plan.after) == ({"system_identifier": "73"}, {"system_identifier": "1001"})
    assert [step.text for step in plan.steps] == [
        "note in /srv/clone that its system identifier is to be 1001",
        "have 00000002.history archived as soon as /srv/clone has an archive of its own",
        "change the system identifier in /srv/clone/global/pg_control to 1001",
        "begin new WAL in /srv/clone with pg_resetwal",
    ]


@pytest.mark.parametrize(
    ("found", "left"),
    [
        (clone(NOTED), [ChangeIdentity, ResetWal]),
        (replace(clone(NOTED), history=HISTORY), [OfferHistory, ChangeIdentity, ResetWal]),
        (replace(clone(NOTED, "1001"), own_wal=False), [ResetWal]),
        (clone(NOTED, "1001"), []),
    ],
    ids=["noted", "noted, history not offered", "changed", "done"],
)
def test_a_run_after_an_interruption_does_what_is_left_with_the_identifier_that_was_noted(
    found: Clone, left: list[type]
) -> None:
    plan = plan_detach(found, "2002")
    assert kinds(plan) == left
    assert "2002" not in str(plan)


def test_a_detached_clone_may_be_running_or_have_crashed_since() -> None:
    assert not plan_detach(running(clone(NOTED, "1001")), "2002").changed
    # What it writes lies in segments whose beginning is not looked at while it writes.
    assert not plan_detach(running(replace(clone(NOTED, "1001"), own_wal=False)), "2002").changed
    assert not plan_detach(clone(NOTED, "1001", "in production"), "2002").changed


def test_a_running_server_is_no_obstacle_to_a_plan_but_to_carrying_it_out() -> None:
    found = running(clone())
    assert plan_detach(found, "1001").changed
    with pytest.raises(Error, match=r"a server \(process 4711\) is running on /srv/clone"):
        check_stopped(found.directory)
    check_stopped(clone().directory)


@pytest.mark.parametrize(
    "record", [None, replace(RECORD, source=None)], ids=["nothing was restored", "restored in place"]
)
def test_only_a_clone_is_detached(record: RestoreRecord | None) -> None:
    with pytest.raises(Error, match="/srv/clone is not the result of a restore with source_cluster"):
        plan_detach(clone(record), "1001")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        *[
            (replace(clone(), signals=(name,)), f"has not ended: its state is 'shut down', and {name} is there")
            for name in SIGNALS
        ],
        (running(replace(clone(), signals=SIGNALS[:1])), "the recovery in /srv/clone has not ended"),
        (clone(state="shut down in recovery"), "not ended: its state is 'shut down in recovery'\nHINT: promote it"),
        (clone(state="in archive recovery"), "the recovery in /srv/clone has not ended"),
        (
            clone(state="in production"),
            "not shut down cleanly: its state is 'in production'\nHINT: start it",
        ),
        (clone(state="in crash recovery"), "was not shut down cleanly"),
        (clone(state="shutting down"), "was not shut down cleanly"),
        (replace(clone(NOTED, "1001"), own_wal=False, state="starting up"), "was not shut down cleanly"),
        (Clone(replace(clone().directory, kind="unfinished"), "unfinished"), "a restore was interrupted"),
    ],
)
def test_what_would_lose_data_is_refused(found: Clone, message: str) -> None:
    with pytest.raises(Error, match=message):
        plan_detach(found, "1001")
