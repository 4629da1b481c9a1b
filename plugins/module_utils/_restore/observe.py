# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See from outside how far a restore is that another process is staging."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

from .._cluster.data_directory import DataDirectory
from .._cluster.observe import read_record
from .._host.files import tree_size
from .._host.mounts import is_mount_point
from .._host.processes import bytes_read


@dataclass(frozen=True)
class Staging:
    """What is in a staging directory; ``bytes`` of ``total`` are done of the ``step``, as far as the sizes are known.

    ``step``: ``unpack``, ``verify`` or ``sync``.
    """

    backup: str
    step: str
    bytes: int | None
    total: int | None
    complete: bool

    def as_dict(self) -> dict[str, Any]:
        """Give the form that is reported."""
        return asdict(self)


def look_at_staging(data_directory: str) -> Staging | None:
    """Look at what is staged beside a data directory; None when that is nothing, or nothing with a record."""
    directory = DataDirectory(data_directory, data_directory, "unknown", mount_point=is_mount_point(data_directory))
    staging = directory.staging
    record = read_record(staging)
    if record is None:
        return None
    step, done = _step(staging, record.places, record.complete)
    return Staging(record.backup, step, done, record.size or None, record.complete)


def _step(staging: str, places: tuple[str, ...], complete: bool) -> tuple[str, int | None]:
    """Tell what is being done, and how many bytes of it are; how much of a sync is done cannot be seen."""
    # The signal is written after the backup was verified.
    if complete or os.path.exists(f"{staging}/recovery.signal"):
        return "sync", None
    verified = bytes_read("pg_verifybackup", staging)
    if verified is not None:
        return "verify", verified
    return "unpack", sum(tree_size(path) for path in (staging, *places))
