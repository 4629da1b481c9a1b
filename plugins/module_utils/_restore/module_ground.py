# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a cluster belongs of which nothing is left on its host, and what that lacks, as the repository remembers it."""

from __future__ import annotations

from .._cluster.distribution import Found, NoCluster, remembered
from .._cluster.ground import above, check_origin, needed_by
from .._cluster.observe_distribution import find_cluster, is_packaged
from .._cluster.observe_ground import check_host, check_way, is_there
from .._errors import Error
from .._host.processes import real_path
from .._repository.catalog import Backup
from .._repository.observe_catalog import read_catalog
from .._task.task import Task


def locate(task: Task) -> tuple[Found, str | None]:
    """Find the cluster of the host; where there is none, its newest backup may tell where it was, and is named."""
    options = task.options
    try:
        return find_cluster(options["data_directory"]), None
    except NoCluster as error:
        backup = newest_backup(task, error) if options["from_backup"] else None
        if backup is None:
            raise
    origin = backup.origin
    check_origin(origin, backup.label, task.repositories)
    for path in (origin.data_directory, origin.config_directory):
        check_way(path)
    return remembered(origin.data_directory, origin.config_directory, is_packaged()), backup.label


def newest_backup(task: Task, why: NoCluster | None = None) -> Backup | None:
    """Give the newest backup; None when there is none. A repository that cannot be read adds that to ``why``."""
    options = task.options
    if not options["repository"] or not options["cluster"]:
        return None
    try:
        return next(reversed(read_catalog(task.layout).backups), None)
    except (Error, OSError) as error:
        if why is None:
            return None
        said = error.message if isinstance(error, Error) else str(error)
        raise NoCluster(f"{why.message}; and the repository does not tell where it was: {said}", why.hint) from None


def check_missing(task: Task, config_directory: str | None, *ours: str | None) -> None:
    """Where nothing is left of the cluster, refuse a host without the directories that it needs; all are named at once.

    ``ours`` are files and directories of ours, each of which has a directory of its own that is made.
    """
    real = task.data_directory
    backup = None if is_there(real) else newest_backup(task)
    if backup is None:
        return
    place = None if config_directory is None or real_path(config_directory) == real else real_path(config_directory)
    needed = needed_by(backup.kept.moved_to(place), above(real), *(above(above(path).path) for path in ours if path))
    check_host(needed)
