# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove that WAL archiving works: force a switch and find the segment, whole, in the repository."""

from __future__ import annotations

import os
import tempfile
import time

from .._core.layout import Layout
from .._core.settings import archiving_program
from .._core.wal import SegmentName
from .._errors import Error
from .repository import has_segment
from .runner import CommandRunner, said
from .server import Server
from .tools import wal_program_cmd

_POLL_SECONDS = 0.1


def archiving_problems(server: Server, layout: Layout) -> list[str]:
    """Say why WAL does not reach this place of the repository; an empty list means that nothing speaks against it."""
    settings = server.settings()
    if server.in_recovery():
        return ["the server is in recovery and archives nothing"]
    if settings["archive_mode"].value == "off":
        return ["archive_mode is off"]
    command = settings["archive_command"].value
    if program_in_use(server, layout) is None:
        return [f"archive_command is '{command}', which does not push into {layout.directory}"]
    archiver = server.archiver()
    if archiver.failing:
        return [f"the last attempt to archive {archiver.failed_segment} failed at {archiver.failed_time}"]
    return []


def program_in_use(server: Server, layout: Layout) -> str | None:
    """Give the pgark-wal that the server archives with, if it pushes into this place."""
    return archiving_program(server.show("archive_command"), layout.repository, layout.cluster)


def prove_archiving(server: Server, layout: Layout, runner: CommandRunner, timeout: int) -> str:
    """Switch WAL, wait until the segment is in the repository, and read it back; gives its name."""
    segment = server.switch_wal()[0]
    wait_archived(server, layout, segment, timeout)
    read_back(server, layout, runner, segment)
    return str(segment)


def wait_archived(server: Server, layout: Layout, segment: SegmentName, timeout: int) -> None:
    """Wait until a segment is in the repository; the error says what the archiver has been doing meanwhile."""
    deadline = time.monotonic() + timeout
    while not has_segment(layout, str(segment)):
        if time.monotonic() > deadline:
            raise Error(
                f"segment {segment} did not arrive in {layout.wal} within {timeout} s; {_archiver_story(server)}",
                "the server's log has the lines of archive_command; run that command by hand as the server's owner",
            )
        time.sleep(_POLL_SECONDS)


def _archiver_story(server: Server) -> str:
    archiver = server.archiver()
    if archiver.failing:
        return (
            f"archiving {archiver.failed_segment} failed {archiver.failed_count} times, last at {archiver.failed_time}"
        )
    done = "nothing yet" if archiver.last_segment is None else f"{archiver.last_segment} at {archiver.last_time}"
    return (
        f"the archiver counts no failure and last archived {done}: it may not be able to start archive_command at all"
    )


def read_back(server: Server, layout: Layout, runner: CommandRunner, segment: SegmentName) -> None:
    """Fetch a segment as a recovering server would; pgark-wal delivers it only when it is whole."""
    program = program_in_use(server, layout)
    if program is None:
        raise Error(
            f"archive_command is '{server.show('archive_command')}', which is not pgark-wal for {layout.directory}"
        )
    with tempfile.TemporaryDirectory(prefix="pgark-") as scratch:
        fetched = os.path.join(scratch, "segment")
        argv = wal_program_cmd(program, "get", layout.repository, layout.cluster, str(segment), fetched)
        result = runner.run(argv, check=False)
        if result.status != 0:
            raise Error(f"segment {segment} was archived but cannot be read back: {said(result)}")
