# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration that a restored cluster will start with: what is put back of it, and that it can be read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from .._cluster.data_directory import DataDirectory
from .._cluster.observe import own_configuration
from .._configuration.files import MAIN, Kept, KeptFile, to_put_back, what_differs
from .._configuration.observe import check_places, content_of, places_of, states, texts_of
from .._configuration.put_back import check_links, check_put_back, named_by, read_with, what_comes_back
from .._configuration.steps import CheckConfiguration, PutBack, RestoreConfiguration
from .._host.processes import real_path
from .._plan.plan import Plan
from .._repository.catalog import Backup
from .._restore.fitting import CheckStartable, RaiseSettings
from .._task.task import Task
from .plan import with_checks


@dataclass(frozen=True)
class Restored:
    """The files that are to be put back, and what a person should know of those that are not.

    ``put_back`` is the configuration that comes out of that; None when nothing is put back, or when it begins in the
    data directory, or behind a link.
    """

    files: tuple[KeptFile, ...] = ()
    warnings: tuple[str, ...] = ()
    put_back: PutBack | None = None


def configuration_of(task: Task, directory: DataDirectory, backup: Backup | None) -> Restored:
    """Tell what of a backup's configuration is put back; what cannot be is refused before anything is done.

    A clone has a configuration of its own, and a backup that is gone since it was staged has none any more.
    """
    options, ours = task.options, (directory.real_path, directory.staging, *task.repositories)
    if backup is not None:
        check_links(backup.kept, ours)
    if backup is None or options["source_cluster"] is not None:
        return Restored()
    given = options["config_directory"]
    place = None if given is None or real_path(given) == directory.real_path else real_path(given)
    kept, stored = backup.kept.moved_to(place), task.layout.backup(backup.label)
    there = states(kept.outside)
    files = to_put_back(kept, there, replacing=options["configuration"] == "backup")
    named: frozenset[str] = frozenset()
    if files:
        named = named_by(backup.kept, texts_of(stored, backup.kept.outside))
        if place is not None:
            named |= {backup.kept.moved_path(path, place) for path in named}
        check_put_back(files, kept, named, places_of(files), ours)
    check_places(files)
    for file in files:
        if file.kind == "file":
            content_of(stored, file)
    told = what_differs(kept, there, files, stored)
    return Restored(files, (*told, *what_comes_back(files, stored)), _put_back(kept, files, stored, named))


def _put_back(kept: Kept, files: tuple[KeptFile, ...], stored: str, named: Collection[str]) -> PutBack | None:
    main = f"{kept.origin.config_directory}/{MAIN}"
    # Behind a link, relative paths in it would begin elsewhere than for the server.
    if not files or kept.main is None or kept.main.path != main:
        return None
    read = read_with(files, kept, named)
    return PutBack(stored, read, tuple(file.path for file in files), main, kept.origin.data_directory)


def with_configuration_rehearsed(
    directory: DataDirectory, plan: Plan, put_back: PutBack | None, needed: Mapping[str, int], major: int
) -> Plan:
    """Have a configuration read that is still to be put back, before the old server is stopped."""
    if put_back is None:
        return plan
    staged = directory.staging, None, directory.real_path
    return with_checks(plan, RaiseSettings(*staged, needed, put_back), CheckStartable(*staged, major, put_back))


def with_configuration_checked(
    task: Task, directory: DataDirectory, plan: Plan, needed: Mapping[str, int], major: int, staged: bool = False
) -> Plan:
    """Have the configuration read as the server will, unless the data is in place or on its way there.

    What in it is too small for the WAL is raised first; ``needed`` is what the changes in the WAL ask for. Of what is
    ``staged`` all of that has been seen to, unless part of it lies outside, where it may have changed.
    Before the old server is stopped where nothing has to be put back first, and always before the data is switched.
    """
    if directory.kind == "unfinished" or not plan.changed:
        return plan
    config_file = own_configuration(task.options["config_directory"], directory)
    accepted = (directory.staging, directory.real_path)
    apart = task.options["source_cluster"] is not None
    check = CheckConfiguration(directory.staging, config_file, accepted, apart)
    if staged and config_file is None and not any(isinstance(step, RestoreConfiguration) for step in plan.steps):
        return with_checks(plan, check)
    where = directory.staging, config_file, directory.real_path
    return with_checks(plan, RaiseSettings(*where, needed), check, CheckStartable(*where, major))
