# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which settings make a server archive, and what it takes until they are in force."""

from dataclasses import replace

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._core.plan import AlterSystem, ReloadServer
from ansible_collections.pgark.postgres.plugins.module_utils._core.plan_archiving import (
    check_in_force,
    plan_archiving,
    restart_reasons,
    wanted_when_disabled,
    wanted_when_enabled,
)
from ansible_collections.pgark.postgres.plugins.module_utils._core.settings import Setting
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error, InvalidValue

AUTO = "/data/postgresql.auto.conf"
COMMAND = "pgark-wal push"


def server(**values: str) -> dict[str, Setting]:
    """Give the settings of a fresh server, some of them changed."""
    fresh = {
        "archive_mode": Setting("archive_mode", "off", kind="enum", context="postmaster"),
        "wal_level": Setting("wal_level", "replica", kind="enum", context="postmaster"),
        "max_wal_senders": Setting("max_wal_senders", "10", kind="integer", context="postmaster"),
        "archive_library": Setting("archive_library", ""),
        "archive_command": Setting("archive_command", ""),
        "archive_timeout": Setting("archive_timeout", "0", "s", "integer"),
        "work_mem": Setting("work_mem", "4096", "kB", "integer", "user"),
    }
    return {name: replace(setting, value=values.get(name, setting.value)) for name, setting in fresh.items()}


ARCHIVING = {"archive_mode": "on", "archive_command": COMMAND, "archive_timeout": "60"}
OURS = {"archive_command": COMMAND, "archive_library": "", "archive_timeout": "60"}


@pytest.mark.parametrize(
    ("current", "wanted"),
    [
        ({}, {"archive_mode": "on", **OURS}),
        ({"archive_mode": "on"}, OURS),
        ({"archive_mode": "always"}, OURS),
        ({"archive_mode": "on", "wal_level": "logical"}, OURS),
        ({"archive_mode": "on", "wal_level": "minimal"}, {"wal_level": "replica", **OURS}),
        ({"archive_mode": "on", "max_wal_senders": "0"}, {"max_wal_senders": "10", **OURS}),
        ({"archive_mode": "on", "max_wal_senders": "2"}, OURS),
    ],
)
def test_what_is_sufficient_is_not_touched(current: dict[str, str], wanted: dict[str, str]) -> None:
    assert wanted_when_enabled(server(**current), COMMAND, "", 60, {}) == wanted


def test_further_settings_come_along_and_win() -> None:
    wanted = wanted_when_enabled(server(), COMMAND, "", 60, {"work_mem": "8MB", "archive_timeout": "5min"})
    assert wanted["work_mem"] == "8MB"
    assert wanted["archive_timeout"] == "5min"


def test_a_library_takes_the_place_of_the_command() -> None:
    wanted = wanted_when_enabled(server(**ARCHIVING), "", "basic_archive", 60, {})
    assert (wanted["archive_library"], wanted["archive_command"]) == ("basic_archive", "")


def test_before_postgresql_15_there_is_no_library() -> None:
    old = server()
    del old["archive_library"]
    assert "archive_library" not in wanted_when_enabled(old, COMMAND, "", 60, {})
    with pytest.raises(Error, match=r"archive_library needs PostgreSQL 15 or newer\nHINT: give a command instead"):
        wanted_when_enabled(old, "", "basic_archive", 60, {})


def test_disabling_resets_what_this_server_has() -> None:
    old = server()
    del old["archive_library"]
    assert wanted_when_disabled(old) == {"archive_mode": "off", "archive_command": None, "archive_timeout": None}
    assert wanted_when_disabled(server()) == {**wanted_when_disabled(old), "archive_library": None}


def test_only_what_differs_is_changed_and_then_the_server_reloaded_once() -> None:
    current = server(archive_mode="on", archive_command="cp %p /elsewhere")
    plan = plan_archiving(current, wanted_when_enabled(current, COMMAND, "", 60, {}))
    assert plan.steps == (
        AlterSystem("archive_command", COMMAND),
        AlterSystem("archive_timeout", "60"),
        ReloadServer(),
    )
    assert plan.before == {"archive_command": "cp %p /elsewhere", "archive_timeout": "0"}
    assert plan.after == {"archive_command": COMMAND, "archive_timeout": "60"}


def test_a_server_that_archives_already_is_left_alone() -> None:
    current = server(**ARCHIVING)
    wanted = wanted_when_enabled(current, COMMAND, "", 60, {"work_mem": "4MB"})
    plan = plan_archiving(current, wanted)
    assert (plan.changed, dict(plan.before), dict(plan.after)) == (False, {}, {})
    assert restart_reasons(current, wanted) == []
    check_in_force(current, wanted)


def test_a_reset_is_shown_as_one() -> None:
    current = server(**ARCHIVING)
    current["archive_command"] = replace(current["archive_command"], source_file=AUTO)
    plan = plan_archiving(current, wanted_when_disabled(current))
    assert plan.after == {"archive_mode": "off", "archive_command": "(reset)"}
    assert AlterSystem("archive_command", None) in plan.steps


def test_an_unknown_setting_is_refused_before_anything_is_changed() -> None:
    with pytest.raises(InvalidValue, match="the server knows no setting 'wrok_mem'"):
        plan_archiving(server(), {"archive_timeout": "60", "wrok_mem": "8MB"})


def test_a_restart_is_due_for_what_differs_and_for_what_waits() -> None:
    current = server(archive_mode="on")
    current["max_wal_senders"] = replace(current["max_wal_senders"], pending_restart=True)
    wanted = {"wal_level": "logical", "max_wal_senders": "10", "archive_mode": "on", "archive_timeout": "60"}
    assert restart_reasons(current, wanted) == ["max_wal_senders", "wal_level"]


@pytest.mark.parametrize(
    ("setting", "origin"),
    [
        (Setting("archive_timeout", "0", "s", "integer", source="command line"), "source 'command line'"),
        (Setting("archive_timeout", "0", "s", "integer", source_file="/etc/late.conf"), "/etc/late.conf"),
    ],
)
def test_a_setting_that_is_outranked_is_no_success(setting: Setting, origin: str) -> None:
    with pytest.raises(Error, match=rf"archive_timeout was set to '60' and stays at '0', which comes from {origin}\n"):
        check_in_force({"archive_timeout": setting}, {"archive_timeout": "60"})


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        (Setting("archive_mode", "off", kind="enum", context="postmaster"), "on"),
        (Setting("archive_mode", "off", kind="enum", pending_restart=True), "on"),
        (Setting("archive_mode", "off", kind="enum", source_file=AUTO), None),
    ],
)
def test_what_waits_for_a_restart_is_not_outranked(setting: Setting, wanted: str | None) -> None:
    check_in_force({"archive_mode": setting}, {"archive_mode": wanted})
