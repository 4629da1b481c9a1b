# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A data directory has one owner at a time: the run of ours that changes it, whichever repository it works with."""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone

from .._errors import Busy, Error
from .._host.files import open_lock_file, sign, user_name
from .._host.mounts import is_mount_point
from .._host.processes import is_running, started_at
from .._repository.layout import Layout
from .._repository.observe import repository_id
from .data_directory import Reservation

_HINT = "wait until it and what it started have ended, and try again"
_MARK = "pgark.postgres: "


def reserve(data_directory: str, layout: Layout) -> Reservation:
    """Say who this run is, and with which repository it works."""
    pid = os.getpid()
    return Reservation(
        data_directory,
        repository_id(layout),
        os.path.realpath(layout.repository),
        uuid.uuid4().hex[:8],
        os.uname().nodename,
        pid,
        started_at(pid) or "",
        datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def is_alive(reservation: Reservation | None) -> bool:
    """Tell whether the process of another run on this host still works."""
    if reservation is None or reservation.host != os.uname().nodename or reservation.pid == os.getpid():
        return False
    return is_running(reservation.pid) and started_at(reservation.pid) == reservation.started


@contextmanager
def held(path: str, purpose: str) -> Iterator[int]:
    """Hold a data directory, whose links are resolved, against every other run of ours; raises Busy when one has it.

    The directory itself is exchanged, and may be missing, so a file beside it is locked; it is there only meanwhile.
    A mount point, and what lies in a directory that cannot be written, stays in its place, and is locked itself. The
    lock dies with its holder, and with the programs that inherit its descriptor.
    """
    beside = f"{path}.pgark.lock"
    inside = os.path.isdir(path) and (is_mount_point(path) or not os.access(os.path.dirname(path), os.W_OK))
    descriptor = _lock_directory(path) if inside else _lock_file(path, beside, purpose)
    try:
        yield descriptor
    finally:
        if not inside and _is_still(descriptor, beside):
            os.unlink(beside)
        os.close(descriptor)


def check_user(path: str) -> None:
    """Refuse to change data as another user than its owner, and as root in any case: a server could not use it then."""
    user = os.geteuid()
    owner = os.stat(path).st_uid if os.path.isdir(path) else None
    if owner in (None, user) and user != 0:
        return
    named = "the owner of the cluster" if owner in (None, 0) else user_name(owner)
    found = f"{path} is not there yet" if owner is None else f"{path} belongs to {user_name(owner)}"
    raise Error(
        f"{found}, and this runs as {user_name(user)}, expected {named}",
        f"run it as {named}, with become_user; in the roles that is postgres_cluster_owner; nothing has been changed",
    )


def _lock_file(path: str, beside: str, purpose: str) -> int:
    while True:
        descriptor = _open(path, beside)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            named = os.pread(descriptor, 200, 0).decode(errors="replace")
            if named and not named.startswith(_MARK):
                raise Error(f"{beside} is in the way: it is not what a run of ours has written", "move it away")
            if _is_still(descriptor, beside):
                sign(descriptor, f"{_MARK}{purpose}, process {os.getpid()} on {os.uname().nodename}\n".encode())
                return descriptor
        except BlockingIOError:
            named = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
            who = named.removeprefix(_MARK) or "another run, which has not named itself yet"
            os.close(descriptor)
            raise Busy(f"{path} is being changed by {who}", _HINT) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder has removed it between the two calls


def _open(path: str, beside: str) -> int:
    try:
        return open_lock_file(beside, os.O_RDWR | os.O_CREAT)
    except FileNotFoundError:
        raise Error(
            f"{os.path.dirname(path)}, in which {os.path.basename(path)} is to be, is not there",
            "create it, or mount its file system",
        ) from None


def _is_still(descriptor: int, path: str) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    return False


def _lock_directory(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        who = _holder(os.fstat(descriptor))
        os.close(descriptor)
        raise Busy(f"{path} is being changed by another run{who}", _HINT) from None
    return descriptor


def _holder(found: os.stat_result) -> str:
    """Name the process that holds a lock, as far as the kernel tells."""
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    with suppress(OSError), open("/proc/locks", encoding="ascii") as file:
        rows = [row.split() for row in file if "FLOCK" in row and "->" not in row]
        return next((f" (process {row[4]})" for row in rows if len(row) > 5 and row[5] == place), "")
    return ""
