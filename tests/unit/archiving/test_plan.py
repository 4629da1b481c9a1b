# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which settings make a server archive, and what it takes until they are in force."""

from dataclasses import replace

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._archiving.commands import push_command
from ansible_collections.pgark.postgres.plugins.module_utils._archiving.plan import (
    check_changeable,
    check_command_length,
    check_in_force,
    ends_archiving,
    plan_archiving,
    restart_reasons,
    unverified_reason,
    values_after,
    wanted_when_disabled,
    wanted_when_enabled,
)
from ansible_collections.pgark.postgres.plugins.module_utils._archiving.takeover import Kept
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error, InvalidValue
from ansible_collections.pgark.postgres.plugins.module_utils._plan.plan import AlterSystem, ReloadServer
from ansible_collections.pgark.postgres.plugins.module_utils._server.configuration import Configuration
from ansible_collections.pgark.postgres.plugins.module_utils._server.settings import (
    Change,
    ConfigurationLine,
    Setting,
    changes,
)

PUSH = push_command("/opt/pgark-wal", ["/srv/pgark"], "db1", "none", 2)
AUTO, CONF = "/data/postgresql.auto.conf", "/etc/pg/conf.d/wal.conf"
COMMAND = "pgark-wal push"
FRESH = (
    Setting("archive_mode", "off", kind="enum", context="postmaster", default="off"),
    Setting("wal_level", "replica", kind="enum", context="postmaster", default="replica"),
    Setting("max_wal_senders", "10", kind="integer", context="postmaster", default="10"),
    Setting("archive_library", ""),
    Setting("archive_command", ""),
    Setting("archive_timeout", "0", "s", "integer", default="0"),
    Setting("summarize_wal", "off", kind="bool", default="off"),
    Setting("work_mem", "4096", "kB", "integer", "user"),
)


def server(**values: str) -> dict[str, Setting]:
    """Give the settings of a fresh server, some of them changed."""
    return {setting.name: replace(setting, value=values.get(setting.name, setting.value)) for setting in FRESH}


def configured(by_hand: dict[str, str] | None = None, automatic: dict[str, str] | None = None) -> dict[str, Setting]:
    """Give the settings of a server started with these lines in a file, and these in that of ALTER SYSTEM."""
    by_hand, automatic = by_hand or {}, automatic or {}
    lines = [ConfigurationLine(CONF, number, *line) for number, line in enumerate(by_hand.items(), 1)]
    lines += [ConfigurationLine(AUTO, number, *line) for number, line in enumerate(automatic.items(), 3)]
    return dict(Configuration.of(server(**by_hand | automatic), lines, "").settings)


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


@pytest.mark.parametrize(
    ("in_force", "written", "wanted"),
    [
        ("on", "off", "on"),
        ("off", "always", "always"),
        ("off", "on", "on"),
        ("always", "off", "always"),
        ("on", "always", None),
    ],
)
def test_what_a_restart_would_bring_has_to_be_sufficient_too(in_force: str, written: str, wanted: str | None) -> None:
    current = configured({"archive_mode": written})
    current["archive_mode"] = replace(current["archive_mode"], value=in_force, pending_restart=True)
    assert wanted_when_enabled(current, COMMAND, "", 60, {}).get("archive_mode") == wanted


def test_a_restart_that_somebody_else_wants_is_not_ours() -> None:
    current = configured({"max_wal_senders": "20", "archive_mode": "on"})
    current["max_wal_senders"] = replace(current["max_wal_senders"], value="10", pending_restart=True)
    assert restart_reasons(current, wanted_when_enabled(current, COMMAND, "", 60, {})) == []


RESET = {"archive_mode": None, "archive_command": None, "archive_library": None, "archive_timeout": None}
RAISED = {"wal_level": "replica", "max_wal_senders": "10"}
TOO_LOW = {"wal_level": "minimal", "max_wal_senders": "0"}
LOWERED = {"max_wal_senders": None, "wal_level": None}


