# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a data directory, whatever state it is in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from .._errors import CommandFailed, Error
from .._host.files import open_regular, private_mode, read_json, read_small, room_of, tree_size, write_json
from .._host.mounts import is_mount_point, mounts
from .._host.processes import arguments, find_server
from .._host.runner import CommandRunner
from .._host.tools import control_data, find_bin_directory
from .._server.options import option_words
from .._server.recovery_settings import quoted_settings
from .._values.documents import optional, read_fields, record_of, sequence
from .._values.markers import HELD_CONTROL, RECORD
from .._values.secrets import masked
from .._wal.identity import Identity
from .data_directory import Damaged, DataDirectory, Place, Reservation, RestoreRecord
from .subscription import Subscription

_IDENTIFIER, _SEGMENT_SIZE = "Database system identifier", "Bytes per WAL segment"


def observe_directory(path: str, bin_directory: str, runner: CommandRunner) -> DataDirectory:
    """Look at PGDATA; a symbolic link is resolved, and the server in it is found among the processes."""
    real = os.path.realpath(path)
    postmaster, orphans = find_server(real)
    seen = DataDirectory(path, real, "missing", is_mount_point(real), postmaster=postmaster, orphans=orphans)
    seen = replace(seen, inner_mounts=tuple(mounts().below(real)), writable=_writable(seen))
    seen = replace(seen, started_with=started_with(real, postmaster))
    staged, hurt = _tolerant(own_staging, seen.staging)
    seen = replace(seen, damaged=hurt)
    taken = staged is not None and staged.complete and os.path.lexists(staged.previous_directory)
    begun = taken and staged is not None and os.path.isdir(staged.previous_directory)
    seen = replace(seen, staged=staged, room=room_of(real), freed=_freed(seen.staging, staged))
    seen = replace(seen, exchanging=seen.mount_point and begun, aside_taken=taken)
    if not os.path.isdir(real):
        return replace(seen, kind="unknown") if os.path.lexists(real) else seen
    record, hurt = _tolerant(own_record, real)
    seen = replace(
        seen,
        record=record,
        damaged=(*seen.damaged, *hurt),
        wal=_wal_place(real),
        tablespaces=_tablespaces(real),
        recovering=os.path.exists(f"{real}/recovery.signal"),
    )
    seen = replace(seen, mark=mark_of(real, os.stat(real).st_ino, seen.record))
    control = _control(real, bin_directory, runner)
    if control is None:
        return _without_control(seen)
    size = int(control.get(_SEGMENT_SIZE, 0)) or None
    return replace(seen, kind="cluster", system_identifier=control[_IDENTIFIER], segment_size=size)


def _writable(seen: DataDirectory) -> bool:
    """Tell whether a directory can be made where the staging directory is to be."""
    return os.access(os.path.dirname(seen.staging), os.W_OK | os.X_OK)


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
    control = _control(directory, bin_directory, runner)
    return None if control is None else control[_IDENTIFIER]


def _control(directory: str, bin_directory: str, runner: CommandRunner) -> dict[str, str] | None:
    """Read a control file; None when there is none that can be read."""
    if not os.path.isfile(f"{directory}/global/pg_control"):
        return None
    try:
        control = control_data(runner, bin_directory, directory)
    except CommandFailed:
        return None
    return control if _IDENTIFIER in control else None


def observe_identity(data_directory: str, bin_directory: str, runner: CommandRunner) -> Identity | None:
    """Read which cluster a data directory holds; None when there is none. The version is that of PG_VERSION."""
    major = major_version(data_directory)
    if major is None or not os.path.isfile(f"{data_directory}/global/pg_control"):
        return None
    control = control_data(runner, bin_directory, data_directory)
    return Identity(control[_IDENTIFIER], major * 10000, int(control[_SEGMENT_SIZE]))


def read_record(directory: str) -> RestoreRecord | None:
    """Read what a restore noted in a directory; a staging directory that has no record counts as incomplete."""
    path = f"{directory}/{RECORD}"
    document = read_json(path)
    if document is None:
        return None
    parts = {"reservation": optional(record_of(Reservation)), "subscriptions": sequence(record_of(Subscription))}
    return read_fields(RestoreRecord, path, document, **parts)


def own_record(directory: str) -> RestoreRecord | None:
    """Read what a restore noted in the very directory that it made; a record that came along in a copy is none."""
    record = read_record(directory)
    return record if record is not None and record.inode == os.stat(directory).st_ino else None


def own_staging(staging: str) -> RestoreRecord | None:
    """Read the record of a staging directory that a restore has made; a copy of another one has none."""
    record = read_record(staging) if os.path.isdir(staging) else None
    return record if record is not None and record.own == os.stat(staging).st_ino else None


