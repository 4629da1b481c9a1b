# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was left is found by its mark, and removed by what it is; killed anywhere, a removal is repeated."""

import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster import marks
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import RestoreRecord
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.observe import write_record
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._previous_data import apply_removal as removal
from ansible_collections.pgark.postgres.plugins.module_utils._previous_data import observe as kept_data
from ansible_collections.pgark.postgres.plugins.module_utils._previous_data.plan import Item, NoteKept, Users, reason
from ansible_collections.pgark.postgres.plugins.module_utils._values.target import Target
from tests.unit.fakes import Killed, changes_of, full, killed_at
from tests.unit.synthetic import contents, fill, name_of

CLUSTER = {"PG_VERSION": "17\n", "global/pg_control": "x", "base/1/1259": "x"}
SPACE = {"PG_17_202406281/5/1": "x", "PG_16_202307071/5/1": "another version's", "notes": "somebody's"}
WAL = {name_of(1): "x", "archive_status/x.done": "", "00000002.history": "x", "notes": "somebody's"}


class Generations:
    """A cluster with a tablespace and WAL outside; a restore sets it aside, and has a tablespace of its own beside."""

    def __init__(self, directory: Path, mount_point: bool = False) -> None:
        self.directory, self.data = directory, directory / "data"
        inside = self.data / "pgark.before-1"
        self.previous = inside if mount_point else directory / "data.before-1"
        self.space, self.wal = directory / "fast", directory / "wal"
        self.new_space = directory / "fast.restored-1"
        self.mount_point = mount_point
        fill(self.data, CLUSTER)
        fill(self.space, SPACE)
        fill(self.wal, WAL)
        self.link(self.data, self.space, self.wal)

    @staticmethod
    def link(data: Path, space: Path, wal: Path | None = None) -> None:
        (data / "pg_tblspc").mkdir()
        (data / "pg_tblspc/16384").symlink_to(space)
        if wal is not None:
            (data / "pg_wal").symlink_to(wal)

    def restore(self) -> "Generations":
        """Set it aside as a restore does, and put another one in its place."""
        marks.make_marked(str(self.new_space), {"run": "1f2e3d4c", "data_directory": str(self.data)})
        kept_data.note(NoteKept(str(self.data), str(self.previous), self.mount_point, {"backup": "monday"}))
        if self.mount_point:
            for name in ("PG_VERSION", "base", "global", "pg_tblspc", "pg_wal"):
                os.rename(self.data / name, self.previous / name)
        else:
            self.data.rename(self.previous)
        fill(self.data, CLUSTER)
        fill(self.new_space, {"PG_17_202406281/5/1": "live"})
        self.link(self.data, self.new_space)
        return self

    def found(self) -> tuple[list[Item], Users]:
        return kept_data.observe_kept(str(self.data), [])

    def one(self) -> Item:
        [item], users = self.found()
        assert reason(item, [], users) is None
        return item


