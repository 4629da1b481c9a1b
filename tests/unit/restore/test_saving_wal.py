# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No WAL that only the old data directory holds is lost, and none that it does not hold is made up."""

import os
import struct
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._host.runner import CommandRunner, Result
from ansible_collections.pgark.postgres.plugins.module_utils._repository.layout import Layout
from ansible_collections.pgark.postgres.plugins.module_utils._restore import compared, wal_saver
from ansible_collections.pgark.postgres.plugins.module_utils._restore.wal_saver import WalSaver
from ansible_collections.pgark.postgres.plugins.module_utils._values.space import FreeSpace
from tests.unit.fakes import OK, Act, FakeRunner, Killed, changes_of, killed_at
from tests.unit.synthetic import TINY, name_of, segment


class OldWal:
    """An old data directory with WAL, a staging directory, and a repository."""

    def __init__(self, top: Path) -> None:
        self.old, self.new = top / "old data", top / "new data"
        self.layout = Layout(str(top / "repository"), "main")
        self.further: tuple[Layout, ...] = ()
        self.force = False
        self.system_identifier: str | None = None
        for path in (self.old / "pg_wal/archive_status", self.new / "pg_wal"):
            path.mkdir(parents=True)

    def put(self, number: int, content: bytes, ready: bool = False) -> str:
        """Write a segment of the old data directory; gives its name."""
        name = name_of(number)
        (self.old / "pg_wal" / name).write_bytes(content)
        if ready:
            (self.old / f"pg_wal/archive_status/{name}.ready").touch()
        return name

    def archive(self, name: str, content: bytes | None = None) -> None:
        """Put a file into the repository: what the old data directory has, or other content."""
        content = (self.old / "pg_wal" / name).read_bytes() if content is None else content
        place = Path(self.layout.wal_file(name) + ".zst")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(compressed(content))

    def push(self, name: str) -> list[str]:
        """The call of pgark-wal for a segment."""
        places = [word for layout in (self.layout, *self.further) for word in ("--repository", layout.repository)]
        return ["/opt/pgark-wal", "push", *places, "--cluster", "main", f"pg_wal/{name}"]

    def save(self, *announced: tuple[list[str], Result | Act]) -> list[str]:
        """Save, and list what the new directory has."""
        runner = FakeRunner(*announced)
        places = (self.layout, *self.further)
        how = (runner, self.force, self.system_identifier)
        WalSaver(str(self.old), str(self.new), places, "/opt/pgark-wal", *how).run()
        assert not runner.announced
        return sorted(os.listdir(self.new / "pg_wal"))


def compressed(content: bytes) -> bytes:
    return subprocess.run(["zstd", "-c"], input=content, capture_output=True, check=True).stdout


@pytest.fixture
def wal(tmp_path: Path) -> OldWal:
    """Provide an old data directory without WAL."""
    return OldWal(tmp_path)


def test_a_segment_that_waits_is_archived_and_not_copied(wal: OldWal) -> None:
    name = wal.put(3, segment(3), ready=True)

    def push(directory: str | None) -> Result:
        assert directory == str(wal.old)
        wal.archive(name)
        return OK

    assert wal.save((wal.push(name), push)) == []


def test_a_segment_that_one_of_the_repositories_does_not_take_is_copied(wal: OldWal) -> None:
    name = wal.put(3, segment(3), ready=True)
    wal.further = (Layout(f"{wal.layout.repository}-2", "main"),)

    def push(_directory: str | None) -> Result:
        wal.archive(name)
        return Result(1, "", "the second one is not mounted")

    assert wal.save((wal.push(name), push)) == [name]


def test_a_segment_that_cannot_be_archived_is_copied_whole(wal: OldWal) -> None:
    name = wal.put(3, segment(3), ready=True)
    assert wal.save((wal.push(name), Result(1, "", "no room"))) == [name]
    assert (wal.new / "pg_wal" / name).read_bytes() == segment(3)


def test_segments_are_archived_in_their_order(wal: OldWal) -> None:
    names = [wal.put(number, segment(number), ready=True) for number in (0x10, 0x2, 0xA)]
    assert wal.save(*((wal.push(name), Result(1, "", "")) for name in sorted(names))) == sorted(names)


def test_the_segment_being_written_is_copied(wal: OldWal) -> None:
    name, history = wal.put(4, segment(4)), "00000002.history"
    (wal.old / "pg_wal" / history).write_text("1\t0/1\tx")
    assert wal.save() == [name, history]


def test_what_stood_in_for_a_damaged_history_is_not_handed_on(wal: OldWal) -> None:
    (wal.old / "pg_wal/00000002.history").write_text("pgark-wal: 00000002.history cannot be delivered: damaged\n")
    wal.archive("00000002.history", b"1\t0/1\tx")
    assert wal.save() == []


@pytest.mark.parametrize("content", [segment(5, written=1), b"", b"short", bytes(TINY)])
def test_a_recycled_segment_is_not_copied(wal: OldWal, content: bytes) -> None:
    wal.put(5, content)
    assert wal.save() == []


