# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep servers out of a data directory while it is exchanged, and look right before and after that none is in it.

PostgreSQL goes by ``postmaster.pid``: while that names a living process, it refuses to start (``CreateLockFile`` in
``src/backend/utils/init/miscinit.c``). Ours names this process with a minus, as a server in single-user mode would, so
that pg_ctl sends no signal to it (``get_pgpid`` in ``src/bin/pg_ctl/pg_ctl.c``). A file that a server has left behind
is kept inside of it, and put back. Some start scripts remove such a file; therefore the looks.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from .._errors import Busy, Error
from .files import naming, rename
from .holders import check_unused
from .processes import find_server, is_running, started_at

LOCK_FILE = "postmaster.pid"
_NEW = "pgark.postmaster.pid"
_TAKEN = "pgark.postmaster.pid.before"
_MARK = "pgark.postgres: "
_MODE = 0o600
_SHARED_MEMORY_LINE = 7  # LOCK_FILE_LINE_SHMEM_KEY in src/include/utils/pidfile.h: key and identifier
_LONGEST = 65536


@dataclass(frozen=True)
class _Found:
    """What a ``postmaster.pid`` says; ``before`` is what stood in the place of one of ours (None: nothing).

    ``started`` is when the process ``pid`` began, by the kernel's clock, which tells it from a later one of its number.
    """

    text: str
    mode: int
    pid: int | None = None
    before: _Found | None = None
    started: str | None = None

    @property
    def is_ours(self) -> bool:
        return self.pid is not None

    @property
    def is_held(self) -> bool:
        """Tell whether the run of ours that has written it is at work."""
        if self.pid is None or not is_running(self.pid):
            return False
        return self.started is None or self.started == started_at(self.pid)


@contextmanager
def claimed(path: str) -> Iterator[None]:
    """Have PostgreSQL refuse to start in a data directory meanwhile, wherever that is moved.

    Raises Error when a server, or a process of one, works in it. In one without a control file none can start.
    """
    if not os.path.isfile(f"{path}/global/pg_control"):
        yield
        return
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        look(path)
        _claim(directory, path)
        try:
            look(path)
            yield
        finally:
            _give_up(directory)
    finally:
        os.close(directory)


def look(path: str) -> None:
    """Refuse a directory in which a server works, or what one has left behind: processes, attached shared memory."""
    check_unused(path, *find_server(path))
    with suppress(FileNotFoundError):
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = _read(directory, LOCK_FILE)
        finally:
            os.close(directory)
        left = found.before if found is not None and found.is_ours else found
        if left is not None and _is_attached(left.text):
            raise Error(
                f"the shared memory of a server that has worked in {path} is still in use, by a process that cannot "
                "be seen from here",
                "end what is left of it, perhaps in a container; nothing has been changed",
            )


def move_unused(path: str, to: str) -> None:
    """Rename a data directory in which no server works; when one has begun to meanwhile, it gets its name back."""
    look(path)
    rename(path, to)
    try:
        look(to)
    except Error:
        rename(to, path)
        raise


def settle(path: str) -> None:
    """Give up what this run, or one that was killed, has claimed: ``postmaster.pid`` is as it was before."""
    with suppress(FileNotFoundError):
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _give_up(directory)
        finally:
            os.close(directory)


def check_unclaimed(path: str) -> bool:
    """Refuse to start a server in a directory that is being exchanged at this moment.

    Tells whether a run that was killed has left its claim. While another process has its number, PostgreSQL does not
    start beside that; whoever holds the directory can `settle` it.
    """
    with suppress(FileNotFoundError):
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = _read(directory, LOCK_FILE)
        finally:
            os.close(directory)
        if found is not None and found.is_held:
            raise Busy(
                f"{path} is being exchanged by another run (process {found.pid})",
                "wait until it has ended, and look at what is there then",
            )
        return found is not None and found.is_ours
    return False


def _claim(directory: int, path: str) -> None:
    found = _read(directory, LOCK_FILE)
    left = found or _read(directory, _TAKEN)  # a run that was killed has taken it already
    before = left.before if left is not None and left.is_ours else left
    kept = None if before is None else {"text": before.text, "mode": before.mode}
    said = {"text": "this data directory is being exchanged", "before": kept, "started": started_at(os.getpid())}
    mark = json.dumps(said)
    try:
        _write(directory, f"-{os.getpid()}\n{path}\n{int(time.time())}\n{_MARK}{mark}\n", _MODE)
        if found is not None:
            _take(directory, path, found)
        os.link(_NEW, LOCK_FILE, src_dir_fd=directory, dst_dir_fd=directory)
    except FileExistsError:
        raise _started(path) from None
    finally:
        _remove(directory, _NEW)
    _remove(directory, _TAKEN)


