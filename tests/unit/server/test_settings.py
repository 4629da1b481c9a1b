# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings are compared as the server would show them."""

from dataclasses import replace

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import InvalidValue
from ansible_collections.pgark.postgres.plugins.module_utils._server.settings import (
    Change,
    ConfigurationLine,
    Setting,
    changes,
    choose_compression,
)


@pytest.mark.parametrize(
    ("kind", "unit", "wanted", "shown"),
    [
        ("integer", "s", "60", "60"),
        ("integer", "s", "5min", "300"),
        ("integer", "s", "1 h", "3600"),
        ("integer", "s", "1d", "86400"),
        ("integer", "s", "1500ms", "2"),
        ("integer", "ms", "1min", "60000"),
        ("integer", "min", "2h", "120"),
        ("integer", "8kB", "128MB", "16384"),
        ("integer", "8kB", "8GB", "1048576"),
        ("integer", "kB", "1GB", "1048576"),
        ("integer", "MB", "3TB", "3145728"),
        ("integer", "kB", "1.5MB", "1536"),
        ("integer", "B", "16MB", "16777216"),
        ("integer", "8kB", "1048577", "1048577"),
        ("integer", "", "-1", "-1"),
        ("integer", "", "10", "10"),
        ("real", "", "0.9", "0.9"),
        ("real", "ms", "2ms", "2"),
        ("real", "ms", "500us", "0.5"),
        ("bool", "", "TRUE", "on"),
        ("bool", "", "yes", "on"),
        ("bool", "", "1", "on"),
        ("bool", "", "Off", "off"),
        ("bool", "", "no", "off"),
        ("enum", "", "REPLICA", "replica"),
        ("enum", "", "True", "on"),
        ("string", "", "5min", "5min"),
        ("string", "", "TRUE", "TRUE"),
        ("integer", "", "many", "many"),
    ],
)
def test_a_value_is_written_as_the_server_shows_it(kind: str, unit: str, wanted: str, shown: str) -> None:
    assert Setting("x", "", unit, kind).normalise(wanted) == shown


@pytest.mark.parametrize(("unit", "wanted"), [("kB", "5min"), ("s", "5MB"), ("ms", "5 Min"), ("8kB", "1mb")])
def test_a_unit_that_the_setting_does_not_have_is_refused(unit: str, wanted: str) -> None:
    with pytest.raises(InvalidValue, match=r"setting x: unit '.*' is not one of "):
        Setting("x", "", unit, "integer").normalise(wanted)


def test_a_reset_that_nobody_has_told_the_server_of_is_repeated() -> None:
    unwritten = replace(TIMEOUT, automatic=None)
    expected = (Change("archive_timeout", "60", None, False, "/data/postgresql.auto.conf:4"),)
    assert changes({"archive_timeout": unwritten}, {"archive_timeout": None}) == expected
    for done in (replace(unwritten, value="0"), replace(unwritten, pending_restart=True)):
        assert changes({"archive_timeout": done}, {"archive_timeout": None}) == ()


def written(name: str, value: str, file: str = "/data/postgresql.auto.conf", line: int = 3) -> ConfigurationLine:
    return ConfigurationLine(file, line, name, value)


MODE = Setting("archive_mode", "off", kind="enum", context="postmaster", default="off")
TIMEOUT = Setting(
    *("archive_timeout", "60", "s", "integer", "sighup", False, "configuration file"),
    *("/data/postgresql.auto.conf", 4, "0", written("archive_timeout", "1min", line=4)),
)
MEMORY = Setting("work_mem", "4096", "kB", "integer", source_file="/etc/postgresql.conf", source_line=7)
CURRENT = {setting.name: setting for setting in (MODE, TIMEOUT, MEMORY)}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ()),
        ({"archive_timeout": "1min", "work_mem": "4MB", "archive_mode": "OFF"}, ()),
        ({"archive_mode": "on"}, (Change("archive_mode", "off", "on", True),)),
        ({"work_mem": "8MB"}, (Change("work_mem", "4096", "8MB", False, "/etc/postgresql.conf:7"),)),
        (
            {"archive_timeout": None},
            (Change("archive_timeout", "60", None, False, "/data/postgresql.auto.conf:4"),),
        ),
        ({"work_mem": None, "archive_mode": None}, ()),
    ],
)
def test_only_what_differs_is_changed(wanted: dict[str, str | None], found: tuple[Change, ...]) -> None:
    assert changes(CURRENT, wanted) == found


