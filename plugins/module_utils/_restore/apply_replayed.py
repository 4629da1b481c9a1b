# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at the directories in which recovery makes tablespaces, and move what is in them aside."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from .._cluster.marks import make_marked, mark, read_mark, remove_marked
from .._cluster.observe import major_version
from .._errors import Error
from .._host.files import remove_tree, rename, user_name
from .._host.mounts import mounts
from .._host.processes import current_user
from .._values.markers import PLACE_MARK
from .replayed import Found

_NEW_LINK = ".pgark"


def look(paths: Iterable[str], data_directory: str, old: Iterable[str], major: int) -> dict[str, Found]:
    """Tell what is at the paths of tablespaces; ``old`` are the directories of the data to be replaced."""
    links = {target for directory in old for target in _links(directory).values()}
    return {path: _found(path, data_directory, links, major) for path in paths}


def _found(path: str, data_directory: str, links: set[str], major: int) -> Found:
    real = os.path.realpath(path)
    if os.path.commonpath([real, os.path.realpath(data_directory)]) == os.path.realpath(data_directory):
        return Found("inside")
    if not os.path.isdir(real):
        return Found("missing")
    versions = _versions(real, major)
    return Found("used" if versions else "free", real in links, _what_fixes(real, versions), _what_closes(real))


def _what_fixes(path: str, versions: list[str]) -> str | None:
    """Say what would make the renames fail, once the server has been stopped."""
    if not os.access(path, os.W_OK | os.X_OK):
        return f"{path} cannot be written by {current_user()}"
    directories = {f"{path}/{name}" for name in versions}
    # A directory that gets another parent is written to, and so has to be writable itself.
    closed = next((each for each in sorted(directories) if not os.access(each, os.W_OK | os.X_OK)), None)
    if closed is not None:
        return f"{closed} cannot be written by {current_user()}"
    mounted = next((point for point in mounts().below(path) if point in directories), None)
    return None if mounted is None else f"{mounted} is a mount point"


def _what_closes(path: str) -> str | None:
    """Say what keeps a server out: it gives the directory a mode, which takes its owner."""
    owner = os.stat(path).st_uid
    return None if owner == os.geteuid() else f"{path} belongs to {user_name(owner)}, not to {user_name(os.geteuid())}"


def _versions(path: str, major: int) -> list[str]:
    """List what servers of a version keep in the directory of a tablespace: PG_<version>_<catalog version>."""
    return [name for name in os.listdir(path) if name.startswith(f"PG_{major}_")]


def _links(data_directory: str) -> dict[str, str]:
    """Give the directories of a data directory's tablespaces, by link."""
    directory = f"{data_directory}/pg_tblspc"
    names = os.listdir(directory) if os.path.isdir(directory) else []
    return {f"{directory}/{name}": os.path.realpath(f"{directory}/{name}") for name in names}


def move_aside(previous: str, moves: Mapping[str, str], facts: Mapping[str, Any]) -> None:
    """Move tablespaces of data that was set aside, and have its links lead there: it is whole again by itself.

    It can be run again after it was interrupted anywhere; meanwhile no server can start in the data.
    """
    with open(f"{previous}/PG_VERSION", encoding="ascii") as file:
        major = int(file.read().split(".")[0])
    for path, to in moves.items():
        links = [link for link, target in _links(previous).items() if target == os.path.realpath(path)]
        versions = _versions(path, major)
        if versions and not links:
            raise Error(
                f"{path} holds a tablespace that is not of {previous}, expected one of it",
                "another server was started or restored there meanwhile; move its directory away, and run this again",
            )
        if not links:
            continue  # moved before an interruption
        _make(to, facts)
        for name in versions:
            rename(f"{path}/{name}", f"{to}/{name}")
        for link in links:
            new = f"{link}{_NEW_LINK}"
            if not os.path.islink(new) or os.readlink(new) != to:
                remove_tree(new)
                os.symlink(to, new)
            rename(new, link)


def reserve(moves: Mapping[str, str], facts: Mapping[str, Any], last: bool) -> None:
    """Make the directories into which tablespaces are moved aside; those that do not ``last`` are removed again."""
    run, made = str(facts["run"]), list[str]()
    try:
        for to in moves.values():
            made.append(to)
            _make(to, facts)
    except OSError as error:
        _give_up(made, run)
        raise Error(
            f"{made[-1]}, into which a tablespace of the data in place goes, cannot be made: {error.strerror}",
            "make room there, or let the owner of the cluster write there; the data in place is as it was",
        ) from None
    except Error:
        _give_up(made[:-1], run)
        raise
    if not last:
        _give_up(made, run)


def _give_up(made: Iterable[str], run: str) -> None:
    for path in made:
        remove_marked(path, run)


def move_back(previous: str, moves: Mapping[str, str], run: str) -> None:
    """Put back what is in the new place of a tablespace while its link still leads to the old one.

    Nothing is made for it, so that it can be done on a full file system. A link that leads to the new place stays so.
    """
    major = major_version(previous)
    links = _links(previous)
    for link in links:
        if link.endswith(_NEW_LINK):
            os.unlink(link)
    for path, to in moves.items():
        if major is None or os.path.realpath(path) not in links.values() or not os.path.isdir(to):
            continue
        for name in _versions(to, major):
            rename(f"{to}/{name}", f"{path}/{name}")
        remove_marked(to, run)


def _make(path: str, facts: Mapping[str, Any]) -> None:
    """Make a marked directory; one that a killed run has left without its mark is empty, and gets it now."""
    if read_mark(path) is not None:
        return None
    if not os.path.lexists(path):
        return make_marked(path, facts)
    names = os.listdir(path)
    if os.path.islink(path) or not all(name.startswith(f".{PLACE_MARK}.") for name in names):
        raise Error(f"{path} is in the way: a directory of that name is to be made", "move it away")
    for name in names:  # it was being written
        os.unlink(f"{path}/{name}")
    return mark(path, facts)
