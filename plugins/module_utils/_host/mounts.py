# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look where file systems are mounted, for this process."""

from __future__ import annotations

import os

from .mount_table import Mounts


def mounts() -> Mounts:
    """List the mount points."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return Mounts.parse(file.read())


def is_mount_point(path: str) -> bool:
    """Tell whether a directory is a mount point, bind mounts of the same file system included.

    The root of a volume that is a part of a file system, such as a subvolume of btrfs, counts as one, too: it would not
    come back if it was replaced by a directory.
    """
    return os.path.ismount(path) or os.path.realpath(path) in mounts().points
