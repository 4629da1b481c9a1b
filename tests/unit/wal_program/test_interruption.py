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

from tests.unit.wal_program.harness import (
    COMPRESSIONS,
    HISTORY,
    NAME,
    Repository,
    assert_done,
    fail_at,
    get,
    kill_at,
    push,
    run_tampered,
    segment,
    sha256_line,
    write_segment,
)

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


def check_that_nothing_is_half_done(repository: Repository, path: Path, compression: str) -> None:
    """A reader sees the file whole and verified, or not at all; and no retry takes a leftover for the file."""
    archived = repository.archived(path.name, compression)
    if archived.exists():
        assert_done(get(repository, path.name, path.with_name("restored")))
        assert path.with_name("restored").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("name", "compression"), CASES)
def test_killed_anywhere_it_leaves_nothing_half_done_and_the_retry_cleans_up(
    name: str, compression: str, tmp_path: Path
) -> None:
    statuses = []
    for point in itertools.count(1):
        repository, path, argv = interrupted(tmp_path / str(point), name, compression)
        statuses.append(run_tampered(argv, kill_at(point)))
        check_that_nothing_is_half_done(repository, path, compression)
        assert_done(push(repository, path, compression))
        assert repository.files() == expected_files(name, compression)
        check_that_nothing_is_half_done(repository, path, compression)
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
        assert push(repository, path, compression).returncode == (1 if published else 0)
        assert_done(get(repository, NAME, path))
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
    _, _, argv = interrupted(tmp_path / "whole", name, compression)
    calls = recorded(argv, tmp_path / "calls")
    for point in (number for number, (call, _) in enumerate(calls, 1) if call != "close"):
        repository, path, argv = interrupted(tmp_path / str(point), name, compression)
        assert run_tampered(argv, fail_at(point, error)) == 1, calls[point - 1]
        check_that_nothing_is_half_done(repository, path, compression)
        assert_done(push(repository, path, compression))
        assert repository.files() == expected_files(name, compression)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_everything_is_durable_before_it_is_relied_on(compression: str, tmp_path: Path) -> None:
    repository, _, argv = interrupted(tmp_path, NAME, compression)
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
    repository, _, argv = interrupted(tmp_path, NAME, compression)
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
    return [(call, file) for call, _, file in (line.partition(" ") for line in log.read_text().splitlines())]
