# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look whether anybody has written to a cluster since initdb has made it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from itertools import islice

from .._cluster.observe import major_version
from .._host.runner import CommandRunner
from .._host.tools import control_data, pg_waldump_cmd
from .._wal.names import SegmentName
from .._wal.observe_users_text import lines_of_records
from .new_cluster import FIRST_OF_USERS, FIRST_SEGMENT, Look, Written, first_write

_NUMBERED = re.compile(r"(\d+)([._].*)?")
_NAMED = 3


def look(path: str, bin_directory: str, runner: CommandRunner) -> Look:
    """Look at a data directory, whether a server works in it or not."""
    control = control_data(runner, bin_directory, path)  # first, so that the WAL goes at least as far
    written = _written(path, bin_directory, runner, control)
    return Look(control, written, tuple(islice(_made(path), _NAMED)), tuple(_names(f"{path}/pg_replslot")))


def _written(path: str, bin_directory: str, runner: CommandRunner, control: Mapping[str, str]) -> Written:
    """Read all WAL; where it ends, pg_waldump ends with an error."""
    if not os.path.isfile(f"{path}/pg_wal/{FIRST_SEGMENT}"):
        return Written(whole=False)
    done = runner.run(pg_waldump_cmd(bin_directory, f"{path}/pg_wal", FIRST_SEGMENT), check=False)
    size = int(control["Bytes per WAL segment"])
    lines = lines_of_records(
        done.stdout,
        lambda number: f"{path}/pg_wal/{SegmentName.numbered(1, number, size)}",
        size,
        major_version(path) or 0,
    )
    return first_write(lines.split("\n"))


def _names(path: str) -> list[str]:
    return sorted(os.listdir(path)) if os.path.isdir(path) else []


def _made(path: str) -> Iterator[str]:
    """Name tablespaces, and what has a number that initdb gives to nothing: databases and files of relations."""
    yield from (f"pg_tblspc/{name}" for name in _names(f"{path}/pg_tblspc"))
    for directory in ("base", "global", *(f"base/{name}" for name in _names(f"{path}/base"))):
        for name in _names(f"{path}/{directory}"):
            number = _NUMBERED.fullmatch(name)
            if number is not None and int(number[1]) >= FIRST_OF_USERS:
                yield f"{directory}/{name}"
