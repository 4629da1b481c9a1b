# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""While a rollback is half done, nothing else is."""

from __future__ import annotations

from .._cluster.data_directory import DataDirectory, check_records_readable
from .._cluster.observe import with_damage
from .._host.mounts import is_mount_point
from .._previous_data.observe import kept_paths
from .journal import under_way
from .situation import check_no_rollback


def check_not_under_way(directory: DataDirectory) -> None:
    """Refuse a restore while a rollback is half done, or where nobody knows what is."""
    check_records(directory)
    check_no_rollback(directory, under_way(directory))


def check_records(directory: DataDirectory) -> None:
    """Refuse to go on where a record cannot be read that tells what was done with the data."""
    check_records_readable(directory, kept_paths(directory))


def check_no_rollback_at(data_directory: str) -> None:
    """Refuse to remove anything while a rollback is half done, or where nobody knows what is needed."""
    directory = DataDirectory(data_directory, data_directory, "unknown", mount_point=is_mount_point(data_directory))
    check_not_under_way(with_damage(directory))
