# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe what a decision about a restore needs to know, and have it decided."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .._core.catalog import Catalog
from .._core.choice import Choice
from .._core.layout import Layout
from .._core.target import Target
from .._core.windows import check_past, choose
from .runner import CommandRunner
from .server import Server


@dataclass(frozen=True)
class Survey:
    """Where to look: the repository, and what a data directory (None: none) and its server (None: down) add to it."""

    layout: Layout
    bin_directory: str
    runner: CommandRunner
    data_directory: str | None = None
    server: Server | None = None

    def choice(self, catalog: Catalog, target: Target, label: str | None, now: datetime) -> Choice:
        """Choose how a target is reached; raises Unreachable with what is possible instead."""
        check_past(target, now)
        window = choose(catalog, target, label, more_wal=self.data_directory is not None)
        size = catalog.identity.wal_segment_size
        backup, last = window.backup, window.last_segment
        first = backup.start_lsn.value // size
        final = (backup.stop_lsn.value - 1) // size if last is None else last.number(size)
        path = catalog.path_to(window.timeline)
        end = backup.stop_lsn if last is None else last.next(size).start_lsn(size)
        return Choice(backup, path, end, final - first + 1, window.until or window.since)
