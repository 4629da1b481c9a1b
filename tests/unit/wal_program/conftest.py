# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for the tests of pgark-wal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.wal_program.harness import COMPRESSIONS, MB, Repository
from tests.unit.wal_program.pgdata import FIVE, Archiver, install
from tests.unit.wal_program.recovering import Recovery


@pytest.fixture(scope="session", autouse=True)
def compressors() -> None:
    """Fail, rather than skip, where a compressor is missing: it is the archived WAL that these tests are about."""
    missing = [name for name in ("zstd", "lz4") if not shutil.which(name)]
    assert not missing, f"the tests of pgark-wal need the programs {missing}: install the packages zstd and lz4"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Provide an empty repository for PostgreSQL 17."""
    return Repository.create(tmp_path / "repository")


@pytest.fixture
def pg_wal(tmp_path: Path) -> Path:
    """Provide the directory that PostgreSQL has its WAL in."""
    directory = tmp_path / "pg_wal"
    directory.mkdir()
    return directory


@pytest.fixture(params=list(COMPRESSIONS))
def compression(request: pytest.FixtureRequest) -> str:
    """Provide each compression in turn."""
    return str(request.param)


@pytest.fixture
def program(tmp_path: Path) -> str:
    """Provide the program; its spool is so small that the file system need not have much room, and it retries soon."""
    return install(tmp_path / "pgark-wal", SPOOL_BYTES=8 * MB, SPOOL_RETRY_SECONDS=0.02)


@pytest.fixture
def server(repository: Repository, tmp_path: Path) -> Archiver:
    """Provide a server with five segments that wait."""
    server = Archiver(tmp_path / "data", repository)
    server.has(FIVE)
    return server


@pytest.fixture
def recovery(repository: Repository, tmp_path: Path) -> Iterator[Recovery]:
    """Provide a recovery, and check that nothing is left of it in the end."""
    with Recovery(tmp_path / "data", repository) as recovery:
        yield recovery
