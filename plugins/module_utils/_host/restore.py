# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stage a backup beside a data directory, and switch the two."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from .._core.data_directory import HELD_CONTROL, RECORD, RestoreRecord
from .._core.layout import Layout
from .._core.manifest import Manifest
from .._core.recovery_settings import automatic_value, recovery_configuration
from .._core.wal import SegmentName, classify
from .._errors import CommandFailed, Error
from .backup import opened, read_manifest, sha256_of, tar_files
from .cluster import read_record, write_record
from .files import make_directory, remove_tree, rename, sync, sync_tree, write_file
from .repository import has_segment
from .runner import CommandRunner
from .tools import pg_verifybackup_cmd, tar_extract_cmd, wal_program_cmd

CONTROL = "global/pg_control"
_PRIVATE = 0o700
# xlp_magic, xlp_info, xlp_tli, xlp_pageaddr: XLogPageHeaderData in src/include/access/xlog_internal.h
_PAGE_HEADER = struct.Struct("=HHIQ")


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
    write_record(staging, record)


def unpack(backup: str, staging: str, tablespaces: Mapping[str, str], wal: str | None, runner: CommandRunner) -> None:
    """Unpack a backup; its control file gets another name, so that the directory cannot start.

    A record in the backup is that of an earlier restore. It stays packed: in place of the staging directory's own it
    would name the directories of that restore, perhaps those in use now, as belonging to this one.
    """
    archives = tar_files(backup)
    held = f"--transform=s,^{CONTROL}$,{HELD_CONTROL},"
    _extract(archives["base"], staging, runner, held, "--anchored", f"--exclude={RECORD}")
    for oid, place in tablespaces.items():
        make_directory(place, _PRIVATE)
        _extract(archives[oid], place, runner)
        _relink(f"{staging}/pg_tblspc/{oid}", place)
    if wal is not None:
        make_directory(wal, _PRIVATE)
        make_directory(f"{wal}/archive_status", _PRIVATE)
        _relink(f"{staging}/pg_wal", wal)
    _extract(archives["pg_wal"], f"{staging}/pg_wal", runner)


def _extract(archive: str, directory: str, runner: CommandRunner, *options: str) -> None:
    try:
        with opened(archive, runner) as stream:
            runner.run(tar_extract_cmd(directory, *options), source=stream)
    except CommandFailed as error:
        raise Error(f"{archive} cannot be unpacked: {error.message}", error.hint) from None


def _relink(link: str, target: str) -> None:
    if os.path.isdir(link) and not os.path.islink(link):
        shutil.rmtree(link)
    elif os.path.lexists(link):
        os.unlink(link)
    os.symlink(target, link)


def verify(staging: str, backup: str, manifest_sha256: str, bin_directory: str, runner: CommandRunner) -> None:
    """Verify a staging directory with pg_verifybackup; the control file, which has another name, is verified here."""
    manifest, digest = read_manifest(backup)
    if digest != manifest_sha256:
        raise Error(
            f"{backup}/backup_manifest was changed: its SHA-256 is {digest}, backup.json says {manifest_sha256}",
            "this backup cannot be trusted; restore from another one with backup_label",
        )
    _verify_control(staging, manifest)
    argv = pg_verifybackup_cmd(bin_directory, staging, f"{backup}/backup_manifest", [CONTROL, HELD_CONTROL, RECORD])
    try:
        runner.run(argv)
    except CommandFailed as error:
        raise Error(
            f"the backup {backup} is not good: {error.message}", "restore from another one with backup_label"
        ) from None


def _verify_control(staging: str, manifest: Manifest) -> None:
    with open(f"{staging}/{HELD_CONTROL}", "rb") as file:
        found = sha256_of(file)
    if found != manifest.files[CONTROL]:
        raise Error(
            f"{CONTROL} of the backup differs from its manifest", "restore from another backup with backup_label"
        )


def configure(
    staging: str, settings: Mapping[str, str], overrides: Mapping[str, str], tablespaces: Mapping[str, str]
) -> None:
    """Write recovery settings, ``recovery.signal`` and the tablespaces' new places, and note what was overridden.

    The server makes the links of ``pg_tblspc`` from ``tablespace_map`` when it starts from a backup; a backslash
    escapes itself there: ``read_tablespace_map`` in ``src/backend/access/transam/xlogrecovery.c``.
    """
    path = f"{staging}/postgresql.auto.conf"
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        text = file.read()
    before = {name: automatic_value(text, name) for name in overrides}
    write_record(staging, replace(_recorded(staging), overrides=before))
    write_file(path, recovery_configuration(text, {**settings, **overrides}), 0o600)
    write_file(f"{staging}/recovery.signal", "", 0o600)
    if tablespaces:
        escaped = {oid: place.replace("\\", "\\\\") for oid, place in tablespaces.items()}
        write_file(f"{staging}/tablespace_map", "".join(f"{oid} {place}\n" for oid, place in escaped.items()), 0o600)


