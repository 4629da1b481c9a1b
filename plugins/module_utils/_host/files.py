# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and directories, changed so that a crash at any moment leaves the old state or the new one."""

from __future__ import annotations

import errno
import fcntl
import grp
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .._errors import Busy, Error


def sync(path: str) -> None:
    """Make a file's content, or a directory's entries, durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: str) -> None:
    """Make a directory and all below it durable; symbolic links are not followed."""
    for directory, _directories, names in os.walk(path):
        for name in names:
            full = os.path.join(directory, name)
            if stat.S_ISREG(os.lstat(full).st_mode):
                sync(full)
        sync(directory)


def write_file(path: str, content: str | bytes, mode: int, group: str | None = None) -> None:
    """Replace a file durably: written beside its place, synced, renamed."""
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.{os.getpid()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode(errors="surrogateescape"))
        set_access(temporary, mode, group)
        file.flush()
        os.fsync(file.fileno())
    rename(temporary, path)


def write_json(path: str, content: Mapping[str, Any], mode: int, group: str | None = None) -> None:
    """Write a JSON document durably, in a form that people can read."""
    write_file(path, json.dumps(content, indent=2, sort_keys=True) + "\n", mode, group)


def read_json(path: str) -> dict[str, Any] | None:
    """Read a JSON document; None when there is no such file. Symbolic links are refused."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), encoding="utf-8") as file:
            document = json.load(file)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Error(f"{path} is not a JSON document: {error}") from None
    if not isinstance(document, dict):
        raise Error(f"{path} holds a {type(document).__name__}, expected a JSON object")
    return document


def rename(old: str, new: str) -> None:
    """Rename durably, within one file system."""
    os.rename(old, new)
    for directory in sorted({os.path.dirname(new), os.path.dirname(old)}):
        sync(directory)


def make_directory(path: str, mode: int, group: str | None = None) -> None:
    """Create a directory durably with exactly this mode, whatever the umask; one that exists is given that mode."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if os.path.islink(path) or not os.path.isdir(path):
            raise
    except FileNotFoundError:
        raise Error(
            f"{os.path.dirname(path)}, in which {os.path.basename(path)} is to be created, is not there",
            "create it, or mount its file system",
        ) from None
    set_access(path, mode, group)
    sync(os.path.dirname(path))


def set_access(path: str, mode: int, group: str | None = None) -> None:
    """Set a mode and, where it is named and differs, a group."""
    if group is not None and os.stat(path).st_gid != grp.getgrnam(group).gr_gid:
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
    os.chmod(path, mode)


def remove_tree(path: str) -> None:
    """Remove a file or a directory tree durably; what is not there is fine."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
    sync(os.path.dirname(path))


def presence(path: str) -> str:
    """Tell whether a directory is ``present``, ``creatable`` by this user, or ``absent``."""
    if os.path.isdir(path):
        return "present"
    parent = os.path.dirname(path)
    return "creatable" if os.path.isdir(parent) and os.access(parent, os.W_OK | os.X_OK) else "absent"


def free_bytes(path: str) -> int:
    """Tell how many bytes an ordinary user may still write to the file system of the nearest existing parent."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return shutil.disk_usage(path).free


def tree_size(path: str) -> int:
    """Count the bytes of the files in a directory, in which others may be at work; 0 when it is not there."""
    return sum(_size(os.path.join(at, name)) for at, _directories, names in os.walk(path) for name in names)


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0


@contextmanager
def locked(path: str, purpose: str, reading: bool = False) -> Iterator[int]:
    """Hold a cluster's lock; the lock dies with its holder, and with the programs that inherit its descriptor.

    Whoever is only ``reading`` shares it with others of that kind where it cannot be written, as on a file system that
    is mounted read-only. Raises Busy with what the holder wrote about itself.
    """
    descriptor, how = _open_lock(path, reading)
    try:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise Busy(
                f"{path} is held by {_holder(descriptor)}",
                "wait until it and what it started have ended, and try again",
            ) from None
        if how == fcntl.LOCK_EX:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{purpose}, process {os.getpid()} on {os.uname().nodename}\n".encode())
        yield descriptor
    finally:
        os.close(descriptor)


def _open_lock(path: str, reading: bool) -> tuple[int, int]:
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o640), fcntl.LOCK_EX
    except OSError as error:
        if not reading or error.errno not in (errno.EROFS, errno.EACCES):
            raise
    return os.open(path, os.O_RDONLY | flags), fcntl.LOCK_SH


def _holder(descriptor: int) -> str:
    """Say who holds a lock; those who share it have not written down who they are."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        named = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
        return named or "an operation that did not name itself"
    return "a restore to another place, which may not write its name"
