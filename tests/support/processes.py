# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find and end the processes of a throw-away cluster, through /proc."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tests.support.waiting import wait_until

SERVER = "postgres"


def working_below(directory: Path) -> list[int]:
    """Return the processes whose working directory is the directory or lies below it.

    A PostgreSQL process and all that it starts work in the data directory, under whatever name that has been
    moved to since, and also when it has been deleted.
    """
    inside = f"{directory}/"
    return [pid for pid in _processes() if f"{_working_directory(pid)}/".startswith(inside)]


def descendants(pid: int) -> list[int]:
    """Return the process's children, their children and so on."""
    parents = {child: parent(child) for child in _processes()}
    found = [pid]
    for ancestor in found:
        found.extend(child for child, elder in parents.items() if elder == ancestor)
    return found[1:]


def name(pid: int) -> str:
    """Return what was started: a program, or a script by its own name."""
    return _read(Path(f"/proc/{pid}/comm").read_text).strip()


def parent(pid: int) -> int:
    """Return the process that has started this one, or that looks after it since that has ended."""
    return int(_stat(pid)[1])


def leads_session(pid: int) -> bool:
    """Tell whether the process has a session that it has begun itself."""
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


def is_working(pid: int) -> bool:
    """Tell whether the process exists and is not merely waiting to be reaped."""
    return _state(pid) not in ("", "Z")


def command_line(pid: int) -> str:
    """Return the process's program and arguments, with spaces between them."""
    return _read(lambda: Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="surrogateescape")).replace(
        "\0", " "
    )


def send(pids: Iterable[int], number: signal.Signals) -> list[int]:
    """Send a signal to all that are there still, which are returned, and wait for nothing."""
    reached = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself in the meantime
            os.kill(pid, number)
            reached.append(pid)
    return reached


def kill(pids: list[int]) -> None:
    """Send SIGKILL to all and wait until the last one has been reaped as well.

    A server that starts next takes an unreaped process in the old postmaster.pid for a running server.
    """
    send(pids, signal.SIGKILL)
    wait_until(lambda: not any(map(_state, pids)), message=f"the killed processes {pids} to be reaped")


def marked(mark: str) -> list[int]:
    """Return every process but servers whose environment holds the mark."""
    return [pid for pid in _processes() if mark in _environment(pid) and name(pid) != SERVER]


def end_marked(mark: str) -> None:
    """End every process but servers whose environment holds the mark, with SIGKILL; their parents reap them.

    An environment is inherited across sessions, changes of user and the end of a parent. Ansible needs that: its
    workers are sessions of their own, and neither Ctrl-C nor the end of ansible-playbook ends what they started.
    """
    while found := marked(mark):
        send(found, signal.SIGKILL)
        _wait_for_end(found, timeout=30)


def end_below(directory: Path) -> None:
    """End everything that works below the directory, servers with an immediate shutdown."""
    servers = [pid for pid in working_below(directory) if name(pid) == SERVER]
    # An immediate shutdown lets a server remove its System V shared memory, which SIGKILL would leave behind.
    send(servers, signal.SIGQUIT)
    with contextlib.suppress(TimeoutError):  # what ignores SIGQUIT is killed below
        _wait_for_end(servers, timeout=10)
    others = working_below(directory)
    send(others, signal.SIGKILL)
    _wait_for_end(others, timeout=30)


def remove_orphaned_memory(identifier: int, owner: int) -> None:
    """Remove a System V shared memory segment if it belongs to the owner and nobody is attached to it."""
    for line in Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]:
        _key, segment, _mode, _size, _creator, _last, attached, uid = (int(word) for word in line.split()[:8])
        if (segment, uid, attached) == (identifier, owner, 0):
            subprocess.run(["ipcrm", "--shmem-id", str(segment)], check=True)


def _wait_for_end(pids: list[int], *, timeout: float) -> None:
    wait_until(lambda: not any(map(is_working, pids)), timeout=timeout, message=f"processes {pids} to end")


def _processes() -> Iterator[int]:
    return (int(entry) for entry in os.listdir("/proc") if entry.isdigit())


def _working_directory(pid: int) -> str:
    return _read(lambda: os.readlink(f"/proc/{pid}/cwd")).removesuffix(" (deleted)")


def _environment(pid: int) -> str:
    return _read(lambda: Path(f"/proc/{pid}/environ").read_text(encoding="utf-8", errors="surrogateescape"))


def _state(pid: int) -> str:
    return _stat(pid)[0]


def _stat(pid: int) -> tuple[str, str]:
    """Return state and parent: the fields after the name, which is in parentheses and may hold anything."""
    fields = _read(Path(f"/proc/{pid}/stat").read_text).rpartition(")")[2].split()
    return (fields[0], fields[1]) if fields else ("", "0")


def _read(reader: Callable[[], str]) -> str:
    """Return what the reader returns, or nothing for a process that has ended or belongs to another user."""
    try:
        return reader()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""
