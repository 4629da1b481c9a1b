# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at the place where a clone is to be, and at the configuration that it would start with."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import replace

from .._core.data_directory import DataDirectory, Place
from .._core.plan_clone import CheckConfiguration, check_effective
from .._errors import CommandFailed, Error
from .cluster import places
from .runner import CommandRunner
from .tools import effective_setting_cmd


def tablespace_places(paths: Mapping[str, str], new: Collection[str]) -> dict[str, Place]:
    """Look where tablespaces can go, by oid; ``new`` are those for which somebody has named a path.

    That is taken itself where nothing is there, and what is there otherwise is a directory to go into.
    """
    found = places(paths)
    for oid in new:
        there = os.path.lexists(paths[oid])
        found[oid] = replace(found[oid], free=found[oid].beside and not there, beside=found[oid].beside and not there)
    return found


def unusable(found: Mapping[str, Place]) -> list[str]:
    """Name the oids of places where no directory can be made, neither beside nor inside."""
    where = {oid: os.path.dirname(place.path) if place.beside else place.path for oid, place in found.items()}
    return [oid for oid, path in where.items() if not (os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK))]


def has_copied_configuration(backup: str) -> bool:
    """Tell whether a backup has its cluster's main configuration file beside the data, not in it."""
    return os.path.isfile(f"{backup}/config/postgresql.conf")


def own_configuration(config_directory: str | None, directory: DataDirectory) -> str | None:
    """Give the main configuration file if it is to be outside the data directory."""
    if config_directory is None or os.path.realpath(config_directory) == directory.real_path:
        return None
    return f"{config_directory}/postgresql.conf"


def check_step(step: CheckConfiguration, bin_directory: str, runner: CommandRunner) -> None:
    """Ask the server's own program in which directory it would work."""
    argv = effective_setting_cmd(bin_directory, "data_directory", step.directory, step.config_file)
    try:
        effective = runner.run(argv).stdout.rstrip("\n")
    except CommandFailed as error:
        raise Error(f"the clone's configuration cannot be read: {error.message}", "correct it") from None
    check_effective(os.path.realpath(effective), step)
