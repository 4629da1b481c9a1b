# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recovery makes a tablespace at the path that the WAL names: never in a directory that other data uses."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_rollback import Story
from tests.support.killing import run_and_kill
from tests.support.marks import every_version
from tests.support.mounts import mounted
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox
from tests.support.snapshots import tree

IN_FAST = "SELECT count(*) FROM in_fast"


class Later(Story):
    """A story in which, behind the backup, a tablespace is made, and written to before and after the moment."""

    space: Path

    def make(self) -> Later:
        """Live through it."""
        self.subject.run("base_backup", compression="none")
        self.space = self.subject.sandbox.directory(self.cluster.home / "fast disk")
        self.cluster.sql(f"CREATE TABLESPACE fast LOCATION '{self.space}'")
        self.cluster.sql("CREATE TABLE in_fast TABLESPACE fast AS SELECT generate_series(1, 1000) AS n")
        self.moment = self.cluster.value("SELECT clock_timestamp()::timestamptz(6)").isoformat()
        self.cluster.sql("INSERT INTO in_fast SELECT generate_series(1001, 51000)")
        self.subject.switch()
        return self

    def check_space(self, rows: int) -> None:
        """Start what is in place, and count what is in the tablespace."""
        self.subject.run("postgres_server", state="started")
        assert self.cluster.value(IN_FAST) == rows


@pytest.fixture
def later(recoverable: Recoverable) -> Later:
    """Provide a cluster that has a tablespace which its backup does not know."""
    return Later(recoverable).make()


@every_version
def test_the_live_tablespace_goes_aside_with_the_old_data_and_comes_back_with_it(later: Later) -> None:
    later.stop()
    before = tree(later.space)
    later.put(later.moment)
    later.recover()
    later.subject.promote()
    assert later.cluster.value(IN_FAST) == 1000
    later.cluster.sql("INSERT INTO in_fast VALUES (7)")
    later.stop()
    done = later.roll_back()
    later.check_space(51000)
    (moved,) = later.space.glob("pgark-*")
    assert {path.relative_to(moved) for path in moved.rglob("PG_*/**/*") if path.is_file()} == {
        Path(name) for name in before if name.startswith("PG_") and (moved / name).is_file()
    }
    later.stop()
    later.roll_back(previous_directory=done["set_aside"])
    later.check_space(1001)


def test_killed_at_any_change_of_a_name_it_goes_on_and_can_be_rolled_back(later: Later) -> None:
    wanted = {"program": later.subject.program, "target_time": later.moment}
    later.subject.run("pitr_restore", state="staged", **wanted)
    later.stop()
    options = {**later.subject.options, **wanted, "state": "restored"}
    kill_half_way(later, options, moved=True)
    later.roll_back()
    later.check_space(51000)
    later.stop()
    kills = 0
    while run_and_kill(later.subject.modules, "pitr_restore", 1, **options) is None:
        kills += 1
        assert kills < 40, "killed after each change, the switch does not come to an end"
    assert kills > 3
    later.recover()
    later.subject.promote()
    later.check_space(1000)
    later.stop()
    later.roll_back()
    later.check_space(51000)


def kill_half_way(later: Later, options: dict[str, Any], moved: bool) -> None:
    """Interrupt a switch when the old data is set aside and its tablespace was ``moved``, or was not yet."""
    changes = 5
    while later.data.exists() or moved is not any(later.space.glob("pgark-*/PG_*")):
        assert run_and_kill(later.subject.modules, "pitr_restore", changes, **options) is None
        changes = 1


def test_a_tablespace_that_was_dropped_and_made_again_at_its_path_goes_aside_too(later: Later) -> None:
    later.subject.run("base_backup", label="knows", compression="none")
    later.cluster.sql("DROP TABLE in_fast")
    later.cluster.sql("DROP TABLESPACE fast")
    later.cluster.sql(f"CREATE TABLESPACE again LOCATION '{later.space}'")
    later.cluster.sql("CREATE TABLE in_fast TABLESPACE again AS SELECT generate_series(1, 2000) AS n")
    moment = later.cluster.value("SELECT clock_timestamp()::timestamptz(6)").isoformat()
    later.cluster.sql("INSERT INTO in_fast SELECT generate_series(2001, 7000)")
    later.subject.switch()
    later.stop()
    later.put(moment)
    later.recover()
    later.subject.promote()
    assert later.cluster.value(IN_FAST) == 2000
    later.stop()
    later.roll_back()
    later.check_space(7000)


def test_a_tablespace_of_others_is_never_entered(later: Later) -> None:
    """The data directory is lost, or it is that of a clone: what is at the path may be anybody's."""
    later.stop()
    aside = later.cluster.home / "aside"
    later.data.rename(aside)
    before = tree(later.space)
    target = {"program": later.subject.program, "target_time": later.moment}
    said = later.subject.fail("pitr_restore", state="staged", **target)
    assert f"the WAL to be replayed creates a tablespace in {later.space}, at " in said
    assert "which is not of the data to be replaced: recovery would write into it" in said
    assert not later.data.exists()
    assert tree(later.space) == before
    shutil.rmtree(later.space)
    said = later.subject.fail("pitr_restore", state="staged", **target)
    assert "which is not there: recovery would stop with an error\nHINT: make the directory, with mode 0700" in said
    later.subject.sandbox.directory(later.space)
    later.put(later.moment)
    later.recover()
    later.subject.promote()
    assert later.cluster.value(IN_FAST) == 1000


def test_no_room_beside_a_tablespace_stops_no_server_and_leaves_a_way_back(
    recoverable: Recoverable, sandbox: Sandbox
) -> None:
    space = sandbox.directory(recoverable.cluster.home / "fast disk")
    with mounted(sandbox, space, size="48m"):
        later = Later(recoverable).make()
        wanted = {"program": recoverable.program, "target_time": later.moment}
        fill(sandbox, space)
        said = recoverable.fail("pitr_restore", state="staged", **wanted)
        assert "into which a tablespace of the data in place goes, cannot be made: No space left on device" in said
        assert later.cluster.value(IN_FAST) == 51000
        (space / "ballast").unlink()
        recoverable.run("pitr_restore", state="staged", **wanted)
        later.stop()
        fill(sandbox, space)
        said = recoverable.fail("pitr_restore", state="restored", **wanted)
        assert "No space left on device" in said
        assert later.data.exists()
        (space / "ballast").unlink()
        kill_half_way(later, {**recoverable.options, **wanted, "state": "restored"}, moved=False)
        fill(sandbox, space)
        later.roll_back()
        later.check_space(51000)
        later.stop()


def fill(sandbox: Sandbox, space: Path) -> None:
    """Leave no room in a small file system."""
    sandbox.run(["dd", "if=/dev/zero", f"of={space}/ballast", "bs=4k"], check=False)
