# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a base backup fits into a repository, and leaves room there for the WAL that goes on arriving."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .._errors import Error
from .._repository.catalog import Backup
from .._values.progress import size_text
from .._values.space import FreeSpace, reserve

# What a database is compressed to where nothing is known yet; what is too little is noticed while the backup is taken.
_USUAL_PART = 4


@dataclass(frozen=True)
class Expected:
    """The bytes that a backup will take, and what that was guessed from."""

    size: int
    basis: str


def expected(cluster_size: int, backups: Sequence[Backup], compression: str) -> Expected:
    """Guess from the size of a cluster, in bytes, and from how its last backup of that compression turned out."""
    size = f"the cluster has {size_text(cluster_size)}"
    alike = [backup for backup in backups if backup.compression == compression and backup.size]
    if alike:
        last = alike[-1]
        basis = f"{size}, and backup '{last.label}' took {size_text(last.stored_size)} for {size_text(last.size)}"
        return Expected(cluster_size * last.stored_size // last.size, basis)
    if compression == "none":
        return Expected(cluster_size, size)
    return Expected(cluster_size // _USUAL_PART, f"{size}, and {compression} may bring it to a quarter")


def check_backup_room(directory: str, room: FreeSpace, wanted: Expected) -> None:
    """Refuse a backup that would fill the file system."""
    kept = reserve(room.total)
    if wanted.size + kept > room.free:
        raise Error(
            f"there is not enough room for a backup in {directory}: about {size_text(wanted.size)} are needed "
            f"({wanted.basis}), {size_text(room.free)} are free, of which {size_text(kept)} are kept for WAL",
            "make room, or give the repository a larger file system",
        )


def check_still_fits(directory: str, room: FreeSpace) -> None:
    """Stop a backup that takes more than was guessed; half of what is kept is for the WAL that arrives meanwhile."""
    if room.free < reserve(room.total) // 2:
        raise Error(
            f"the backup was stopped because it would have filled the file system of {directory}: "
            f"{size_text(room.free)} are left, which are kept for WAL",
            "make room, or give the repository a larger file system",
        )
