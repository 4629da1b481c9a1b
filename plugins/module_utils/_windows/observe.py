# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe what a decision about a restore needs to know, and have it decided."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from .._errors import Error, printable
from .._host.files import reason
from .._host.runner import CommandRunner
from .._repository.catalog import Backup, Catalog
from .._repository.layout import Layout
from .._repository.observe import repository_id
from .._repository.observe_catalog import read_catalog
from .._repository.observe_manifest import why_untrue
from .._server.server import Server
from .._values.target import Target
from .cache import WalCache, cache_file
from .choice import Choice, check_past
from .defects import Defect, defects, problems
from .forks import refused
from .observe_forks import fork_defects
from .observe_own_wal import own_histories, own_segments, writing
from .reader import WalReader
from .refusals import Unreachable, only_here
from .resolver import LiveServer, TargetResolver
from .windows import Window


@dataclass(frozen=True)
class Findings:
    """What a cluster can be restored to: its windows, what is wrong, and which backups that makes unusable."""

    windows: list[Window]
    defects: list[Defect]
    problems: dict[str, Defect]


@dataclass(frozen=True)
class WindowReader:
    """Where to look: the repository, and what a data directory (None: none) and its server (None: down) add to it.

    Where the data directory has another history than the archive, that is refused, or with ``force`` left out.
    """

    layout: Layout
    bin_directory: str
    runner: CommandRunner
    data_directory: str | None = None
    server: Server | None = None
    further: tuple[Layout, ...] = ()
    force: bool = False

    def findings(self, catalog: Catalog, now: datetime) -> Findings:
        """Tell what can be restored with the repositories alone."""
        unusable = problems(catalog)
        whole, closed = self._with_further(catalog)
        with self._reader(whole) as reader:
            decision = TargetResolver(whole, reader)
            found = decision.windows(unusable, now)
            unusable = {**unusable, **decision.broken_backups(found, unusable)}
            replaced = [Defect("wal", name, text) for name, text in reader.replaced.items()]
        unread = [Defect("repository", path, _unread_text(path, why)) for path, why in closed.items()]
        return Findings(found, [*self._forks(catalog), *defects(whole, unusable, found), *replaced, *unread], unusable)

    def choice(self, catalog: Catalog, target: Target, label: str | None, now: datetime) -> Choice:
        """Choose how a target is reached; raises Unreachable with what is possible instead."""
        check_past(target, now)
        if self.data_directory is not None and (forks := self._forks(catalog)):
            if not self.force:
                raise refused(forks[0].text, force=True)
            return replace(self, data_directory=None, server=None).choice(catalog, target, label, now)
        server = writing(self.server, catalog.identity)  # before its files are listed, so that they reach as far
        archived, closed = self._with_further(catalog)
        for path, why in closed.items():
            raise Unreachable(_unread_text(path, why), "mount it, or leave it out of further_repositories")
        whole = self._with_own_wal(archived)
        with self._reader(whole) as reader:
            found = self._chosen(TargetResolver(whole, reader, server), target, label)
            replaced = list(reader.replaced.values())
        warnings = [*found.warnings, *self._warning(archived, found, server), *replaced]
        return replace(found, warnings=tuple(warnings))

    def _chosen(self, decision: TargetResolver, target: Target, label: str | None) -> Choice:
        """Choose a backup that is what it says; with one that is asked for, it is staged or refused."""
        while True:
            found = decision.choice(target, label)
            why = why_untrue(self.layout.backup(found.backup.label), found.backup) if label is None else None
            if why is None:
                return found
            decision = replace(decision, catalog=decision.catalog.without({found.backup.label: why}), _pasts={})

    def _forks(self, catalog: Catalog) -> list[Defect]:
        """Look for another history in every repository: what is archived before the switch goes into all of them."""
        own = self.data_directory
        if own is None:
            return []
        found = fork_defects(own, catalog, self.layout)
        for layout in self.further:
            with suppress(Error, OSError):  # one that cannot be read
                found += fork_defects(own, read_catalog(layout), layout)
        return found

    def _reader(self, catalog: Catalog) -> WalReader:
        cache = WalCache(cache_file(repository_id(self.layout), self.layout.cluster))
        return WalReader(catalog, self.bin_directory, self.runner, cache)

    def latest_end(self, backup: Backup) -> datetime | None:
        """Tell when the last of what a backup holds ended, as far as there is WAL to tell, or it can be read."""
        try:
            catalog = read_catalog(self.layout)
            path = catalog.path_through(backup)
            if path is None:
                return None
            with self._reader(catalog) as reader:
                return TargetResolver(catalog, reader).past(path, backup)
        except (Error, OSError):
            return None

    def _with_further(self, catalog: Catalog) -> tuple[Catalog, dict[str, str]]:
        """Add the WAL of further repositories; tell which cannot be read, and why."""
        closed = {}
        for layout in self.further:
            try:
                catalog = catalog.backed_by(read_catalog(layout))
            except (Error, OSError) as error:
                closed[layout.repository] = printable(reason(error))
        return catalog, closed

    def _with_own_wal(self, catalog: Catalog) -> Catalog:
        if self.data_directory is None:
            return catalog
        segments = own_segments(self.data_directory, catalog.identity)
        histories = own_histories(self.data_directory)
        # The archive is looked at last: a running server removes what it has archived in the meantime.
        return self._with_further(read_catalog(self.layout))[0].extended(segments, histories)

    def _warning(self, catalog: Catalog, found: Choice, server: LiveServer | None) -> list[str]:
        """Say that a part of the way is in the data directory only; a running server still archives it."""
        size = catalog.identity.wal_segment_size
        first = (found.backup.stop_lsn.value - 1) // size
        numbers = range(first, found.start_lsn.value // size + found.segments)
        missing = [n for n in numbers if (found.path.timeline_at(n, size), n) not in catalog.files]
        if not missing or server is not None or self.data_directory is None:
            return []
        return [only_here(len(missing), f"{self.data_directory}/pg_wal")]


def _unread_text(path: str, why: str) -> str:
    """Say what a repository that cannot be read does to a recovery: what is absent elsewhere might be in it.

    Each recovery asks for a file that nobody has, at its end at the latest: the history of the timeline that it begins.
    """
    return f"a recovery that is to read {path}, too, ends with an error, since that cannot be read: {why}"
