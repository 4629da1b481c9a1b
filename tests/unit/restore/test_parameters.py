# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the WAL asks of settings, and which settings no server starts with."""

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._restore.parameters import (
    asked_by_control,
    asked_by_wal,
    check_memory,
    check_minimal,
    check_not_given,
    check_processes,
    check_reserved,
    highest,
    of_processes,
    raised,
    too_small,
)

# As PostgreSQL 13 to 18 print them.
CONTROL = {
    "max_connections setting": "100",
    "max_worker_processes setting": "8",
    "max_wal_senders setting": "10",
    "max_prepared_xacts setting": "0",
    "max_locks_per_xact setting": "64",
    "wal_level setting": "replica",
}
RECORD = (
    "max_connections={} max_worker_processes=8 max_wal_senders=10 max_prepared_xacts={} max_locks_per_xact=64 "
    "wal_level=replica wal_log_hints=off track_commit_timestamp=off"
)
NEEDED = {
    "max_connections": 100,
    "max_worker_processes": 8,
    "max_wal_senders": 10,
    "max_prepared_transactions": 0,
    "max_locks_per_transaction": 64,
}


def test_the_backup_and_each_change_in_the_wal_count_and_the_highest_value_is_needed() -> None:
    assert asked_by_control(CONTROL) == NEEDED
    changes = [RECORD.format(300, 0), RECORD.format(50, 5)]
    assert asked_by_wal(changes) == NEEDED | {
        "max_connections": 300,
        "max_prepared_transactions": 5,
    }
    assert asked_by_wal(()) == {}
    assert highest(NEEDED, asked_by_wal(changes[1:])) == NEEDED | {"max_prepared_transactions": 5}


def test_only_what_is_smaller_is_raised() -> None:
    has = NEEDED | {"max_connections": 99, "max_wal_senders": 50}
    assert too_small(has, NEEDED) == {"max_connections": 99}
    [told] = raised({"max_connections": 99}, NEEDED)
    assert (told["name"], told["found"], told["needed"]) == ("max_connections", 99, 100)
    assert "max_connections is 99, and the WAL to be replayed needs 100" in told["text"]
    assert "until you take it back (ALTER SYSTEM RESET max_connections" in told["text"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-D", "/pg", "-N", "50"], r"-N 50 \(expected max_connections >= 100\), found in /pg/postmaster.opts"),
        (["--max-connections=50"], r"--max-connections=50 \(expected"),
        (["-c", "max_connections=500", "-c", "MAX_CONNECTIONS=50"], r"-c MAX_CONNECTIONS=50 \(expected"),
    ],
)
def test_what_is_too_small_on_the_command_line_is_refused(words: list[str], told: str) -> None:
    with pytest.raises(Error, match=told) as error:
        check_not_given({"max_connections": 50}, NEEDED, words, "/pg/postmaster.opts")
    assert "remove them where the server is started" in str(error.value.hint)


def test_what_is_too_small_in_a_file_can_be_raised() -> None:
    check_not_given({"max_connections": 50}, NEEDED, ["-c", "work_mem=4MB", "-p", "5433"], "/pg/postmaster.opts")
    check_not_given({}, NEEDED, ["-N", "500"], "/pg/postmaster.opts")


def test_more_than_the_memory_is_refused_with_both_figures() -> None:
    check_memory(1 << 30, 1 << 30)
    with pytest.raises(Error, match=r"shared_buffers is 64 GB, and this host has 16 GB of memory and swap"):
        check_memory(64 << 30, 16 << 30)


PROCESSES = {
    "max_connections": "100",
    "max_worker_processes": "8",
    "max_wal_senders": "10",
    "max_prepared_transactions": "0",
    "max_locks_per_transaction": "64",
    "autovacuum_worker_slots": "16",
}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"max_connections": "262109"}, r"max_connections = 262109, .*; a server has 262143 processes at most"),
        (
            {"max_connections": "60000"},
            r"max_connections = 60000, .*; that takes 1\.1 GB and more of the 1\.1 GB of mem",
        ),
        ({"max_prepared_transactions": "60000"}, r"max_prepared_transactions = 60000, .*; that takes"),
        ({"max_locks_per_transaction": "100000"}, r"max_locks_per_transaction = 100000, .*; that takes"),
    ],
)
def test_more_processes_than_a_server_or_this_host_can_have_are_refused(changed: dict[str, str], told: str) -> None:
    assert set(of_processes(18)) == set(PROCESSES)
    assert "autovacuum_max_workers" in of_processes(17)
    check_processes(PROCESSES, 128 << 20, 1100 << 20)
    check_processes(PROCESSES | {"max_connections": "262108"}, 128 << 20, 1 << 50)
    with pytest.raises(Error, match=told):
        check_processes(PROCESSES | changed, 128 << 20, 1100 << 20)


RESERVED = {"max_connections": "20", "superuser_reserved_connections": "3"}
MINIMAL = {"archive_mode": "off", "max_wal_senders": "0", "summarize_wal": "off"}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"superuser_reserved_connections": "20"}, r"superuser_reserved_connections = 20, max_connections = 20; no"),
        ({"reserved_connections": "17"}, r"reserved_connections = 17, max_connections = 20"),
    ],
)
def test_connections_that_are_all_kept_for_somebody_are_refused(changed: dict[str, str], told: str) -> None:
    check_reserved(RESERVED | {"reserved_connections": "16"})
    with pytest.raises(Error, match=told):
        check_reserved(RESERVED | changed)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"archive_mode": "on", "max_wal_senders": "10"},
            r"wal_level = minimal, archive_mode = on, max_wal_senders = 10;",
        ),
        ({"summarize_wal": "on"}, r"wal_level = minimal, summarize_wal = on; that takes replica or logical"),
    ],
)
def test_what_takes_more_than_minimal_wal_is_refused(changed: dict[str, str], told: str) -> None:
    check_minimal(MINIMAL)
    with pytest.raises(Error, match=told):
        check_minimal(MINIMAL | changed)
