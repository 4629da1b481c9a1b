# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look where a clone's tablespaces can go."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from .._cluster.data_directory import Place
from .._cluster.observe import places
from .._host.mounts import is_mount_point

# TABLESPACE_VERSION_DIRECTORY in src/include/common/relpath.h
_VERSION_DIRECTORY = re.compile(r"PG_\d+_\d+")


def tablespace_places(paths: Mapping[str, str], new: Collection[str]) -> dict[str, Place]:
    """Look where tablespaces can go, by oid; ``new`` are those for which somebody has named a directory to go into."""
    found = places(paths)
    return {**found, **{oid: replace(found[oid], inside=found[oid].path, confined=False) for oid in new}}


def holding_data(found: Mapping[str, Place], new: Collection[str]) -> list[str]:
    """Name the oids of directories that were named to go into, and are places of tablespaces themselves."""
    return [oid for oid in new if not is_mount_point(found[oid].path) and _has_tablespace(found[oid].path)]


def _has_tablespace(path: str) -> bool:
    return os.path.isdir(path) and any(_VERSION_DIRECTORY.fullmatch(name) for name in os.listdir(path))


def unusable(found: Mapping[str, Place]) -> list[str]:
    """Name the oids of places where no directory can be made, neither beside nor inside."""
    return [oid for oid, place in found.items() if place.confined or not _can_hold(place)]


def _can_hold(place: Place) -> bool:
    """Tell whether the directory into which a new one goes is there, or can be made, and written."""
    path = os.path.dirname(place.path) if place.inside is None else place.inside
    parent = path if os.path.lexists(path) else os.path.dirname(path)
    return os.path.isdir(parent) and os.access(parent, os.W_OK | os.X_OK)
