# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A crash at any moment leaves the old state or the new one, and a lock dies with its holder."""

import errno
import fcntl
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import Busy, Error
from ansible_collections.pgark.postgres.plugins.module_utils._host import files
from ansible_collections.pgark.postgres.plugins.module_utils._values.space import FreeSpace
from tests.unit.fakes import Killed, changes_of, killed_at


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_file_is_durable_before_it_gets_its_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a b.json"
    temporary = tmp_path / f".a b.json.{os.getpid()}.tmp"
    done = changes_of(monkeypatch, lambda: files.write_file(str(path), "grün\udcff", 0o640))
    assert done == [f"chmod {temporary}", f"fsync {temporary}", f"rename {temporary}", f"fsync {tmp_path}"]
    assert path.read_bytes() == "grün".encode() + b"\xff"
    assert mode(path) == 0o640


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("moment", [1, 2, 3, 4])
def test_a_write_that_is_killed_leaves_one_of_two_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int, after: bool
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with killed_at(monkeypatch, moment, after), pytest.raises(Killed):
        files.write_file(str(path), "new", 0o600)
    renamed = moment == 4 or (moment == 3 and after)
    assert path.read_text() == ("new" if renamed else "old")
    files.write_file(str(path), "new", 0o600)
    assert path.read_text() == "new"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_a_write_replaces_a_link_and_follows_none(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "file"
    victim.write_text("untouched")
    path.symlink_to(victim)
    files.write_file(str(path), "new", 0o600)
    assert (victim.read_text(), path.read_text(), path.is_symlink()) == ("untouched", "new", False)
    (tmp_path / f".file.{os.getpid()}.tmp").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        files.write_file(str(path), "newer", 0o600)
    assert victim.read_text() == "untouched"


def test_documents_are_written_for_people_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    files.write_json(str(path), {"b": 1, "a": ["ä"]}, 0o600)
    assert path.read_text().startswith('{\n  "a"')
    assert files.read_json(str(path)) == {"a": ["ä"], "b": 1}
    assert files.read_json(str(tmp_path / "missing")) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not a JSON document"),
        ('{"a": ', "is not a JSON document"),
        ("[1]", "holds a list, expected a JSON object"),
        ("null", "holds a NoneType, expected"),
    ],
)
def test_a_damaged_document_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(Error, match=message) as failure:
        files.read_json(str(path))
    assert str(path) in str(failure.value)


def test_a_document_behind_a_link_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "real").write_text(json.dumps({}))
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(Error, match="link is a symbolic link, expected a regular file"):
        files.read_json(str(tmp_path / "link"))


def test_only_a_small_regular_file_is_read(tmp_path: Path) -> None:
    path, link, fifo = tmp_path / "file", tmp_path / "link", tmp_path / "fifo"
    path.write_bytes(b"12345")
    link.symlink_to(path)
    os.mkfifo(fifo)
    assert files.read_small(str(path), 5) == files.read_small(str(link), 5, follow=True) == b"12345"
    with pytest.raises(Error, match="file has more than 4 bytes"):
        files.read_small(str(path), 4)
    with pytest.raises(FileNotFoundError):
        files.read_small(str(tmp_path / "missing"))
    for other in (fifo, tmp_path, Path("/dev/zero")):
        for follow in (False, True):
            with pytest.raises(Error, match=f"^{other} is not a regular file\nHINT: "):
                files.read_small(str(other), follow=follow)


