# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell a new cluster, in the place of the one that is to be restored, from one that somebody has written to."""

from __future__ import annotations

from dataclasses import replace

from .._cluster.data_directory import DataDirectory
from .._cluster.observe import major_version
from .._task.task import Task
from .._wal.identity import Identity
from .new_cluster import signs_of_use
from .observe_new_cluster import look


def with_use(task: Task, directory: DataDirectory, identity: Identity) -> DataDirectory:
    """Look at another cluster than the one that is restored, whether somebody has written to it; else change nothing.

    What a restore has made is none that is new, and as an earlier clone may be replaced.
    """
    other = directory.kind == "cluster" and directory.system_identifier != identity.system_identifier
    if not other or directory.record is not None:
        return directory
    major = major_version(directory.real_path)
    if major != identity.major:
        return replace(directory, used=(f"it is of PostgreSQL {major}, the backups are of {identity.major}",))
    found = look(directory.real_path, task.bin_directory(major), task.runner)
    return replace(directory, used=signs_of_use(found))
