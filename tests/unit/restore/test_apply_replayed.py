# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tablespace is moved out of the way of recovery, and the data that it belongs to stays whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster.marks import read_mark
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._host.mount_table import Mounts
from ansible_collections.pgark.postgres.plugins.module_utils._restore import apply_replayed as replayed
from ansible_collections.pgark.postgres.plugins.module_utils._restore.replayed import Found
from tests.unit.fakes import Killed, full, killed_at

MARK = {"run": "1f2e3d4c", "cluster": "main", "data_directory": "/pgdata"}


@pytest.fixture
def space(tmp_path: Path) -> Path:
    """Provide the directory of a tablespace, which data that was set aside leads to."""
    space, previous = tmp_path / "fast", tmp_path / "data.before"
    (space / "PG_17_202406281" / "5").mkdir(parents=True)
    (space / "PG_17_202406281" / "5" / "16384").write_text("rows")
    (space / "PG_16_202307071").mkdir()
    (previous / "pg_tblspc").mkdir(parents=True)
    (previous / "PG_VERSION").write_text("17\n")
    (previous / "pg_tblspc" / "24576").symlink_to(space)
    return space


def look(space: Path, old: Path, major: int = 17) -> Found:
    return replayed.look([str(space)], str(old.with_name("data")), [str(old)], major)[str(space)]


def test_what_is_there_is_told(space: Path) -> None:
    previous, other = space.with_name("data.before"), space.with_name("other")
    assert look(space, previous) == Found("used", owned=True)
    assert look(space, other) == Found("used")
    assert look(space, previous, 18) == Found("free", owned=True)
    assert look(space.with_name("nowhere"), previous) == Found("missing")
    assert look(space.with_name("data") / "inside", previous) == Found("inside")


def test_what_would_make_the_rename_fail_is_found_before_anything_is_stopped(
    space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = frozenset({"/", str(space), f"{space}/PG_17_202406281"})
    monkeypatch.setattr(replayed, "mounts", lambda: Mounts(points))
    assert look(space, space.with_name("data.before")).fixed == f"{space}/PG_17_202406281 is a mount point"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "cannot be written by" in str(look(space, space.with_name("data.before")).fixed)


def test_a_directory_of_somebody_else_is_told_though_nothing_is_in_it(
    space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = space.with_name("free")
    free.mkdir()
    assert look(free, space.with_name("data.before")) == Found("free")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    for path in (free, space):
        assert str(look(path, space.with_name("data.before")).closed).startswith(f"{path} belongs to ")


def test_the_data_leads_to_where_its_tablespace_went_and_other_versions_stay(space: Path) -> None:
    previous, to = space.with_name("data.before"), space / "pgark-1"
    for _turn in range(2):
        replayed.move_aside(str(previous), {str(space): str(to)}, MARK)
        assert (previous / "pg_tblspc/24576/PG_17_202406281/5/16384").read_text() == "rows"
        assert sorted(os.listdir(space)) == ["PG_16_202307071", "pgark-1"]
        mark = read_mark(str(to))
        assert mark is not None
        assert mark["data_directory"] == "/pgdata"


def test_a_tablespace_that_somebody_has_made_there_meanwhile_is_not_moved(space: Path) -> None:
    previous = space.with_name("data.before")
    (previous / "pg_tblspc/24576").unlink()
    with pytest.raises(Error, match="holds a tablespace that is not of"):
        replayed.move_aside(str(previous), {str(space): f"{space}/pgark-1"}, MARK)
    assert sorted(os.listdir(space)) == ["PG_16_202307071", "PG_17_202406281"]


def test_room_for_what_goes_aside_is_made_before_anything_is_moved(
    space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    previous, other = space.with_name("data.before"), space.with_name("other")
    other.mkdir()
    moves = {str(other): f"{other}/pgark-1", str(space): f"{space}/pgark-1"}
    before = sorted(os.listdir(space))
    replayed.reserve(moves, MARK, last=False)
    assert (sorted(os.listdir(space)), os.listdir(other)) == (before, [])
    with full(monkeypatch), pytest.raises(Error, match=r"other/pgark-1, into which .* cannot be made: No space left"):
        replayed.reserve(moves, MARK, last=True)
    (space / "pgark-1").mkdir()
    (space / "pgark-1" / "of somebody").touch()
    with pytest.raises(Error, match="pgark-1 is in the way"):
        replayed.reserve(moves, MARK, last=True)
    assert os.listdir(other) == []
    assert (space / "pgark-1" / "of somebody").exists()
    (space / "pgark-1" / "of somebody").unlink()
    for _turn in range(2):
        replayed.reserve(moves, MARK, last=True)
    replayed.move_aside(str(previous), moves, MARK)
    assert (previous / "pg_tblspc/24576/PG_17_202406281/5/16384").read_text() == "rows"


@pytest.mark.parametrize("after", [False, True])
def test_a_move_that_is_interrupted_anywhere_is_undone_on_a_full_file_system(
    space: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    previous, moves = space.with_name("data.before"), {str(space): f"{space}/pgark-1"}
    rows = previous / "pg_tblspc/24576/PG_17_202406281/5/16384"
    link = previous / "pg_tblspc/24576"
    moment, finished = 1, False
    while not finished:
        with killed_at(monkeypatch, moment, after) as done:
            try:
                replayed.move_aside(str(previous), moves, MARK)
                finished = len(done) < moment
            except Killed:
                pass
        for _turn in range(2):
            with full(monkeypatch):
                replayed.move_back(str(previous), moves, MARK["run"])
            assert rows.read_text() == "rows", done
            assert os.listdir(previous / "pg_tblspc") == ["24576"], done
        if os.readlink(link) == str(space):
            assert sorted(os.listdir(space)) == ["PG_16_202307071", "PG_17_202406281"], done
        else:
            assert sorted(os.listdir(space)) == ["PG_16_202307071", "pgark-1"], done
            (space / "pgark-1" / "PG_17_202406281").rename(space / "PG_17_202406281")
            link.unlink()
            link.symlink_to(space)
        moment += 1
    assert moment > 5


def test_a_tablespace_that_leads_elsewhere_is_not_moved_back(space: Path) -> None:
    previous, to = space.with_name("data.before"), space / "pgark-1"
    (to / "PG_17_202406281").mkdir(parents=True)
    (previous / "pg_tblspc/24576").unlink()
    replayed.move_back(str(previous), {str(space): str(to)}, MARK["run"])
    replayed.move_back(f"{previous}.gone", {str(space): str(to)}, MARK["run"])
    assert os.listdir(to) == ["PG_17_202406281"]
