# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that we make outside a data directory are ours by a mark in them, never by their name or place.

Nothing without a mark is ever removed. What is removed is the directory that was opened, whatever has its path by then,
its mark last: so a removal that was interrupted can be repeated.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from .._errors import Error
from .._host.files import empty_directory, sync, write_json
from .._host.mounts import mounts
from .._values.markers import PLACE_MARK

_PRIVATE = 0o700
_LONGEST = 65536
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def make_marked(path: str, facts: Mapping[str, Any]) -> None:
    """Make a directory that is not there yet, and mark it as ours; the one in which it is made may be missing."""
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        os.mkdir(parent, _PRIVATE)
        sync(os.path.dirname(parent))
    try:
        os.mkdir(path, _PRIVATE)
    except FileExistsError:
        raise Error(f"{path} is in the way: a directory of that name is to be made", "move it away") from None
    sync(parent)
    mark(path, facts)


def mark(path: str, facts: Mapping[str, Any]) -> None:
    """Mark a directory that we have made."""
    write_json(f"{path}/{PLACE_MARK}", {**facts, "inode": os.stat(path).st_ino}, 0o600)


def read_mark(path: str) -> dict[str, Any] | None:
    """Read the mark of a directory; None when it has none, or one that came along when another one was copied."""
    with suppress(OSError):
        directory = os.open(path, _FLAGS | os.O_DIRECTORY)
        try:
            return _mark(directory)
        finally:
            os.close(directory)
    return None


def remove_marked(path: str, run: str) -> bool:
    """Remove a directory that carries the mark of a run; tells whether it is gone.

    One that is empty, because a run was killed while it wrote the mark, is removed, too.
    """
    try:
        directory = os.open(path, _FLAGS | os.O_DIRECTORY)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # a file, or a link, which we do not make
    try:
        if not all(name.startswith(f".{PLACE_MARK}.") for name in os.listdir(directory)):
            mark = _mark(directory)
            if mark is None or mark.get("run") != run:
                return False
        empty(directory, last=(PLACE_MARK,))
        remove_opened(path, directory)
    finally:
        os.close(directory)
    return True


def remove_opened(path: str, directory: int) -> None:
    """Remove an empty directory that is open, if it still has this path."""
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(directory), os.lstat(path)):
            os.rmdir(path)
            sync(os.path.dirname(path))


def empty(
    directory: int, first: Collection[str] = (), last: Collection[str] = (), only: Collection[str] | None = None
) -> None:
    """Remove what is in an open directory (``only``: these names), some names before and some after all others.

    What is mounted in it is refused before anything is removed.
    """
    check_no_mounts(directory, only)
    names = os.listdir(directory) if only is None else only
    for name in sorted(names, key=lambda name: (name in last, name not in first, name)):
        if name in last:
            os.fsync(directory)  # all else is gone for good before it
        _remove(directory, name)
        if name in first:
            os.fsync(directory)


def check_no_mounts(directory: int, only: Collection[str] | None = None) -> None:
    """Refuse an open directory in which (``only``: in these of its entries) something is mounted.

    The list of mounts is asked, not device numbers: a bind mount may be of the same file system.
    """
    path = os.readlink(f"/proc/self/fd/{directory}")
    within = [path] if only is None else [f"{path}/{name}" for name in only]
    mounted = next((point for point in mounts().below(path) if any(_is_in(point, each) for each in within)), None)
    if mounted is not None:
        raise Error(
            f"another file system, or another directory, is mounted at {mounted}",
            "unmount it first; nothing has been removed",
        )


def _is_in(point: str, path: str) -> bool:
    return point == path or point.startswith(f"{path}/")


def _remove(directory: int, name: str) -> None:
    if not stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode):
        os.unlink(name, dir_fd=directory)
        return
    below = os.open(name, _FLAGS | os.O_DIRECTORY, dir_fd=directory)
    try:
        empty_directory(below)
    finally:
        os.close(below)
    os.rmdir(name, dir_fd=directory)


def _mark(directory: int) -> dict[str, Any] | None:
    try:
        descriptor = os.open(PLACE_MARK, _FLAGS | os.O_NONBLOCK, dir_fd=directory)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return None
        content = file.read(_LONGEST)
    with suppress(ValueError):
        document = json.loads(content)
        if isinstance(document, dict) and document.get("inode") == os.fstat(directory).st_ino:
            return document
    return None