@pytest.mark.parametrize(
    ("by_hand", "automatic", "wanted"),
    [
        ({}, {}, RESET),
        ({}, ARCHIVING, RESET),
        ({"archive_mode": "off"}, ARCHIVING, RESET),
        # somebody else's archiving comes back, and nothing else may keep WAL for an archive that nobody has set up
        ({"archive_mode": "yes", "archive_command": "cp"}, ARCHIVING, RESET),
        ({"archive_mode": "yes", "archive_library": "basic_archive"}, ARCHIVING, RESET),
        ({"archive_mode": "yes", "archive_command": " "}, ARCHIVING, {**RESET, "archive_mode": "off"}),
        ({"archive_mode": "yes", "archive_command": PUSH}, {}, {**RESET, "archive_mode": "off"}),
        ({"archive_mode": "always"}, {}, {**RESET, "archive_mode": "off"}),
        # what was raised is lowered when it is certain that it was raised for archiving
        (TOO_LOW, RAISED, {**RESET, **LOWERED}),
        ({"max_wal_senders": "0"}, {"max_wal_senders": "10"}, {**RESET, "max_wal_senders": None}),
        ({}, RAISED, RESET),
        (TOO_LOW, {"wal_level": "logical", "max_wal_senders": "16"}, RESET),
        (TOO_LOW, {**RAISED, "wal_level": "logical"}, {**RESET, "max_wal_senders": None}),
        # the server would not start with wal_level minimal
        (TOO_LOW, {**RAISED, "max_wal_senders": "5"}, RESET),
        ({"wal_level": "minimal", "max_wal_senders": "3"}, {"wal_level": "replica"}, RESET),
        ({**TOO_LOW, "summarize_wal": "on"}, RAISED, {**RESET, "max_wal_senders": None}),
    ],
)
def test_disabling_undoes_what_enabling_did(
    by_hand: dict[str, str], automatic: dict[str, str], wanted: dict[str, str | None]
) -> None:
    assert wanted_when_disabled(configured(by_hand, automatic), {}, in_use=False) == wanted


def test_what_was_replaced_is_put_back_as_it_stood() -> None:
    theirs = configured({"archive_mode": "on"}, {"archive_command": "barman-wal-archive %p", "archive_timeout": "300"})
    kept = Kept.of(theirs)
    current = configured({"archive_mode": "on"}, {"archive_command": PUSH, "archive_timeout": "60"})
    wanted = wanted_when_disabled(current, {}, in_use=False, kept=kept)
    assert wanted == {**RESET, "archive_command": "barman-wal-archive %p", "archive_timeout": "300"}
    assert changes(theirs, wanted) == (), "nothing is left to do then"


@pytest.mark.parametrize(
    ("settings", "changed", "expected"),
    [
        ({"archive_mode": "on", "archive_command": PUSH}, "archive_command", True),
        ({"archive_mode": "always", "archive_library": "basic_archive"}, "archive_library", True),
        ({"archive_mode": "on", "archive_command": PUSH}, "archive_timeout", False),
        ({"archive_mode": "on"}, "archive_mode", False),
        ({"archive_mode": "off", "archive_command": PUSH}, "archive_command", False),
    ],
)
def test_what_waits_is_archived_before_archiving_ends(settings: dict[str, str], changed: str, expected: bool) -> None:
    assert ends_archiving(configured(settings), [Change(changed, "", None, False)]) is expected


def test_disabling_waits_for_the_restart_that_lowers() -> None:
    reset = configured(TOO_LOW)
    waiting = {name: replace(reset[name], value=value, pending_restart=True) for name, value in RAISED.items()}
    wanted = wanted_when_disabled({**reset, **waiting}, {}, in_use=False)
    assert changes({**reset, **waiting}, wanted) == ()
    assert restart_reasons({**reset, **waiting}, wanted) == ["max_wal_senders", "wal_level"]


def test_disabling_resets_further_settings_that_still_have_our_values() -> None:
    current = configured({"work_mem": "1MB"}, {"work_mem": "8MB", "summarize_wal": "yes"})
    extra = {"work_mem": "8192", "summarize_wal": "off", "archive_timeout": "60"}
    assert wanted_when_disabled(current, extra, in_use=False) == {**RESET, "work_mem": None}
    with pytest.raises(InvalidValue, match="the server knows no setting 'wrok_mem'"):
        changes(current, wanted_when_disabled(current, {"wrok_mem": "8MB"}, in_use=False))


def test_what_standbys_need_is_not_lowered() -> None:
    assert wanted_when_disabled(configured(TOO_LOW, RAISED), {}, in_use=True) == RESET


def test_disabling_knows_older_servers() -> None:
    old = configured(TOO_LOW, RAISED)
    for name in ("archive_library", "summarize_wal"):
        del old[name]
    assert wanted_when_disabled(old, {}, in_use=False) == {
        name: None for name in (*RESET, *LOWERED) if name != "archive_library"
    }