@pytest.fixture(params=["a directory", "a mount point"])
def mount_point(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Make directories named data mount points in one half of the tests."""
    inside = bool(request.param == "a mount point")
    monkeypatch.setattr(os.path, "ismount", lambda path: inside and os.path.basename(path) == "data")
    return inside


def test_data_that_was_set_aside_goes_with_what_is_its_own_outside(tmp_path: Path, mount_point: bool) -> None:
    """What somebody has put beside it stays, as does the live tablespace."""
    subject = Generations(tmp_path, mount_point).restore()
    item = subject.one()
    assert (item.kind, item.path, item.marked) == ("previous", str(subject.previous), True)
    assert [found.path for found in item.belongs] == [str(subject.wal), f"{subject.space}/PG_17_202406281"]
    assert item.made_by == {"backup": "monday"}
    assert item.size > 0
    before = contents(subject.data)
    removal.remove(item)
    gone = f"{subject.previous.name}/"
    assert contents(subject.data) == {name: text for name, text in before.items() if not name.startswith("pgark.")}
    assert not [name for name in contents(tmp_path) if gone in name]
    assert contents(subject.space) == {name: text for name, text in SPACE.items() if "PG_17" not in name}
    assert contents(subject.wal) == {"notes": "somebody's"}
    assert (subject.new_space / "PG_17_202406281/5/1").read_text() == "live"
    assert subject.found()[0] == []


def test_what_was_set_aside_is_as_it_was(tmp_path: Path) -> None:
    subject = Generations(tmp_path)
    before = contents(subject.data)
    subject.restore()
    assert contents(subject.previous) == before


@pytest.mark.parametrize("after", [False, True])
def test_a_removal_that_is_killed_anywhere_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mount_point: bool, after: bool
) -> None:
    """What is left half-way cannot start, is listed, and goes when it is removed once more."""
    counted = Generations(tmp_path / "counted", mount_point).restore()
    item = counted.one()
    moments = len(changes_of(monkeypatch, lambda: removal.remove(item)))
    assert moments > 20
    for moment in range(1, moments + 1):
        subject = Generations(tmp_path / str(moment), mount_point).restore()
        item = subject.one()
        outside = (contents(subject.space), contents(subject.wal))
        with killed_at(monkeypatch, moment, after), pytest.raises(Killed):
            removal.remove(item)
        whole = (contents(subject.space), contents(subject.wal)) == outside
        assert whole or not (subject.previous / "global/pg_control").exists(), "it could be put back, without its WAL"
        for left in subject.found()[0]:
            assert left.marked
            removal.remove(subject.one())
        assert subject.found()[0] == []
        assert not subject.previous.exists()
        assert not subject.previous.with_name(f"{subject.previous.name}.json").exists()
        assert (subject.new_space / "PG_17_202406281/5/1").read_text() == "live"
        assert contents(subject.wal) == {"notes": "somebody's"}
        assert (subject.space / "notes").exists()
        assert not (subject.space / "PG_17_202406281").exists()


def test_what_fills_a_file_system_can_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written for that but what is written already; also data, and a staging, of an earlier version."""
    subject = Generations(tmp_path).restore()
    note = subject.previous.with_name(f"{subject.previous.name}.json")
    note.write_text(json.dumps({**json.loads(note.read_text()), "removing": False}))
    staging = staged(subject)
    items, users = subject.found()
    assert [(item.kind, reason(item, [], users)) for item in items] == [("previous", None), ("staging", None)]
    with full(monkeypatch):
        for item in items:
            removal.remove(item)
    assert not subject.previous.exists()
    assert not note.exists()
    assert not staging.exists()
    assert not (tmp_path / "fast.restored-2").exists()


def test_data_is_known_under_the_name_that_somebody_has_given_it(tmp_path: Path) -> None:
    subject = Generations(tmp_path).restore()
    subject.previous.rename(tmp_path / "old data")
    assert subject.one().path == f"{tmp_path}/old data"
    removal.remove(subject.one())
    assert not (tmp_path / "old data").exists()


@pytest.mark.parametrize("what", ["a copy", "without a note", "another one's note", "a damaged note", "a link"])
def test_what_is_not_known_to_be_ours_is_listed_and_not_removed(tmp_path: Path, what: str) -> None:
    subject = Generations(tmp_path).restore()
    noted = Path(f"{subject.previous}.json")
    if what in ("a copy", "a link"):
        subject.previous.rename(tmp_path / "elsewhere")
        noted.unlink()
    if what == "a copy":
        shutil.copytree(tmp_path / "elsewhere", subject.previous, symlinks=True)
    elif what == "a link":
        subject.previous.symlink_to(tmp_path / "elsewhere")
    elif what == "without a note":
        noted.unlink()
    elif what == "another one's note":
        document = json.loads(noted.read_text())
        noted.write_text(json.dumps({**document, "mark": "1-1"}))
    else:
        noted.write_text("{")
    items, users = subject.found()
    item = next(item for item in items if item.path == str(subject.previous) and item.directory is not None)
    assert reason(item, [], users) == "it has no mark of a restore, so it may be somebody else's"


def test_when_somebody_has_removed_the_data_by_hand_what_belonged_to_it_still_goes(tmp_path: Path) -> None:
    subject = Generations(tmp_path).restore()
    shutil.rmtree(subject.previous)
    item = subject.one()
    assert (item.directory, item.path) == (None, str(subject.previous))
    removal.remove(item)
    assert not (subject.space / "PG_17_202406281").exists()
    assert subject.found()[0] == []


def test_a_note_of_data_that_is_in_place_again_says_nothing(tmp_path: Path) -> None:
    subject = Generations(tmp_path)
    kept_data.note(NoteKept(str(subject.data), str(subject.previous), False, {}))
    assert subject.found()[0] == []
    kept_data.forget_note(str(subject.previous))
    assert not Path(f"{subject.previous}.json").exists()
    fill(tmp_path, {"data.before-1.json": "precious"})
    kept_data.forget_note(str(subject.previous))
    assert (tmp_path / "data.before-1.json").read_text() == "precious"


def test_what_is_noted_already_is_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is killed again and again gets further each time."""
    subject = Generations(tmp_path)
    step = NoteKept(str(subject.data), str(subject.previous), False, {"target": {"kind": "latest"}})
    assert changes_of(monkeypatch, lambda: kept_data.note(step)) != []
    assert changes_of(monkeypatch, lambda: kept_data.note(step)) == []
    os.unlink(subject.data / "pg_tblspc/16384")
    assert changes_of(monkeypatch, lambda: kept_data.note(step)) != []


def test_data_that_was_noted_twice_is_listed_once(tmp_path: Path) -> None:
    """The first note is of a restore that was given up before it set anything aside."""
    subject = Generations(tmp_path)
    kept_data.note(NoteKept(str(subject.data), f"{tmp_path}/data.before-0", False, {"backup": "sunday"}))
    assert subject.restore().one().made_by == {"backup": "monday"}


def test_an_exchange_that_has_begun_is_not_noted_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By then links have moved, and what they led to would be forgotten."""
    monkeypatch.setattr(os.path, "ismount", lambda path: os.path.basename(path) == "data")
    subject = Generations(tmp_path, mount_point=True)
    step = NoteKept(str(subject.data), str(subject.previous), True, {})
    kept_data.note(step)
    before = Path(f"{subject.previous}.json").read_text()
    os.rename(subject.data / "pg_tblspc", subject.previous / "pg_tblspc")
    kept_data.note(step)
    assert Path(f"{subject.previous}.json").read_text() == before


def test_what_is_used_by_a_directory_beside_it_stays(tmp_path: Path) -> None:
    """Somebody has renamed a restored cluster; its tablespace looks as if nobody had it."""
    subject = Generations(tmp_path).restore()
    subject.data.rename(tmp_path / "renamed by hand")
    (tmp_path / "data").mkdir()
    fill(tmp_path / "data", CLUSTER)
    items, users = kept_data.observe_kept(str(subject.data), [str(tmp_path)])
    place = next(item for item in items if item.kind == "place")
    assert reason(place, [], users) == f"{subject.new_space} is in use by {tmp_path}/renamed by hand"
    shutil.rmtree(tmp_path / "renamed by hand")
    items, users = kept_data.observe_kept(str(subject.data), [str(tmp_path)])
    place = next(item for item in items if item.kind == "place")
    assert reason(place, [], users) is None
    removal.remove(place)
    assert not subject.new_space.exists()


def test_what_another_host_has_made_for_a_data_directory_of_that_name_stays(tmp_path: Path) -> None:
    """Two hosts have storage for tablespaces in common; on this one, nothing leads to what the other has made."""
    subject = Generations(tmp_path)
    for host in (os.uname().nodename, "db2"):
        facts = {"run": host, "data_directory": str(subject.data), "host": host, "cluster": "main", "repository": "/r"}
        marks.make_marked(f"{tmp_path}/{host}", facts)
    items, users = kept_data.observe_kept(str(subject.data), [str(tmp_path)])
    why = {os.path.basename(item.path): reason(item, [], users) for item in items if item.kind == "place"}
    assert why[os.uname().nodename] is None
    assert (why["db2"] or "").startswith("db2 has made it")


def staged(subject: Generations, **changes: object) -> Path:
    """Stage something, with a place outside."""
    staging, place = subject.data.with_name("data.restore"), subject.directory / "fast.restored-2"
    fill(staging, {"PG_VERSION": "17\n", "base/1": "x"})
    marks.make_marked(str(place), {"run": "", "data_directory": str(subject.data)})
    record = RestoreRecord(Target().as_dict(), "monday", "main", "73", "/x", places=(str(place),), complete=True)
    write_record(str(staging), replace(record, own=staging.stat().st_ino, **changes))  # type: ignore[arg-type]
    return staging


@pytest.mark.parametrize("after", [False, True])
def test_a_staging_goes_with_its_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    counted = Generations(tmp_path / "counted")
    staged(counted)
    item = counted.one()
    assert (item.kind, [found.path for found in item.belongs]) == ("staging", [f"{counted.directory}/fast.restored-2"])
    moments = len(changes_of(monkeypatch, lambda: removal.remove(item)))
    for moment in range(1, moments + 1):
        subject = Generations(tmp_path / str(moment))
        before = sorted(os.listdir(subject.directory))
        staged(subject)
        with killed_at(monkeypatch, moment, after), pytest.raises(Killed):
            removal.remove(subject.one())
        for _left in subject.found()[0]:
            removal.remove(subject.one())
        assert sorted(os.listdir(subject.directory)) == before


def test_what_is_staged_stays_while_the_data_is_being_exchanged_and_so_does_the_way_back(tmp_path: Path) -> None:
    subject = Generations(tmp_path)
    kept_data.note(NoteKept(str(subject.data), str(subject.previous), False, {}))
    staged(subject, undo_directory=str(subject.previous))
    subject.data.rename(subject.previous)
    items, users = subject.found()
    why = {item.kind: reason(item, [], users) or "" for item in items}
    assert "a restore was interrupted" in why["staging"]
    assert "a rollback puts it back" in why["previous"]


def test_nothing_is_removed_below_which_something_is_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Generations(tmp_path).restore()
    item = subject.one()

    def mounted(directory: int, _only: object = None) -> None:
        if os.readlink(f"/proc/self/fd/{directory}") == str(subject.previous):
            raise Error("another file system is mounted")

    monkeypatch.setattr(removal, "check_no_mounts", mounted)
    before = contents(tmp_path)
    with pytest.raises(Error, match="another file system"):
        removal.remove(item)
    assert contents(tmp_path) == before
    assert asdict(item)["size"] > 0