def _take(directory: int, path: str, stale: _Found) -> None:
    """Take away the file that a server has left behind, unless another one has just written it."""
    os.rename(LOCK_FILE, _TAKEN, src_dir_fd=directory, dst_dir_fd=directory)
    if _read(directory, _TAKEN) != stale:
        _put_back_taken(directory)
        raise _started(path)


def _put_back_taken(directory: int) -> None:
    """Give back what a run has taken away, if nothing has its name by now."""
    with suppress(FileNotFoundError, FileExistsError):
        os.link(_TAKEN, LOCK_FILE, src_dir_fd=directory, dst_dir_fd=directory)
    _remove(directory, _TAKEN)


def _started(path: str) -> Error:
    return Error(f"a server was started on {path} meanwhile", "stop it first; nothing has been changed")


def _give_up(directory: int) -> None:
    _put_back_taken(directory)
    found = _read(directory, LOCK_FILE)
    if found is None or not found.is_ours:
        return
    if found.before is None:
        os.unlink(LOCK_FILE, dir_fd=directory)
    else:
        _write(directory, found.before.text, found.before.mode)
        os.rename(_NEW, LOCK_FILE, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)


def _read(directory: int, name: str) -> _Found | None:
    descriptor = _open(directory, name)
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        text = file.read(_LONGEST).decode(errors="surrogateescape")
    lines = text.splitlines()
    if len(lines) < 4 or not lines[3].startswith(_MARK):
        return _Found(text, mode)
    try:
        return _ours(text, mode, lines[0], json.loads(lines[3].removeprefix(_MARK)))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise Error(
            f"{_path(directory, name)} cannot be read: it begins as what a run of ours writes to keep servers out "
            "while it exchanges the data, and is damaged; expected was the number of its process in line 1, and a JSON "
            "document in line 4",
            "make sure that no run of ours and no server works in that directory, then remove the file",
        ) from None


def _ours(text: str, mode: int, number: str, said: dict[str, Any]) -> _Found:
    """Read what one of ours says; raises ValueError, LookupError, TypeError or AttributeError where it says nothing."""
    kept, started = said["before"], said.get("started")  # an earlier version has not said when
    if kept is not None and not (isinstance(kept["text"], str) and isinstance(kept["mode"], int)):
        raise TypeError(kept)
    before = None if kept is None else _Found(kept["text"], kept["mode"])
    if not number.startswith("-"):
        raise ValueError(number)
    return _Found(text, mode, int(number[1:]), before, started)


def _open(directory: int, name: str) -> int | None:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):  # a link, a socket
            raise
        raise _no_file(directory, name) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _no_file(directory, name)
    return descriptor


def _no_file(directory: int, name: str) -> Error:
    return Error(f"{_path(directory, name)} is no regular file, which a server would have written", "move it away")


def _path(directory: int, name: str) -> str:
    return os.path.join(os.readlink(f"/proc/self/fd/{directory}"), name)


def _write(directory: int, text: str, mode: int) -> None:
    """Write a file whole, before it gets its name: PostgreSQL does not start at all beside an empty one."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    opener = naming(_path(directory, _NEW))
    with opener, os.fdopen(os.open(_NEW, flags, mode, dir_fd=directory), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text.encode(errors="surrogateescape"))
        file.flush()
        os.fsync(file.fileno())


def _remove(directory: int, name: str) -> None:
    if name in os.listdir(directory):
        os.unlink(name, dir_fd=directory)


def _is_attached(text: str) -> bool:
    """Tell whether the shared memory that a server has noted in its file is attached to by anybody."""
    lines = text.splitlines()
    words = lines[_SHARED_MEMORY_LINE - 1].split() if len(lines) >= _SHARED_MEMORY_LINE else []
    if len(words) != 2:
        return False
    with suppress(OSError), open("/proc/sysvipc/shm", encoding="ascii") as file:
        rows = [row.split() for row in file.readlines()[1:]]
        return any(row[1] == words[1] and int(row[0]) & 0xFFFFFFFF == int(words[0]) and row[6] != "0" for row in rows)
    return False