def _tolerant(
    read: Callable[[str], RestoreRecord | None], directory: str
) -> tuple[RestoreRecord | None, tuple[Damaged, ...]]:
    """Read a record; what keeps it from being read is no reason not to look at the data."""
    try:
        return read(directory), ()
    except (Error, OSError) as error:
        path = f"{directory}/{RECORD}"
        return None, (Damaged(path, error.message if isinstance(error, Error) else f"{path}: {error.strerror}"),)


def with_damage(directory: DataDirectory) -> DataDirectory:
    """Tell of a directory that is not looked at any further whether it is there, and which records cannot be read."""
    real = directory.real_path
    there = os.path.isdir(real)
    damaged = (*_tolerant(own_staging, directory.staging)[1], *(_tolerant(own_record, real)[1] if there else ()))
    return replace(directory, kind=directory.kind if there else "missing", damaged=damaged)


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
    write_json(f"{directory}/{RECORD}", record_document(record), private_mode(directory))


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
    """Look where a new directory can be made: beside; in a mount point, which stays; in one that root has made."""
    real = os.path.realpath(path)
    if is_mount_point(real):
        return Place(real, inside=real, room=room_of(real))
    if os.access(os.path.dirname(real), os.W_OK):
        return Place(real, room=room_of(real))
    place = Place(real, confined=True, room=room_of(real))
    usable = os.path.isdir(place.provided) and os.access(place.provided, os.W_OK)
    return Place(real, place.provided, room=room_of(place.provided)) if usable else place


def _freed(staging: str, staged: RestoreRecord | None) -> dict[int, int]:
    """Add up, by device, what goes with an outdated staging directory before a new one is begun."""
    freed: dict[int, int] = {}
    for path in (staging, *(() if staged is None else staged.places)):
        if os.path.isdir(path):
            device = os.stat(path).st_dev
            freed[device] = freed.get(device, 0) + tree_size(path)
    return freed


def started_with(data_directory: str, postmaster: int | None) -> tuple[str, ...]:
    """Give the words of the command line of the server, or of the one that ran last, as it noted them."""
    if postmaster is not None:
        return tuple(arguments(postmaster))
    return tuple(option_words(_text(f"{data_directory}/postmaster.opts")))


def is_standby(data_directory: str) -> bool:
    """Tell whether a server would start here as a standby; the file is there until it is promoted."""
    return os.path.exists(f"{data_directory}/standby.signal")


def major_version(data_directory: str) -> int | None:
    """Read PG_VERSION; None when there is no data directory."""
    try:
        return int(read_small(f"{data_directory}/PG_VERSION", 64, follow=True).decode("ascii").strip())
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


def check_configuration_place(directory: str | None) -> None:
    """Refuse a directory whose missing configuration cannot be put back; None: nothing is missing."""
    place = directory
    while place is not None and not os.path.isdir(place):
        place = os.path.dirname(place)
    if place is not None and not os.access(place, os.W_OK | os.X_OK):
        raise Error(
            f"{directory} has no postgresql.conf, and it cannot be put back there from the backup: the cluster's owner "
            f"may not write to {place}",
            f"make {directory} as root, and give it to the owner of the cluster",
        )


def configuration_found(directory: str) -> list[str]:
    """List the main configuration file of a directory if it is there."""
    path = os.path.join(directory, "postgresql.conf")
    return [path] if os.path.isfile(path) else []


def server_log(data_directory: str, log_file: str | None, lines: int = 20) -> str:
    """Give the last lines of a server's log, without secrets: the file named, or the one of its logging collector."""
    path = log_file or _collected_log(data_directory)
    if path is None or not os.path.isfile(path):
        return f"(no log file found; looked for {path or 'one named by the logging collector'})"
    with os.fdopen(open_regular(path, follow=True), "rb") as file:
        file.seek(max(0, os.path.getsize(path) - 65536))
        text = file.read().decode(errors="replace")
    return masked("\n".join(text.splitlines()[-lines:]))


def _collected_log(data_directory: str) -> str | None:
    try:
        content = read_small(f"{data_directory}/current_logfiles", follow=True)
    except FileNotFoundError:
        return None
    first = os.fsdecode(content.partition(b"\n")[0]).split(maxsplit=1)
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
        return read_small(path, follow=True).decode(errors="replace")
    except (Error, OSError):
        return ""


def own_configuration(config_directory: str | None, directory: DataDirectory) -> str | None:
    """Give the main configuration file if it is to be outside the data directory."""
    if config_directory is None or os.path.realpath(config_directory) == directory.real_path:
        return None
    return f"{config_directory}/postgresql.conf"
