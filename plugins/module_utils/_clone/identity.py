# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give a clone a system identifier of its own: every step is durable before the next one begins."""

from __future__ import annotations

import os
import stat
import struct
import time
from collections.abc import Mapping

from .._cluster.control_file import identifier_in, new_identifier, with_identifier
from .._cluster.data_directory import DataDirectory, RestoreRecord
from .._cluster.observe import write_record
from .._host.claim import look
from .._host.files import naming, open_regular, private_mode, read_small, rename, sync, sync_tree, write_file
from .._host.runner import CommandRunner
from .._host.tools import control_data, pg_resetwal_cmd
from .plan_detach import SIGNALS, Clone

_CONTROL = "global/pg_control"
# Not beside its place: pg_checksums takes whatever it finds in global for a relation.
_NEW_CONTROL = "pgark.pg_control"
_REDO_SEGMENT = "Latest checkpoint's REDO WAL file"
# XLogLongPageHeaderData in src/include/access/xlog_internal.h, up to xlp_sysid
_LONG_HEADER = struct.Struct("=HHIQIIQ")


def observe_clone(directory: DataDirectory, bin_directory: str, runner: CommandRunner) -> Clone:
    """Look at what a restore with ``source_cluster`` has left in a data directory."""
    path = directory.real_path
    if directory.kind != "cluster":
        return Clone(directory, directory.kind)
    control = control_data(runner, bin_directory, path)
    return Clone(
        directory,
        control["Database cluster state"],
        tuple(name for name in SIGNALS if os.path.exists(f"{path}/{name}")),
        _has_own_wal(path, control),
        _unoffered_history(path, int(control["Latest checkpoint's TimeLineID"])),
    )


def _has_own_wal(path: str, control: Mapping[str, str]) -> bool:
    """Tell whether the segment that the server would start from is whole, and of the cluster of the control file."""
    segment = f"{path}/pg_wal/{control[_REDO_SEGMENT]}"
    if not os.path.isfile(segment) or os.path.getsize(segment) != int(control["Bytes per WAL segment"]):
        return False
    with os.fdopen(open_regular(segment), "rb") as file:
        found: int = _LONG_HEADER.unpack(file.read(_LONG_HEADER.size))[-1]
    return str(found) == control["Database system identifier"]


def _unoffered_history(path: str, timeline: int) -> str | None:
    name = f"{timeline:08X}.history"
    status = f"{path}/pg_wal/archive_status/{name}"
    known = os.path.exists(f"{status}.ready") or os.path.exists(f"{status}.done")
    return name if os.path.exists(f"{path}/pg_wal/{name}") and not known else None


def read_identifier(path: str) -> str:
    """Read a data directory's system identifier, for which no program is needed."""
    return identifier_in(read_small(f"{path}/{_CONTROL}"))


def generate() -> str:
    """Make a system identifier that no other cluster has."""
    return new_identifier(time.time_ns() // 1000, os.getpid())


def note(path: str, record: RestoreRecord) -> None:
    """Replace the record of a restore."""
    write_record(path, record)


def offer_history(path: str, name: str) -> None:
    """Mark a history file as waiting for the archive."""
    write_file(f"{path}/pg_wal/archive_status/{name}.ready", "", private_mode(path))


def change(path: str, identifier: str) -> None:
    """Write a system identifier into the control file: the old file is there, or the new one, and never a half."""
    look(path)
    control, new = f"{path}/{_CONTROL}", f"{path}/{_NEW_CONTROL}"
    with os.fdopen(open_regular(control), "rb") as file:
        content = file.read()
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    if identifier_in(content) == identifier:
        return
    with naming(new), open(new, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(with_identifier(content, identifier))
        file.flush()
        os.fsync(file.fileno())
    rename(new, control)


def reset_wal(path: str, bin_directory: str, runner: CommandRunner) -> None:
    """Begin new WAL, durably; pg_resetwal refuses by itself where the last shutdown was not a clean one."""
    runner.run(pg_resetwal_cmd(bin_directory, path))
    sync_tree(os.path.realpath(f"{path}/pg_wal"))
    sync(f"{path}/global")
