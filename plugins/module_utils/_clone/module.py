# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring elsewhere: a cluster's backup in another place, which becomes a cluster of its own."""

from __future__ import annotations

from dataclasses import replace

from .._cluster.data_directory import DataDirectory
from .._cluster.observe import missing_configuration, observe_identity, own_configuration, read_record
from .._configuration.check import check_step
from .._configuration.steps import CheckConfiguration
from .._host.processes import real_path
from .._repository.catalog import Backup
from .._repository.observe import known_major, require
from .._repository.plan import check_owner
from .._task.task import Task
from .._wal.identity import Identity
from .identity import read_identifier
from .observe import holding_data, tablespace_places, unusable
from .plan import (
    check_configuration,
    check_detached,
    check_places,
    check_source,
    clone_settings,
    placed,
    settings_in_place,
    socket_settings,
)


def of_source(task: Task) -> Task:
    """Give the task with the cluster that is restored from in the place of the clone; without a source, as it is."""
    options = task.options
    source = options["source_cluster"]
    check_source(source, options["cluster"])
    return task if source is None else Task({**options, "cluster": source}, task.check_mode)


def kept_settings(task: Task, identity: Identity, directory: DataDirectory) -> dict[str, str]:
    """Give the settings that stay: those that this machine needs, and those by which a clone reaches for nothing."""
    options = task.options
    extra = {name: str(value) for name, value in options["settings"].items()}
    if options["source_cluster"] is None:
        return settings_in_place(extra)
    own = own_configuration(options["config_directory"], directory)
    inside = socket_settings(options["login_port"], options["login_unix_socket"]) if own is None else None
    return clone_settings(identity.major, extra, inside)


def with_places(task: Task, directory: DataDirectory, backup: Backup) -> DataDirectory:
    """Settle, and look at, the places of a backup's tablespaces; refuses those where nothing can be made."""
    paths, new = placed(backup, directory.tablespaces, task.options["tablespace_mapping"])
    found = tablespace_places(paths, new)
    settled = replace(directory, tablespaces={**directory.tablespaces, **found})
    check_places(settled, backup, unusable(found), holding_data(found, new), directory.tablespaces)
    return settled


def check_clone(task: Task, directory: DataDirectory, backup: Backup | None) -> None:
    """Refuse a clone without a configuration, or with one that leads elsewhere, before anything is written."""
    source = task.options["source_cluster"]
    if source is None:
        return
    given = task.options["config_directory"]
    outside = own_configuration(given, directory) is not None
    copied = not outside and backup is not None and backup.kept.main is not None
    check_configuration(directory.path, missing_configuration(given, directory.real_path), source, copied)
    if outside:
        accepted = (real_path(given), directory.staging, directory.real_path)
        bin_directory = task.bin_directory(known_major(task.layout))
        check_step(CheckConfiguration(given, None, accepted), bin_directory, task.runner)


def require_own(task: Task) -> None:
    """Refuse to archive from a clone that has its source's identity, or with pgark-wal for another cluster."""
    identifier = read_identifier(task.data_directory)
    check_detached(task.data_directory, read_record(task.data_directory), identifier)
    if task.options["program"] and not task.check_mode:
        check_identity(task, require(task.layout))


def check_identity(task: Task, known: Identity) -> None:
    """Refuse to write into a repository that holds another cluster under this name, or this one as it was once."""
    own = observe_identity(task.data_directory, task.bin_directory(), task.runner)
    if own is not None:
        check_owner(task.layout, known, own)
