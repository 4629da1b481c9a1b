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
import pwd
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from .._errors import Busy, Error
from .._values.documents import parse_document
from .._values.space import FreeSpace
from .._wal.names import TimelinePath
from .holders import lock_holders

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
SMALL = 1 << 20  # all documents that we write are smaller, and all history files
_MOVE = "it was put there by hand, or damaged; move it away"


def sync(path: str) -> None:
    """Make a file's content, or a directory's entries, durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with naming(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: str) -> None:
    """Make a directory and all below it durable; symbolic links are not followed."""
    for directory in directories_in(path):
        with os.scandir(directory) as entries:
            files = [entry.path for entry in entries if entry.is_file(follow_symlinks=False)]
        for file in files:
            sync(file)
        sync(directory)


def directories_in(path: str) -> Iterator[str]:
    """List a directory and all below it, however deep; symbolic links are not followed."""
    ahead = [path]
    while ahead:
        at = ahead.pop()
        yield at
        with os.scandir(at) as entries:
            ahead += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def write_file(path: str, content: str | bytes, mode: int, group: str | None = None) -> None:
    """Replace a file durably: written beside its place, synced, renamed."""
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.{os.getpid()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with naming(path), os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode(errors="surrogateescape"))
            set_access(temporary, mode, group)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    rename(temporary, path)


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Name the path in what the operating system says of an open file, or of a name in an open directory."""
    try:
        yield
    except OSError as error:
        if error.filename is not None and os.path.isabs(error.filename):
            raise
        raise OSError(error.errno, error.strerror, path) from None


def is_full(error: OSError) -> bool:
    """Tell whether there was no room, or none left for this user."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def write_json(path: str, content: Mapping[str, Any], mode: int, group: str | None = None) -> None:
    """Write a JSON document durably, in a form that people can read."""
    write_file(path, json.dumps(content, indent=2, sort_keys=True) + "\n", mode, group)


def open_regular(path: str, follow: bool = False) -> int:
    """Open a regular file for reading, and nothing else: a FIFO would have us wait, a device never ends.

    Only with ``follow`` may it be reached through a symbolic link. Raises FileNotFoundError when it is not there.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP and not follow:
            raise Error(f"{path} is a symbolic link, expected a regular file", _MOVE) from None
        if error.errno == errno.ENXIO:  # a socket
            raise Error(f"{path} is not a regular file", _MOVE) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Error(f"{path} is not a regular file", _MOVE)
    return descriptor


def reason(error: Error | OSError) -> str:
    """Say what went wrong, in the operating system's words where it comes from there."""
    if isinstance(error, Error):
        return error.message
    return f"{error.filename}: {error.strerror}" if error.filename is not None else str(error)


def refused(error: OSError) -> Error:
    """Say what the operating system has refused: where, with its words, and on a full file system what to do."""
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes))]
    text = f"{' -> '.join(names) or 'the operating system'}: {error.strerror or error}"
    if error.errno == errno.EXDEV:
        return Error(
            text,
            "both have to be in one file system, and in one layer of it: an overlay, as containers have it, does not "
            "rename a directory of a lower layer; have the data on a volume of its own",
        )
    if not is_full(error):
        return Error(text)
    where = f"on the file system of {names[-1]}" if names else "on the file systems of the data and of the repository"
    return Error(
        text,
        f"make room {where}, for this user, and run it again; previous_data.yml lists what restores have left, and "
        "removes it",
    )


