# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to a target: which backup a restore starts from, which timelines it follows, and how much it replays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .catalog import Backup
from .wal import Lsn, TimelinePath


@dataclass(frozen=True)
class Choice:
    """How a target is reached.

    ``start_lsn`` is where replay begins, ``end_lsn`` where it ends as far as that is known (None: nothing tells),
    ``segments`` counts the WAL files between, ``until`` is the last moment that can be reached from this backup, and
    ``warnings`` are for a person to read before going on.
    """

    backup: Backup
    path: TimelinePath
    end_lsn: Lsn | None
    segments: int
    until: datetime
    warnings: tuple[str, ...] = ()

    @property
    def timeline(self) -> int:
        """The timeline that is followed."""
        return self.path.timeline

    @property
    def start_lsn(self) -> Lsn:
        """The position where replay begins."""
        return self.backup.start_lsn