@pytest.fixture
def umask() -> object:
    """Let the umask take away what the tests ask for."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_a_directory_gets_exactly_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "new"
    for wanted in (0o2750, 0o700):
        files.make_directory(str(path), wanted)
        assert mode(path) == wanted


def test_what_is_in_the_way_of_a_directory_stays(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(0o700)
    (tmp_path / "link").symlink_to("elsewhere")
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(FileExistsError):
            files.make_directory(str(tmp_path / name), 0o755)
    assert mode(tmp_path / "elsewhere") == 0o700


def test_trees_files_and_links_are_removed_and_nothing_behind_a_link(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "link").symlink_to(kept)
    (tmp_path / "link").symlink_to(kept)
    (tmp_path / "broken").symlink_to("nowhere")
    for name in ("tree", "link", "broken", "missing"):
        files.remove_tree(str(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (kept / "file").exists()


def test_a_tree_is_made_durable_down_to_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    (tree / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "file").touch()
    for name in ("a", "sub/b"):
        (tree / name).touch()
    (tree / "link").symlink_to(outside)
    (tree / "broken").symlink_to("nowhere")
    done = changes_of(monkeypatch, lambda: files.sync_tree(str(tree)))
    assert sorted(done) == [f"fsync {tree}", f"fsync {tree}/a", f"fsync {tree}/sub", f"fsync {tree}/sub/b"]


def test_both_directories_of_a_rename_are_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("from", "to"):
        (tmp_path / name).mkdir()
    (tmp_path / "from" / "x").touch()
    done = changes_of(monkeypatch, lambda: files.rename(f"{tmp_path}/from/x", f"{tmp_path}/to/y"))
    assert done == [f"rename {tmp_path}/from/x", f"fsync {tmp_path}/from", f"fsync {tmp_path}/to"]


def test_room_is_that_of_the_nearest_parent(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path)
    found = files.room_of(str(tmp_path / "not" / "there"))
    assert found.free == pytest.approx(free.f_bavail * free.f_frsize, rel=0.2)
    assert (found.device, found.total) == (tmp_path.stat().st_dev, free.f_blocks * free.f_frsize)


def test_what_is_going_to_be_removed_counts_as_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "leftover").mkdir()
    (tmp_path / "leftover" / "base.tar").write_bytes(bytes(5000))
    monkeypatch.setattr(files, "room_of", lambda _path: FreeSpace(1, 100, 10000))
    assert files.room_without(str(tmp_path), [f"{tmp_path}/leftover", f"{tmp_path}/gone"]) == FreeSpace(1, 5100, 10000)


@pytest.mark.parametrize("before", [b"", b"base_backup, process 1234567 on a host with a long name\n"])
def test_a_lock_is_taken_on_a_full_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bytes) -> None:
    """Otherwise what fills it could never be removed; nobody is named then, and above all nobody else."""
    path = tmp_path / "lock"
    path.write_bytes(before)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with files.locked(str(path), "base_backup"):
        assert path.read_bytes().startswith(b"base_backup, process %d on " % os.getpid())
        assert path.read_bytes().count(b"\n") == 1
    monkeypatch.setattr(os, "pwrite", full)
    with files.locked(str(path), "base_backup"):
        assert path.read_bytes() == b""


HOLD = """
import sys
from ansible_collections.pgark.postgres.plugins.module_utils._host.files import locked
with locked(sys.argv[1], "a test"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def lock(tmp_path: Path) -> str:
    """Provide the path of a lock that nobody holds."""
    return str(tmp_path / "lock")


def test_a_lock_names_its_holder_and_dies_with_it(lock: str) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, lock],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        name = os.uname().nodename
        with (
            pytest.raises(Busy, match=f"{lock} is held by a test, process {holder.pid} on {name}\nHINT: wait"),
            files.locked(lock, "another"),
        ):
            pytest.fail("two hold the lock")
        holder.kill()
    with files.locked(lock, "another"):
        assert Path(lock).read_text() == f"another, process {os.getpid()} on {name}\n"


def test_a_lock_is_held_as_long_as_a_program_that_inherited_it_runs(lock: str) -> None:
    with files.locked(lock, "a backup") as descriptor:
        program = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(descriptor,))
    with program, pytest.raises(Busy, match="a backup"), files.locked(lock, "another"):
        pytest.fail("two hold the lock")
    with files.locked(lock, "another"):
        pass


