# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is never delivered from what was fetched ahead, and what a get then says and does."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from tests.unit.wal_program.harness import MB, Repository
from tests.unit.wal_program.pgdata import FIVE, NOT_FOUND, content_of, install, names
from tests.unit.wal_program.recovering import Recovery, archive, assert_delivered
from tests.unit.wal_program.test_get import CORRUPTION


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("corruption", CORRUPTION)
def test_a_corrupt_segment_is_never_kept_ready_and_whoever_asks_for_it_is_told(
    corruption: str, compression: str, recovery: Recovery, program: str
) -> None:
    repository = recovery.repositories[0]
    archive(repository, FIVE[:3], compression)
    CORRUPTION[corruption](repository.archived(FIVE[1], compression))
    assert_delivered(recovery, FIVE[:1], program)
    wait_until(lambda: recovery.is_over() or recovery.ready() == FIVE[2:3], message="the helper to have done its work")
    assert recovery.ask(FIVE[1]) == NOT_FOUND
    assert recovery.ask(FIVE[1], program) == 200
    assert f"{FIVE[1]} cannot be delivered" in recovery.said.read_text()
    assert not recovery.path.exists()


@pytest.mark.parametrize("how", ["moved away", "empty mount point"])
def test_an_unmounted_repository_is_not_the_end_of_wal(how: str, recovery: Recovery, program: str) -> None:
    repository = recovery.repositories[0]
    archive(repository, FIVE)
    assert_delivered(recovery, FIVE[:1], program)
    recovery.wait_for(FIVE[1:])
    repository.path.rename(repository.path.with_name("elsewhere"))
    if how == "empty mount point":
        repository.path.mkdir()
    assert_delivered(recovery, FIVE[1:])
    for name in (*FIVE, names(8, 1)[0]):
        assert recovery.ask(name, program) == 200
        assert str(repository.path) in recovery.said.read_text()


def test_what_lies_in_another_recovery_s_directory_is_never_delivered_and_is_removed(
    recovery: Recovery, program: str
) -> None:
    archive(recovery.repositories[0], FIVE)
    boot, pid, start = recovery.spool().rpartition("get-")[2].rsplit("-", 2)
    others = [f"{boot}-{pid}-{int(start) - 1}", f"{boot[:-1]}x-{pid}-{start}", f"{boot}-{2**22 + 1}-{start}", "x", ""]
    with Recovery(recovery.data, *recovery.repositories) as another:
        for place in [*(recovery.place.with_name(f"get-{other}") for other in others), another.place]:
            place.mkdir(parents=True)
            for name in FIVE:
                (place / name).write_bytes(b"of another recovery")
                (place / f".{name}.tmp").write_bytes(b"half of another recovery's")
        assert [recovery.ask(name) for name in FIVE] == [NOT_FOUND] * 5
        assert_delivered(recovery, FIVE[:1], program)
        recovery.wait_for(FIVE[1:])
        assert set(os.listdir(recovery.place.parent)) == {recovery.place.name, another.place.name}
        assert_delivered(recovery, FIVE[1:])
        shutil.rmtree(another.place)


def test_what_a_killed_helper_had_half_written_is_not_delivered(recovery: Recovery, program: str) -> None:
    archive(recovery.repositories[0], FIVE)
    recovery.place.mkdir(parents=True)
    for name in FIVE:
        (recovery.place / f".{name}.tmp").write_bytes(content_of(name)[:1000])
    assert [recovery.ask(name) for name in FIVE] == [NOT_FOUND] * 5
    assert_delivered(recovery, FIVE[:1], program)
    recovery.wait_for(FIVE[1:])
    assert not list(recovery.place.glob(".0*"))


@pytest.mark.parametrize("finished", [True, False])
def test_a_get_waits_for_the_helper_that_writes_its_segment_and_not_for_a_dead_one(
    finished: bool, recovery: Recovery, program: str
) -> None:
    archive(recovery.repositories[0], FIVE[:1])
    recovery.place.mkdir(parents=True)
    writing = recovery.place / f".{FIVE[0]}.tmp"
    writing.write_bytes(b"as the helper wrote it")
    writer = os.open(writing, os.O_RDWR)
    fcntl.flock(writer, fcntl.LOCK_EX)
    statuses: list[int] = []
    asking = threading.Thread(target=lambda: statuses.append(recovery.ask(FIVE[0], program)))
    asking.start()
    wait_until(lambda: somebody_waits_for(writing), message="the get to wait")
    if finished:
        writing.rename(recovery.place / FIVE[0])
    os.close(writer)
    asking.join()
    assert statuses == [0]
    assert recovery.got() == (b"as the helper wrote it" if finished else content_of(FIVE[0]))
    shutil.rmtree(recovery.place, ignore_errors=True)


def somebody_waits_for(path: Path) -> bool:
    """Tell whether a process waits for the lock of a file: proc_locks(5) marks it by an arrow."""
    inode = f":{path.stat().st_ino} "
    return any("->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines())


@pytest.mark.parametrize("room", [3.5, 5.5, 7.5])
def test_the_helper_leaves_room_in_pg_wal_for_what_recovery_itself_fetches(
    room: float, repository: Repository, tmp_path: Path
) -> None:
    archive(repository, FIVE)
    (tmp_path / "data/pg_wal").mkdir(parents=True)
    mount = f'mount -t tmpfs -o size={int(room * MB)} tmpfs "$0" && exec sh'
    start = ("unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--mount", "sh", "-c", mount)
    program = install(tmp_path / "pgark-wal", SPOOL_BYTES=MB)
    with Recovery(tmp_path / "data", repository, jobs=2, start=(*start, str(tmp_path / "data/pg_wal"))) as recovery:
        for name in FIVE:
            assert_delivered(recovery, [name], program)
            if room < 4:
                wait_until(lambda: not recovery.processes(), message="the helper to end")
                assert recovery.ready() == []
            found = os.statvfs(recovery.view(recovery.path))
            assert found.f_bavail * found.f_frsize >= MB
