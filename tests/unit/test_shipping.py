# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every step that a module may plan is in its tables, and who only looks ships nothing that acts."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import get_type_hints

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._plan import apply as kernel
from ansible_collections.pgark.postgres.plugins.module_utils._plan import apply_files
from ansible_collections.pgark.postgres.plugins.module_utils._plan.apply import StepTable
from ansible_collections.pgark.postgres.plugins.module_utils._plan.plan import MakeDirectory, Plan, Step
from ansible_collections.pgark.postgres.plugins.module_utils._task.task import Task
from tests.gates.rooms import COLLECTION
from tests.gates.setup import ROOT
from tests.gates.shipping import UTILS, appliers, file_of, reached, shipped, steps_of

# The files that have a table of steps, each as its room and its name.
TABLES = sorted(
    f"{path.parent.name}.{path.stem}"
    for path in ROOT.glob("plugins/module_utils/_*/apply*.py")
    if "\nSTEPS: StepTable = " in path.read_text()
)
MODULES = sorted(path.stem for path in ROOT.glob("plugins/modules/*.py"))
LOOKERS = ("recovery_info", "backup_info", "cluster_info", "previous_data_info")
# Those that change something without a plan, and so with no step.
PLANLESS = ("asked", "postgres_server", "recovery", "restore_point")


def load(dotted: str) -> ModuleType:
    return importlib.import_module(f"{COLLECTION}.{dotted}")


def kinds() -> set[type]:
    """All kinds of steps that there are in the collection."""
    for path in ROOT.glob("plugins/module_utils/_*/*.py"):
        if path.parent.name != "_program":
            load(f"{UTILS}.{path.parent.name}.{path.stem}")
    found: set[type] = set()
    left = [Step]
    while left:
        kind = left.pop()
        more = [each for each in kind.__subclasses__() if each.__module__.startswith(COLLECTION)]
        found |= set(more)
        left += more
    return {kind for kind in found if not inspect.isabstract(kind)}


def table_of(file: str) -> StepTable:
    table: StepTable = load(f"{UTILS}.{file}").STEPS
    return table


def test_every_step_is_in_exactly_one_table() -> None:
    listed = [kind for table in TABLES for kind in table_of(table)]
    assert len(listed) == len(set(listed))
    assert set(listed) == kinds()


@pytest.mark.parametrize("table", TABLES)
def test_a_function_is_for_the_step_that_it_is_listed_for(table: str) -> None:
    assert {kind: get_type_hints(function)["step"] for kind, function in table_of(table).items()} == {
        kind: kind for kind in table_of(table)
    }


@pytest.mark.parametrize("file", appliers())
def test_who_has_plans_carried_out_has_a_function_for_each_step_that_may_be_in_them(file: str) -> None:
    table: StepTable = load(file).STEPS
    made = steps_of(reached(file), kinds())
    assert made, "nothing is found to be planned, so the walk is blind"
    assert made <= set(table), f"{file} may plan these, and no table of its STEPS has them"
    tables = [each for each in TABLES if set(table_of(each)) <= set(table)]
    assert set(table) == {kind for each in tables for kind in table_of(each)}
    assert [each for each in tables if not made & set(table_of(each))] == [], f"{file} has no use for these tables"


# The walk follows names; this is what it has to find, by hand.
PLANNED = {
    "plugins.modules.backup_repository": "MakeDirectory SetAccess WriteDocument RetireCluster",
    "plugins.modules.base_backup": "RemoveLeftover ProveArchiving TakeBaseBackup CompressWal CopyConfiguration "
    "VerifyBackup PublishBackup",
    "plugins.modules.pitr_restore": "MakeDirectory InstallProgram RemoveStaging BeginStaging UnpackBackup "
    "VerifyStaging CheckLabel PlaceLinks PlaceLeftSegments ConfigureRecovery "
    "KeepOptions CompareWal FinishStaging RaiseSettings CheckConfiguration CheckStartable "
    "SaveWal RestoreConfiguration ReserveAside NoteUndo NoteKept SetAside MoveTablespaces "
    "PutInPlace SwapEntries ReleaseControl",
    "plugins.modules.previous_data": "RemoveKept",
    "plugins.modules.wal_archiving": "MakeDirectory InstallProgram KeepReplaced DrainArchive AlterSystem ReloadServer "
    "ForgetReplaced",
    "plugins.module_utils._clone.module_detach": "NoteIdentity OfferHistory ChangeIdentity ResetWal",
    "plugins.module_utils._rollback.module": "ForgetRollback NoteRollback SwapEntries MoveTablespacesBack NoteKept "
    "SetAside BringBack PutInPlace ReleaseControl NewTimeline StayOnTimeline",
}


def test_the_walk_finds_what_is_planned() -> None:
    found = {file: {kind.__name__ for kind in steps_of(reached(file), kinds())} for file in appliers()}
    assert found == {file: set(names.split()) for file, names in PLANNED.items()}


@pytest.mark.parametrize("module", LOOKERS + PLANLESS)
def test_who_plans_nothing_ships_no_steps(module: str) -> None:
    assert shipped(f"plugins.modules.{module}") & {f"{UTILS}.{table}" for table in TABLES} == set()


def test_every_module_is_accounted_for() -> None:
    planning = {file.rpartition(".")[2] for file in appliers() if ".modules." in file}
    assert planning | set(LOOKERS) | set(PLANLESS) == set(MODULES)


def test_looking_at_a_recovery_which_is_done_every_five_seconds_ships_little() -> None:
    files = shipped("plugins.modules.recovery_info")
    size = sum(path.stat().st_size for file in files if (path := file_of(file)) is not None)
    assert len(files) <= 50  # 48, and 299 kB, when it was written
    assert size <= 320_000


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_plan_with_an_unknown_step_is_refused_before_anything_is_done(tmp_path: Path, check_mode: bool) -> None:
    @dataclass(frozen=True)
    class Unheard(Step):
        @property
        def text(self) -> str:
            return "do something new"

    plan = Plan((MakeDirectory(f"{tmp_path}/made", 0o700), Unheard()))
    with pytest.raises(TypeError, match="no function carries out Unheard"):
        Task({}, check_mode).apply(plan, None, apply_files.STEPS)
    with pytest.raises(TypeError, match="no function carries out Unheard"):
        kernel.apply(plan, None, apply_files.STEPS)
    assert list(tmp_path.iterdir()) == []