def finish(staging: str, record: RestoreRecord, mount_point: str | None) -> None:
    """Make everything durable, and only then mark the staging directory complete.

    Entries named ``pgark.*`` are what earlier restores left in a mount point when the backup was taken; they stay out.
    """
    for path in (*record.places, staging):
        sync_tree(path)
    inode = os.stat(staging if mount_point is None else mount_point).st_ino
    entries = tuple(sorted(name for name in os.listdir(staging) if not name.startswith("pgark.")))
    write_record(staging, replace(record, inode=inode, entries=entries, overrides=_recorded(staging).overrides))


def _recorded(staging: str) -> RestoreRecord:
    record = read_record(staging)
    if record is None:
        raise Error(f"{staging} has no record of a restore any more", "run the restore again")
    return record


def discard(staging: str, places: tuple[str, ...]) -> None:
    """Remove what is staged. Its record stays, and says from the beginning that nothing whole is there.

    From the record the places outside are known until they are gone, and it tells where the data is that a restore
    has set aside; the next staging replaces it.
    """
    write_record(staging, replace(_recorded(staging), complete=False))
    for place in places:
        remove_tree(place)
    for name in os.listdir(staging):
        if name != RECORD:
            remove_tree(f"{staging}/{name}")


@dataclass(frozen=True)
class WalSaver:
    """Save the WAL of an old data directory: archive what waits, copy what is neither archived nor in the new one."""

    old: str
    new: str
    layouts: tuple[Layout, ...]
    program: str
    runner: CommandRunner

    def run(self) -> None:
        """Save; a segment that cannot be archived is copied all the same."""
        if not os.path.isdir(f"{self.new}/pg_wal"):
            return  # an exchange that was interrupted has moved it into place, with all that was saved
        directory = f"{self.old}/pg_wal"
        for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
            if classify(name) in ("segment", "history"):
                self._save(name)
        sync(f"{self.new}/pg_wal")

    def _save(self, name: str) -> None:
        if os.path.exists(f"{self.old}/pg_wal/archive_status/{name}.ready"):
            repositories = [layout.repository for layout in self.layouts]
            argv = wal_program_cmd(self.program, "push", repositories, self.layouts[0].cluster, f"pg_wal/{name}")
            with suppress(CommandFailed):  # a program that is missing, or refuses: then the segment is copied
                self.runner.run(argv, directory=self.old)
        place = f"{self.new}/pg_wal/{name}"
        if not self._is_archived(name) and not os.path.exists(place) and self._is_itself(name):
            temporary = f"{place}.saving"
            shutil.copyfile(f"{self.old}/pg_wal/{name}", temporary)
            sync(temporary)
            os.rename(temporary, place)

    def _is_archived(self, name: str) -> bool:
        """Tell whether every repository has it; one that cannot be looked into, other than the first, counts as empty.

        What is copied although the first one has it is archived again by the restored server, in those that lack it.
        """
        first, *others = self.layouts
        try:
            return has_segment(first, name) and all(has_segment(layout, name) for layout in others)
        except OSError:
            if not others:
                raise
            return False

    def _is_itself(self, name: str) -> bool:
        """Tell a written segment from one that was recycled: renamed ahead of use, its pages are still the old ones."""
        if classify(name) == "history":
            return True
        with open(f"{self.old}/pg_wal/{name}", "rb") as file:
            header = file.read(_PAGE_HEADER.size)
            size = os.fstat(file.fileno()).st_size
        if len(header) < _PAGE_HEADER.size:
            return False
        address: int = _PAGE_HEADER.unpack(header)[3]
        return address == SegmentName.parse(name).start_lsn(size).value


def restore_configuration(backup: str, directory: str) -> None:
    """Copy the configuration files of a backup to where they are missing."""
    source = f"{backup}/config"
    for base, _directories, names in os.walk(source):
        target = os.path.normpath(os.path.join(directory, os.path.relpath(base, source)))
        os.makedirs(target, mode=_PRIVATE, exist_ok=True)
        for name in names:
            if not os.path.exists(os.path.join(target, name)):
                with open(os.path.join(base, name), encoding="utf-8", errors="surrogateescape") as file:
                    write_file(os.path.join(target, name), file.read(), 0o600)


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
    make_directory(aside, _PRIVATE)
    for name in sorted(os.listdir(path), key=lambda name: name != "global"):
        moved_in = name in entries and not os.path.lexists(f"{source}/{name}")
        if name != "lost+found" and not moved_in and not name.startswith("pgark."):
            rename(f"{path}/{name}", f"{aside}/{name}")


def move_in(path: str, source: str, entries: tuple[str, ...], last: str) -> None:
    """Move new entries into a mount point, one of them when all others are there."""
    for name in sorted(entries, key=lambda name: name == last):
        if os.path.lexists(f"{source}/{name}"):
            rename(f"{source}/{name}", f"{path}/{name}")


def release_control(path: str) -> None:
    """Give the control file its name: the last step, after which the directory is a cluster."""
    if os.path.exists(f"{path}/{HELD_CONTROL}"):
        rename(f"{path}/{HELD_CONTROL}", f"{path}/{CONTROL}")
