# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove that WAL archiving works: force a switch and find the segment, whole, in the repository."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence

from .._core.commands import archiving_program
from .._core.layout import Layout
from .._core.wal import SegmentName
from .._errors import CommandFailed, Error
from .repository import has_segment
from .runner import CommandRunner, said
from .server import Server
from .tools import wal_program_cmd

_POLL_SECONDS = 0.1
_WAKE_SECONDS = 2
_LONGEST_SHEBANG = 256  # BINPRM_BUF_SIZE of Linux


def archiving_problems(server: Server, layout: Layout) -> list[str]:
    """Say why WAL does not reach this place of the repository; an empty list means that nothing speaks against it."""
    obstacle = _obstacle(server, layout)
    if obstacle is not None:
        return [obstacle]
    archiver = server.archiver()
    if archiver.failing:
        failed = f"the last attempt to archive {archiver.failed_segment} failed at {archiver.failed_time}"
        return [f"{failed}; the server's log says why"]
    return []


def require_archiving(server: Server, layout: Layout) -> None:
    """Refuse to wait for a segment that cannot arrive; failures of the past do not count, they may be repaired."""
    obstacle = _obstacle(server, layout)
    if obstacle is not None:
        raise Error(
            f"archiving does not work: {obstacle}",
            "run setup_archiving.yml, which installs pgark-wal and configures the server",
        )


def _obstacle(server: Server, layout: Layout) -> str | None:
    if server.in_recovery():
        return "the server is in recovery and archives nothing"
    settings = server.settings()
    if settings["archive_mode"].value == "off":
        return "archive_mode is off"
    program = program_in_use(server, layout)
    if program is None:
        return f"archive_command is '{settings['archive_command'].value}', which does not push into {layout.directory}"
    why = why_not_executable(program)
    return None if why is None else f"{program}, which archive_command calls, {why}"


def why_not_executable(program: str) -> str | None:
    """Say why the shell would end with status 126 or 127, which ``pg_stat_archiver`` does not count as a failure."""
    if not os.path.isfile(program):
        return "is not there"
    if not os.access(program, os.X_OK):
        return "is not executable"
    with open(program, "rb") as file:
        words = file.readline(_LONGEST_SHEBANG).split()
    interpreter = os.fsdecode(words[0][2:]) if words and words[0].startswith(b"#!") else program
    if not os.access(interpreter, os.X_OK):
        return f"names the interpreter {interpreter} in its first line, which is not there or not executable"
    return None


def program_in_use(server: Server, layout: Layout) -> str | None:
    """Give the pgark-wal that the server archives with, if it pushes into this place."""
    return archiving_program(server.show("archive_command"), layout.repository, layout.cluster)


def prove_archiving(server: Server, layouts: Sequence[Layout], runner: CommandRunner, timeout: int) -> str:
    """Switch WAL, wait until the segment is in each of the repositories, and read it back; gives its name."""
    for layout in layouts:
        require_archiving(server, layout)
    segment = server.switch_wal()[0]
    for layout in layouts:
        wait_archived(server, layout, segment, timeout)
        read_back(server, layout, runner, segment)
    return str(segment)


def wait_archived(server: Server, layout: Layout, segment: SegmentName, timeout: int) -> None:
    """Wait until a segment is in the repository; the error says what the archiver has been doing meanwhile."""
    start = woken = time.monotonic()
    while not has_segment(layout, str(segment)):
        now = time.monotonic()
        if now > start + timeout:
            raise CommandFailed(
                f"segment {segment} did not arrive in {layout.wal} within {timeout} s; {_archiver_story(server)}",
                "look for the lines of pgark-wal in the server's log; they say why",
            )
        if now > woken + _WAKE_SECONDS:
            woken = now
            server.wake()
        time.sleep(_POLL_SECONDS)


def _archiver_story(server: Server) -> str:
    archiver = server.archiver()
    if archiver.failing:
        return (
            f"archiving {archiver.failed_segment} failed {archiver.failed_count} times, last at {archiver.failed_time}"
        )
    done = "nothing yet" if archiver.last_segment is None else f"{archiver.last_segment} at {archiver.last_time}"
    return f"the archiver reports no failure since it last archived {done}"


def read_back(server: Server, layout: Layout, runner: CommandRunner, segment: SegmentName) -> None:
    """Fetch a segment as a recovering server would; pgark-wal delivers it only when it is whole."""
    program = program_in_use(server, layout)
    if program is None:
        raise Error(
            f"archive_command is '{server.show('archive_command')}', which is not pgark-wal for {layout.directory}"
        )
    with tempfile.TemporaryDirectory(prefix="pgark-") as scratch:
        fetched = os.path.join(scratch, "segment")
        argv = wal_program_cmd(program, "get", [layout.repository], layout.cluster, str(segment), fetched)
        result = runner.run(argv, check=False)
        if result.status != 0:
            raise Error(f"segment {segment} was archived but cannot be read back: {said(result)}")
