# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where settings come from is known line by line, and what keeps a change from taking effect is named."""

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._server.configuration import Configuration, option_for
from ansible_collections.pgark.postgres.plugins.module_utils._server.settings import Change, ConfigurationLine, Setting

CONF, AUTO = "/etc/pg/postgresql.conf", "/data/postgresql.auto.conf"
SETTINGS = {
    "archive_timeout": Setting("archive_timeout", "60", "s", "integer"),
    "max_connections": Setting("max_connections", "100", kind="integer", context="postmaster"),
    "wal_level": Setting("wal_level", "replica", kind="enum", context="postmaster", pending_restart=True),
    "TimeZone": Setting("TimeZone", "UTC", context="user"),
}


def configuration(*entries: ConfigurationLine, options: str = "") -> Configuration:
    return Configuration.of(SETTINGS, entries, options)


def test_the_last_line_about_a_setting_counts_for_each_kind_of_file() -> None:
    lines = [
        ConfigurationLine(CONF, 3, "archive_timeout", "1min"),
        ConfigurationLine("/etc/pg/conf.d/wal.conf", 1, "archive_timeout", "2min"),
        ConfigurationLine(AUTO, 3, "archive_timeout", "3min"),
        ConfigurationLine(AUTO, 4, "archive_timeout", "4min"),
        ConfigurationLine(CONF, 9, "timezone", "UTC"),
    ]
    found = configuration(*lines).settings
    assert (found["archive_timeout"].by_hand, found["archive_timeout"].automatic) == (lines[1], lines[3])
    assert (found["TimeZone"].by_hand, found["TimeZone"].automatic) == (lines[4], None)
    assert (found["wal_level"].by_hand, found["wal_level"].automatic) == (None, None)


STARTED = '/usr/lib/postgresql/17/bin/postgres "-D" "/data dir" '


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ('"-c" "archive_timeout=17"', "-c archive_timeout=17"),
        ('"-carchive_timeout=17"', "-carchive_timeout=17"),
        ('"--archive-timeout=17"', "--archive-timeout=17"),
        ('"--archive_timeout=17" "-p" "5433"', "--archive_timeout=17"),
        ('"-c" "ARCHIVE_TIMEOUT=17"', "-c ARCHIVE_TIMEOUT=17"),
        ('"-c" "archive_timeout=17" "-c" "archive_timeout=18"', "-c archive_timeout=18"),
        ('"-c" "archive_timeout=17" "-c" "archive_command=cp "%p" /x"', "-c archive_timeout=17"),
        ('"-c" "archive_command=echo archive_timeout=17"', None),
        ('"-c" "config_file=/etc/pg/postgresql.conf"', None),
        ('"archive_timeout=17"', None),
        ("", None),
    ],
)
def test_an_option_is_found_in_what_the_server_was_started_with(options: str, found: str | None) -> None:
    assert option_for("archive_timeout", f"{STARTED}{options}\n") == found


def test_nothing_is_found_where_nothing_is_written() -> None:
    assert option_for("archive_timeout", "") is None


def test_a_value_with_quotes_is_quoted_as_it_is() -> None:
    options = f'{STARTED}"-c" "archive_command=cp "%p" /x"\n'
    assert option_for("archive_command", options) == '-c archive_command=cp "%p" /x'


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            '"-c" "archive_timeout=17"',
            "line, where postmaster.opts in the data directory has -c archive_timeout=17, ",
        ),
        ("", "it comes from the server's command line, which outranks ALTER SYSTEM and every file\nHINT: remove it"),
    ],
)
def test_what_the_command_line_says_cannot_be_changed(options: str, words: str) -> None:
    settings = {"archive_timeout": Setting("archive_timeout", "17", "s", "integer", source="command line")}
    given = Configuration.of(settings, (), STARTED + options)
    with pytest.raises(Error, match=r"archive_timeout is '17', expected '1min'; it comes from the server's ") as error:
        given.check_command_line([Change("archive_timeout", "17", "1min", False)])
    assert words in str(error.value)


def test_the_command_line_is_in_the_way_of_nothing_else() -> None:
    settings = {"archive_timeout": Setting("archive_timeout", "17", "s", "integer", source="command line"), **SETTINGS}
    given = Configuration.of({**SETTINGS, **settings}, (), "")
    given.check_command_line([Change("archive_timeout", "17", None, False), Change("wal_level", "replica", "x", True)])


SYNTAX = ConfigurationLine(CONF, 3, None, None, "syntax error")
UNKNOWN = ConfigurationLine(CONF, 4, "archive_tmeout", "60", "unrecognized configuration parameter")
WRONG = ConfigurationLine(CONF, 5, "archive_timeout", "soon", "setting could not be applied")
LATER = ConfigurationLine(CONF, 6, "max_connections", "200", "setting could not be applied")
WAITS = ConfigurationLine(AUTO, 3, "wal_level", "logical", "setting could not be applied")
ZONE = ConfigurationLine(CONF, 7, "timezone", "Moon", "setting could not be applied")
TEXTS = {
    SYNTAX: f"{CONF}:3: syntax error",
    UNKNOWN: f"{CONF}:4: unrecognized configuration parameter: archive_tmeout = '60'",
    WRONG: f"{CONF}:5: setting could not be applied: archive_timeout = 'soon'",
    LATER: f"{CONF}:6: setting could not be applied: max_connections = '200'",
    ZONE: f"{CONF}:7: setting could not be applied: timezone = 'Moon'",
}


@pytest.mark.parametrize(
    ("corrected", "reloaded", "found"),
    [
        ((), False, [SYNTAX, UNKNOWN, WRONG, ZONE]),
        (("archive_timeout",), False, [SYNTAX, UNKNOWN, ZONE]),
        # it had its chance to wait for a restart, and does not
        ((), True, [SYNTAX, UNKNOWN, WRONG, LATER, ZONE]),
    ],
)
def test_lines_that_the_server_does_not_take_are_named(
    corrected: tuple[str, ...], reloaded: bool, found: list[ConfigurationLine]
) -> None:
    good = ConfigurationLine(CONF, 1, "archive_timeout", "60")
    given = configuration(good, SYNTAX, UNKNOWN, WRONG, LATER, WAITS, ZONE)
    assert given.faults(corrected, reloaded) == [TEXTS[entry] for entry in found]