WAITING = replace(MODE, pending_restart=True, automatic=written("archive_mode", "On"))
LINE = "/data/postgresql.auto.conf:3"


@pytest.mark.parametrize(
    ("current", "wanted", "found"),
    [
        (WAITING, "ON", ()),
        (WAITING, "always", (Change("archive_mode", "on", "always", True, LINE),)),
        (WAITING, "off", (Change("archive_mode", "on", "off", False, LINE),)),
        (WAITING, None, (Change("archive_mode", "on", None, False, LINE),)),
        # reset already, so that the restart will bring the default
        (replace(MODE, value="on", pending_restart=True), "off", ()),
        (replace(MODE, value="on", pending_restart=True), "on", (Change("archive_mode", "off", "on", False),)),
        # another file than ALTER SYSTEM's
        (replace(WAITING, automatic=None, by_hand=written("archive_mode", "yes", "/etc/a.conf")), "on", ()),
        (
            replace(WAITING, automatic=None, by_hand=written("archive_mode", "always", "/etc/a.conf")),
            "on",
            (Change("archive_mode", "always", "on", True, "/etc/a.conf:3"),),
        ),
        # the command line wins again after the restart
        (replace(WAITING, source="command line"), "off", ()),
        (
            replace(WAITING, source="command line"),
            "on",
            (Change("archive_mode", "off", "on", True, "the server's command line"),),
        ),
    ],
)
def test_what_a_restart_will_bring_counts_as_there(
    current: Setting, wanted: str | None, found: tuple[Change, ...]
) -> None:
    assert changes({"archive_mode": current}, {"archive_mode": wanted}) == found


@pytest.mark.parametrize(
    ("value", "by_hand", "source", "needs_restart"),
    [
        ("on", None, "configuration file", True),
        ("off", None, "configuration file", False),
        ("on", "yes", "configuration file", False),
        ("on", "off", "configuration file", True),
        ("on", "off", "command line", False),
    ],
)
def test_a_reset_needs_a_restart_when_that_changes_the_value(
    value: str, by_hand: str | None, source: str, needs_restart: bool
) -> None:
    entry = None if by_hand is None else written("archive_mode", by_hand, "/etc/a.conf")
    setting = replace(MODE, value=value, source=source, automatic=written("archive_mode", "on"), by_hand=entry)
    [change] = changes({"archive_mode": setting}, {"archive_mode": None})
    assert change.needs_restart == needs_restart


@pytest.mark.parametrize("value", ["on", None])
def test_a_setting_that_the_server_does_not_have_is_refused(value: str | None) -> None:
    with pytest.raises(InvalidValue, match="the server knows no setting 'archiv_mode'"):
        changes(CURRENT, {"archiv_mode": value})


@pytest.mark.parametrize(
    ("wanted", "available", "chosen"),
    [
        ("auto", {"zstd", "lz4", "gzip"}, "zstd"),
        ("auto", {"lz4", "gzip"}, "lz4"),
        ("auto", {"gzip"}, "gzip"),
        ("auto", set(), "none"),
        ("none", set(), "none"),
        ("lz4", {"zstd", "lz4"}, "lz4"),
    ],
)
def test_auto_takes_the_best_compression_there_is(wanted: str, available: set[str], chosen: str) -> None:
    assert choose_compression(wanted, frozenset(available)) == chosen


def test_a_compression_that_is_missing_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidValue, match=r"compression zstd is not available here; found: gzip, none\nHINT: "):
        choose_compression("zstd", frozenset({"gzip"}))
