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

from .._errors import Error

_CHILD_TITLE = re.compile(rb"postgres: ")


def find_postmaster(data_directory: str) -> int | None:
    """Give the process id of the server whose working directory is ``data_directory``, also when that was deleted.

    A server changes into its data directory at start and stays there (``ChangeToDataDir`` in
    ``src/backend/utils/init/miscinit.c``); its children call themselves ``postgres: ...``.
    """
    wanted = {data_directory, f"{data_directory} (deleted)"}
    for name in os.listdir("/proc"):
        if name.isdigit() and _is_postmaster(int(name), wanted):
            return int(name)
    return None


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


def _is_postmaster(pid: int, directories: set[str]) -> bool:
    try:
        if os.readlink(f"/proc/{pid}/cwd") not in directories:
            return False
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            arguments = file.read()
    except OSError:
        return False
    program = os.path.basename(arguments.split(b"\0")[0])
    return program in (b"postgres", b"postmaster") and not _CHILD_TITLE.match(arguments)


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