@pytest.mark.parametrize(("value", "wanted"), [("on", "off"), ("off", None)])
def test_disabling_minds_the_command_line(value: str, wanted: str | None) -> None:
    current = configured(automatic={"archive_mode": "on"})
    current["archive_mode"] = replace(current["archive_mode"], value=value, source="command line")
    assert wanted_when_disabled(current, {}, in_use=False)["archive_mode"] == wanted


def test_only_what_differs_is_changed_and_then_the_server_reloaded_once() -> None:
    current = server(archive_mode="on", archive_command="cp %p /elsewhere/%f")
    current["archive_command"] = replace(current["archive_command"], source_file=CONF, source_line=3)
    found = changes(current, wanted_when_enabled(current, COMMAND, "", 60, {}))
    plan = plan_archiving(found)
    assert plan.steps == (
        AlterSystem("archive_command", COMMAND),
        AlterSystem("archive_timeout", "60"),
        ReloadServer(),
    )
    assert plan.before == {"archive_command": f"cp %p /elsewhere/%f  (from {CONF}:3)", "archive_timeout": "0"}
    assert plan.after == values_after(found) == {"archive_command": COMMAND, "archive_timeout": "60"}


def test_a_server_that_archives_already_is_left_alone() -> None:
    current = configured(automatic=ARCHIVING)
    wanted = wanted_when_enabled(current, COMMAND, "", 60, {"work_mem": "4MB"})
    plan = plan_archiving(changes(current, wanted))
    assert (plan.changed, dict(plan.before), dict(plan.after)) == (False, {}, {})
    assert restart_reasons(current, wanted) == []
    check_in_force(Configuration(current), wanted, reloaded=True)


def test_a_reset_is_shown_as_one() -> None:
    current = configured(automatic={"archive_mode": "on", "archive_command": COMMAND})
    current["archive_command"] = replace(current["archive_command"], source_file=AUTO, source_line=4)
    plan = plan_archiving(changes(current, wanted_when_disabled(current, {}, in_use=False)))
    assert plan.before == {"archive_mode": "on", "archive_command": f"{COMMAND}  (from {AUTO}:4)"}
    assert plan.after == {"archive_mode": "(reset)", "archive_command": "(reset)"}
    assert plan.steps == (AlterSystem("archive_mode", None), AlterSystem("archive_command", None), ReloadServer())


def test_an_unknown_setting_is_refused_before_anything_is_changed() -> None:
    with pytest.raises(InvalidValue, match="the server knows no setting 'wrok_mem'"):
        changes(server(), {"archive_timeout": "60", "wrok_mem": "8MB"})


def test_a_restart_is_due_for_what_differs_and_for_what_waits() -> None:
    current = configured({"max_wal_senders": "20", "archive_mode": "on"})
    current["max_wal_senders"] = replace(current["max_wal_senders"], value="10", pending_restart=True)
    wanted = {"wal_level": "logical", "max_wal_senders": "20", "archive_mode": "on", "archive_timeout": "60"}
    assert restart_reasons(current, wanted) == ["max_wal_senders", "wal_level"]


@pytest.mark.parametrize("source", ["command line", "default"])
def test_no_restart_is_due_when_it_would_bring_what_is_there(source: str) -> None:
    """The mark stays after an ALTER SYSTEM was taken back, and where the command line outranks one."""
    current = server()
    lines = [ConfigurationLine(AUTO, 3, "archive_mode", "on")] if source == "command line" else []
    current["archive_mode"] = replace(FRESH[0], pending_restart=True, source=source)
    current = dict(Configuration.of(current, lines, "").settings)
    assert restart_reasons(current, {"archive_mode": "off"}) == []


WRONG = ConfigurationLine(CONF, 5, "archive_timeout", "soon", "setting could not be applied")
SYNTAX = ConfigurationLine(CONF, 7, None, None, "syntax error")


def with_lines(*entries: ConfigurationLine, **settings: Setting) -> Configuration:
    return Configuration.of({**server(), **settings}, entries, "")


