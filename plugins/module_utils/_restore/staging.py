# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stage a backup beside a data directory, and switch the two."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace

from .._backup.members import left_out
from .._cluster.data_directory import RestoreRecord
from .._cluster.marks import make_marked
from .._cluster.observe import write_record
from .._cluster.staged import recorded
from .._errors import CommandFailed, Error
from .._host.claim import look, settle
from .._host.digests import sha256_of
from .._host.files import make_directory, private_mode, read_small, remove_tree, rename, sync_tree, write_file
from .._host.runner import CommandRunner
from .._host.tools import control_data, pg_verifybackup_cmd, pg_waldump_cmd
from .._repository.manifest import Manifest
from .._repository.observe_manifest import trusted_manifest
from .._server.recovery_settings import automatic_value, recovery_configuration
from .._values.markers import CONTROL, HELD_CONTROL, PLACE_MARK, RECORD
from . import held_control
from .label import check_checkpoint, check_control, check_label
from .steps import CheckLabel, UnpackBackup
from .unpack import Unpacker

_PRIVATE = 0o700
_UNTRUSTED = "this backup cannot be trusted; restore from another one with backup_label"


def begin(staging: str, record: RestoreRecord) -> None:
    """Create the staging directory and its record; a directory of that name that is not ours is refused."""
    for name in os.listdir(staging) if os.path.isdir(staging) else ():
        if name != RECORD and not name.startswith(f".{RECORD}."):
            raise Error(
                f"{staging} is in the way: it holds {name!r} and no record of a restore",
                "move it away, and run the restore again",
            )
        if name != RECORD:
            remove_tree(f"{staging}/{name}")  # a record that was being written when a restore was killed
    make_directory(staging, _PRIVATE)
    write_record(staging, replace(record, own=os.stat(staging).st_ino))
    made_by = {} if record.reservation is None else asdict(record.reservation)
    facts = {"cluster": record.cluster, "run": record.run, **made_by}
    for place in record.places:
        make_marked(place, facts)


def unpack(step: UnpackBackup, runner: CommandRunner) -> None:
    """Unpack a backup; its control file gets another name, so that the directory cannot start.

    A record in the backup is that of an earlier restore. It stays packed: in place of the staging directory's own it
    would name the directories of that restore, perhaps those in use now, as belonging to this one.
    """
    manifest = trusted_manifest(step.backup, step.manifest_sha256)
    Unpacker(step.backup, manifest, step.segment_size, runner).run(step.path, step.tablespaces, step.in_place, step.wal)


def verify(staging: str, backup: str, manifest_sha256: str, bin_directory: str, runner: CommandRunner) -> None:
    """Verify a staging directory with pg_verifybackup; the control file, which has another name, is verified here."""
    manifest = trusted_manifest(backup, manifest_sha256)
    _verify_control(staging, manifest)
    ignored = [CONTROL, HELD_CONTROL, RECORD, *left_out(manifest.files), *_marks_in(staging)]
    argv = pg_verifybackup_cmd(bin_directory, staging, f"{backup}/backup_manifest", ignored)
    try:
        runner.run(argv)
    except CommandFailed as error:
        raise Error(
            f"the backup {backup} is not good: {error.message}", "restore from another one with backup_label"
        ) from None


def _marks_in(staging: str) -> list[str]:
    links = f"{staging}/pg_tblspc"
    names = sorted(os.listdir(links)) if os.path.isdir(links) else []
    return [f"pg_tblspc/{name}/{PLACE_MARK}" for name in names]


def _verify_control(staging: str, manifest: Manifest) -> None:
    try:
        with open(f"{staging}/{HELD_CONTROL}", "rb") as file:
            found = sha256_of(file)
    except FileNotFoundError:
        raise Error(f"{CONTROL} is not in the backup, as its manifest says", _UNTRUSTED) from None
    if found != manifest.files[CONTROL]:
        raise Error(
            f"{CONTROL} of the backup differs from its manifest", "restore from another backup with backup_label"
        )


def check_staged_label(step: CheckLabel, bin_directory: str, runner: CommandRunner) -> None:
    """Hold what a server starts from against what the backup's description says: label, control file and WAL."""
    names = ("backup_label", "tablespace_map", "PG_VERSION")
    text, tablespaces, version = (_text(f"{step.path}/{name}") for name in names)
    label = check_label(step, text, tablespaces)
    with held_control.as_it_will_be(step.path) as directory:
        try:
            held_control.check_whole(directory, step.identity.major, bin_directory, runner)
        except Error as error:
            raise Error(f"{CONTROL} of backup '{step.label}' is of no use: {error.message}", _UNTRUSTED) from None
        check_control(step, label, version, control_data(runner, bin_directory, directory))
    where = (f"--timeline={label.timeline}", f"--start={label.checkpoint}", "--limit=1")
    found = runner.run(pg_waldump_cmd(bin_directory, f"{step.path}/pg_wal", *where), check=False)
    check_checkpoint(step, label, found.stdout or found.stderr)


