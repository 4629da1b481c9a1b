# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a data directory, whatever state it is in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from .._core.catalog import Identity
from .._core.data_directory import HELD_CONTROL, RECORD, DataDirectory, Place, RestoreRecord, Room
from .._core.recovery_settings import quoted_settings
from .._errors import CommandFailed, Error
from .files import free_bytes, read_json, tree_size, write_json
from .processes import find_postmaster
from .runner import CommandRunner
from .tools import control_data, find_bin_directory


def observe_directory(path: str, bin_directory: str, runner: CommandRunner) -> DataDirectory:
    """Look at PGDATA; a symbolic link is resolved, and the server in it is found among the processes."""
    real = os.path.realpath(path)
    seen = DataDirectory(path, real, "missing", os.path.ismount(real), postmaster=find_postmaster(real))
    staged = read_record(seen.staging) if os.path.isdir(seen.staging) else None
    begun = staged is not None and staged.complete and os.path.isdir(staged.previous_directory)
    seen = replace(seen, staged=staged, room=_room(real), freed=_freed(seen.staging, staged))
    seen = replace(seen, exchanging=seen.mount_point and begun)
    if not os.path.isdir(real):
        return replace(seen, kind="unknown") if os.path.lexists(real) else seen
    seen = replace(
        seen,
        record=own_record(real),
        wal=_wal_place(real),
        tablespaces=_tablespaces(real),
        recovering=os.path.exists(f"{real}/recovery.signal"),
    )
    seen = replace(seen, mark=mark_of(real, os.stat(real).st_ino, seen.record))
    identifier = system_identifier(real, bin_directory, runner)
    if identifier is not None:
        return replace(seen, kind="cluster", system_identifier=identifier)
    return _without_control(seen)


def _without_control(seen: DataDirectory) -> DataDirectory:
    """Tell what a directory is in which no server can start."""
    record, staged, real = seen.record, seen.staged, seen.real_path
    if record is not None and (os.path.exists(f"{real}/{HELD_CONTROL}") or staged is not None):
        return replace(seen, kind="unfinished", system_identifier=record.system_identifier)
    if staged is not None and seen.exchanging:
        return replace(seen, kind="unfinished", system_identifier=staged.system_identifier)
    kept = {os.path.basename(seen.staging), "lost+found"}
    names = [name for name in os.listdir(real) if name not in kept]
    return replace(seen, kind="unknown" if names else "empty")


def system_identifier(directory: str, bin_directory: str, runner: CommandRunner) -> str | None:
    """Read a data directory's system identifier; None when it has no control file that can be read."""
    if not os.path.isfile(f"{directory}/global/pg_control"):
        return None
    try:
        return control_data(runner, bin_directory, directory)["Database system identifier"]
    except (CommandFailed, KeyError):
        return None


def observe_identity(data_directory: str, bin_directory: str, runner: CommandRunner) -> Identity | None:
    """Read which cluster a data directory holds; None when there is none. The version is that of PG_VERSION."""
    major = major_version(data_directory)
    if major is None or not os.path.isfile(f"{data_directory}/global/pg_control"):
        return None
    control = control_data(runner, bin_directory, data_directory)
    return Identity(control["Database system identifier"], major * 10000, int(control["Bytes per WAL segment"]))


def read_record(directory: str) -> RestoreRecord | None:
    """Read what a restore noted in a directory; a staging directory that has no record counts as incomplete."""
    document = read_json(f"{directory}/{RECORD}")
    if document is None:
        return None
    try:
        values = {name: document[name] for name in RestoreRecord.__dataclass_fields__ if name in document}
        return RestoreRecord(**{**values, "places": tuple(values["places"]), "entries": tuple(values["entries"])})
    except (KeyError, TypeError) as error:
        raise Error(
            f"{directory}/{RECORD} cannot be read: {error!r}", "it was changed by hand, or damaged; move it away"
        ) from None


def own_record(directory: str) -> RestoreRecord | None:
    """Read what a restore noted in the very directory that it made; a record that came along in a copy is none."""
    record = read_record(directory)
    return record if record is not None and record.inode == os.stat(directory).st_ino else None


def mark_of(path: str, inode: int, record: RestoreRecord | None) -> str:
    """Tell data from any other: by ``inode``, that of its data directory, by PG_VERSION's, and by its restore.

    Renames keep inodes; and PG_VERSION, which is written once, tells apart what was in one mount point. An inode by
    itself may be that of something that was removed since.
    """
    try:
        version = os.stat(f"{path}/PG_VERSION").st_ino
    except OSError:
        version = 0
    return f"{inode}-{version}" if record is None else f"{inode}-{version} {record.previous_directory}"


def record_document(record: RestoreRecord) -> dict[str, Any]:
    """Give the content of the record's file."""
    return asdict(record)


