# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Undo a restore. The repository keeps other operations out; where it cannot be used, a rollback works all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone

from .._core.data_directory import DataDirectory, check_stopped
from .._core.plan_rollback import Rollback, check_no_rollback, plan_rollback
from .._core.rollback import free_stamp
from .._errors import Busy, Error
from .._host.apply import Host
from .._host.cluster import observe_directory
from .._host.processes import real_path
from .._host.repository import require
from .._host.rollback import kept_major, kept_paths, observe_situation, under_way
from .task import Result, Task, planned


def roll_back(task: Task) -> Result:
    """Put back what the restore in the data directory has replaced, or the directory that is named."""
    given = task.options["previous_directory"]
    wanted = None if given is None else real_path(given)
    with _held(task) as (identifier, warnings):
        bin_directory = task.bin_directory(kept_major(task.data_directory, wanted))
        rollback = _plan(task, wanted, bin_directory, identifier)
        task.apply(rollback.plan, Host(task.runner, bin_directory=bin_directory))
    return planned(
        rollback.plan,
        in_place=not (rollback.plan.changed and task.check_mode),
        previous_directory=rollback.source,
        set_aside=rollback.aside,
        startable=rollback.startable,
        warnings=warnings,
    )


def _plan(task: Task, wanted: str | None, bin_directory: str, identifier: str | None) -> Rollback:
    directory = observe_directory(task.data_directory, bin_directory, task.runner)
    situation = observe_situation(directory, wanted, bin_directory, task.runner, identifier)
    stamp = free_stamp(directory, [kept.path for kept in situation.kept], datetime.now(timezone.utc))
    rollback = plan_rollback(situation, wanted, task.options["force"], stamp)
    if rollback.moves_data and not task.check_mode:
        check_stopped(directory)
    return rollback


@contextmanager
def _held(task: Task) -> Iterator[tuple[str | None, list[str]]]:
    """Hold the cluster's lock if the repository is there; gives the cluster's system identifier, and warnings."""
    layout = task.layout
    with ExitStack() as stack:
        try:
            stack.enter_context(task.locked("pitr_restore", reading=task.options["source_cluster"] is not None))
            found: tuple[str | None, list[str]] = (require(layout).system_identifier, [])
        except Busy:
            raise
        except (Error, OSError) as error:
            found = (None, [f"the repository cannot be used, so nothing keeps other operations out meanwhile: {error}"])
        yield found


def check_not_under_way(directory: DataDirectory) -> None:
    """Refuse a restore while a rollback is half done."""
    check_no_rollback(directory, under_way(directory))


def new_stamp(directory: DataDirectory, now: datetime) -> str:
    """Give the stamp of a restore that begins now; the name that it stands for is free."""
    staged = [] if directory.staged is None else [directory.staged.previous_directory]
    return free_stamp(directory, [*kept_paths(directory), *staged], now)
