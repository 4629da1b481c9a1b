# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository that is full, read-only or gone stalls archiving, and what has waited arrives when it is well again."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.archiving import Archiving
from tests.support.mounts import mounted
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_until
from tests.unit.wal_program.harness import Repository

SETTINGS = {"fsync": "off", "wal_keep_size": "1GB"}
COUNT = 8
CRITICAL = 2


@pytest.fixture
def archiving(sandbox: Sandbox, version: str) -> Iterator[Archiving]:
    """Provide a server with segments of 1 MB, which archives into a file system of its own."""
    with sandbox.cluster(version, "stalls", settings=SETTINGS, wal_segment_size=1) as cluster:
        yield Archiving(cluster)


def status(archiving: Archiving) -> tuple[int, dict[str, Any]]:
    """Return the exit status of ``pgark-wal status`` for this server, and what it says."""
    words = ["status", *archiving.repository.options(), "--json", archiving.cluster.data_directory]
    done = archiving.cluster.sandbox.run([archiving.program, *words], check=False)
    return done.returncode, json.loads(done.stdout)


def stall(archiving: Archiving, words: str, problem: str) -> list[str]:
    """Finish segments that cannot be archived, and check that the server goes on and keeps every one of them."""
    failures = archiving.failures()
    names = archiving.finish_segments(COUNT)
    wait_until(lambda: archiving.failures() > failures, message="a failure that PostgreSQL counts")
    wait_until(lambda: words in archiving.cluster.log(), message=f"'{words}' in the log")
    archiving.cluster.sql("CHECKPOINT")
    archiving.cluster.sql("CREATE TABLE IF NOT EXISTS goes_on AS SELECT 1")
    assert all((archiving.wal / name).exists() for name in names), "a checkpoint keeps what is not archived"
    assert names[-1] in archiving.waiting()
    code, said = status(archiving)
    assert code == CRITICAL
    assert said["waiting"] > 0
    assert said["oldest_waiting"]["name"] in archiving.waiting()
    assert f"{archiving.repository.path} cannot be written to: {problem}" in "".join(said["critical"])
    return names


def assert_arrived(archiving: Archiving, names: list[str]) -> None:
    """Check that everything is archived by now, and that the archiver itself never ended of a failure."""
    archiving.assert_archived(names, copy_of_repository(archiving))
    assert not archiving.waiting()
    assert "terminated by signal" not in archiving.cluster.log()
    assert "archive command failed with exit code 1" in archiving.cluster.log()
    code, said = status(archiving)
    assert code < CRITICAL, said
    assert (said["waiting"], said["oldest_waiting"], said["repositories"][0]["problem"]) == (0, None, None)


def copy_of_repository(archiving: Archiving) -> Repository:
    """Copy the archive to where this process sees it too: a file system in a namespace is only there for the server."""
    copy = archiving.cluster.home / "copy"
    archiving.cluster.sandbox.run(["rm", "-rf", copy])
    archiving.cluster.sandbox.run(["cp", "-a", archiving.repository.path, copy])
    return Repository(copy)


@contextmanager
def file_system_of_its_own(archiving: Archiving) -> Iterator[None]:
    """Mount a small file system in place of the repository, with the same in it, where the server sees it."""
    sandbox, repository = archiving.cluster.sandbox, archiving.repository.path
    copy = copy_of_repository(archiving)
    archiving.cluster.stop()
    with mounted(sandbox, repository, "16m"):
        sandbox.run(["cp", "-a", f"{copy.path}/.", repository])
        archiving.cluster.start()
        yield
        archiving.cluster.stop()
    archiving.cluster.start()


@pytest.mark.parametrize(("compression", "room"), [("none", "2500K"), ("zstd", "14K"), ("lz4", "14K")])
def test_a_full_repository_gets_what_there_is_room_for_and_the_rest_later(
    archiving: Archiving, compression: str, room: str
) -> None:
    run, repository = archiving.cluster.sandbox.run, archiving.repository.path
    archiving.compress(compression)
    with file_system_of_its_own(archiving):
        ballast = repository / "ballast"
        run(["dd", "if=/dev/zero", f"of={ballast}", "bs=4k"], check=False)
        run(["truncate", "-s", f"-{room}", ballast])
        names = stall(archiving, "No space left on device", "found ")
        in_time = [name for name in names if name not in archiving.waiting()]
        assert 0 < len(in_time) < COUNT
        assert in_time == names[: len(in_time)], "in their order"
        command = archiving.cluster.value("SHOW archive_command")
        archiving.archive_by("false")  # for a moment in which nobody writes to the repository
        failures = archiving.failures()
        wait_until(lambda: archiving.failures() > failures + 1, message="the other command to fail")
        archiving.assert_archived(in_time, copy_of_repository(archiving))
        run(["rm", ballast])
        archiving.archive_by(command)
        names += archiving.finish_segments(1)  # wakes the archiver, which else would try again after 60 s
        wait_until(lambda: not archiving.waiting(), message="what has waited to be archived")
        assert_arrived(archiving, names)


def forbid_writing(archiving: Archiving) -> tuple[str, str]:
    """Keep the server from writing to its repository, and return how the system and how status call that."""
    if os.getuid() == 0:
        subprocess.run(["mount", "-o", "remount,ro", archiving.repository.path], check=True)
        return "Read-only file system", "found a read-only file system"
    archiving.cluster.sandbox.run(["chmod", "-R", "a-w", archiving.repository.path])
    return "Permission denied", "found mode 0550"


def allow_writing(archiving: Archiving) -> None:
    if os.getuid() == 0:
        subprocess.run(["mount", "-o", "remount,rw", archiving.repository.path], check=True)
    else:
        archiving.cluster.sandbox.run(["chmod", "-R", "u+w", archiving.repository.path])


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_read_only_repository_gets_everything_when_it_is_writable_again(
    archiving: Archiving, compression: str
) -> None:
    archiving.compress(compression)
    with file_system_of_its_own(archiving):
        words, problem = forbid_writing(archiving)
        names = stall(archiving, words, problem)
        assert names[0] in archiving.waiting()
        allow_writing(archiving)
        archiving.reload()  # wakes the archiver as well
        wait_until(lambda: not archiving.waiting(), message="what has waited to be archived")
        assert_arrived(archiving, names)


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_repository_that_is_unmounted_under_a_push_gets_everything_when_it_is_back(
    archiving: Archiving, compression: str
) -> None:
    """Renamed, it is like a file system that is unmounted lazily: who has it open goes on writing to it."""
    archiving.compress(compression)
    repository, hidden = archiving.repository.path, archiving.repository.path.with_name("unmounted")
    names = []
    for _time in range(5):
        names += archiving.finish_segments(20)
        repository.rename(hidden)
        archiving.cluster.sandbox.directory(repository)
        names += stall(archiving, "found no repository.json, expected a repository", "found no repository.json")
        assert not list(repository.iterdir()), "a mount point is never filled"
        repository.rmdir()
        hidden.rename(repository)
        archiving.wait_for_all()
    assert_arrived(archiving, names)