def test_what_is_archived_or_staged_is_left_as_it_is(wal: OldWal) -> None:
    wal.archive(wal.put(3, segment(3)))
    staged_already = wal.put(4, segment(4))
    (wal.new / "pg_wal" / staged_already).write_text("from the backup")
    for name in ("x", f"{name_of(6)}.partial", f"{name_of(6)}.00000028.backup"):
        (wal.old / "pg_wal" / name).touch()
    assert wal.save() == [staged_already]
    assert (wal.new / "pg_wal" / staged_already).read_text() == "from the backup"


@pytest.mark.parametrize("moment", [1, 2, 3, None])
def test_what_was_placed_of_a_timeline_that_was_left_gives_way_to_all_of_it(
    wal: OldWal, monkeypatch: pytest.MonkeyPatch, moment: int | None
) -> None:
    """Else it would stay behind with the old data: the placed one is called archived."""
    name, whole = wal.put(4, segment(4)), segment(4)
    placed, done = wal.new / "pg_wal" / name, wal.new / f"pg_wal/archive_status/{name}.done"
    done.parent.mkdir()
    done.touch()
    placed.write_bytes(whole[: len(whole) // 2].ljust(len(whole), b"\0"))
    if moment is not None:
        with killed_at(monkeypatch, moment), pytest.raises(Killed):
            wal.save()
    wal.save()
    assert placed.read_bytes() == whole
    assert not done.exists()


def test_what_another_server_has_archived_under_the_name_is_not_taken_for_it(wal: OldWal) -> None:
    """A recovery would read the archived one, and never come to what this server wrote."""
    archived, name, later = wal.put(2, segment(2)), wal.put(3, segment(3), ready=True), wal.put(4, segment(4))
    wal.archive(archived)
    wal.archive(name, segment(3).replace(b"x", b"y"))
    refused = (wal.push(name), Result(1, "", "its content differs"))
    with pytest.raises(Error, match=f"{name} in {wal.old}/pg_wal and in {wal.layout.wal} are not the same WAL"):
        wal.save(refused)
    assert os.listdir(wal.new / "pg_wal") == []
    wal.force = True
    assert wal.save(refused) == [], f"from there on, {later} too is no part of the history that is restored"


def test_an_archived_segment_that_is_damaged_is_no_reason_to_leave_the_good_one_behind(wal: OldWal) -> None:
    name = wal.put(3, segment(3))
    wal.archive(name)
    place = Path(wal.layout.wal_file(name) + ".zst")
    place.write_bytes(place.read_bytes()[:-3])
    assert wal.save() == [name]


class Beforehand:
    """Old WAL that is compared with the archive while the server still runs, all of it written some time ago."""

    def __init__(self, wal: OldWal, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wal = wal
        self._monkeypatch = monkeypatch
        monkeypatch.setenv("XDG_CACHE_HOME", str(wal.old.parent / "cache"))

    def saver(self) -> WalSaver:
        return WalSaver(str(self.wal.old), str(self.wal.new), (self.wal.layout,), "/opt/pgark-wal", FakeRunner())

    def compare(self, later: float = 60) -> None:
        with self._monkeypatch.context() as patch:
            now = time.time_ns()
            patch.setattr(time, "time_ns", lambda: now + int(later * 1e9))
            self.saver().compare()

    def read(self) -> list[str]:
        """Save a minute later, and list the segments that were read for it."""
        read: list[str] = []
        compare = compared.compare

        def counted(own: str, name: str, layout: Layout) -> str:
            read.append(name)
            return compare(own, name, layout)

        with self._monkeypatch.context() as patch:
            now = time.time_ns()
            patch.setattr(time, "time_ns", lambda: now + 60_000_000_000)
            patch.setattr(compared, "compare", counted)
            self.saver().run()
        return read


@pytest.fixture
def beforehand(wal: OldWal, monkeypatch: pytest.MonkeyPatch) -> Beforehand:
    """Provide a comparison that has not been made yet."""
    return Beforehand(wal, monkeypatch)


def test_what_was_compared_while_the_server_ran_is_not_read_again(wal: OldWal, beforehand: Beforehand) -> None:
    """All the time that this takes, nobody can use the database."""
    names = [wal.put(number, segment(number)) for number in (3, 4, 5)]
    for name in names[:2]:
        wal.archive(name)
    beforehand.compare()
    assert beforehand.read() == names[2:]
    assert os.listdir(wal.new / "pg_wal") == names[2:]


def test_what_cannot_be_saved_is_said_while_the_server_still_runs(wal: OldWal, monkeypatch: pytest.MonkeyPatch) -> None:
    name = wal.put(3, segment(3))
    free = {str(wal.new): 5, wal.layout.repository: 5}

    def room_of(path: str) -> FreeSpace:
        return FreeSpace(1, next(bytes_ for place, bytes_ in free.items() if path.startswith(place)), 100)

    monkeypatch.setattr(wal_saver, "room_of", room_of)
    saver = WalSaver(str(wal.old), str(wal.new), (wal.layout,), "/opt/pgark-wal", FakeRunner())
    with pytest.raises(Error, match="that are not archived, and there is no room to save them when the server is down"):
        saver.compare()
    for place in list(free):
        free.update(dict.fromkeys(free, 5))
        free[place] = len(segment(3))
        saver.compare()
    free.update(dict.fromkeys(free, 5))
    wal.archive(name)
    saver.compare()


def test_what_a_killed_run_was_saving_is_removed(wal: OldWal) -> None:
    name = wal.put(3, segment(3))
    wal.archive(name)
    (wal.new / f"pg_wal/{name}.saving").write_bytes(b"half of it")
    assert wal.save() == []


@pytest.mark.parametrize("side", ["old", "archived"])
def test_what_has_changed_since_it_was_compared_is_read_again(wal: OldWal, beforehand: Beforehand, side: str) -> None:
    name = wal.put(3, segment(3))
    wal.archive(name)
    place = wal.old / "pg_wal" / name if side == "old" else Path(wal.layout.wal_file(name) + ".zst")
    changed, another = place.stat().st_ctime_ns, segment(3).replace(b"x", b"y")
    beforehand.compare()
    while place.stat().st_ctime_ns == changed:  # the same file, and the same size, as the server writes over one
        place.write_bytes(another if side == "old" else compressed(another))
    with pytest.raises(Error, match="are not the same WAL"):
        beforehand.read()


def test_what_was_changed_a_moment_ago_is_not_remembered(wal: OldWal, beforehand: Beforehand) -> None:
    """Another change in the same moment could not be told from it."""
    name = wal.put(3, segment(3))
    wal.archive(name)
    beforehand.compare(later=1)
    assert beforehand.read() == [name]


@pytest.mark.parametrize("content", ["", "no JSON", "[]", '{"format": 1, "same": [3]}', '{"format": 2, "same": []}'])
def test_a_cache_that_cannot_be_read_is_as_none(wal: OldWal, beforehand: Beforehand, content: str) -> None:
    name = wal.put(3, segment(3))
    wal.archive(name)
    beforehand.compare()
    [cache] = (wal.old.parent / "cache/pgark").iterdir()
    cache.write_text(content)
    assert beforehand.read() == [name]


def test_comparing_beforehand_minds_no_fork_and_nothing_that_goes_away(
    wal: OldWal, beforehand: Beforehand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server works on; what is wrong is judged when it is down."""
    forked, removed, last = (wal.put(number, segment(number)) for number in (3, 4, 5))
    wal.archive(forked, segment(3).replace(b"x", b"y"))
    wal.archive(last)
    names = os.listdir
    (wal.old / "pg_wal" / removed).unlink()
    monkeypatch.setattr(os, "listdir", lambda path: sorted([*names(path), removed]))
    beforehand.compare()
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(wal.old.parent / "cache"))
    wal.archive(forked)
    assert beforehand.read() == [forked]


def test_a_saved_segment_is_durable_before_it_has_its_name(wal: OldWal, monkeypatch: pytest.MonkeyPatch) -> None:
    place = wal.new / "pg_wal" / wal.put(4, segment(4))
    done = changes_of(monkeypatch, wal.save)
    assert done == [f"fsync {place}.saving", f"rename {place}.saving", f"fsync {wal.new}/pg_wal"]


@pytest.mark.parametrize("moment", [1, 2, 3])
def test_saving_that_is_killed_converges(wal: OldWal, monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    name = wal.put(4, segment(4))
    with killed_at(monkeypatch, moment), pytest.raises(Killed):
        wal.save()
    assert wal.save() == [name]
    assert (wal.new / "pg_wal" / name).read_bytes() == segment(4)


def test_wal_of_another_cluster_which_is_replaced_as_a_new_one_is_left(wal: OldWal) -> None:
    wal.system_identifier = "77"
    header = struct.pack("=HHIQ8xQII", 0xD116, 2, 1, 3 * TINY, 78, TINY, 8192)
    wal.put(3, header.ljust(TINY, b"x"), ready=True)
    kept = wal.put(4, struct.pack("=HHIQ8xQII", 0xD116, 2, 1, 4 * TINY, 77, TINY, 8192).ljust(TINY, b"x"))
    assert wal.save() == [kept]


def test_an_old_directory_without_wal_has_nothing_to_save(wal: OldWal) -> None:
    (wal.old / "pg_wal/archive_status").rmdir()
    (wal.old / "pg_wal").rmdir()
    assert wal.save() == []


def test_a_segment_is_copied_when_there_is_no_program_to_archive_it_with(wal: OldWal) -> None:
    name = wal.put(3, segment(3), ready=True)
    runner = CommandRunner()
    WalSaver(str(wal.old), str(wal.new), (wal.layout,), str(wal.old / "no pgark-wal"), runner).run()
    assert os.listdir(wal.new / "pg_wal") == [name]
