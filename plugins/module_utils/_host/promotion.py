# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""End a recovery, and leave nothing of it behind: the settings that were made for it are put back."""

from __future__ import annotations

from dataclasses import replace

from .._core.data_directory import RestoreRecord
from .._core.recovery_settings import RECOVERY_SETTINGS
from .._core.wal import Lsn, TimelinePath
from .._errors import Error
from .cluster import write_record
from .server import Server


def settings_to_put_back(server: Server, record: RestoreRecord | None) -> dict[str, str | None]:
    """Give what ALTER SYSTEM has to say again, None for nothing, where it says something that a restore wrote."""
    rows = server.rows(
        "SELECT name, setting FROM pg_file_settings WHERE sourcefile LIKE %s ORDER BY seqno", ["%/postgresql.auto.conf"]
    )
    written = {row[0]: row[1] for row in rows}
    wanted: dict[str, str | None] = dict.fromkeys(RECOVERY_SETTINGS)
    wanted.update({} if record is None else record.overrides)
    return {name: value for name, value in sorted(wanted.items()) if written.get(name) != value}


def end_recovery(server: Server, timeout: int) -> None:
    """Promote, and make sure that recovery has ended."""
    if not server.promote(timeout) and server.in_recovery():
        raise Error(f"the server did not leave recovery within {timeout} s after it was promoted", "look at its log")


def put_back(server: Server, settings: dict[str, str | None]) -> None:
    """Change settings in ``postgresql.auto.conf``, and have the server read them."""
    for name, value in settings.items():
        server.alter_system(name, value)
    server.reload()


def forget_overrides(data_directory: str, record: RestoreRecord | None) -> None:
    """Note that the settings are put back, so that what somebody writes there from now on is left alone."""
    if record is not None and record.overrides:
        write_record(data_directory, replace(record, overrides={}))


def restart_required(server: Server) -> bool:
    """Tell whether the server still works with settings of the recovery, which only a restart changes."""
    query = "SELECT EXISTS (SELECT FROM pg_settings WHERE pending_restart AND name = ANY(%s))"
    return bool(server.value(query, [list(RECOVERY_SETTINGS)]))


def check_end(data_directory: str, timeline: int, record: RestoreRecord | None) -> None:
    """Refuse a recovery to the end of the WAL that has ended before what was in the archive when it was planned.

    PostgreSQL takes a damaged record for the end of the WAL, promotes the server there, and calls it a success.
    """
    if record is None or record.target.get("kind") != "latest" or record.end_lsn is None:
        return
    left = left_at(data_directory, timeline)
    if left is not None and left < Lsn.parse(record.end_lsn):
        raise Error(
            f"recovery ended at {left}, before {record.end_lsn}, up to which the archive reaches: what was committed "
            f"between the two is missing from the restored data",
            "put the data from before back with pitr_rollback.yml; the server's log says where the WAL could not be "
            f"read, and a restore to target_lsn={left} gives deliberately what is there now",
        )


def left_at(data_directory: str, timeline: int) -> Lsn | None:
    """Give the position at which a server left the timeline before its own; None when no history file tells."""
    try:
        with open(f"{data_directory}/pg_wal/{timeline:08X}.history", encoding="ascii", errors="replace") as file:
            branches = TimelinePath.parse(timeline, file.read()).branches
    except FileNotFoundError:
        return None
    return branches[-2].end if len(branches) > 1 else None
