# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put segments in which timelines were left where a server that recovers looks for them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from .._archiving.commands import ABSENT
from .._errors import CommandFailed
from .._host.files import naming, open_regular, private_mode, remove_tree, rename, write_file
from .._host.runner import CommandRunner, said
from .._host.tools import wal_program_cmd
from .._repository.layout import Layout
from .._wal.pages import LONG_HEADER
from .._windows.observe_own_wal import own_segments
from .left_segments import LeftSegment
from .steps import PlaceLeftSegments

_CHUNK = 1 << 20


def place(step: PlaceLeftSegments, program: str, layouts: Sequence[Layout], runner: CommandRunner) -> None:
    """Make them as PostgreSQL makes a new timeline's first segment: the beginning copied, zeros behind it.

    With zeros, a file says nothing that its timeline has not said. Called archived, it is never archived from here, as
    it would be when a checkpoint does without it: ``XLogArchiveCheckDone`` in ``xlogarchive.c``.
    """
    for segment in step.segments:
        path = f"{step.path}/pg_wal/{segment.name}"
        brought, mode = f"{path}.brought", private_mode(step.path)
        if not _bring(step, segment, brought, _get(program, layouts, segment, brought), runner):
            remove_tree(brought)
            continue  # then recovery does not have it either, and reads the older timeline's, if that is there
        _clear(brought, segment.length, step.identity.wal_segment_size)
        os.chmod(brought, mode)
        write_file(f"{step.path}/pg_wal/archive_status/{segment.name}.done", "", mode)
        rename(brought, path)


def _get(program: str, layouts: Sequence[Layout], segment: LeftSegment, target: str) -> list[str]:
    repositories, status = [layout.repository for layout in layouts], str(ABSENT)
    more = ("--absent-status", status, str(segment.source), target)
    return wal_program_cmd(program, "get", repositories, layouts[0].cluster, *more)


def _bring(step: PlaceLeftSegments, segment: LeftSegment, target: str, get: list[str], runner: CommandRunner) -> bool:
    """Bring a segment from where recovery will have it; a running server archives and removes it meanwhile."""
    return _fetch(get, runner) or _copy_own(step, segment, target) or _fetch(get, runner)


def _fetch(argv: list[str], runner: CommandRunner) -> bool:
    result = runner.run(argv, check=False)
    if result.status not in (0, ABSENT):
        raise CommandFailed(f"pgark-wal ended with status {result.status}: {said(result)}")
    return result.status == 0


def _copy_own(step: PlaceLeftSegments, segment: LeftSegment, target: str) -> bool:
    """Copy the part that is needed, to which nobody writes any more; False when it is not there, or is recycled."""
    size, source = step.identity.wal_segment_size, segment.source
    found = {} if step.old is None else own_segments(step.old, step.identity)
    file = found.get((source.timeline, source.number(size)))
    if file is None:
        return False
    try:
        descriptor = open_regular(file.path)
    except FileNotFoundError:
        return False
    with naming(target), os.fdopen(descriptor, "rb") as own, open(target, "wb") as out:
        begin = os.pread(descriptor, LONG_HEADER.size, 0)
        left = segment.length
        while piece := own.read(min(_CHUNK, left)):
            left -= out.write(piece)
        # It is written to from its first page on when it has become another one.
        return os.pread(descriptor, LONG_HEADER.size, 0) == begin


def _clear(path: str, length: int, size: int) -> None:
    """Fill a segment with zeros from a position on; with holes, what recycles it could run out of room in them."""
    with naming(path), open(path, "r+b") as file:
        file.seek(length)
        for at in range(length, size, _CHUNK):
            file.write(bytes(min(_CHUNK, size - at)))
        file.flush()
        os.fsync(file.fileno())
