# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was asked for is read the same whatever gave it: the command line, a survey, a file, an inventory."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._asked.asked import (
    PLAYBOOKS,
    Answer,
    Variable,
    check_fleet,
    check_target,
    is_blank,
    read_answers,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error, InvalidValue
from tests.gates.setup import ROOT

RESTORE = PLAYBOOKS["pitr_restore"]
BERLIN = timezone(timedelta(hours=2))
FORCE = Variable("force", "pitr_restore_force", switch=True)
ACTION = Variable("target_action", "pitr_restore_action", kept=True)
TARGET = Variable("target", "pitr_restore_target")


def read(**given: Any) -> dict[str, Any]:
    return read_answers(RESTORE, {name: Answer(name, value) for name, value in given.items()})


def test_every_playbook_has_its_variables() -> None:
    assert set(PLAYBOOKS) == {path.stem for path in Path(ROOT / "playbooks").glob("*.yml")}


READ = [
    ("target_time", "2026-09-15T14:30:00Z", "2026-09-15T14:30:00Z"),
    ("target_time", " 2026-09-15T14:30:00Z ", "2026-09-15T14:30:00Z"),
    ("target_time", datetime(2026, 9, 15, 14, 30, tzinfo=UTC), "2026-09-15T14:30:00+00:00"),
    ("target_time", datetime(2026, 9, 15, 14, 30, tzinfo=BERLIN), "2026-09-15T14:30:00+02:00"),
    ("target_time", date(2026, 9, 15), "2026-09-15"),
    ("target_xid", 7310, "7310"),
    ("target_name", 42, "42"),
    ("target_timeline", 2, "2"),
    ("target_timeline", "current", "current"),
    ("backup_label", 20261121, "20261121"),
    ("target_inclusive", "false", False),
    ("target_inclusive", "No", False),
    ("target_inclusive", 0, False),
    ("target_inclusive", True, True),
    ("force", "yes", True),
    ("fleet", 1, True),
    ("target_action", "pause", "pause"),
]


@pytest.mark.parametrize(("name", "given", "value"), READ)
def test_a_value_is_normalised(name: str, given: Any, value: Any) -> None:
    assert read(**{name: given})[name] == value


def test_what_was_not_answered_has_its_default() -> None:
    values = read()
    assert values["target_inclusive"] is True
    assert (values["target_timeline"], values["target_action"], values["target_time"]) == ("latest", "promote", "")
    assert (values["force"], values["fleet"]) == (False, False)


UNREADABLE = [
    ("force", "perhaps", "force is 'perhaps', expected true or false"),
    ("force", 2, "force is 2, expected true or false"),
    ("fleet", [True], "fleet is a list, expected true or false"),
    ("target_action", "stop", "there is no target_action=stop; expected promote or pause"),
    ("target_name", True, "target_name is true, expected text"),
    ("target_time", {"at": "noon"}, "target_time is a dictionary, expected text"),
    ("target_timeline", "newest", "target_timeline 'newest' is not a timeline"),
]


@pytest.mark.parametrize(("name", "given", "complaint"), UNREADABLE)
def test_what_cannot_be_read_is_refused_by_its_name(name: str, given: Any, complaint: str) -> None:
    with pytest.raises(InvalidValue, match=complaint):
        read(**{name: given})


@pytest.mark.parametrize(("value", "blank"), [("", True), (" ", True), (None, True), (0, False), (False, False)])
def test_blank_is_what_says_nothing(value: Any, blank: bool) -> None:
    assert is_blank(value) is blank


# By playbook or by the role alone, with what was given for this run: what may give the value.
SOURCES = [
    (FORCE, True, [], []),
    (FORCE, True, ["force"], ["force"]),
    (FORCE, True, ["pitr_force"], ["pitr_force"]),
    (FORCE, True, ["pitr_restore_force"], ["pitr_restore_force"]),
    (FORCE, False, ["force"], []),
    (FORCE, False, [], []),
    (FORCE, False, ["pitr_restore_force"], ["pitr_restore_force"]),
    (TARGET, True, [], []),
    (TARGET, True, ["target"], ["target"]),
    (TARGET, False, ["target"], ["pitr_restore_target"]),
    (ACTION, True, [], ["pitr_restore_action"]),
    (ACTION, True, ["target_action"], ["target_action", "pitr_restore_action"]),
]


@pytest.mark.parametrize(("variable", "by_playbook", "given", "names"), SOURCES)
def test_a_value_comes_from_where_it_may(
    variable: Variable, by_playbook: bool, given: list[str], names: list[str]
) -> None:
    assert variable.names(by_playbook, given) == names


NO_TARGETS = [
    ({}, "no recovery target is given"),
    ({"target_xid": "7", "target_name": "x", "target_lsn": "0/1"}, "3 .*: target_xid, target_name, target_lsn"),
    ({"target": "yesterday"}, "there is no target=yesterday"),
    ({"target": "latest", "target_action": "pause"}, "there is nothing to pause at"),
    ({"target_time": date(2026, 9, 15)}, "is a date without a time"),
    ({"target_time": datetime(2026, 9, 15, 14, 30)}, "has no offset from UTC"),  # noqa: DTZ001  # what YAML makes of it
    ({"target_lsn": "3000028"}, "target_lsn '3000028' is not an LSN"),
]


@pytest.mark.parametrize(("given", "complaint"), NO_TARGETS)
def test_what_is_no_target_is_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidValue, match=complaint):
        check_target(RESTORE, read(**given))


def test_where_nothing_is_restored_a_target_need_not_be_given() -> None:
    windows = PLAYBOOKS["recovery_windows"]
    check_target(windows, read_answers(windows, {}))
    check_target(PLAYBOOKS["pitr_rollback"], {})


@pytest.mark.parametrize(("playbook", "deed"), [("pitr_restore", "restore"), ("pitr_rollback", "roll back")])
def test_several_clusters_are_refused_by_name(playbook: str, deed: str) -> None:
    with pytest.raises(Error, match=f"would {deed} 2 clusters: db1, db2") as refused:
        check_fleet(PLAYBOOKS[playbook], ["db1", "db2"], False, "fleet=true")
    assert refused.value.hint == f"choose one with --limit, or give fleet=true to {deed} them all"


@pytest.mark.parametrize(("playbook", "hosts", "fleet"), [
    ("pitr_restore", ["db1"], False), ("pitr_restore", ["db1", "db2"], True), ("base_backup", ["db1", "db2"], False),
])  # fmt: skip
def test_several_clusters_are_no_matter_where_that_is_meant(playbook: str, hosts: list[str], fleet: bool) -> None:
    check_fleet(PLAYBOOKS[playbook], hosts, fleet, "fleet=true")


def test_what_is_removed_is_named_in_the_run_and_never_in_an_inventory() -> None:
    remove = PLAYBOOKS["previous_data"].variables[0]
    assert remove.names(True, []) == []
    assert remove.names(True, ["remove"]) == ["remove"]
    assert read_answers(PLAYBOOKS["previous_data"], {}) == {"remove": [], "fleet": False}
    given = {"remove": Answer("remove", ["/a", "/b c"])}
    assert read_answers(PLAYBOOKS["previous_data"], given)["remove"] == ["/a", "/b c"]


@pytest.mark.parametrize("variable", PLAYBOOKS["setup_archiving"].variables)
def test_what_gives_up_wal_or_a_repositorys_place_is_named_in_the_run_and_never_in_an_inventory(
    variable: Variable,
) -> None:
    assert variable.names(True, []) == variable.names(False, []) == []
    assert variable.names(True, [variable.role_name]) == variable.names(False, [variable.role_name])
    assert variable.alias == variable.name