@pytest.mark.parametrize(
    ("wanted", "restart"),
    [({"work_mem": "8MB"}, []), ({}, ["archive_mode"])],
)
def test_errors_in_files_are_refused_before_a_change_or_a_restart(wanted: dict[str, str], restart: list[str]) -> None:
    given = with_lines(WRONG, SYNTAX)
    with pytest.raises(
        Error, match=r"the server's configuration has errors, .*:\n.*wal.conf:5: .*\n.*:7: syntax"
    ) as error:
        check_changeable(given, changes(given.settings, wanted), restart)
    assert "HINT: correct the lines, and run this again; nothing was changed" in str(error.value)


def test_errors_in_files_are_a_warning_where_nothing_has_to_take_effect() -> None:
    [warning] = check_changeable(with_lines(SYNTAX), (), [])
    assert warning.endswith(f"with which it will not start again: {CONF}:7: syntax error")
    assert check_changeable(with_lines(), (), []) == []


def test_an_error_that_is_about_to_be_outranked_is_none() -> None:
    given = with_lines(WRONG)
    assert check_changeable(given, changes(given.settings, {"archive_timeout": "60"}), []) == []
    reset = with_lines(WRONG, ConfigurationLine(AUTO, 3, "archive_timeout", "60"))
    with pytest.raises(Error, match="setting could not be applied: archive_timeout = 'soon'"):
        check_changeable(reset, changes(reset.settings, {"archive_timeout": None}), [])


def test_the_command_line_is_refused_before_anything_is_changed() -> None:
    given = with_lines(archive_mode=replace(FRESH[0], source="command line"))
    with pytest.raises(Error, match="archive_mode is 'off', expected 'on'; it comes from the server's command line"):
        check_changeable(given, changes(given.settings, {"archive_mode": "on"}), [])


def test_a_setting_that_stays_as_it_was_is_no_success() -> None:
    setting = Setting("archive_timeout", "0", "s", "integer", source_file="/etc/late.conf", source_line=2)
    with pytest.raises(Error, match=r"archive_timeout was set to '60' and stays at '0  \(from /etc/late.conf:2\)'\n"):
        check_in_force(with_lines(archive_timeout=setting), {"archive_timeout": "60"}, reloaded=True)


@pytest.mark.parametrize("mode", ["on", None])
def test_what_waits_for_a_restart_is_a_success(mode: str | None) -> None:
    entries = [] if mode is None else [ConfigurationLine(AUTO, 3, "archive_mode", mode, "setting could not be applied")]
    waiting = replace(FRESH[0], value="off" if mode == "on" else "on", pending_restart=True)
    given = with_lines(*entries, archive_mode=waiting)
    check_in_force(given, {"archive_mode": mode}, reloaded=True)
    assert restart_reasons(given.settings, {"archive_mode": mode}) == ["archive_mode"]


def test_an_error_that_only_the_reload_shows_is_no_success() -> None:
    given = with_lines(ConfigurationLine(CONF, 2, "max_wal_senders", "many", "setting could not be applied"))
    check_in_force(given, {}, reloaded=False)
    with pytest.raises(Error, match=r"will not start again:\n.*wal.conf:2: .*max_wal_senders = 'many'\nHINT: correct"):
        check_in_force(given, {}, reloaded=True)


@pytest.mark.parametrize(
    ("check_mode", "in_recovery", "restart", "words"),
    [
        (True, True, ["archive_mode"], "check mode"),
        (False, True, ["archive_mode"], "in recovery"),
        (False, False, ["archive_mode"], "a restart has to bring archive_mode into force first"),
    ],
)
def test_why_there_is_no_proof_is_said(check_mode: bool, in_recovery: bool, restart: list[str], words: str) -> None:
    assert words in (unverified_reason(check_mode, in_recovery, restart) or "")


def test_there_is_a_proof_when_nothing_is_in_its_way() -> None:
    assert unverified_reason(False, False, []) is None


def test_a_command_that_older_servers_cut_off_is_refused_by_its_expanded_length() -> None:
    fixed = len("pg_wal/") + 2 * len("0" * 24 + ".00000028.backup") + len("%")
    longest = "%p%f%%" + (1023 - fixed) * "x"
    for version in (130022, 140020, 150014, 160010, 180001):
        check_command_length(longest, version)
        if version < 160000:
            with pytest.raises(Error, match=f"up to 1024 bytes .* at most 1023: PostgreSQL {version // 10000} cuts"):
                check_command_length(f"{longest}x", version)
        else:
            check_command_length(f"{longest}x", version)
    with pytest.raises(Error, match="up to 1025 bytes"):
        check_command_length(f"{longest}\u00e9", 150014)
