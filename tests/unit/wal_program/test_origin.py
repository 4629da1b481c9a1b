# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From which data directory a push comes: a clone writes nothing into the archive of the cluster it was made from."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.unit.wal_program.harness import (
    BACKUP_HISTORY,
    HISTORY,
    NAME,
    SYSTEM_IDENTIFIER,
    Repository,
    assert_done,
    assert_failed,
    push,
    segment,
    write_segment,
)

CONTENTS = {NAME: segment(), "00000002.history": HISTORY, f"{NAME}.00000028.backup": BACKUP_HISTORY}


@pytest.fixture(params=CONTENTS)
def name(request: pytest.FixtureRequest) -> str:
    """Name a file of each kind."""
    return str(request.param)


def data_directory(pg_wal: Path, identifier: int = SYSTEM_IDENTIFIER, **record: Any) -> Path:
    """Make a data directory around the WAL, with the record of a restore if something is to be in it."""
    data = pg_wal.parent
    (data / "global").mkdir()
    (data / "global" / "pg_control").write_bytes(struct.pack("=Q", identifier).ljust(8192, b"\1"))
    if record:
        written = {"target": {"kind": "latest"}, "source": None, "system_identifier": str(SYSTEM_IDENTIFIER)} | record
        (data / "pgark_restore.json").write_text(json.dumps(written, indent=2, sort_keys=True))
    return data


def push_as_the_server_does(repository: Repository, data: Path, name: str) -> Any:
    """Push a file by its path in the data directory, which is where the server calls from."""
    write_segment(data / "pg_wal", name, CONTENTS[name])
    return push(repository, Path("pg_wal") / name, cwd=data)


def test_the_clusters_own_files_are_taken(repository: Repository, pg_wal: Path, name: str) -> None:
    assert_done(push_as_the_server_does(repository, data_directory(pg_wal), name))


@pytest.mark.parametrize("name", sorted(set(CONTENTS) - {NAME}))
def test_another_clusters_files_without_an_identifier_are_told_by_its_data_directory(
    repository: Repository, pg_wal: Path, name: str
) -> None:
    data = data_directory(pg_wal, 73)
    refused = push_as_the_server_does(repository, data, name)
    assert_failed(refused, 1, name, "data directory with system identifier 73", f"expected {SYSTEM_IDENTIFIER}")
    assert_failed(push(repository, data / "pg_wal" / name), 1, "system identifier 73")
    assert repository.files() == set()


def test_a_clone_pushes_nothing_before_it_has_an_identity_of_its_own(
    repository: Repository, pg_wal: Path, name: str
) -> None:
    refused = push_as_the_server_does(repository, data_directory(pg_wal, source="db1"), name)
    assert_failed(refused, 1, "a clone of db1", "HINT: stop the server, and run pitr_restore with state: detached")
    assert repository.files() == set()


def test_a_clone_whose_identity_is_only_noted_pushes_nothing(repository: Repository, pg_wal: Path, name: str) -> None:
    data = data_directory(pg_wal, source="db1", identity="73")
    assert_failed(push_as_the_server_does(repository, data, name), 1, "a clone of db1")
    assert repository.files() == set()


@pytest.mark.parametrize(
    "record",
    [
        {"source": None},
        {"source": "db1", "system_identifier": "73", "identity": str(SYSTEM_IDENTIFIER)},
    ],
    ids=["restored in place", "detached"],
)
def test_other_records_of_restores_are_in_nobodys_way(
    record: dict[str, Any], repository: Repository, pg_wal: Path, name: str
) -> None:
    assert_done(push_as_the_server_does(repository, data_directory(pg_wal, **record), name))


@pytest.mark.parametrize(
    "content", ['{"source": "db1"', "[1]", "[" * 100_000, '{"source": "' + "x" * (1 << 20)], ids=lambda text: text[:12]
)
def test_a_record_that_cannot_be_read_is_no_leave_to_push(
    content: str, repository: Repository, pg_wal: Path, name: str
) -> None:
    data = data_directory(pg_wal)
    (data / "pgark_restore.json").write_text(content)
    assert_failed(push_as_the_server_does(repository, data, name), 1)
    assert repository.files() == set()


def test_a_control_file_that_is_cut_off_is_no_leave_to_push(repository: Repository, pg_wal: Path, name: str) -> None:
    data = data_directory(pg_wal)
    (data / "global" / "pg_control").write_bytes(b"\0\0\0")
    assert_failed(push_as_the_server_does(repository, data, name), 1)
    assert repository.files() == set()
