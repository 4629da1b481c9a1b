# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what a restore stages fits: how much goes where, and what is free on each file system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .._errors import Error
from .catalog import Backup
from .data_directory import DataDirectory, Place
from .manifest import Manifest
from .progress import size_text

# Smaller files take a block each; 4 kB is the block of ext4 and XFS unless they were made otherwise.
_BLOCK = 4096
_TABLESPACES = "pg_tblspc/"


@dataclass(frozen=True)
class Amount:
    """Bytes in files, and what the files take in blocks."""

    size: int = 0
    taken: int = 0

    def with_file(self, size: int) -> Amount:
        """Add a file."""
        return Amount(self.size + size, self.taken + (size + _BLOCK - 1) // _BLOCK * _BLOCK)


@dataclass(frozen=True)
class Parts:
    """How much of a backup goes into the data directory, into each tablespace (by oid), and how much WAL it has."""

    base: Amount
    wal: Amount
    tablespaces: Mapping[str, Amount] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Manifest, segment_size: int) -> Parts:
        """Add up what a manifest lists."""
        amounts: dict[str, Amount] = {"": Amount()}
        for path, entry in manifest.files.items():
            oid = path.split("/")[1] if path.startswith(_TABLESPACES) else ""
            amounts[oid] = amounts.get(oid, Amount()).with_file(entry.size)
        wal = segment_size * sum(len(need.segments(segment_size)) for need in manifest.wal)
        return cls(amounts.pop(""), Amount(wal, wal), amounts)

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(amount.size for amount in (self.base, self.wal, *self.tablespaces.values()))


def check_room(directory: DataDirectory, backup: Backup, parts: Parts) -> None:
    """Refuse what does not fit, with what is needed and what is free on every file system where it does not."""
    inside = Place(directory.staging, beside=True, room=directory.room)
    needs = [(inside, parts.base), (directory.wal or inside, parts.wal)]
    needs += [(directory.tablespaces[oid], parts.tablespaces.get(oid, Amount())) for oid in backup.tablespaces]
    devices = sorted({place.room.device for place, _amount in needs})
    found = (
        _shortage([need for need in needs if need[0].room.device == device], directory.freed.get(device, 0))
        for device in devices
    )
    shortages = [shortage for shortage in found if shortage is not None]
    if shortages:
        raise Error(
            f"there is not enough room to stage backup '{backup.label}': {'; '.join(shortages)}",
            "make room, for example by moving an older previous directory away",
        )


def _shortage(needs: list[tuple[Place, Amount]], freed: int) -> str | None:
    """Say what is missing on one file system, if anything is."""
    needed, free = sum(amount.taken for _place, amount in needs), needs[0][0].room.free + freed
    if needed <= free:
        return None
    where = " and ".join(dict.fromkeys(place.path for place, amount in needs if amount.taken))
    return f"{where}: {size_text(needed)} are needed ({needed} bytes), {size_text(free)} are free ({free} bytes)"
