# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A push that is killed, or that the operating system fails, at every one of its system calls."""

from __future__ import annotations

import errno
import itertools
import signal
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from tests.unit.wal_program.harness import (
    COMPRESSIONS,
    HISTORY,
    NAME,
    Repository,
    fail_at,
    kill_at,
    run_quickly,
    run_tampered,
    segment,
    sha256_line,
    write_segment,
)

ABSENT, ABORT = 1, 200
CASES = [(NAME, compression) for compression in COMPRESSIONS] + [("00000002.history", "none")]


def expected_files(name: str, compression: str) -> set[str]:
    """Name all that a finished push leaves."""
    return {NAME, f"{NAME}.sha256"} if (name, compression) == (NAME, "none") else {name + COMPRESSIONS[compression]}


def interrupted(tmp_path: Path, name: str, compression: str) -> tuple[Repository, Path, list[str]]:
    """Prepare a push to an archive that has nothing yet, so that directories are made as well."""
    repository = Repository.create(tmp_path / "repository")
    repository.wal.rmdir()
    content = HISTORY if name.endswith(".history") else segment()
    path = write_segment(tmp_path / "pg_wal", name, content)
    return repository, path, ["push", *repository.options(), "--compression", compression, str(path)]


def assert_not_half_done(repository: Repository, path: Path, compression: str) -> None:
    """Check that a reader gets the file whole and verified, or sees none."""
    restored = path.with_name("restored")
    published = repository.archived(path.name, compression).exists()
    expected = 0 if published else ABSENT if repository.wal.exists() else ABORT
    assert run_quickly(["get", *repository.options(), path.name, str(restored)]) == expected
    assert not published or restored.read_bytes() == path.read_bytes()


def assert_retry_completes(repository: Repository, path: Path, compression: str, argv: list[str]) -> None:
    """Check that the next push succeeds, and that no more is left than the first one would have left.

    A compressor may outlive its killed push for a moment; then its file is left for a later push to remove.
    """
    files = expected_files(path.name, compression)
    assert run_quickly(argv) == 0
    wait_until(lambda: repository.files() == files or run_quickly(argv), message="leftovers to be removed")
    assert repository.files() == files
    assert_not_half_done(repository, path, compression)


@pytest.mark.parametrize(("name", "compression"), CASES)
def test_killed_anywhere_it_leaves_nothing_half_done_and_the_retry_cleans_up(
    name: str, compression: str, tmp_path: Path
) -> None:
    statuses = []
    for point in itertools.count(1):
        repository, path, argv = interrupted(tmp_path / str(point), name, compression)
        statuses.append(run_tampered(argv, kill_at(point)))
        assert_not_half_done(repository, path, compression)
        assert_retry_completes(repository, path, compression, argv)
        if statuses[-1] == 0:
            break
    assert set(statuses[:-1]) == {-signal.SIGKILL}
    assert len(statuses) > 15


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_killed_anywhere_and_retried_with_other_bytes_the_checksum_is_that_of_the_published_file(
    compression: str, tmp_path: Path
) -> None:
    for point in itertools.count(1):
        repository, path, argv = interrupted(tmp_path / str(point), NAME, "none")
        status = run_tampered(argv, kill_at(point))
        published = repository.archived().exists()
        first = path.read_bytes()
        path.write_bytes(segment(seed=1))
        retry = ["push", *repository.options(), "--compression", compression, str(path)]
        assert run_quickly(retry) == (1 if published else 0)
        assert run_quickly(["get", *repository.options(), NAME, str(path)]) == 0
        assert path.read_bytes() == (first if published else segment(seed=1))
        if published or compression == "none":
            assert repository.archived().with_suffix(".sha256").read_text() == sha256_line(NAME, path.read_bytes())
        else:
            assert repository.files() == expected_files(NAME, compression)
        if status == 0:
            break


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize(("name", "compression"), CASES)
def test_failing_anywhere_it_exits_1_and_the_retry_works(
    name: str, compression: str, error: int, tmp_path: Path
) -> None:
    argv = interrupted(tmp_path / "whole", name, compression)[2]
    calls = recorded(argv, tmp_path / "calls")
    for point in (number for number, (call, _file) in enumerate(calls, 1) if call != "close"):
        repository, path, argv = interrupted(tmp_path / str(point), name, compression)
        assert run_tampered(argv, fail_at(point, error)) == 1, calls[point - 1]
        assert_not_half_done(repository, path, compression)
        assert_retry_completes(repository, path, compression, argv)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_everything_is_durable_before_it_is_relied_on(compression: str, tmp_path: Path) -> None:
    repository, _archived, argv = interrupted(tmp_path, NAME, compression)
    calls = recorded(argv, tmp_path / "calls")
    archived = repository.archived(NAME, compression)
    directory, hidden = archived.parent, f"{archived.parent}/.{NAME}."
    steps = [
        ("mkdir", "wal"),
        ("fsync", str(repository.wal.parent)),
        ("mkdir", directory.name),
        ("fsync", str(repository.wal)),
        ("waitpid", "") if compression in ("lz4", "zstd") else ("write", hidden),
        ("fsync", hidden),
        *([("rename", f"{NAME}.sha256"), ("fsync", str(directory))] if compression == "none" else []),
        ("link", archived.name),
        ("fsync", str(directory)),
    ]
    assert_in_order(steps, calls)
    of_segment = [call for call, file in calls if call == "waitpid" or is_own(file, hidden)]
    assert not {"write", "waitpid"} & set(of_segment[of_segment.index("fsync") :]), "written to after its fsync"


def is_own(file: str, hidden: str) -> bool:
    """Tell the segment's temporary file from its checksum's."""
    return file.startswith(hidden) and not file.startswith(f"{hidden}sha256.")


def assert_in_order(steps: list[tuple[str, str]], calls: list[tuple[str, str]]) -> None:
    """Check that the steps are among the calls, each after the one before; names need only begin as given here."""
    remaining = iter(calls)
    for step, file in steps:
        found = any(call == step and name.startswith(file) for call, name in remaining)
        assert found, f"{step} {file} is not where it belongs in {calls}"


def test_a_success_for_what_is_there_already_comes_after_fsync_too(tmp_path: Path, compression: str) -> None:
    repository, _archived, argv = interrupted(tmp_path, NAME, compression)
    assert run_tampered(argv, kill_at(10_000)) == 0
    calls = recorded(argv, tmp_path / "calls")
    archived = repository.archived(NAME, compression)
    assert_in_order([("fsync", str(archived)), ("fsync", str(archived.parent)), ("fsync", str(repository.wal))], calls)


def recorded(argv: list[str], log: Path) -> list[tuple[str, str]]:
    """Run the program, which must succeed, and return its system calls in order, each with the file it is about."""

    def note(_number: int, call: str, file: str) -> None:
        with log.open("a", encoding="utf-8") as lines:
            lines.write(f"{call} {file}\n")

    assert run_tampered(argv, note) == 0
    return [(call, file) for call, _space, file in (line.partition(" ") for line in log.read_text().splitlines())]
