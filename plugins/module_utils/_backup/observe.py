# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take, verify and publish a base backup."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime

from .._configuration.files import Kept
from .._errors import Error, InvalidValue
from .._host.digests import hashed
from .._host.files import directories_in, remove_tree, rename, sync_tree, write_json
from .._host.runner import CommandRunner
from .._host.tools import compress_cmd
from .._repository.catalog import Backup
from .._repository.layout import SUFFIXES
from .._repository.manifest import Manifest, WalNeed, compare
from .._repository.observe_manifest import read_manifest
from .._values.file_entry import FileEntry
from .._wal.names import SegmentName
from .members import BASE, WAL, place_of
from .tarstream import members, tar_files

_CHUNK = 1024 * 1024
_SHOWN_PROBLEMS = 10


def tablespaces_in(directory: str, known: Mapping[str, str]) -> dict[str, str]:
    """Give the places of the tablespaces that are in a backup, by oid; ``known`` are those that the server had."""
    found = [archive for archive in tar_files(directory) if archive not in (BASE, WAL)]
    for oid in found:
        if oid not in known:
            raise Error(
                f"tablespace {oid} was created and dropped while the backup was taken, and its place is not known",
                "take the backup again",
            )
    return {oid: known[oid] for oid in found}


def tar_entries(directory: str, runner: CommandRunner) -> list[tuple[str, FileEntry]]:
    """Hash every file of a backup's tar files, the WAL excepted; paths are relative to PGDATA."""
    found = []
    for name, path in tar_files(directory).items():
        if name != WAL:
            prefix = "" if name == BASE else f"pg_tblspc/{name}/"
            found += [(prefix + member, entry) for member, entry in _hashed(name, path, runner)]
    return found


def _hashed(archive: str, path: str, runner: CommandRunner) -> list[tuple[str, FileEntry]]:
    """Hash the files of an archive, which has nothing in it that a restore would not unpack."""
    found = []
    with _whole(path), closing(members(path, runner)) as entries:
        for member, content in entries:
            place_of(member, archive)
            if member.kind == "file":
                found.append((member.name, hashed(content)))
    return found


@contextmanager
def _whole(path: str) -> Iterator[None]:
    """Say which archive it is that cannot be read."""
    try:
        yield
    except InvalidValue as error:
        raise Error(f"{path} is not a whole tar file: {error.message}", error.hint) from None


def wal_names(directory: str, runner: CommandRunner) -> set[str]:
    """Name the files in the WAL that was streamed into a backup."""
    path = tar_files(directory)[WAL]
    with _whole(path), closing(members(path, runner)) as entries:
        return {os.path.basename(str(place_of(member, WAL))) for member, _content in entries}


@contextmanager
def removed_on_failure(directory: str) -> Iterator[None]:
    """Remove what there is of a backup that cannot be finished: it takes the room that WAL needs."""
    try:
        yield
    except (Error, OSError):
        remove_tree(directory)
        raise


def compress_wal(directory: str, compression: str, runner: CommandRunner) -> None:
    """Compress the WAL in a backup that nobody sees yet, unless it is: pg_basebackup of 14 and older does it itself."""
    path = tar_files(directory)[WAL]
    if os.path.splitext(path)[1] != ".tar":
        return
    with open(path, "rb") as source, open(path + SUFFIXES[compression], "xb") as target:
        runner.run(compress_cmd(compression), source=source, target=target)
    os.unlink(path)


def verify(directory: str, manifest: Manifest, segment_size: int, runner: CommandRunner) -> None:
    """Compare a backup with its manifest: every file by size and SHA-256, and the WAL it needs by name."""
    problems = compare(manifest.files, tar_entries(directory, runner))
    streamed = wal_names(directory, runner)
    needed = [name for need in manifest.wal for name in need.segments(segment_size)]
    problems += [f"segment {name} is needed and not in the backup" for name in needed if name not in streamed]
    if problems:
        more = len(problems) - _SHOWN_PROBLEMS
        shown = problems[:_SHOWN_PROBLEMS] + ([f"and {more} more"] if more > 0 else [])
        raise Error(f"the backup in {directory} is not good: {'; '.join(shown)}")


def describe(
    directory: str,
    label: str,
    kind: str,
    compression: str,
    cluster: tuple[str, int, dict[str, str]],
    times: tuple[datetime, datetime],
    kept: Kept,
) -> tuple[Backup, Manifest]:
    """Gather the facts about a backup.

    ``cluster`` is system identifier, version and tablespaces; ``times`` are those of start and stop; ``kept`` is the
    configuration outside of the data directory, which is in the backup already.
    """
    manifest, digest = read_manifest(directory)
    first, last = manifest.wal[0], manifest.wal[-1]
    identifier, version, tablespaces = cluster
    stored = sum(entry.stat().st_size for entry in os.scandir(directory) if entry.is_file())
    backup = Backup(
        *(label, kind, identifier, version, last.timeline, first.start, last.end, *times),
        *(compression, manifest.size, stored, digest, kept.origin, tablespaces),
        configuration=tuple(kept.files),
    )
    return backup, manifest


def last_segment(need: WalNeed, segment_size: int) -> SegmentName:
    """Name the segment that ends the backup."""
    return SegmentName.ending_at(need.timeline, need.end, segment_size)


def write_description(directory: str, backup: Backup) -> None:
    """Write ``backup.json``."""
    write_json(f"{directory}/backup.json", backup.sealed(), 0o640)


def publish(partial: str, final: str) -> None:
    """Give a backup the access of the directory it is in, make it durable, and give it its name."""
    mode = stat.S_IMODE(os.stat(os.path.dirname(final)).st_mode)
    for directory in list(directories_in(partial)):
        os.chmod(directory, mode)
        with os.scandir(directory) as entries:
            files = [entry.path for entry in entries if not entry.is_dir(follow_symlinks=False)]
        for file in files:
            os.chmod(file, mode & 0o640)
    sync_tree(partial)
    rename(partial, final)
