# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A data directory that is a mount point is exchanged entry by entry, killed everywhere and run again until done."""

import contextlib
import os
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._plan.apply import carry_out
from ansible_collections.pgark.postgres.plugins.module_utils._plan.plan import Step
from ansible_collections.pgark.postgres.plugins.module_utils._repository.layout import Layout
from ansible_collections.pgark.postgres.plugins.module_utils._restore.apply_switch import STEPS
from ansible_collections.pgark.postgres.plugins.module_utils._restore.context import RestoreContext
from ansible_collections.pgark.postgres.plugins.module_utils._restore.steps import ReleaseControl, SaveWal, SwapEntries
from ansible_collections.pgark.postgres.plugins.module_utils._values.markers import CONTROL, HELD_CONTROL, RECORD
from tests.unit.fakes import FakeRunner, Killed, changes_of, killed_at
from tests.unit.synthetic import contents, fill, name_of, segment

WAITING = f"pg_wal/{name_of(9)}"
OLD = {
    "PG_VERSION": "old",
    "base/1/1259": "old",
    CONTROL: "old",
    "global/1260": "old",
    WAITING: segment(9).decode(errors="replace"),
    "only_old": "old",
    RECORD: "old",
    "pg_tblspc/1": "old",
}
NEW = {
    "PG_VERSION": "new",
    "backup_label": "new",
    "base/1/1259": "new",
    HELD_CONTROL: "new",
    "global/1260": "new",
    "pg_wal/000000010000000000000002": "new",
    RECORD: "new",
}
LEFT_ALONE = {"lost+found/1": "kept", "pgark.before-20250101T000000Z/PG_VERSION": "kept"}


class MountPoint:
    """A data directory that cannot be renamed, with a complete staging directory in it."""

    def __init__(self, path: Path) -> None:
        self.path, self.staging, self.previous = path, path / "pgark.restore", path / "pgark.before-20261121T120000Z"
        fill(path, {**OLD, **LEFT_ALONE})
        (path / WAITING).write_bytes(segment(9))
        fill(self.staging, NEW)
        self.entries = tuple(sorted(os.listdir(self.staging)))

    def switch(self) -> None:
        """Carry out the steps; once the record has been moved there is nothing staged, and only the last is left."""
        path, staging = str(self.path), str(self.staging)
        steps: list[Step] = [ReleaseControl(path)]
        if (self.staging / RECORD).exists():
            save = SaveWal(path, staging, Layout(f"{path}-repository", "main"))
            steps = [save, SwapEntries(path, staging, str(self.previous), self.entries), *steps]
        for step in steps:
            carry_out(step, RestoreContext(FakeRunner()), STEPS)

    def check_done(self) -> None:
        """All that is new is in place with the WAL that was saved, all that is old in the previous directory."""
        found = contents(self.path)
        found.pop(f"{self.staging.name}/", None)
        released = {CONTROL if name == HELD_CONTROL else name: content for name, content in NEW.items()}
        previous = {f"{self.previous.name}/{name}": content for name, content in OLD.items()}
        assert found == {**released, WAITING: OLD[WAITING], **previous, **LEFT_ALONE}

    def check_cannot_start_half_way(self) -> None:
        """A control file is there only among data that is all old or all new."""
        if (self.path / CONTROL).exists():
            whole = OLD if (self.path / CONTROL).read_text() == "old" else NEW
            names = [name for name in whole if name not in (CONTROL, HELD_CONTROL, WAITING)]
            assert {name: (self.path / name).read_text() for name in names} == {name: whole[name] for name in names}


def test_the_entries_of_a_mount_point_are_exchanged(tmp_path: Path) -> None:
    subject = MountPoint(tmp_path / "data")
    subject.switch()
    subject.check_done()
    assert not subject.staging.exists()


@pytest.mark.parametrize("after", [False, True])
def test_an_exchange_that_is_killed_anywhere_converges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    moments = len(changes_of(monkeypatch, MountPoint(tmp_path / "counted").switch))
    assert moments > len(set(OLD) | set(NEW))
    for moment in range(1, moments + 1):
        subject = MountPoint(tmp_path / f"data {moment}")
        with killed_at(monkeypatch, moment, after), pytest.raises(Killed):
            subject.switch()
        subject.check_cannot_start_half_way()
        subject.switch()
        subject.check_done()


def test_an_exchange_that_is_killed_again_and_again_converges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = MountPoint(tmp_path / "data")
    killed = True
    while killed:
        with killed_at(monkeypatch, 12, after=True) as done, contextlib.suppress(Killed):
            subject.switch()
        subject.check_cannot_start_half_way()
        killed = len(done) == 12
    subject.check_done()
