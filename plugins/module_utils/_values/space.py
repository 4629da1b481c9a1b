# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes of a file system."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FreeSpace:
    """The bytes that are free on a file system, of ``total``; ``device`` tells it from others."""

    device: int = 0
    free: int = 0
    total: int = 0


# What a restore, or a backup, leaves of a file system: the server's own data and WAL may be on it, and go on growing.
_RESERVED_PART, _RESERVED_MOST = 20, 4 << 30


def reserve(total: int) -> int:
    """Give the bytes of a file system that are left to others: a twentieth, and never more than 4 GB.

    >>> reserve(100 << 20), reserve(1 << 40)
    (5242880, 4294967296)
    """
    return min(total // _RESERVED_PART, _RESERVED_MOST)