def write_record(directory: str, record: RestoreRecord) -> None:
    """Note durably in a directory which restore it is of."""
    write_json(f"{directory}/{RECORD}", record_document(record), 0o600)


def _wal_place(data_directory: str) -> Place | None:
    link = f"{data_directory}/pg_wal"
    return _place(link) if os.path.islink(link) else None


def _tablespaces(data_directory: str) -> dict[str, Place]:
    links = f"{data_directory}/pg_tblspc"
    names = os.listdir(links) if os.path.isdir(links) else []
    return places({name: f"{links}/{name}" for name in names if os.path.islink(f"{links}/{name}")})


def places(paths: Mapping[str, str]) -> dict[str, Place]:
    """Look where directories for the restored data of tablespaces can be made; paths and places are by oid."""
    return {oid: _place(path) for oid, path in paths.items()}


def _place(path: str) -> Place:
    real = os.path.realpath(path)
    parent = os.path.dirname(real)
    return Place(real, beside=not os.path.ismount(real) and os.access(parent, os.W_OK), room=_room(real))


def _room(path: str) -> Room:
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return Room(os.stat(path).st_dev, free_bytes(path))


def _freed(staging: str, staged: RestoreRecord | None) -> dict[int, int]:
    """Add up, by device, what goes with an outdated staging directory before a new one is begun."""
    freed: dict[int, int] = {}
    for path in (staging, *(() if staged is None else staged.places)):
        if os.path.isdir(path):
            device = os.stat(path).st_dev
            freed[device] = freed.get(device, 0) + tree_size(path)
    return freed


def is_standby(data_directory: str) -> bool:
    """Tell whether a server would start here as a standby; the file is there until it is promoted."""
    return os.path.exists(f"{data_directory}/standby.signal")


def major_version(data_directory: str) -> int | None:
    """Read PG_VERSION; None when there is no data directory."""
    try:
        with open(f"{data_directory}/PG_VERSION", encoding="ascii") as file:
            return int(file.read().strip())
    except FileNotFoundError:
        return None
    except ValueError:
        raise Error(f"{data_directory}/PG_VERSION does not hold a version number") from None


def bin_directory_for(data_directory: str, given: str | None, fallback_major: int | None = None) -> str:
    """Settle the directory of PostgreSQL's programs; ``fallback_major`` counts when the data directory is gone."""
    return given if given is not None else find_bin_directory(major_version(data_directory) or fallback_major)


def missing_configuration(directory: str | None, data_directory: str) -> str | None:
    """Give a directory of configuration if it is outside PGDATA, and its main file is missing there."""
    if directory is None or os.path.realpath(directory) == data_directory:
        return None
    return None if os.path.exists(f"{directory}/postgresql.conf") else directory


def configuration_found(directory: str) -> list[str]:
    """List the main configuration file of a directory if it is there."""
    path = os.path.join(directory, "postgresql.conf")
    return [path] if os.path.isfile(path) else []


def server_log(data_directory: str, log_file: str | None, lines: int = 20) -> str:
    """Give the last lines of a server's log: the file named, or the one that its logging collector writes."""
    path = log_file or _collected_log(data_directory)
    if path is None or not os.path.isfile(path):
        return f"(no log file found; looked for {path or 'one named by the logging collector'})"
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - 65536))
        text = file.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])


def _collected_log(data_directory: str) -> str | None:
    try:
        with open(f"{data_directory}/current_logfiles", encoding="utf-8") as file:
            first = file.readline().split(maxsplit=1)
    except FileNotFoundError:
        return None
    return os.path.join(data_directory, first[1].strip()) if len(first) == 2 else None


@contextmanager
def quoting_log(data_directory: str, log_file: str | None, config_file: str | None = None) -> Iterator[None]:
    """Add the server's last words to an error, the settings that they are about, and the way back from a restore."""
    try:
        yield
    except CommandFailed as error:
        log = server_log(data_directory, log_file)
        files = [config_file or f"{data_directory}/postgresql.conf", f"{data_directory}/postgresql.auto.conf"]
        about = quoted_settings(log, [_text(path) for path in files])
        named = "".join(f"\nthis is about the setting {name} = '{value}'" for name, value in about.items())
        hint = "; ".join(filter(None, [error.hint, way_back(data_directory)])) or None
        raise CommandFailed(f"{error.message}\nthe server's log ends with:\n{log}{named}", hint) from None


def way_back(data_directory: str) -> str | None:
    """Say how a restore is undone that nobody has promoted yet; None where there is none."""
    if not os.path.exists(f"{data_directory}/recovery.signal"):
        return None
    try:
        record = own_record(data_directory)
    except Error:
        return None
    if record is None or record.undo_directory is None:
        return None
    return f"the data from before the restore is untouched in {record.undo_directory}; pitr_rollback.yml puts it back"


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