def unwritable(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Let nothing be opened for writing; a mode would not keep the superuser, who may run the tests, from it."""
    real = os.open

    def opened(path: str, flags: int, *mode: int) -> int:
        if flags & os.O_RDWR:
            raise OSError(code, os.strerror(code), path)
        return real(path, flags, *mode)

    monkeypatch.setattr(os, "open", opened)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_lock_that_cannot_be_written_is_shared_by_those_who_read(
    lock: str, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with files.locked(lock, "a backup"), monkeypatch.context() as patched:
        unwritable(patched, code)
        with pytest.raises(Busy, match="held by a backup"), files.locked(lock, "a clone", reading=True):
            pytest.fail("a writer's lock was shared")
    unwritable(monkeypatch, code)
    before = Path(lock).read_text()
    with files.locked(lock, "a clone", reading=True), files.locked(lock, "another clone", reading=True):
        monkeypatch.undo()
        refused = pytest.raises(Busy, match="held by a restore that may not write its name there")
        with refused, files.locked(lock, "a backup"):
            pytest.fail("a writer took the readers' lock")
        with pytest.raises(Busy, match="a restore that may not"), files.locked(lock, "can write", reading=True):
            pytest.fail("whoever can write holds it alone")
    assert Path(lock).read_text() == before


def test_whoever_writes_needs_a_lock_that_can_be_written(lock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(lock).touch()
    unwritable(monkeypatch, errno.EROFS)
    with pytest.raises(OSError, match="Read-only file system"), files.locked(lock, "a backup"):
        pytest.fail("the lock was taken")


def test_a_lock_behind_a_link_is_refused(lock: str, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("untouched")
    Path(lock).symlink_to("victim")
    with pytest.raises(Error, match=r"lock is in the way: it is no regular file.*\nHINT: "), files.locked(lock, "x"):
        pytest.fail("a link was followed")
    assert (tmp_path / "victim").read_text() == "untouched"


def test_nobody_else_can_open_a_lock_and_hold_it(lock: str) -> None:
    Path(lock).touch(0o640)
    with files.locked(lock, "a backup"):
        assert mode(Path(lock)) == 0o600


def test_who_holds_a_lock_without_a_word_is_named_all_the_same(lock: str) -> None:
    Path(lock).write_text("a backup, process 1 on elsewhere\n")
    with open(lock, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with (
            pytest.raises(Busy, match=rf"held by a backup, .* \(in truth by process {os.getpid()}\)"),
            files.locked(lock, "another"),
        ):
            pytest.fail("two hold the lock")


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_who_reads_does_without_a_lock_where_there_was_never_one(
    lock: str, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    unwritable(monkeypatch, code)
    with files.locked(lock, "a restore", reading=True), files.locked(lock, "another restore", reading=True):
        assert not Path(lock).exists()


def test_a_file_that_finds_no_room_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails is a call on an open file, which does not say which one."""

    def no_room(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "document").write_text("old")
    monkeypatch.setattr(os, "fsync", no_room)
    for work in (
        lambda: files.write_file(f"{tmp_path}/document", "new", 0o600),
        lambda: files.sync(f"{tmp_path}/document"),
    ):
        with pytest.raises(OSError, match="No space left on device") as found:
            work()
        assert found.value.filename == f"{tmp_path}/document"
    assert os.listdir(tmp_path) == ["document"]
    assert (tmp_path / "document").read_text() == "old"


def nested(top: Path, depth: int, name: str = "deep") -> None:
    """Make directories in each other, with a file in each; a path to the last of them may be too long."""
    top.mkdir()
    at = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _count in range(depth):
        os.close(os.open("f", os.O_WRONLY | os.O_CREAT, dir_fd=at))
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


def test_a_tree_is_removed_however_deep_it_is(tmp_path: Path) -> None:
    nested(tmp_path / "left", 1100)
    (tmp_path / "left/link").symlink_to(tmp_path)
    (tmp_path / "left/fifo").touch()
    (tmp_path / "stays").touch()
    assert files.tree_size(str(tmp_path / "left")) >= 0
    files.remove_tree(str(tmp_path / "left"))
    assert os.listdir(tmp_path) == ["stays"]


def test_a_removal_ends_where_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems leave entries out of a directory that is read while others in it are removed."""
    (tmp_path / "left").mkdir()
    for number in range(9):
        (tmp_path / "left" / str(number)).touch()
    real = os.scandir

    @contextmanager
    def every_other(directory: int) -> Iterator[Any]:
        with real(directory) as entries:
            yield list(entries)[::2]

    monkeypatch.setattr(os, "scandir", every_other)
    files.remove_tree(str(tmp_path / "left"))
    assert not (tmp_path / "left").exists()


def test_a_removal_does_not_follow_a_directory_that_is_moved_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "left/a/b").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/precious").touch()
    real = os.open

    def moving(path: str, *arguments: Any, **options: Any) -> int:
        descriptor = real(path, *arguments, **options)
        if path == "b":
            (tmp_path / "left/a/b").rename(tmp_path / "elsewhere/b")
        return descriptor

    monkeypatch.setattr(os, "open", moving)
    with pytest.raises(Error, match="was moved away"):
        files.remove_tree(str(tmp_path / "left"))
    assert (tmp_path / "elsewhere/precious").exists()


def test_a_deep_tree_is_made_durable(tmp_path: Path) -> None:
    nested(tmp_path / "x", 1100, name="d")
    files.sync_tree(str(tmp_path / "x"))
    files.remove_tree(str(tmp_path / "x"))  # pytest could not


@pytest.mark.parametrize("reading", [False, True])
@pytest.mark.parametrize("kind", ["fifo", "link", "dangling", "directory", "socket"])
def test_what_is_in_the_place_of_a_lock_and_no_file_is_refused_in_one_way(
    tmp_path: Path, kind: str, reading: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket may not be long
    lock = tmp_path / "lock"
    with socket.socket(socket.AF_UNIX) as bound:
        if kind == "fifo":
            os.mkfifo(lock)
        elif kind == "directory":
            lock.mkdir()
        elif kind == "socket":
            bound.bind("lock")
        else:
            lock.symlink_to("/dev/null" if kind == "link" else "nowhere")
        refused = pytest.raises(Error, match=f"^{lock} is in the way: it is no regular file")
        with refused, files.locked(str(lock), "a test", reading):
            pass
