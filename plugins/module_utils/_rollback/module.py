# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Undo a restore. The repository keeps other operations out; where it cannot be used, a rollback works all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone

from .._archiving.commands import get_command
from .._archiving.observe import why_not_executable
from .._cluster.data_directory import DataDirectory, check_stopped
from .._cluster.observe import observe_directory, own_configuration
from .._dependents.module import observed, told_of_rollback
from .._errors import Busy, Error
from .._host.processes import real_path
from .._previous_data.observe import kept_paths
from .._repository.observe import require
from .._repository.observe_catalog import read_catalog
from .._restore import apply_switch
from .._restore.context import RestoreContext
from .._server.managers import check_unmanaged
from .._server.observe_managers import signs_of_manager
from .._task.task import Result, Task, planned
from . import apply as apply_rollback
from .module_under_way import check_records
from .new_timeline import Anew
from .observe import kept_major, observe_situation
from .plan import Rollback, plan_rollback
from .situation import free_stamp

STEPS = {**apply_switch.STEPS, **apply_rollback.STEPS}


def roll_back(task: Task) -> Result:
    """Put back what the restore in the data directory has replaced, or the directory that is named."""
    signs = signs_of_manager(task.data_directory)
    check_unmanaged(signs, "rolled back", stopped=True)
    given = task.options["previous_directory"]
    wanted = None if given is None else real_path(given)
    with _held(task) as (identifier, warnings):
        bin_directory = task.bin_directory(kept_major(task.data_directory, wanted))
        directory = observe_directory(task.data_directory, bin_directory, task.runner)
        rollback = _plan(task, directory, wanted, bin_directory, identifier)
        check_unmanaged(signs, "rolled back", task.options["manager_stopped"] or not rollback.plan.changed)
        found = observed(task, directory) if rollback.moves_data else None
        context = RestoreContext(task.runner, bin_directory)
        task.apply(rollback.plan, context, STEPS)
    return planned(
        rollback.plan,
        in_place=not (rollback.plan.changed and task.check_mode),
        previous_directory=rollback.source,
        set_aside=rollback.aside,
        startable=rollback.startable,
        warnings=[*warnings, *rollback.warnings, *context.notes],
        **told_of_rollback(found),
    )


def _plan(
    task: Task, directory: DataDirectory, wanted: str | None, bin_directory: str, identifier: str | None
) -> Rollback:
    if wanted is None or (directory.mount_point and directory.kind != "cluster"):
        check_records(directory)
    situation = observe_situation(directory, wanted, bin_directory, task.runner, identifier)
    stamp = free_stamp(directory, [kept.path for kept in situation.kept], datetime.now(timezone.utc))
    rollback = plan_rollback(situation, wanted, task.options["force"], stamp, _anew(task, directory))
    if rollback.moves_data and not task.check_mode:
        check_stopped(directory)
    return rollback


def _anew(task: Task, directory: DataDirectory) -> Anew:
    """Collect what it takes to go on on a new timeline, and look for the highest one that is archived anywhere."""
    program = task.options["program"]
    there = program is not None and why_not_executable(program) is None
    command = get_command(program, task.repositories, task.layout.cluster, 1) if there else ""
    archived = []
    for layout in task.layouts:
        with suppress(Error, OSError):
            archived.append(read_catalog(layout).latest_timeline)
    configuration = own_configuration(task.options["config_directory"], directory)
    return Anew(task.options["new_timeline"], max(archived, default=None), command, configuration)


@contextmanager
def _held(task: Task) -> Iterator[tuple[str | None, list[str]]]:
    """Hold the cluster's lock if the repository is there; gives the cluster's system identifier, and warnings."""
    layout = task.layout
    with ExitStack() as stack:
        stack.enter_context(task.owning("pitr_restore: rolled_back"))
        try:
            stack.enter_context(task.locked("pitr_restore", reading=True))
            found: tuple[str | None, list[str]] = (require(layout).system_identifier, [])
        except Busy:
            raise
        except (Error, OSError) as error:
            found = (None, [f"the repository cannot be used, so nothing keeps backups out meanwhile: {error}"])
        yield found


def new_stamp(directory: DataDirectory, now: datetime) -> str:
    """Give the stamp of a restore that begins now; the name that it stands for is free."""
    staged = [] if directory.staged is None else [directory.staged.previous_directory]
    return free_stamp(directory, [*kept_paths(directory), *staged], now)
