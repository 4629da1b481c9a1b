# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a segment that arrives is of any use: only when a backup leads to it without a gap."""

from __future__ import annotations

from .._repository.catalog import Catalog
from .._wal.names import SegmentName
from .spans import followings, on_path, stretches

_ONLY_THEN = "what is archived from now on can be restored once there is a new backup: run base_backup.yml"


def uncovered(catalog: Catalog, segment: SegmentName) -> str | None:
    """Say why a segment that was just archived cannot be restored to yet; None when it can."""
    size = catalog.identity.wal_segment_size
    number = segment.number(size)
    if not catalog.backups:
        return f"there is no backup yet; {_ONLY_THEN}"
    path = catalog.path_to(segment.timeline)
    backups = on_path(catalog.backups, path)
    reached = [found.stretch for found in followings(catalog, path, backups) if found.stretch is not None]
    if any(stretch.first <= number <= stretch.last for stretch in reached):
        return None
    gaps = [stretch.missing for stretch in stretches(catalog, path) if stretch.last < number]
    where = f"segment {gaps[-1]} is missing from the archive" if gaps else "the archive does not reach back to a backup"
    return f"{where}, so no backup leads to what follows; {_ONLY_THEN}"
