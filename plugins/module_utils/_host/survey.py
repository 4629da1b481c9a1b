# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe what a decision about a restore needs to know, and have it decided."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from .._core.catalog import Catalog
from .._core.choice import Choice, check_past
from .._core.decision import Decision, Writing
from .._core.defects import Defect, defects, problems
from .._core.layout import Layout
from .._core.refusals import only_here
from .._core.target import Target
from .._core.windows import Window
from .own_wal import own_histories, own_segments, writing
from .repository import repository_id
from .runner import CommandRunner
from .server import Server
from .walcache import WalCache, cache_file
from .waldump import WalReader


@dataclass(frozen=True)
class Findings:
    """What a cluster can be restored to: its windows, what is wrong, and which backups that makes unusable."""

    windows: list[Window]
    defects: list[Defect]
    problems: dict[str, Defect]


@dataclass(frozen=True)
class Survey:
    """Where to look: the repository, and what a data directory (None: none) and its server (None: down) add to it."""

    layout: Layout
    bin_directory: str
    runner: CommandRunner
    data_directory: str | None = None
    server: Server | None = None

    def findings(self, catalog: Catalog) -> Findings:
        """Tell what can be restored with the archive alone."""
        unusable = problems(catalog)
        with self._reader(catalog) as reader:
            found = Decision(catalog, reader).windows(unusable)
        return Findings(found, defects(catalog, unusable, found), unusable)

    def choice(self, catalog: Catalog, target: Target, label: str | None, now: datetime) -> Choice:
        """Choose how a target is reached; raises Unreachable with what is possible instead."""
        check_past(target, now)
        server = writing(self.server, catalog.identity)  # before its files are listed, so that they reach as far
        whole = self._with_own_wal(catalog)
        with self._reader(whole) as reader:
            found = Decision(whole, reader, server).choice(target, label, catalog.arrivals)
        warnings = [*found.warnings, *self._warning(catalog, found, server)]
        return replace(found, warnings=tuple(warnings))

    def _reader(self, catalog: Catalog) -> WalReader:
        cache = WalCache(cache_file(repository_id(self.layout), self.layout.cluster), f"{self.layout.wal}/")
        return WalReader(catalog, self.bin_directory, self.runner, cache)

    def _with_own_wal(self, catalog: Catalog) -> Catalog:
        if self.data_directory is None:
            return catalog
        segments = own_segments(self.data_directory, catalog.identity)
        return catalog.extended(segments, own_histories(self.data_directory))

    def _warning(self, catalog: Catalog, found: Choice, server: Writing | None) -> list[str]:
        """Say that a part of the way is in the data directory only; a running server still archives it."""
        size = catalog.identity.wal_segment_size
        first = (found.backup.stop_lsn.value - 1) // size
        numbers = range(first, found.start_lsn.value // size + found.segments)
        missing = [n for n in numbers if (found.path.timeline_at(n, size), n) not in catalog.files]
        if not missing or server is not None or self.data_directory is None:
            return []
        return [only_here(len(missing), f"{self.data_directory}/pg_wal")]
