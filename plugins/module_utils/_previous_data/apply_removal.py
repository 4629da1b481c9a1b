# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove what was left of restores: by directories that were opened, and their marks last."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .._cluster.marks import check_no_mounts, empty, remove_marked, remove_opened
from .._cluster.observe import own_staging
from .._cluster.staged import discard
from .._errors import Error
from .._host.claim import look
from .._host.files import remove_tree
from .._host.mounts import is_mount_point
from .._wal.names import classify
from .observe import read_note
from .plan import Directory, Item

# What else PostgreSQL and pgark-wal keep where the WAL is.
_WAL_DIRECTORIES = ("archive_status", "summaries", "pgsql_tmp.pgark")


def remove(item: Item) -> None:
    """Remove something that was left; run again, it goes on. A server in it, and what is mounted in it, is refused."""
    for found in item.holds:
        look(found.path)
        with _opened(found) as directory:
            if directory is not None:
                check_no_mounts(directory, _wal_names(directory) if found.kind == "wal" else None)
    if item.kind == "place":
        remove_marked(item.path, item.run)
    elif item.kind == "staging":
        _remove_staging(item)
    else:
        _remove_previous(item)


def _remove_staging(item: Item) -> None:
    record = own_staging(item.path)
    if record is not None:
        discard(item.path, record.places)
    for found in item.holds[:1]:
        _remove_directory(found)


def _remove_previous(item: Item) -> None:
    """Remove data that was set aside. It cannot start from the beginning on: its WAL and its tablespaces go before it.

    Nothing is written for that: what fills a file system could not be removed otherwise.
    """
    if item.note is None or read_note(item.note) is None:
        raise Error(f"{item.path} has lost its note", "list what is left, and try again")
    if item.directory is not None:
        _disable(item.directory)
    for each in item.belongs:
        _remove_wal(each) if each.kind == "wal" else _remove_directory(each)
    if item.directory is not None:
        _remove_directory(item.directory)
    remove_tree(item.note)


def _disable(found: Directory) -> None:
    """Remove what makes a directory one that can start, if it is still the one that is meant."""
    with _opened(found) as directory:
        if directory is not None:
            empty(directory, first=("global",), only=[name for name in os.listdir(directory) if name == "global"])


def _remove_directory(found: Directory) -> None:
    """Remove a directory, if it is still the one that is meant; what makes it one that can start goes first."""
    with _opened(found) as directory:
        if directory is not None:
            empty(directory, first=("global",), last=("PG_VERSION", "pgark_place.json", "pgark_restore.json"))
            remove_opened(found.path, directory)


def _remove_wal(found: Directory) -> None:
    """Remove the WAL from a directory of somebody's, and the directory, if nothing else is in it and it can go."""
    with _opened(found) as directory:
        if directory is None:
            return
        empty(directory, only=_wal_names(directory))
        if not os.listdir(directory) and not is_mount_point(found.path):
            with suppress(OSError):
                remove_opened(found.path, directory)


def _wal_names(directory: int) -> list[str]:
    """List what is WAL, or belongs to it, in an open directory."""
    return [name for name in os.listdir(directory) if classify(name) or name in _WAL_DIRECTORIES]


@contextmanager
def _opened(found: Directory) -> Iterator[int | None]:
    """Open a directory, if it is still the one that is meant."""
    try:
        directory = os.open(found.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        seen = os.fstat(directory)
        yield directory if (seen.st_dev, seen.st_ino) == (found.device, found.inode) else None
    finally:
        os.close(directory)
