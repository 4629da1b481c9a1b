# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a push archives besides its own segment, and what the shell then takes for archived."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.wal_program.harness import (
    BACKUP_HISTORY,
    HISTORY,
    MB,
    Repository,
    segment,
)
from tests.unit.wal_program.pgdata import FIVE, OURS, Archiver, content_of, install, names


@pytest.fixture
def second(tmp_path: Path) -> Repository:
    """Provide another repository."""
    second = Repository.create(tmp_path / "second")
    set_id(second, "other")
    return second


def set_id(repository: Repository, identifier: str) -> None:
    (repository.path / "repository.json").write_text(json.dumps({"format": 1, "id": identifier}))


@pytest.mark.parametrize("jobs", [1, 3])
def test_what_waits_is_archived_with_the_first_and_the_shell_answers_for_it(
    jobs: int, repository: Repository, tmp_path: Path, compression: str
) -> None:
    server = Archiver(tmp_path / "data", repository, compression=compression, jobs=jobs)
    server.has(FIVE)
    done = server.shell(FIVE[0], install(tmp_path / "pgark-wal"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert server.archived() == FIVE
    assert server.acknowledged(*FIVE) == FIVE[1:]
    assert server.archive_all() == [FIVE[0]]
    assert not server.leftovers()


@pytest.mark.parametrize(
    ("constants", "archived"),
    [
        ({"AHEAD_FILES": 3}, 3),
        ({"AHEAD_FILES": 1}, 1),
        ({"AHEAD_BYTES": 3 * MB}, 4),  # of those behind the first
        ({"AHEAD_SECONDS": 0.0}, 1),
        ({"AHEAD_FILES": 5, "AHEAD_BYTES": 5 * MB}, 5),
    ],
)
def test_a_push_goes_on_until_a_limit(constants: dict[str, float], archived: int, server: Archiver) -> None:
    assert server.push(FIVE[0], **constants) == 0
    assert server.archived() == FIVE[:archived]
    assert server.acknowledged(*FIVE) == FIVE[1:archived]
    assert sorted(path.name for path in server.place().iterdir() if "." not in path.name) == FIVE[1:archived]


@pytest.mark.parametrize("gap", ["not ready", "gone", "a FIFO", "a directory", "next is of another timeline"])
def test_a_push_goes_on_until_a_gap(gap: str, server: Archiver) -> None:
    path = server.wal / FIVE[2]
    if gap == "not ready":
        (server.status / f"{path.name}.ready").rename(server.status / f"{path.name}.done")
    elif gap == "next is of another timeline":
        (server.status / f"{path.name}.ready").rename(server.status / f"00000002{path.name[8:]}.ready")
        path.rename(path.with_name(f"00000002{path.name[8:]}"))
    else:
        path.unlink()
    if gap == "a FIFO":
        os.mkfifo(path)
    elif gap == "a directory":
        path.mkdir()
    assert server.push(FIVE[0]) == 0
    assert server.acknowledged(*FIVE) == [FIVE[1]]


@pytest.mark.parametrize(("size", "last"), [(MB, 4095), (16 * MB, 255)])
def test_a_push_goes_on_until_the_end_of_the_archive_s_directory(
    size: int, last: int, repository: Repository, tmp_path: Path
) -> None:
    server = Archiver(tmp_path / "data", repository.holding(size), jobs=2)
    waiting = names(last - 1, 3, size)
    server.has(waiting, size)
    assert server.push(waiting[0]) == 0
    assert server.archived() == waiting[:2]
    assert server.acknowledged(*waiting) == [waiting[1]]
    assert server.archive_all() == [waiting[0], waiting[2]]


def test_no_more_compressors_run_at_once_than_there_are_jobs(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, program = tmp_path / "log", tmp_path / "bin/zstd"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho +1 >>"{log}"\n{shutil.which("zstd")} "$@"\necho -1 >>"{log}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    server = Archiver(tmp_path / "data", repository, compression="zstd", jobs=2)
    server.has(names(3, 12))
    assert server.push(names(3, 1)[0]) == 0
    changes = [int(line) for line in log.read_text().split()]
    assert len(changes) == 24
    assert max(sum(changes[:end]) for end in range(25)) == 2


def emptied(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()


def write_into(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\x16")


def exchanged(server: Archiver) -> None:
    """Have the same bytes in another file of the same name, as when it had been recycled and come back."""
    content = (server.wal / FIVE[1]).read_bytes()
    times = (server.wal / FIVE[1]).stat()
    (server.wal / FIVE[1]).unlink()
    (server.wal / FIVE[1]).write_bytes(content)
    os.utime(server.wal / FIVE[1], ns=(times.st_atime_ns, times.st_mtime_ns))


def made_anew(server: Archiver) -> None:
    """Have another repository at the same path, with everything that this one had."""
    repository = server.repositories[0]
    repository.path.rename(repository.path.with_name("before"))
    Repository.create(repository.path)
    set_id(repository, "new")
    shutil.copytree(
        repository.path.with_name("before") / "main/wal" / FIVE[0][:16], repository.wal / FIVE[0][:16], symlinks=True
    )
    for path in repository.wal.rglob("0*"):
        path.touch()


VOID: dict[str, Callable[[Archiver], object]] = {
    "repository moved away": lambda server: server.repositories[0].path.rename(server.data / "elsewhere"),
    "empty mount point": lambda server: [
        shutil.rmtree(server.repositories[0].path),
        server.repositories[0].path.mkdir(),
    ],
    "another repository": made_anew,
    "archived file removed": lambda server: server.repositories[0].archived(FIVE[1]).unlink(),
    "another file of its name": exchanged,
    "no file of its name": lambda server: (server.wal / FIVE[1]).unlink(),
    "written to once more": lambda server: write_into(server.wal / FIVE[1]),
    "only the hard link": lambda server: (server.place() / f"{FIVE[1]}.1").unlink(),
    "only the symbolic link": lambda server: (server.place() / FIVE[1]).unlink(),
}


@pytest.mark.parametrize("damage", VOID)
def test_an_acknowledgement_is_void_after(damage: str, server: Archiver) -> None:
    assert server.push(FIVE[0]) == 0
    assert server.acknowledged(FIVE[1]) == [FIVE[1]]
    VOID[damage](server)
    assert server.acknowledged(FIVE[1]) == []
    others = [] if "repository" in damage or "mount" in damage else FIVE[2:]
    assert server.acknowledged(*FIVE[2:]) == others


def test_an_acknowledgement_is_void_with_another_configuration(
    server: Archiver, second: Repository, tmp_path: Path
) -> None:
    shutil.copytree(server.repositories[0].path / "main", server.repositories[0].path / "other")
    assert server.push(FIVE[0]) == 0
    first = server.repositories[0]
    others = [[second], [first, second], [second, first], [Repository(first.path, "other")]]
    assert [Archiver(server.data, *each).acknowledged(*FIVE) for each in others] == [[], [], [], []]
    for changed in ({"compression": "zstd"}, {"jobs": 7}):
        assert Archiver(server.data, first, **changed).acknowledged(*FIVE) == FIVE[1:]


def test_what_another_configuration_left_is_removed(server: Archiver, second: Repository) -> None:
    assert server.push(FIVE[0]) == 0
    (server.wal / "pgsql_tmp.pgark/get-of-a-dead-recovery").mkdir()
    (server.wal / "pgsql_tmp.pgark/get-of-a-dead-recovery" / FIVE[3]).write_bytes(b"anything")
    other = Archiver(server.data, second)
    assert other.push(FIVE[0]) == 0
    assert [path.name for path in (server.data / OURS).iterdir()] == [other.place().name]
    assert server.acknowledged(*FIVE) == []


def test_two_repositories_have_to_have_it_both(server: Archiver, second: Repository) -> None:
    first = server.repositories[0]
    both = Archiver(server.data, first, second, jobs=2)
    assert both.push(FIVE[0]) == 0
    assert both.archived() == FIVE
    assert both.acknowledged(*FIVE) == FIVE[1:]
    second.archived(FIVE[1]).unlink()
    (both.place() / f"{FIVE[2]}.1").unlink()
    (both.place() / f"{FIVE[3]}.2").unlink()
    assert both.acknowledged(*FIVE) == [FIVE[4]]


@pytest.mark.parametrize("lost", [0, 1])
def test_with_a_repository_lost_the_other_gets_the_first_and_nothing_is_acknowledged(
    lost: int, server: Archiver, second: Repository
) -> None:
    both = Archiver(server.data, server.repositories[0], second)
    (both.repositories[lost].path / "repository.json").rename(server.data / "marker")
    assert both.push(FIVE[0]) == 1
    assert FIVE[0] in both.repositories[1 - lost].files()
    assert both.acknowledged(*FIVE) == []
    (server.data / "marker").rename(both.repositories[lost].path / "repository.json")
    assert both.archive_all() == [FIVE[0]]
    assert both.archived() == FIVE


def test_what_one_of_two_repositories_refuses_is_not_acknowledged(server: Archiver, second: Repository) -> None:
    both = Archiver(server.data, server.repositories[0], second)
    archived = second.archived(FIVE[2])
    archived.parent.mkdir(mode=0o750)
    archived.write_bytes(segment(FIVE[2], seed=9))
    assert both.push(FIVE[0]) == 0
    assert both.acknowledged(*FIVE) == [FIVE[1]]
    assert archived.read_bytes() == segment(FIVE[2], seed=9)


def test_files_that_are_no_segments_are_archived_between_them(server: Archiver) -> None:
    others = {
        "00000002.history": HISTORY,
        f"{FIVE[1]}.00000028.backup": BACKUP_HISTORY,
        f"{FIVE[2]}.partial": content_of(FIVE[2]),
    }
    for name, content in others.items():
        server.has_file(name, content)
    assert server.archive_all() == ["00000002.history", FIVE[0], *sorted(others)[:-1]]
    assert server.archived() == sorted([*FIVE, *others])
