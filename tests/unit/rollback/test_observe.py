# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollback on a real file system, killed everywhere and run again until it is done."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import DataDirectory, RestoreRecord
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.observe import (
    mark_of,
    observe_directory,
    write_record,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._host.runner import CommandRunner, Result
from ansible_collections.pgark.postgres.plugins.module_utils._plan.apply import apply
from ansible_collections.pgark.postgres.plugins.module_utils._restore.context import RestoreContext
from ansible_collections.pgark.postgres.plugins.module_utils._rollback import journal as aside
from ansible_collections.pgark.postgres.plugins.module_utils._rollback import observe as rollback
from ansible_collections.pgark.postgres.plugins.module_utils._rollback.module import STEPS
from ansible_collections.pgark.postgres.plugins.module_utils._rollback.new_timeline import Anew
from ansible_collections.pgark.postgres.plugins.module_utils._rollback.plan import plan_rollback
from ansible_collections.pgark.postgres.plugins.module_utils._rollback.situation import Situation
from ansible_collections.pgark.postgres.plugins.module_utils._values.markers import CONTROL, HELD_CONTROL, RECORD
from ansible_collections.pgark.postgres.plugins.module_utils._values.target import Target
from tests.unit.fakes import Killed, changes_of, killed_at
from tests.unit.synthetic import contents, fill

STAMP = "20261121T120000Z"
OLD = {"PG_VERSION": "17\n", CONTROL: "old", "base/1/1259": "old", "pg_wal/1": "old", "only_old": "old"}
NEW = {"PG_VERSION": "17\n", CONTROL: "new", "base/1/1259": "new", "recovery.done": "new", "zoo": "new"}


class ControlRunner(CommandRunner):
    """Answer for pg_controldata, whatever the directory, and fail on any other program."""

    def run(self, argv: Sequence[str], **options: Any) -> Result:
        assert argv[0].endswith("/pg_controldata")
        state = "Latest checkpoint's TimeLineID:  1\nDatabase cluster state:  shut down\n"
        return Result(0, f"Database system identifier:  73\n{state}", "")


class Restored:
    """A data directory that a restore has put in place, and the data that it replaced."""

    def __init__(self, directory: Path, mount_point: bool, held: bool = False) -> None:
        self.path = directory / "data"
        inside = self.path / "pgark.before-1"
        self.kept = inside if mount_point else directory / "data.before-1"
        self.aside = inside.with_name(f"pgark.before-{STAMP}") if mount_point else directory / f"data.before-{STAMP}"
        self.new = {(HELD_CONTROL if held and name == CONTROL else name): text for name, text in NEW.items()}
        fill(self.path, self.new)
        fill(self.kept, OLD)
        inode = os.stat(self.path).st_ino
        self.record = RestoreRecord(
            *(Target().as_dict(), "monday", "main", "73", str(self.kept)),
            complete=True,
            inode=inode,
            undo_directory=str(self.kept),
            undo_mark=mark_of(str(self.kept), inode if mount_point else os.stat(self.kept).st_ino, None),
        )
        write_record(str(self.path), self.record)
        self.restored = contents(self.path) | {}

    def situation(self, wanted: str | None = None) -> Situation:
        """Look at it."""
        directory = observe_directory(str(self.path), "/bin17", ControlRunner())
        return rollback.observe_situation(directory, wanted, "/bin17", ControlRunner(), None)

    def roll_back(self, wanted: str | None = None) -> bool:
        """Roll back; tell whether there was anything to do."""
        plan = plan_rollback(self.situation(wanted), wanted, force=False, stamp=STAMP, anew=Anew()).plan
        apply(plan, RestoreContext(ControlRunner(), "/bin17"), STEPS)
        return plan.changed

    def check_done(self) -> None:
        """All that is old is in place, all that is new aside, and nothing else is there."""
        record = {RECORD: json.dumps(json.loads((self.aside / RECORD).read_text()), indent=2, sort_keys=True) + "\n"}
        assert contents(self.aside) == self.new | record
        found = {name: text for name, text in contents(self.path).items() if not name.startswith("pgark.before")}
        assert found == OLD
        assert not self.kept.exists()
        assert not [name for name in os.listdir(self.path.parent) if "rollback" in name]

    def check_cannot_start_half_way(self) -> None:
        """A control file is there only among data that is all old or all new."""
        if (self.path / CONTROL).exists():
            whole = OLD if (self.path / CONTROL).read_text() == "old" else NEW
            assert {name: (self.path / name).read_text() for name in whole} == whole


@pytest.fixture(params=["a directory", "a mount point"])
def mount_point(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Make directories named data mount points in one half of the tests."""
    inside = bool(request.param == "a mount point")
    monkeypatch.setattr(os.path, "ismount", lambda path: inside and os.path.basename(path) == "data")
    return inside


def test_the_data_from_before_is_put_back(tmp_path: Path, mount_point: bool) -> None:
    subject = Restored(tmp_path, mount_point)
    assert subject.roll_back()
    subject.check_done()
    assert not subject.roll_back()
    subject.check_done()


def test_undoing_it_restores_every_name(tmp_path: Path, mount_point: bool) -> None:
    subject = Restored(tmp_path, mount_point)
    before = contents(tmp_path)
    subject.roll_back()
    assert subject.roll_back(str(subject.aside))
    noted = f"{subject.kept.relative_to(tmp_path)}.json"
    assert {name: text for name, text in contents(tmp_path).items() if name != noted} == before


@pytest.mark.parametrize("after", [False, True])
def test_a_rollback_that_is_killed_anywhere_converges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mount_point: bool, after: bool
) -> None:
    moments = len(changes_of(monkeypatch, Restored(tmp_path / "counted", mount_point).roll_back))
    assert moments > (20 if mount_point else 8)
    for moment in range(1, moments + 1):
        subject = Restored(tmp_path / str(moment), mount_point)
        with killed_at(monkeypatch, moment, after), pytest.raises(Killed):
            subject.roll_back()
        subject.check_cannot_start_half_way()
        subject.roll_back()
        subject.check_done()


def test_a_rollback_that_is_killed_again_and_again_converges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mount_point: bool
) -> None:
    subject = Restored(tmp_path, mount_point)
    killed = True
    while killed:
        killed = False
        with killed_at(monkeypatch, 9, after=True):
            try:
                subject.roll_back()
            except Killed:
                killed = True
        subject.check_cannot_start_half_way()
    subject.check_done()


def test_undoing_it_that_is_killed_anywhere_converges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mount_point: bool
) -> None:
    """What comes back had no control file yet: that is put in place as well, and last."""
    counted = Restored(tmp_path / "counted", mount_point, held=True)
    counted.roll_back()
    moments = len(changes_of(monkeypatch, lambda: counted.roll_back(str(counted.aside))))
    for moment in range(1, moments + 1):
        subject = Restored(tmp_path / str(moment), mount_point, held=True)
        subject.roll_back()
        with killed_at(monkeypatch, moment, after=True), pytest.raises(Killed):
            subject.roll_back(str(subject.aside))
        subject.check_cannot_start_half_way()
        if (subject.path.parent / "data.rollback.json").exists() or (subject.path / "pgark.rollback.json").exists():
            subject.roll_back()
        elif not (subject.path / CONTROL).exists() or (subject.path / CONTROL).read_text() == "old":
            subject.roll_back(str(subject.aside))
        assert (subject.path / CONTROL).read_text() == "new"
        assert contents(subject.kept) == OLD


def test_the_journal_is_durable_before_anything_is_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Restored(tmp_path, mount_point=False)
    kept_out = (f"fsync {subject.path}", f"fsync {subject.aside}")  # servers, meanwhile
    done = [
        change
        for change in changes_of(monkeypatch, subject.roll_back)
        if not change.startswith("chmod") and "postmaster.pid" not in change and change not in kept_out
    ]
    temporary = f"{tmp_path}/.data.rollback.json.{os.getpid()}.tmp"
    noted = f"{tmp_path}/.{subject.aside.name}.json.{os.getpid()}.tmp"
    assert done == [
        f"fsync {temporary}",
        f"rename {temporary}",
        f"fsync {tmp_path}",
        f"fsync {noted}",
        f"rename {noted}",
        f"fsync {tmp_path}",
        f"rename {subject.path}",
        f"fsync {tmp_path}",
        f"rename {subject.kept}",
        f"fsync {tmp_path}",
        f"unlink {tmp_path}/data.rollback.json",
        f"fsync {tmp_path}",
    ]


def test_what_is_kept_is_known_for_what_it_is(tmp_path: Path) -> None:
    subject = Restored(tmp_path, mount_point=False)
    fill(tmp_path / "data.before-1", {"standby.signal": "", "backup_label": "x"})
    fill(tmp_path / "data.before-2", {"PG_VERSION": "16\n", HELD_CONTROL: "x", RECORD: "{"})
    (tmp_path / "data.before-3").mkdir()
    (tmp_path / "data.before-file").write_text("")
    fill(tmp_path / "data.before-4", {HELD_CONTROL: "x"})
    made_for = replace(subject.record, inode=os.stat(tmp_path / "data.before-4").st_ino)
    write_record(str(tmp_path / "data.before-4"), made_for)
    found = {kept.path.removeprefix(f"{subject.path}.before-"): kept for kept in subject.situation("/gone").kept}
    assert {name: kept.kind for name, kept in found.items()} == {
        "/gone": "missing",
        "1": "cluster",
        "2": "unknown",
        "3": "empty",
        "4": "unfinished",
    }
    assert found["4"].record == made_for
    assert (found["1"].signs, found["4"].signs) == (("standby.signal", "backup_label"), ())
    assert found["2"].record is None, "a record that cannot be read says nothing, and is in nobody's way"
    assert rollback.kept_major(str(tmp_path / "nowhere"), None) is None
    assert rollback.kept_major(str(subject.path), None) == 16
    assert rollback.kept_major(str(subject.path), str(subject.kept)) == 17


def test_a_rollback_is_under_way_until_its_source_has_moved(tmp_path: Path) -> None:
    subject = Restored(tmp_path, mount_point=False)
    directory = DataDirectory(str(subject.path), str(subject.path), "cluster")
    assert aside.under_way(directory) is None
    rollback.note(directory.journal, str(subject.kept), str(subject.aside), None, "/bin17", ControlRunner())
    noted = aside.under_way(directory)
    assert noted is not None
    assert (noted.source, noted.aside, noted.kind) == (str(subject.kept), str(subject.aside), "cluster")
    assert set(noted.entries) == {name.split("/")[0] for name in OLD}
    subject.kept.rename(tmp_path / "moved")
    assert aside.under_way(directory) is None


def test_a_rollback_is_under_way_until_its_data_has_left_the_timeline(tmp_path: Path) -> None:
    """A restore would set data aside that stands in the middle of a recovery, and nobody would know of that."""
    subject = Restored(tmp_path, mount_point=False)
    directory = DataDirectory(str(subject.path), str(subject.path), "cluster")
    rollback.note(directory.journal, str(subject.kept), str(subject.aside), 1, "/bin17", ControlRunner())
    subject.path.rename(subject.aside)
    assert aside.under_way(directory) is not None
    subject.kept.rename(subject.path)
    noted = aside.under_way(directory)
    assert noted is not None
    assert noted.timeline == 1
    subject.path.rename(tmp_path / "moved")
    assert aside.under_way(directory) is None
    subject.aside.rename(subject.path)
    assert aside.under_way(directory) is None, "other data is in place, of which the journal knows nothing"


def test_a_damaged_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text('{"source": "/x"}')
    with pytest.raises(Error, match=r"journal has no aside, expected one\nHINT: "):
        aside.read_journal(str(tmp_path / "journal"))


def test_what_was_left_of_a_journal_that_was_being_written_goes_with_it(tmp_path: Path) -> None:
    fill(tmp_path, {".data.rollback.json.1.tmp": "{", "data.rollback.json": "{}", ".other.tmp": "kept"})
    rollback.forget(f"{tmp_path}/data.rollback.json")
    assert os.listdir(tmp_path) == [".other.tmp"]
