# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the server that works in a data directory by looking at processes; ``postmaster.pid`` may be stale or gone."""

from __future__ import annotations

import os
import pwd
import re
import signal
import sys
import time
from collections.abc import Iterator

from .._errors import Error

_CHILD_TITLE = re.compile(rb"postgres: ")
_ALWAYS = "1"  # OVERCOMMIT_ALWAYS in include/uapi/linux/mman.h
# Behind the title of a session, which has names of users in it, stands what it does.
_LOGGER_TITLE = re.compile(rb"postgres: (.*: )?logger \0")


def find_postmaster(data_directory: str) -> int | None:
    """Give the process id of the server whose working directory is ``data_directory``, also when that was deleted.

    A server changes into its data directory at start and stays there (``ChangeToDataDir`` in
    ``src/backend/utils/init/miscinit.c``); its children call themselves ``postgres: ...``. The directory itself counts,
    not its path: it may have been renamed, and a server in a container sees it under another one.
    """
    return find_server(data_directory)[0]


def find_server(data_directory: str) -> tuple[int | None, tuple[int, ...]]:
    """Give a server as ``find_postmaster`` does, or else what one that is gone has left behind: its orphaned processes.

    These go on writing until they end by themselves.
    """
    found = dict(_working_in(data_directory))
    postmaster = next((pid for pid, is_child in found.items() if not is_child), None)
    return postmaster, () if postmaster is not None else tuple(sorted(found))


def _working_in(directory: str) -> Iterator[tuple[int, bool]]:
    """Give the processes of PostgreSQL in a directory, and whether each is the child of a server."""
    place = _place(directory)
    for name in os.listdir("/proc"):
        is_child = _is_child(name) if name.isdigit() else None
        if is_child is not None and _works_in(name, directory, place):
            yield int(name), is_child


def servers() -> list[str]:
    """Give the directories in which servers of ours work, by the names that they have now."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and _is_child(name) is False:
            try:
                found.append(os.readlink(f"/proc/{name}/cwd"))
            except OSError:
                continue
    return found


def _is_child(pid: str) -> bool | None:
    """Tell a server from a child of one, which has another title; None for all other processes.

    The logger is left out: it only writes down what it has been told, and ends after its server, which does not wait.
    """
    try:
        with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as file:
            arguments = file.read(4096)
    except OSError:
        return None
    if _CHILD_TITLE.match(arguments):
        return None if _LOGGER_TITLE.match(arguments) else True
    return False if os.path.basename(arguments.split(b"\0")[0]) in (b"postgres", b"postmaster") else None


def _works_in(pid: str, directory: str, place: tuple[int, int] | None) -> bool:
    try:
        if os.readlink(f"/proc/{pid}/cwd") == f"{directory} (deleted)":
            return True
    except OSError:
        return False
    return place is not None and _place(f"/proc/{pid}/cwd") == place


def _place(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def started_at(pid: int) -> str | None:
    """Tell when a process was started, by the kernel's clock, which tells it from a later one of its number."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def servers_running() -> dict[str, list[str]]:
    """Give, by its data directory, the program and the arguments of each server of this user."""
    found = {}
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == os.geteuid() and _is_child(name) is False:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    words = file.read().rstrip(b"\0").split(b"\0")
                program = [os.readlink(f"/proc/{name}/exe"), *map(os.fsdecode, words[1:])]
                found[os.readlink(f"/proc/{name}/cwd")] = program
        except OSError:  # it has ended
            continue
    return found


def memory() -> int:
    """Give the bytes of memory and swap that a kernel will promise at most; any number where it does not say."""
    try:
        with open("/proc/sys/vm/overcommit_memory", encoding="ascii") as file:
            always = file.read().strip() == _ALWAYS
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        found = sum(int(lines[name].split()[0]) << 10 for name in ("MemTotal", "SwapTotal"))
    except (OSError, KeyError, ValueError):
        return sys.maxsize
    return sys.maxsize if always else found


def current_user() -> str:
    """Name the user that this process runs as."""
    return pwd.getpwuid(os.geteuid()).pw_name


def interpreter() -> str:
    """Give the path of the Python interpreter that runs this."""
    return sys.executable


def real_path(path: str) -> str:
    """Resolve symbolic links, as the server does with its data directory."""
    return os.path.realpath(path)


def create_privately() -> None:
    """Let nobody else read what this process and its programs create."""
    os.umask(0o077)


def is_running(pid: int) -> bool:
    """Tell whether a process of ours is alive; a zombie, which has no working directory any more, is not."""
    try:
        os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return False
    return True


def startup_progress(postmaster: int) -> str | None:
    """Give the segment that the startup process says in its title it is recovering, before a connection is possible."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
            with open(f"/proc/{name}/cmdline", "rb") as file:
                title = file.read()
        except (OSError, ValueError):
            continue
        match = re.search(rb"startup (?:recovering|waiting for) ([0-9A-F]{24})", title)
        if parent == postmaster and match:
            return match[1].decode()
    return None


def bytes_read(program: str, argument: str) -> int | None:
    """Tell how much a running program of ours that was given an argument has read; None when there is none."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            if os.path.basename(words[0]) != program.encode() or os.fsencode(argument) not in words:
                continue
            with open(f"/proc/{name}/io", encoding="ascii") as file:
                return int(file.readline().removeprefix("rchar:"))
        except OSError:
            continue
    return None


def arguments(pid: int) -> list[str]:
    """Give the words of a process's command line, without the program; none when they cannot be read."""
    return _words(f"/proc/{pid}/cmdline")[1:]


def environment(pid: int) -> dict[str, str]:
    """Give what a process was started with in its environment; nothing when that cannot be read."""
    pairs = (word.partition("=") for word in _words(f"/proc/{pid}/environ"))
    return {name: value for name, equals, value in pairs if equals}


def own_environment() -> dict[str, str]:
    """Give the environment of this process."""
    return dict(os.environ)


def _words(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            return [os.fsdecode(word) for word in file.read().removesuffix(b"\0").split(b"\0")]
    except OSError:
        return []


def end_process(pid: int, how: signal.Signals, timeout: float) -> None:
    """Send a signal and wait until the process is gone; raises Error when it is there after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        return
    while time.monotonic() < deadline:
        if not is_running(pid):
            return
        time.sleep(0.05)
    raise Error(
        f"process {pid} did not end within {timeout:g} s after {how.name}", "look at its log, or end it by hand"
    )
