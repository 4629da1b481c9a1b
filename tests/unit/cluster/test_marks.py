# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Only what carries a run's own mark is removed, and a removal that is killed anywhere is repeated."""

import json
import os
import shutil
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster import marks
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._host.mount_table import Mounts
from ansible_collections.pgark.postgres.plugins.module_utils._values.markers import PLACE_MARK
from tests.unit.fakes import Killed, changes_of, killed_at
from tests.unit.synthetic import contents, fill

FACTS = {"run": "1f2e3d4c", "data_directory": "/data"}
DATA = {"PG_17_1/5/1259": "x", "PG_17_1/5/1259_fsm": "x", "PG_17_1/6/1": "x"}


def made(path: Path) -> Path:
    marks.make_marked(str(path), FACTS)
    fill(path, DATA)
    return path


def test_a_directory_that_we_make_says_so(tmp_path: Path) -> None:
    path = made(tmp_path / "mapped" / "pgark-x")
    assert marks.read_mark(str(path)) == {**FACTS, "inode": path.stat().st_ino}
    assert path.stat().st_mode & 0o777 == 0o700
    with pytest.raises(Error, match=r"pgark-x is in the way: a directory of that name is to be made\nHINT: move"):
        marks.make_marked(str(path), FACTS)


def test_what_carries_the_mark_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "precious").write_text("x")
    path = made(tmp_path / "place")
    (path / "link").symlink_to(tmp_path / "live")
    assert marks.remove_marked(str(path), "1f2e3d4c")
    assert contents(tmp_path) == {"live/precious": "x"}
    assert marks.remove_marked(str(path), "1f2e3d4c"), "what is gone is gone"


@pytest.mark.parametrize(
    "change",
    [
        lambda path: (path / PLACE_MARK).unlink(),
        lambda path: (path / PLACE_MARK).write_text("{"),
        lambda path: (path / PLACE_MARK).write_text(json.dumps([1])),
        lambda path: (path / PLACE_MARK).write_text(
            json.dumps({**FACTS, "run": "another", "inode": os.stat(path).st_ino})
        ),
        lambda path: (path.rename(f"{path}.moved"), shutil.copytree(f"{path}.moved", path)),
        lambda path: (path.rename(f"{path}.moved"), path.symlink_to(f"{path}.moved")),
        lambda path: ((path / PLACE_MARK).rename(f"{path}.mark"), (path / PLACE_MARK).symlink_to(f"{path}.mark")),
    ],
    ids=["without", "damaged", "of another kind", "another run's", "a copy", "a link", "a linked mark"],
)
def test_nothing_without_the_mark_is_removed(tmp_path: Path, change: object) -> None:
    path = made(tmp_path / "place")
    assert callable(change)
    change(path)
    before = contents(tmp_path)
    assert not marks.remove_marked(str(path), "1f2e3d4c")
    assert contents(tmp_path) == before


def test_a_directory_whose_mark_was_not_written_yet_is_removed_when_it_is_empty(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    assert marks.remove_marked(f"{tmp_path}/place", "1f2e3d4c")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("after", [False, True])
def test_a_removal_that_is_killed_anywhere_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """The mark is there until all else is gone for good."""
    counted, path = made(tmp_path / "counted"), tmp_path / "place"
    moments = len(changes_of(monkeypatch, lambda: marks.remove_marked(str(counted), "1f2e3d4c")))
    for moment in range(1, moments + 1):
        made(path)
        with killed_at(monkeypatch, moment, after), pytest.raises(Killed):
            marks.remove_marked(str(path), "1f2e3d4c")
        assert not path.exists() or not os.listdir(path) or marks.read_mark(str(path)) is not None
        assert marks.remove_marked(str(path), "1f2e3d4c")
        assert not path.exists()


@pytest.mark.parametrize("after", [False, True])
def test_what_is_left_of_a_directory_that_was_being_marked_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    moments = len(changes_of(monkeypatch, lambda: marks.make_marked(f"{tmp_path}/counted/x", FACTS)))
    for moment in range(1, moments + 1):
        path = f"{tmp_path}/{moment}/x"
        with killed_at(monkeypatch, moment, after), pytest.raises(Killed):
            marks.make_marked(path, FACTS)
        assert marks.remove_marked(path, "1f2e3d4c")
        assert not os.path.exists(path)


def test_what_has_taken_the_name_of_an_opened_directory_stays(tmp_path: Path) -> None:
    path = made(tmp_path / "place")
    directory = os.open(path, os.O_RDONLY)
    try:
        path.rename(tmp_path / "moved")
        path.mkdir()
        marks.empty(directory)
        marks.remove_opened(str(path), directory)
    finally:
        os.close(directory)
    assert sorted(os.listdir(tmp_path)) == ["moved", "place"]


@pytest.mark.parametrize("below", ["PG_17_1/5", "PG_17_1"])
def test_nothing_is_removed_where_something_is_mounted_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    """A bind mount has the same device number; what is beside the directory does not matter."""
    path = made(tmp_path / "place")
    points = frozenset({"/", str(tmp_path), str(path / below), f"{path}-beside"})
    monkeypatch.setattr(marks, "mounts", lambda: Mounts(points))
    with pytest.raises(Error, match=rf"is mounted at .*/{below}\nHINT: unmount it first"):
        marks.remove_marked(str(path), "1f2e3d4c")
    assert set(DATA) <= set(contents(path))
