# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What would keep a restore from a place although the target can be reached: the checks that it begins with, asked."""

from __future__ import annotations

from .._cluster.data_directory import RestoreRequest, check_exchangeable
from .._cluster.observe import observe_directory
from .._errors import Error
from .._repository.catalog import Backup, Catalog
from .._repository.observe_manifest import described_manifest
from .._restore.module_ground import check_missing
from .._restore.module_new_cluster import with_use
from .._restore.plan import check_directory
from .._restore.space import BackupSizes, check_room
from .._rollback.module_under_way import check_records
from .._server.managers import check_unmanaged
from .._server.observe_managers import signs_of_manager
from .._task.task import Task
from .._values.hints import hint_for, message_for
from .._values.target import Target
from .module import with_places


def obstacle(task: Task, catalog: Catalog, target: Target, backup: Backup) -> str | None:
    """Say, for who restores, why the data directory of the options would refuse a backup; None: nothing is seen."""
    if task.options["data_directory"] is None:
        return None
    try:
        _check(task, catalog, target, backup)
    except Error as error:
        name, caller = "pitr_restore", task.options["called_by"]
        hint = None if error.hint is None else hint_for(error.hint, name, caller)
        return str(Error(message_for(error.message, name, caller), hint))
    return None


def _check(task: Task, catalog: Catalog, target: Target, backup: Backup) -> None:
    """Refuse what a restore would refuse in this place, unless it has been done."""
    check_unmanaged(signs_of_manager(task.data_directory), "replaced", stopped=True)
    check_missing(task, task.options["config_directory"])
    directory = observe_directory(task.data_directory, task.bin_directory(catalog.identity.major), task.runner)
    check_records(directory)
    directory = with_use(task, directory, catalog.identity)
    check_directory(directory, catalog.identity, force=False)
    asked = (task.options["cluster"], catalog.identity.system_identifier, task.options["backup_label"])
    request = RestoreRequest(target, *asked)
    if request.staged(directory) or request.in_place(directory):
        return
    check_exchangeable(directory)
    manifest = described_manifest(task.layout.backup(backup.label), backup)
    settled = with_places(task, directory, backup)
    check_room(settled, backup, BackupSizes.of(manifest, catalog.identity.wal_segment_size))
