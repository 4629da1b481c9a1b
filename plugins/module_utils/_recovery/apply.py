# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""End a recovery, and leave nothing of it behind: the settings that were made for it are put back."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import replace

from .._cluster.data_directory import RestoreRecord
from .._cluster.observe import own_record, started_with, write_record
from .._configuration.files import AUTOMATIC
from .._errors import Error
from .._host.files import read_history, read_small, rename, write_file
from .._host.processes import find_postmaster
from .._server.options import check_command_line, parse_options
from .._server.recovery_settings import RECOVERY_SETTINGS, automatic_value, changed_configuration, has_settings
from .._server.server import RecoveryState, Server
from .._server.settings import COMMAND_LINE
from .._wal.names import TimelinePath
from .outcome import Outcome, check_outcome


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


def put_back(server: Server, data_directory: str, settings: dict[str, str | None]) -> None:
    """Change settings in ``postgresql.auto.conf``, and have the server read them.

    Where ALTER SYSTEM is forbidden, nobody else changes the file meanwhile, and what was put there by hand for the
    recovery is taken out by hand.
    """
    if server.alters_system():
        for name, value in settings.items():
            server.alter_system(name, value)
    else:
        path = f"{data_directory}/{AUTOMATIC}"
        mode = stat.S_IMODE(os.stat(path).st_mode)
        write_file(path, changed_configuration(_automatic(data_directory), settings), mode)
    server.reload()


def _automatic(data_directory: str) -> str:
    """Read ``postgresql.auto.conf``; where it is a link, there are no settings in it."""
    path = f"{data_directory}/{AUTOMATIC}"
    return "" if os.path.islink(path) else os.fsdecode(read_small(path))


def link_again(data_directory: str, record: RestoreRecord | None) -> None:
    """Put a link in the place of ``postgresql.auto.conf`` as there was one, once nothing is written there any more."""
    path = f"{data_directory}/{AUTOMATIC}"
    if record is None or record.automatic_link is None or os.path.islink(path):
        return
    if not has_settings(_automatic(data_directory)):
        temporary = f"{path}.pgark"
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        os.symlink(record.automatic_link, temporary)
        rename(temporary, path)


def forget_overrides(data_directory: str, record: RestoreRecord | None) -> None:
    """Note that the settings are put back, so that what somebody writes there from now on is left alone."""
    if record is not None and (record.overrides or record.automatic_link):
        write_record(data_directory, replace(record, overrides={}, automatic_link=None))


def proof_required(record: RestoreRecord | None) -> bool:
    """Tell whether nobody has seen a segment arrive yet since a restore was promoted; a clone archives nothing."""
    return record is not None and record.source is None and not record.proved


def note_proved(data_directory: str) -> None:
    """Note that the restored server archives, so that a later run of the restore need not prove it again."""
    record = own_record(data_directory)
    if proof_required(record) and record is not None:
        write_record(data_directory, replace(record, proved=True))


def restart_required(server: Server) -> bool:
    """Tell whether the server still works with settings of the recovery, which only a restart changes."""
    query = "SELECT EXISTS (SELECT FROM pg_settings WHERE pending_restart AND name = ANY(%s))"
    return bool(server.value(query, [list(RECOVERY_SETTINGS)]))


def check_in_force(server: Server, data_directory: str, record: RestoreRecord) -> None:
    """Refuse a server whose command line outranks what its restore has written, such as that it listens to nobody."""
    query = "SELECT name FROM pg_settings WHERE source = %s AND name = ANY(%s)"
    given = [row[0] for row in server.rows(query, [COMMAND_LINE, [*RECOVERY_SETTINGS, *record.overrides]])]
    if given:
        text = _automatic(data_directory)
        written = {name: automatic_value(text, name) for name in given}
        wanted = {name: value for name, value in written.items() if value is not None}
        words = started_with(data_directory, find_postmaster(data_directory))
        check_command_line(parse_options(words), wanted, "its command line")


def check_end(data_directory: str, state: RecoveryState, record: RestoreRecord) -> None:
    """Compare what a server has reached with what the restore of its data directory was to reach.

    PostgreSQL itself takes a damaged record for the end of the WAL, promotes the server there, and calls it a success;
    and a server that is out of recovery need not have been in one.
    """
    history = None if state.in_recovery else _history(data_directory, state.timeline)
    reached = (state.in_recovery, state.paused, state.timeline, state.replay_lsn, state.replay_time)
    check_outcome(record, Outcome(*reached, history))


def _history(data_directory: str, timeline: int) -> TimelinePath | None:
    try:
        return read_history(f"{data_directory}/pg_wal/{timeline:08X}.history", timeline)
    except FileNotFoundError:
        return None
