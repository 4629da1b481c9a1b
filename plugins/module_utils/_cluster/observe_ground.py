# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look which directories a restore lacks, and whether the way to a place is one that only the host's own users laid."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from .._errors import Error
from .._host.files import group_name, user_name
from .ground import Lacking, Needed, check_ground


def is_there(path: str) -> bool:
    """Tell whether there is anything at a path, a link that leads nowhere too."""
    return os.path.lexists(path)


def check_host(needed: Iterable[Needed]) -> None:
    """Refuse a host without some of the directories, which are to belong to this user."""
    check_ground(lacking(needed), user_name(os.geteuid()), group_name(os.getegid()))


def lacking(needed: Iterable[Needed]) -> list[Lacking]:
    """List the directories that are missing, each with those above it that are, too."""
    found: dict[str, Lacking] = {}
    for each in needed:
        missing = _missing(each.path)
        nearest = os.path.dirname(missing[0]) if missing else each.path
        if missing and (len(missing) > each.made or not os.access(nearest, os.W_OK | os.X_OK)):
            found.update({path: Lacking(path, each.mode) for path in missing if path not in found})
    return list(found.values())


def _missing(path: str) -> list[str]:
    """List what is missing of a path, from above."""
    missing: list[str] = []
    while not os.path.lexists(path):
        missing.insert(0, path)
        path = os.path.dirname(path)
    return missing


def check_way(path: str) -> None:
    """Refuse a place, named by a repository, to which a link leads, or a directory of another user than root."""
    if os.path.realpath(path) != path:
        raise Error(f"{path}, where the cluster was when it was backed up, leads to {os.path.realpath(path)}", _HINT)
    at = path
    while at != "/":
        at = os.path.dirname(at)
        if not os.path.isdir(at):
            continue
        status = os.stat(at)
        where = f"{path}, where the cluster was when it was backed up, is in {at}"
        if status.st_uid not in (0, os.geteuid()):
            raise Error(f"{where}, to which others write: it belongs to {user_name(status.st_uid)}", _HINT)
        if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
            mode = stat.S_IMODE(status.st_mode)
            raise Error(
                f"{where}, to which others write: its mode is {mode:04o}",
                f"take that from them, as its owner or root: chmod o-w {at}; or {_HINT}",
            )


_HINT = "say where it is to be: data_directory, in the roles postgres_cluster_data_directory"
