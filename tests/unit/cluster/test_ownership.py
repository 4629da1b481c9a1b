# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A data directory has one owner at a time, and who that is can be read in the error."""

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster import ownership
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import Reservation
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.ownership import held, is_alive, reserve
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Busy, Error
from ansible_collections.pgark.postgres.plugins.module_utils._host.files import locked
from ansible_collections.pgark.postgres.plugins.module_utils._host.processes import started_at
from ansible_collections.pgark.postgres.plugins.module_utils._repository.layout import Layout
from tests.unit.synthetic import fill


@pytest.mark.parametrize("there", [True, False])
def test_a_data_directory_has_one_owner_whether_it_is_there_or_not(tmp_path: Path, there: bool) -> None:
    data = tmp_path / "data"
    if there:
        data.mkdir()
    before = os.listdir(tmp_path)
    with held(str(data), "a restore"):
        for _attempt in range(2):  # the refused one has not taken the first one's hold with it
            with pytest.raises(Busy, match=rf"data is being changed by a restore, process {os.getpid()} on .*\nHINT: "):
                held(str(data), "another one").__enter__()
        with held(f"{tmp_path}/neighbour", "another one"):
            pass
    assert os.listdir(tmp_path) == before
    with held(str(data), "another one"):
        pass


def test_a_hold_lasts_when_the_directory_is_exchanged(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with held(str(data), "a restore"):
        data.rename(tmp_path / "aside")
        data.mkdir()
        with pytest.raises(Busy):
            held(str(data), "another one").__enter__()


def test_what_stays_in_its_place_is_locked_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: path == str(data))
    with held(str(data), "a restore") as descriptor:
        assert os.listdir(tmp_path) == ["data"]
        assert os.listdir(data) == []
        assert os.path.samestat(os.fstat(descriptor), data.stat())
        with pytest.raises(Busy, match=r"is being changed by another run( \(process \d+\))?\nHINT: wait"):
            held(str(data), "another one").__enter__()
    with held(str(data), "another one"):
        pass


def test_what_a_killed_run_has_left_is_nobodys_and_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    fill(tmp_path, {"data.pgark.lock": "pgark.postgres: a restore, process 1 on db1\n"})
    with held(f"{tmp_path}/data", "another one"):
        assert f"process {os.getpid()}" in (tmp_path / "data.pgark.lock").read_text()
    fill(tmp_path, {"data.pgark.lock": "precious"})
    with pytest.raises(Error, match=r"data.pgark.lock is in the way"):
        held(f"{tmp_path}/data", "another one").__enter__()
    assert (tmp_path / "data.pgark.lock").read_text() == "precious"


def test_a_data_directory_is_held_on_a_full_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who holds it is only said to be polite; what fills the file system could not be removed otherwise."""

    def no_room(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", no_room)
    unnamed = pytest.raises(Busy, match="is being changed by another run, which has not named itself yet")
    with held(f"{tmp_path}/data", "a removal"), unnamed:
        held(f"{tmp_path}/data", "another one").__enter__()
    assert os.listdir(tmp_path) == []


def bound(path: str) -> None:
    """Make a socket; its path has to be short."""
    with socket.socket(socket.AF_UNIX) as made:
        directory = os.open(os.path.dirname(path), os.O_RDONLY)
        made.bind(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        os.close(directory)


@pytest.mark.parametrize(
    "make", [os.mkdir, os.mkfifo, bound, lambda path: os.symlink("/nowhere", path), lambda path: os.symlink(".", path)]
)
def test_what_is_no_file_in_the_place_of_a_lock_is_named(tmp_path: Path, make: Callable[[str], None]) -> None:
    """Of a data directory, and of a cluster in its repository, by those who may write to it and those who may not."""
    path = f"{tmp_path}/data.pgark.lock"
    make(path)
    message = rf"^{path} is in the way: it is no regular file.*\nHINT: move it away"
    with pytest.raises(Error, match=message):
        held(f"{tmp_path}/data", "a restore").__enter__()
    for reading in (False, True):
        with pytest.raises(Error, match=message):
            locked(path, "a restore", reading).__enter__()
    assert os.listdir(tmp_path) == ["data.pgark.lock"]


def test_a_directory_that_is_not_mounted_is_named(tmp_path: Path) -> None:
    with pytest.raises(Error, match=r"nowhere, in which data is to be, is not there\nHINT: create it, or mount"):
        held(f"{tmp_path}/nowhere/data", "a restore").__enter__()


def test_a_run_says_who_it_is_and_whether_it_still_is(tmp_path: Path) -> None:
    fill(tmp_path / "repository", {"repository.json": '{"format": 1, "id": "an-id"}'})
    layout = Layout(f"{tmp_path}/repository", "main")
    run, other = reserve("/data", layout), reserve("/data", layout)
    assert (run.data_directory, run.repository_id, run.repository) == ("/data", "an-id", f"{tmp_path}/repository")
    assert run.run != other.run
    assert run.same_repository(other)
    assert not is_alive(run), "it is this one"
    assert not is_alive(None)


@pytest.mark.parametrize(
    ("host", "started", "alive"), [(None, None, True), ("another", None, False), (None, "1", False)]
)
def test_a_process_of_the_same_number_is_not_the_same(host: str | None, started: str | None, alive: bool) -> None:
    parent = os.getppid()
    facts = (host or os.uname().nodename, parent, started or started_at(parent) or "")
    assert is_alive(Reservation("/data", "an-id", "/srv/pgark", "1f2e3d4c", *facts, "2026-11-21T12:00:00Z")) is alive


@pytest.mark.parametrize(
    ("user", "owner", "said"),
    [
        (26, 26, None),
        (26, None, None),
        (0, 26, r"data belongs to 26, and this runs as root, expected 26\nHINT: run it as 26, with become_user"),
        (27, 26, r"data belongs to 26, and this runs as 27, expected 26"),
        (0, 0, r"data belongs to root, and this runs as root, expected the owner of the cluster"),
        (0, None, r"data is not there yet, and this runs as root, expected the owner of the cluster"),
    ],
)
def test_nobody_but_its_owner_changes_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, owner: int | None, said: str | None
) -> None:
    data = tmp_path / "data"
    status = os.stat(tmp_path)
    if owner is not None:
        data.mkdir()
        monkeypatch.setattr(os, "stat", lambda *_, **__: os.stat_result((*status[:4], owner, *status[5:])))
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(ownership, "user_name", lambda uid: "root" if uid == 0 else str(uid))
    if said is None:
        return ownership.check_user(str(data))
    with pytest.raises(Error, match=said):
        ownership.check_user(str(data))
    return None
