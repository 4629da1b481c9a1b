# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring elsewhere: a cluster's backup in another place, which becomes a cluster of its own."""

from __future__ import annotations

from dataclasses import replace

from .._core.catalog import Backup, Identity
from .._core.data_directory import DataDirectory, RestoreRequest, check_stopped
from .._core.plan import Plan
from .._core.plan_clone import (
    CheckConfiguration,
    check_configuration,
    check_detached,
    check_places,
    check_source,
    clone_settings,
    placed,
    socket_settings,
    with_check,
)
from .._core.plan_detach import Clone, plan_detach
from .._core.plan_repository import check_owner
from .._host.apply import Host
from .._host.clone import check_step, has_copied_configuration, own_configuration, tablespace_places, unusable
from .._host.cluster import missing_configuration, observe_directory, read_record
from .._host.identity import generate, held, observe_clone, read_identifier
from .._host.processes import real_path
from .._host.repository import known_major, require
from .._host.runner import CommandRunner
from .task import Result, Task, planned


def of_source(task: Task) -> Task:
    """Give the task with the cluster that is restored from in the place of the clone; without a source, as it is."""
    options = task.options
    source = options["source_cluster"]
    check_source(source, options["cluster"], options["settings"])
    return task if source is None else Task({**options, "cluster": source}, task.check_mode)


def kept_settings(task: Task, identity: Identity, directory: DataDirectory) -> dict[str, str]:
    """Give the settings that a clone keeps; nothing for a cluster that is restored in place."""
    options = task.options
    if options["source_cluster"] is None:
        return {}
    extra = {name: str(value) for name, value in options["settings"].items()}
    own = own_configuration(options["config_directory"], directory)
    inside = socket_settings(options["login_port"], options["login_unix_socket"]) if own is None else None
    return clone_settings(identity.major, extra, inside)


def with_places(task: Task, directory: DataDirectory, backup: Backup) -> DataDirectory:
    """Settle, and look at, the places of a backup's tablespaces; refuses those where nothing can be made."""
    paths, new = placed(backup, directory.tablespaces, task.options["tablespace_mapping"])
    found = tablespace_places(paths, new)
    settled = replace(directory, tablespaces={**directory.tablespaces, **found})
    check_places(settled, backup, unusable(found))
    return settled


def check_clone(task: Task, directory: DataDirectory, label: str) -> None:
    """Refuse a clone without a configuration, or with one that leads elsewhere, before anything is written."""
    source = task.options["source_cluster"]
    if source is None:
        return
    given = task.options["config_directory"]
    outside = own_configuration(given, directory) is not None
    copied = not outside and has_copied_configuration(task.layout.backup(label))
    check_configuration(directory.path, missing_configuration(given, directory.real_path), source, copied)
    if outside:
        accepted = (real_path(given), directory.staging, directory.real_path)
        bin_directory = task.bin_directory(known_major(task.layout))
        check_step(CheckConfiguration(given, None, accepted), bin_directory, task.runner)


def with_configuration_checked(task: Task, request: RestoreRequest, directory: DataDirectory, plan: Plan) -> Plan:
    """Have a clone's effective data directory checked, unless it is in place or on its way there."""
    if request.source is None or directory.kind == "unfinished" or not plan.changed:
        return plan
    config_file = own_configuration(task.options["config_directory"], directory)
    return with_check(
        plan, CheckConfiguration(directory.staging, config_file, (directory.staging, directory.real_path))
    )


def require_own(task: Task) -> None:
    """Refuse to archive from a clone that has its source's identity, or with pgark-wal for another cluster."""
    identifier = read_identifier(task.data_directory)
    check_detached(task.data_directory, read_record(task.data_directory), identifier)
    if task.options["program"] and not task.check_mode:
        check_owner(task.layout, require(task.layout), identifier)


def detach(task: Task) -> Result:
    """Give the clone in the data directory a system identifier of its own; no repository is needed for it."""
    bin_directory = task.bin_directory()
    with held(task.data_directory) as descriptor:
        task.runner = CommandRunner([descriptor])
        clone = _observe(task, bin_directory)
        plan = plan_detach(clone, generate())
        if plan.changed and not task.check_mode:
            check_stopped(clone.directory)
        task.apply(plan, Host(task.runner, bin_directory=bin_directory))
        after = _observe(task, bin_directory)
    return planned(
        plan,
        in_place=after.detached,
        source=after.record.source,
        system_identifier=after.directory.system_identifier if after.detached else None,
    )


def _observe(task: Task, bin_directory: str) -> Clone:
    directory = observe_directory(task.data_directory, bin_directory, task.runner)
    return observe_clone(directory, bin_directory, task.runner)
