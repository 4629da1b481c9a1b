# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments of every size that initdb offers are archived ahead and come back, within the same bounds."""

import filecmp
import os
from pathlib import Path

import pytest

from tests.unit.wal_program.harness import MB, Repository, assert_done, get, load, run_quickly, segment

FIRST = "0000000100000002"


def write_sparse(pg_wal: Path, number: int, megabytes: int) -> Path:
    """Put a segment and its .ready file where PostgreSQL would have them; all but its first MB are zeros."""
    name = f"{FIRST}{number:08X}"
    path = pg_wal / name
    address = (2 << 32) + number * megabytes * MB
    path.write_bytes(segment(name, address=address, segment_size=megabytes * MB))
    os.truncate(path, megabytes * MB)
    (pg_wal / "archive_status" / f"{name}.ready").touch()
    return path


@pytest.mark.parametrize(
    ("megabytes", "waiting", "archived"),
    [(1, 70, 64), (2, 3, 3), (16, 40, 33), (64, 3, 3), (256, 4, 3), (1024, 2, 1)],
)
def test_a_batch_is_bounded_in_number_and_bytes(megabytes: int, waiting: int, archived: int, tmp_path: Path) -> None:
    pg_wal = tmp_path / "pg_wal"
    (pg_wal / "archive_status").mkdir(parents=True)
    repository = Repository.create(tmp_path / "repository", segment_size=megabytes * MB)
    paths = [write_sparse(pg_wal, number, megabytes) for number in range(waiting)]
    ahead = f"{pg_wal}/pgsql_tmp.pgark/push-test"
    options = [*repository.options(), "--compression", "zstd", "--jobs", "2", "--ahead", ahead]
    assert run_quickly(["push", *options, str(paths[0])], AHEAD_SECONDS=600.0) == 0
    assert repository.files() == {f"{path.name}.zst" for path in paths[:archived]}
    kept = sum(path.stat().st_size for path in Path(ahead).iterdir() if not path.is_symlink())
    assert kept <= load().AHEAD_BYTES, "the room that acknowledgements keep"
    restored = tmp_path / "restored"
    assert_done(get(repository, paths[archived - 1].name, restored))
    assert filecmp.cmp(restored, paths[archived - 1], shallow=False)


@pytest.mark.parametrize("megabytes", [16, 1024])
def test_a_batch_ends_with_its_directory_in_the_archive(megabytes: int, tmp_path: Path) -> None:
    names = load().next_names(f"{FIRST}00000001", megabytes * MB)
    assert names[0] == f"{FIRST}00000002"
    assert names[-1] == f"{FIRST}{4096 // megabytes - 1:08X}"
    assert load().names_after(names[-1], megabytes * MB, "-", b"")[0] == "000000010000000300000000"
