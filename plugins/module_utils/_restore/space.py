# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what a restore stages fits: how much goes where, and what is free on each file system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .._backup.members import is_ours
from .._cluster.data_directory import DataDirectory, Place
from .._errors import Error
from .._repository.catalog import Backup
from .._repository.manifest import Manifest
from .._values.progress import size_text
from .._values.space import reserve
from .._wal.names import SEGMENT_SIZES

# Smaller files take a block each; 4 kB is the block of ext4 and XFS unless they were made otherwise.
_BLOCK = 4096
_TABLESPACES = "pg_tblspc/"


class NoRoom(Error):
    """What is to be staged does not fit."""


@dataclass(frozen=True)
class Amount:
    """Bytes in files, and what the files take in blocks."""

    size: int = 0
    taken: int = 0

    def with_file(self, size: int) -> Amount:
        """Add a file."""
        return Amount(self.size + size, self.taken + (size + _BLOCK - 1) // _BLOCK * _BLOCK)


@dataclass(frozen=True)
class BackupSizes:
    """How much of a backup goes into the data directory, into each tablespace (by oid), and how much WAL it has."""

    base: Amount
    wal: Amount
    tablespaces: Mapping[str, Amount] = field(default_factory=dict)
    segment_size: int = SEGMENT_SIZES[-1]

    @classmethod
    def of(cls, manifest: Manifest, segment_size: int) -> BackupSizes:
        """Add up what a manifest lists."""
        amounts: dict[str, Amount] = {"": Amount()}
        for path, entry in manifest.files.items():
            if is_ours(path):
                continue
            oid = path.split("/")[1] if path.startswith(_TABLESPACES) else ""
            amounts[oid] = amounts.get(oid, Amount()).with_file(entry.size)
        wal = segment_size * sum(len(need.numbers(segment_size)) for need in manifest.wal)
        return cls(amounts.pop(""), Amount(wal, wal), amounts, segment_size)

    def with_segments(self, count: int) -> BackupSizes:
        """Add segments that come from elsewhere."""
        more = count * self.segment_size
        return replace(self, wal=Amount(self.wal.size + more, self.wal.taken + more))

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(amount.size for amount in (self.base, self.wal, *self.tablespaces.values()))


def check_room(directory: DataDirectory, backup: Backup, parts: BackupSizes) -> None:
    """Refuse what does not fit, with what is needed and what is free on every file system where it does not."""
    inside = Place(directory.staging, room=directory.room)
    needs = [(inside, parts.base), (directory.wal or inside, parts.wal)]
    needs += [(directory.tablespaces[oid], parts.tablespaces.get(oid, Amount())) for oid in backup.outside]
    needs += [(inside, parts.tablespaces.get(oid, Amount())) for oid in backup.in_place]
    devices = sorted({place.room.device for place, _amount in needs})
    found = (
        _shortage([need for need in needs if need[0].room.device == device], directory.freed.get(device, 0))
        for device in devices
    )
    shortages = [shortage for shortage in found if shortage is not None]
    if shortages:
        raise NoRoom(
            f"there is not enough room to stage backup '{backup.label}': {'; '.join(shortages)}",
            "make room; previous_data.yml lists what earlier restores have left, and removes it",
        )


def _shortage(needs: list[tuple[Place, Amount]], freed: int) -> str | None:
    """Say what is missing on one file system, if anything is."""
    room = needs[0][0].room
    needed, free, kept = sum(amount.taken for _place, amount in needs), room.free + freed, reserve(room.total)
    if not needed or needed + kept <= free:
        return None
    where = " and ".join(dict.fromkeys(place.path for place, amount in needs if amount.taken))
    left = f", of which {size_text(kept)} are left to others" if kept else ""
    return f"{where}: {size_text(needed)} are needed ({needed} bytes), {size_text(free)} are free ({free} bytes){left}"