def _text(path: str) -> str:
    try:
        return os.fsdecode(read_small(path))
    except FileNotFoundError:
        return ""


def configure(
    staging: str, settings: Mapping[str, str], overrides: Mapping[str, str], tablespaces: Mapping[str, str]
) -> None:
    """Write recovery settings, ``recovery.signal`` and the tablespaces' new places, and note what was overridden.

    With the ``standby.signal`` of a backup that has one, recovery would have no end: it outranks the other one. And how
    a server was started is no matter of a backup.
    The server makes the links of ``pg_tblspc`` from ``tablespace_map`` when it starts from a backup; a backslash
    escapes itself there: ``read_tablespace_map`` in ``src/backend/access/transam/xlogrecovery.c``.
    """
    path = f"{staging}/postgresql.auto.conf"
    text = _text(path)  # a link in its place is not in the backup
    before = {name: settings.get(name, automatic_value(text, name)) for name in overrides}
    write_record(staging, replace(recorded(staging), overrides=before))
    mode = private_mode(staging)
    write_file(path, recovery_configuration(text, {**settings, **overrides}), mode)
    write_file(f"{staging}/recovery.signal", "", mode)
    # The server would make any link that the backup's own map asks for.
    for name in ("standby.signal", "postmaster.opts", "tablespace_map"):
        with suppress(FileNotFoundError):
            os.unlink(f"{staging}/{name}")
    if tablespaces:
        escaped = {oid: place.replace("\\", "\\\\") for oid, place in tablespaces.items()}
        write_file(f"{staging}/tablespace_map", "".join(f"{oid} {place}\n" for oid, place in escaped.items()), mode)


def finish(staging: str, record: RestoreRecord, mount_point: str | None) -> None:
    """Make everything durable, and only then mark the staging directory complete.

    Entries named ``pgark.*`` are what earlier restores left in a mount point when the backup was taken; they stay out.
    """
    for path in (*record.places, staging):
        sync_tree(path)
    noted = recorded(staging)
    inode = os.stat(staging if mount_point is None else mount_point).st_ino
    entries = tuple(sorted(name for name in os.listdir(staging) if not name.startswith("pgark.")))
    whole = replace(record, inode=inode, entries=entries, overrides=noted.overrides, own=noted.own)
    note(staging, whole)


def note(staging: str, record: RestoreRecord) -> None:
    """Write a record that was planned, with what has been found out about settings since."""
    found = recorded(staging)
    write_record(staging, replace(record, needed=found.needed, raised=found.raised))


def swap_entries(path: str, staging: str, previous: str, entries: tuple[str, ...]) -> None:
    """Exchange the entries of a directory that cannot be renamed; run again, it goes on where it was interrupted."""
    move_out(path, staging, previous, entries)
    move_in(path, staging, entries, last=RECORD)
    remove_tree(staging)


def move_out(path: str, source: str, aside: str, entries: tuple[str, ...]) -> None:
    """Move the old entries of a mount point to ``aside``; the new ones, named in ``entries``, come from ``source``.

    Which data an entry belongs to follows from what is left in ``source``: a name of the new data that is not there any
    more has been moved in. ``global`` goes first, so that nothing can start meanwhile.
    """
    if not os.path.isdir(aside):
        make_directory(aside, _PRIVATE)
    for name in sorted(os.listdir(path), key=lambda name: name != "global"):
        moved_in = name in entries and not os.path.lexists(f"{source}/{name}")
        if name != "lost+found" and not moved_in and not name.startswith("pgark."):
            _move_out(path, aside, name)
    settle(aside)


def _move_out(path: str, aside: str, name: str) -> None:
    """Move an entry; look for a server before the first one, and after it, without which none can start any more."""
    if name != "global":
        return rename(f"{path}/{name}", f"{aside}/{name}")
    look(path)
    rename(f"{path}/{name}", f"{aside}/{name}")
    try:
        look(path)
    except Error:
        rename(f"{aside}/{name}", f"{path}/{name}")
        raise
    return None


def move_in(path: str, source: str, entries: tuple[str, ...], last: str) -> None:
    """Move new entries into a mount point, one of them when all others are there."""
    for name in sorted(entries, key=lambda name: name == last):
        if os.path.lexists(f"{source}/{name}"):
            rename(f"{source}/{name}", f"{path}/{name}")


def release_control(path: str) -> None:
    """Give the control file its name: the last step, after which the directory is a cluster."""
    if os.path.exists(f"{path}/{HELD_CONTROL}"):
        rename(f"{path}/{HELD_CONTROL}", f"{path}/{CONTROL}")
