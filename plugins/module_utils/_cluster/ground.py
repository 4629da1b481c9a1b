# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories that a restore needs and does not make itself: all that are missing are named at once."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from .._configuration.files import Kept, Origin
from .._errors import Error

_MODE = 0o755


@dataclass(frozen=True)
class Needed:
    """A directory that has to be there; of its path, the last ``made`` parts are made by the restore where it may."""

    path: str
    made: int = 0
    mode: int = _MODE


def above(path: str) -> Needed:
    """Need the directory that a path is in.

    >>> above("/srv/db").path, above("/srv").path
    ('/srv', '/')
    """
    return Needed(path.rpartition("/")[0] or "/")


@dataclass(frozen=True)
class Lacking:
    """A directory that is missing, and that no restore makes."""

    path: str
    mode: int


def needed_by(kept: Kept, *others: Needed) -> tuple[Needed, ...]:
    """List the directories that the configuration of a backup lies in, and ``others``; no mode is wider than usual."""
    found = [file for file in kept.outside if file.kind == "directory"]
    ways = [Needed(file.path, file.path.count("/"), int(file.mode, 8) & _MODE | 0o700) for file in found]
    return (*ways, *others)


def check_ground(lacking: Sequence[Lacking], owner: str, group: str) -> None:
    """Refuse a host on which directories have to be made first, with the commands that do it."""
    if not lacking:
        return
    ordered = sorted(lacking, key=lambda each: each.path)
    commands = [
        shlex.join(["install", "-d", "-o", owner, "-g", group, "-m", f"{mode:04o}", *(each.path for each in found)])
        for mode, found in groupby(ordered, key=lambda each: each.mode)
    ]
    raise Error(
        "directories that the restored cluster needs are missing on this host: "
        + ", ".join(each.path for each in ordered),
        f"make them as root on the host, and run this again: {' && '.join(commands)}",
    )


def check_origin(origin: Origin, label: str, places: Sequence[str]) -> None:
    """Refuse to take from a backup where a cluster was, if that is no place for one; ``places`` are of others."""
    for path in (origin.data_directory, origin.config_directory):
        hidden = any(part.startswith(".") for part in path.split("/"))
        inside = next((place for place in places if f"{path}/".startswith(f"{place.rstrip('/')}/")), None)
        if path == "/" or hidden or inside is not None:
            why = f"is in {inside}" if inside is not None else "is no place for one"
            raise Error(
                f"there is no cluster on this host, and {path}, where it was by backup '{label}', {why}",
                "say where it is to be: data_directory, in the roles postgres_cluster_data_directory",
            )
