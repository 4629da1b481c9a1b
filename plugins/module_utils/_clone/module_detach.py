# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a clone a cluster of its own, with a system identifier that no other has."""

from __future__ import annotations

from .._cluster.data_directory import check_stopped
from .._cluster.observe import observe_directory
from .._rollback.module_under_way import check_records
from .._task.task import Result, Task, planned
from .apply import STEPS, DetachContext
from .identity import generate, observe_clone
from .plan_detach import Clone, plan_detach


def detach(task: Task) -> Result:
    """Give the clone in the data directory a system identifier of its own; no repository is needed for it."""
    bin_directory = task.bin_directory()
    with task.owning("pitr_restore: detached"):
        clone = _observe(task, bin_directory)
        plan = plan_detach(clone, generate())
        if plan.changed and not task.check_mode:
            check_stopped(clone.directory)
        task.apply(plan, DetachContext(task.runner, bin_directory), STEPS)
        after = _observe(task, bin_directory)
    return planned(
        plan,
        in_place=after.detached,
        source=after.record.source,
        system_identifier=after.directory.system_identifier if after.detached else None,
    )


def _observe(task: Task, bin_directory: str) -> Clone:
    directory = observe_directory(task.data_directory, bin_directory, task.runner)
    check_records(directory)
    return observe_clone(directory, bin_directory, task.runner)
