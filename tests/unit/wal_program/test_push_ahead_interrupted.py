# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A push with others waiting behind its segment, killed or failed by the operating system at every system call."""

from __future__ import annotations

import errno
import functools
import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.support.soak import Share
from tests.unit.wal_program.harness import ALL_CALLS, WRITING, Repository, fail_at, kill_at
from tests.unit.wal_program.pgdata import Archiver, names

THREE = names(3, 3)
# Before a call that changes nothing, there is the same to be found as before the next one that does.
CHANGING = tuple(call for call in WRITING if call not in ("close", "waitpid"))
FAILING = {
    ("none", errno.EIO): tuple(call for call in ALL_CALLS if call != "close"),
    ("none", errno.ENOSPC): ("open", "write", "fsync", "link", "symlink", "rename", "mkdir"),
    ("zstd", errno.EIO): ("posix_spawn", "waitpid", "read", "fsync", "link", "unlink", "symlink"),
}
soaked = functools.partial(pytest.param, marks=pytest.mark.soak)


def scene(path: Path, compression: str, jobs: int = 1) -> Archiver:
    """Have three segments wait, an acknowledgement of an earlier push be there, and the archive have no directory."""
    repository = Repository.create(path / "repository")
    server = Archiver(path / "data", repository, compression=compression, jobs=jobs)
    server.has(THREE)
    server.place().mkdir(parents=True)
    os.link(server.wal / THREE[2], server.place() / THREE[2])
    (server.place() / f"{THREE[2]}.1").symlink_to("anywhere")
    return server


def assert_only_what_is_archived_counts(server: Archiver) -> int:
    """Check that the shell answers for no more than is archived, which has no gap; say for how many it does."""
    archived, acknowledged = server.archived(), server.acknowledged(*THREE)
    assert archived == THREE[: len(archived)]
    assert set(acknowledged) <= set(archived)
    return len(acknowledged)


def assert_all_get_archived(server: Archiver) -> None:
    """Check that the archiver, going on as if nothing had happened, archives each segment once, and leaves no more."""
    server.archive_all()
    assert server.archived() == THREE
    server.assert_nothing_is_left()
    assert {path.name.partition(".")[0] for path in server.place().iterdir()} <= set(THREE)


@pytest.mark.parametrize(("compression", "jobs"), [("none", 1), soaked("zstd", 1), soaked("zstd", 2)])
def test_killed_anywhere_it_acknowledges_nothing_that_is_not_archived(
    compression: str, jobs: int, tmp_path: Path, share: Share
) -> None:
    statuses, acknowledged = [], []
    for point in share.points(5):
        server = scene(tmp_path / str(point), compression, jobs)
        statuses.append(server.push_tampered(THREE[0], kill_at(point), CHANGING))
        acknowledged.append(assert_only_what_is_archived_counts(server))
        assert_all_get_archived(server)
        shutil.rmtree(tmp_path / str(point))
        if statuses[-1] == 0:
            break
    assert set(statuses[:-1]) == {-signal.SIGKILL}
    assert acknowledged == sorted(acknowledged)
    assert acknowledged[-1] == 2
    assert not share.full or set(acknowledged) == {0, 1, 2}


@pytest.mark.parametrize(
    ("compression", "error"), [soaked("none", errno.EIO), ("none", errno.ENOSPC), soaked("zstd", errno.EIO)]
)
def test_failing_anywhere_it_acknowledges_nothing_that_is_not_archived(
    compression: str, error: int, tmp_path: Path, share: Share
) -> None:
    calls = recorded(scene(tmp_path / "whole", compression), FAILING[compression, error])
    assert len(calls) > 3
    for point, call in share.of(list(enumerate(calls, 1)), len(calls) // 4):
        server = scene(tmp_path / str(point), compression)
        status = server.push_tampered(THREE[0], fail_at(point, error), FAILING[compression, error])
        assert status in (0, 1), call
        assert status == 1 or THREE[0] in server.archived(), call
        assert_only_what_is_archived_counts(server)
        assert_all_get_archived(server)
        shutil.rmtree(tmp_path / str(point))


def recorded(server: Archiver, calls: tuple[str, ...]) -> list[tuple[str, str]]:
    """Push the first segment, and return these calls in their order, each with the file it is about."""
    log = server.data / "calls"

    def note(_number: int, call: str, file: str) -> None:
        with log.open("a", encoding="utf-8") as lines:
            lines.write(f"{call} {file}\n")

    assert server.push_tampered(THREE[0], note, calls) == 0
    return [(call, file) for call, _space, file in (line.partition(" ") for line in log.read_text().splitlines())]


def test_nothing_is_acknowledged_before_it_is_durable(tmp_path: Path, compression: str) -> None:
    server = scene(tmp_path, compression)
    server.repositories = (*server.repositories, Repository.create(tmp_path / "second"))
    calls = recorded(server, WRITING)
    symlinks = [number for number, (call, _file) in enumerate(calls) if call == "symlink"]
    assert [calls[number][1] for number in symlinks] == [
        f"{server.place().relative_to(server.data)}/{name}.{number}" for number in (1, 2) for name in THREE[1:]
    ]
    before = list(enumerate(calls[: symlinks[0]]))
    for number, repository in enumerate(server.repositories):
        for name in THREE:
            archived = repository.archived(name, compression)
            hidden = f"{archived.parent}/.{name}."
            written = [at for at, (call, file) in before if call == "fsync" and file.startswith(hidden)]
            published = [at for at, call in before if call == ("link", archived.name)][number]
            named = [at for at, call in before if call == ("fsync", str(archived.parent))]
            assert max(written) < published < max(named)
