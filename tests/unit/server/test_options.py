# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server was started with is read as it reads it, kept for its next start, and never outranks a restore."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._server.options import (
    check_command_line,
    kept_words,
    option_words,
    options,
    options_line,
    parse_options,
)

WRITTEN = {
    "restore_command": "get",
    "recovery_target": "",
    "recovery_target_action": "pause",
    "listen_addresses": "",
    "hot_standby": "on",
}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], {}),
        (["-D", "/my data"], {"data_directory": "/my data"}),
        (["-D/my data", "-p5433"], {"data_directory": "/my data", "port": "5433"}),
        (["-c", "a.b=c=d"], {"a.b": "c=d"}),
        (["-cWork_Mem=4MB", "--work-mem=8MB"], {"work_mem": "8MB"}),
        (["--log-connections", "-c", "nothing"], {}),
        (["-h", "", "-k", "/run a"], {"listen_addresses": "", "unix_socket_directories": "/run a"}),
        (["-i"], {"listen_addresses": "*"}),
        (["-h", "localhost", "-i"], {"listen_addresses": "*"}),
        (["-iFp", "5433"], {"listen_addresses": "*", "fsync": "off", "port": "5433"}),
        (["-e", "-l", "-O", "-P", "-s"], dict.fromkeys(("ssl", "allow_system_table_mods"), "on")),
        (["-d", "3"], {"log_min_messages": "debug3"}),
        (["-N", "50", "-B", "1000", "-S", "64", "-W", "5"], {"max_connections": "50", "shared_buffers": "1000"}),
        (["-f", "s", "-t", "pl", "-r", "/x", "-T", "-E", "-j", "-n"], {}),
        (["-p"], {"port": ""}),
    ],
)
def test_options_are_read_as_the_server_reads_them(words: list[str], found: dict[str, str]) -> None:
    given = options(options_line(words))
    assert {name: given[name] for name in found} == found
    assert found or not given


@given(st.lists(st.text(st.characters(exclude_characters='"\n', exclude_categories=["Cs"]), min_size=1)))
def test_what_is_written_is_read_back(words: list[str]) -> None:
    assert option_words(options_line(words)) == words


def test_a_server_that_was_started_without_any_has_none() -> None:
    assert option_words("") == option_words("/usr/bin/postgres\n") == []


@pytest.mark.parametrize(
    ("words", "configured", "kept"),
    [
        (["-D", "/data"], False, []),
        (["-D/data", "-p", "5433", "-c", "work_mem=77MB"], False, ["-p", "5433", "-c", "work_mem=77MB"]),
        (["-iD", "/data", "--port=1"], False, ["-i", "--port=1"]),
        (["-D", "/data", "-c", "config_file=/etc/x", "-F"], True, ["-F"]),
        (["-D", "/data", "-c", "config_file=/etc/x", "-F"], False, ["-c", "config_file=/etc/x", "-F"]),
        (["-c", "archive_command=cp \"%p\" '/a b'"], False, ["-c", "archive_command=cp \"%p\" '/a b'"]),
        (["-p", "50432", "-b", "-c", "fsync=off"], False, []),
    ],
)
def test_a_server_is_started_again_as_it_was(words: Sequence[str], configured: bool, kept: list[str]) -> None:
    assert list(kept_words(words, configured)) == kept


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-D", "/data", "-c", "config_file=/etc/postgresql/17/main/postgresql.conf"],
        ["-p", "5433", "-c", "work_mem=1MB"],
        ["-c", "hot_standby=TRUE"],
        ["-h", "", "-c", "recovery_target="],
    ],
)
def test_what_does_not_outrank_a_restore_is_accepted(words: list[str]) -> None:
    check_command_line(parse_options(words), WRITTEN, "/data/postmaster.opts")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-i"], "-i (expected listen_addresses = '')"),
        (["-h", "*"], "-h * (expected listen_addresses = '')"),
        (["--listen-addresses=*"], "--listen-addresses=* (expected listen_addresses"),
        (["-c", "hot_standby=off"], "-c hot_standby=off (expected hot_standby = 'on')"),
        (["-c", "recovery_target_action=promote"], "-c recovery_target_action=promote (expected"),
        (["-c", "restore_command=cp /x/%f %p"], "-c restore_command=cp /x/%f %p (expected restore_command = 'get')"),
        (["-h", "", "-i"], "-i (expected listen_addresses"),
    ],
)
def test_what_outranks_a_restore_is_refused_by_name_and_place(words: list[str], told: str) -> None:
    with pytest.raises(Error) as error:
        check_command_line(parse_options(words), WRITTEN, "/data/postmaster.opts")
    assert told in error.value.message
    assert "found in /data/postmaster.opts" in error.value.message
    assert ("pitr_restore_local_only" in str(error.value)) is ("listen_addresses" in told)
    assert "remove postmaster.opts" in str(error.value)


def test_a_password_is_not_quoted() -> None:
    words = ["-c", "primary_conninfo=host=db1 password=s3cret"]
    with pytest.raises(Error, match=r"primary_conninfo=\.\.\. \(expected primary_conninfo = ''\)") as error:
        check_command_line(parse_options(words), {"primary_conninfo": ""}, "postmaster.opts")
    assert "s3cret" not in str(error.value)
