# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A clock that a test steps, for the servers and the modules of one sandbox, and for nobody else.

A library that is loaded before libc adds what a file says to the time of day; what measures intervals goes on as it is.
A server gets it by its pg_ctl, which is a script here, whoever calls that; a module by its environment.
"""

from __future__ import annotations

import shlex
import struct
from datetime import timedelta
from pathlib import Path

from tests.support.sandbox import Sandbox

LIBRARY = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile const int64_t *seconds;

__attribute__((constructor)) static void find_offset(void)
{
    int file = open(OFFSET, O_RDONLY | O_CLOEXEC);
    void *found = mmap(NULL, sizeof *seconds, PROT_READ, MAP_SHARED, file, 0);

    if (found != MAP_FAILED)
        seconds = found;
    if (file >= 0)
        close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = (int)syscall(SYS_clock_gettime, clock, now);

    if (!failed && seconds && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *seconds;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now)
{
    struct timespec precise;

    clock_gettime(CLOCK_REALTIME, &precise);
    if (now)
        *now = precise.tv_sec;
    return precise.tv_sec;
}
"""


class Clock:
    """The clock of a sandbox; whole seconds, and zero when it begins."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Compile the library; raises AssertionError with what the compiler says."""
        self._sandbox = sandbox
        self._home = sandbox.directory(sandbox.home / "clock")
        self._offset = self._home / "offset"
        self._library = self._home / "clock.so"
        self.set(timedelta())
        told = f'-DOFFSET="{self._offset}"'
        sandbox.run(["cc", "-shared", "-fPIC", "-O1", told, "-xc", "-", "-o", self._library], stdin=LIBRARY)

    @property
    def environment(self) -> dict[str, str]:
        """Return what gives the clock to a program."""
        return {"LD_PRELOAD": str(self._library)}

    def set(self, offset: timedelta) -> None:
        """Let the clock be so much ahead of the true time, or behind it."""
        whole = struct.pack("=q", int(offset.total_seconds()))
        with self._offset.open("r+b" if self._offset.exists() else "wb") as file:
            file.write(whole)
        self._offset.chmod(0o644)

    def bin_directory(self, version: str) -> Path:
        """Return a directory with PostgreSQL's programs, whose servers have this clock."""
        directory = self._home / version
        if not directory.exists():
            self._fill(directory, self._sandbox.bin_directory(version))
        return directory

    def _fill(self, directory: Path, source: Path) -> None:
        self._sandbox.directory(directory)
        for program in source.iterdir():
            (directory / program.name).symlink_to(program)
        starts = directory / "pg_ctl"
        starts.unlink()
        [(name, library)] = self.environment.items()
        command = f"{name}={shlex.quote(library)} exec {shlex.quote(str(source / 'pg_ctl'))}"
        starts.write_text(f'#!/bin/sh\n{command} "$@"\n', encoding="utf-8")
        starts.chmod(0o755)