def read_small(path: str, limit: int = SMALL, follow: bool = False) -> bytes:
    """Read a regular file of at most ``limit`` bytes; raises Error for anything else that is there."""
    with os.fdopen(open_regular(path, follow), "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise Error(f"{path} has more than {limit} bytes, expected a smaller file", _MOVE)
    return content


def read_json(path: str, limit: int = SMALL) -> dict[str, Any] | None:
    """Read a JSON document; None when there is no such file. What is no small regular file is refused."""
    try:
        content = read_small(path, limit)
    except FileNotFoundError:
        return None
    return parse_document(path, content)


def read_history(path: str, timeline: int) -> TimelinePath:
    """Read the history file of a timeline; raises InvalidValue when PostgreSQL would not take it."""
    return TimelinePath.parse(timeline, read_small(path).decode("ascii", "replace"))


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


def private_mode(directory: str) -> int:
    """Give the mode of new files in a data directory: a group may read them where it may read the directory."""
    return 0o600 | stat.S_IMODE(os.stat(directory).st_mode) & 0o040


def set_access(path: str, mode: int, group: str | None = None) -> None:
    """Set a mode and, where it is named and differs, a group."""
    if group is not None and os.stat(path).st_gid != grp.getgrnam(group).gr_gid:
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
    os.chmod(path, mode)


def remove_tree(path: str) -> None:
    """Remove a file or a directory tree durably; what is not there is fine."""
    if os.path.isdir(path) and not os.path.islink(path):
        directory = os.open(path, _DIRECTORY)
        try:
            empty_directory(directory)
        finally:
            os.close(directory)
        os.rmdir(path)
    elif os.path.lexists(path):
        os.unlink(path)
    sync(os.path.dirname(path))


def empty_directory(directory: int) -> None:
    """Remove all that is in an open directory, however deep: names are opened one by one, and no link is followed.

    Of the way down, no more is kept than which directories it leads through: whoever moves one meanwhile must not have
    us go on elsewhere.
    """
    at, way = os.dup(directory), list[tuple[str, tuple[int, int]]]()
    try:
        while True:
            name = _unlink_files(at)
            if name is not None:
                way.append((name, _inode(at)))
                at = _exchanged(at, os.open(name, _DIRECTORY, dir_fd=at))
            elif way:
                name, parent = way.pop()
                at = _exchanged(at, os.open("..", _DIRECTORY, dir_fd=at))
                if _inode(at) != parent:
                    raise Error(f"a directory was moved away from its parent while {name} in it was removed")
                os.rmdir(name, dir_fd=at)
            else:
                return
    finally:
        os.close(at)


def _unlink_files(directory: int) -> str | None:
    """Remove entries of a directory up to the first one that is a directory, and name that.

    What is removed while a directory is read may hide others from it (``readdir`` leaves that open), so the end is
    where nothing is found.
    """
    while True:
        found = False
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    return entry.name
                os.unlink(entry.name, dir_fd=directory)
                found = True
        if not found:
            return None


def _exchanged(old: int, new: int) -> int:
    os.close(old)
    return new


def _inode(directory: int) -> tuple[int, int]:
    status = os.fstat(directory)
    return status.st_dev, status.st_ino


def presence(path: str) -> str:
    """Tell whether a directory is ``present``, ``creatable`` by this user, or ``absent``."""
    if os.path.isdir(path):
        return "present"
    parent = os.path.dirname(path)
    return "creatable" if os.path.isdir(parent) and os.access(parent, os.W_OK | os.X_OK) else "absent"


def room_of(path: str) -> FreeSpace:
    """Tell what is free for an ordinary user on the file system of the nearest existing parent."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    found = os.statvfs(path)
    return FreeSpace(os.stat(path).st_dev, found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def room_without(path: str, removed: Collection[str]) -> FreeSpace:
    """Tell what is free on a file system when some directories on it are gone."""
    room = room_of(path)
    return replace(room, free=room.free + sum(map(tree_size, removed)))


def tree_size(path: str) -> int:
    """Count the bytes of the files in a directory, in which others may be at work; 0 when it is not there."""
    ahead, size = [path], 0
    while ahead:
        with suppress(OSError), os.scandir(ahead.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    ahead.append(entry.path)
                else:
                    with suppress(FileNotFoundError):
                        size += entry.stat(follow_symlinks=False).st_size
    return size


@contextmanager
def locked(path: str, purpose: str, reading: bool = False) -> Iterator[int]:
    """Hold a cluster's lock; the lock dies with its holder, and with the programs that inherit its descriptor.

    Nobody else can open it, and hold it. Whoever is only ``reading`` shares it with others of that kind where it cannot
    be written, as on a file system that is mounted read-only. Raises Busy with what the holder wrote about itself.
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
            sign(descriptor, f"{purpose}, process {os.getpid()} on {os.uname().nodename}\n".encode())
        yield descriptor
    finally:
        os.close(descriptor)


def sign(descriptor: int, note: bytes) -> None:
    """Write down who holds a lock, over what stood there; a full file system keeps nobody from making room in it."""
    try:
        os.pwrite(descriptor, note, 0)
    except OSError as error:
        if not is_full(error):
            raise
        os.ftruncate(descriptor, 0)
    else:
        os.ftruncate(descriptor, len(note))


def open_lock_file(path: str, flags: int) -> int:
    """Open the file of a lock, and nothing else that is in its place."""
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):  # a link, a directory, a socket
            raise
        raise _no_lock(path) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _no_lock(path)
    return descriptor


def _no_lock(path: str) -> Error:
    return Error(
        f"{path} is in the way: it is no regular file, so it is not what a run of ours has made", "move it away"
    )


def _open_lock(path: str, reading: bool) -> tuple[int, int]:
    try:
        descriptor = open_lock_file(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        if not reading or error.errno not in (errno.EROFS, errno.EACCES):
            raise
    else:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != 0o600:
            os.fchmod(descriptor, 0o600)
        return descriptor, fcntl.LOCK_EX
    try:
        return open_lock_file(path, os.O_RDONLY), fcntl.LOCK_SH
    except (FileNotFoundError, PermissionError):  # nobody has ever worked here, or the lock is another user's
        return os.open(
            os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        ), fcntl.LOCK_SH


def _holder(descriptor: int) -> str:
    """Say who holds a lock; those who share it have not written down who they are, nor has one who came by himself."""
    status = os.fstat(descriptor)
    with open("/proc/locks", encoding="ascii") as file:
        pids = lock_holders(file.read(), (os.major(status.st_dev), os.minor(status.st_dev), status.st_ino))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        named = "a restore that may not write its name there"
    except OSError:
        named = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "an operation that did not name itself"
    others = sorted({pid for pid in pids if f"process {pid} on" not in named})
    return named + (f" (in truth by process {', '.join(others)})" if others else "")


def user_name(uid: int) -> str:
    """Name a user; one that this host does not know is its number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """Name a group; one that this host does not know is its number."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
