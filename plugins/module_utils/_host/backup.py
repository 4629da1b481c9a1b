# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take, verify and publish a base backup."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import IO

from .._core.catalog import Backup
from .._core.manifest import FileEntry, Manifest, WalNeed, compare
from .._core.wal import SegmentName
from .._errors import Error
from .files import rename, sync_tree, write_json
from .runner import CommandRunner
from .tools import decompress_cmd

_CHUNK = 1024 * 1024
_SHOWN_PROBLEMS = 10
_SUFFIXES = {".zst": "zstd", ".lz4": "lz4", ".gz": "gzip"}


def tar_files(directory: str) -> dict[str, str]:
    """Give the tar files of a backup by what they hold: ``base``, ``pg_wal`` or the oid of a tablespace."""
    names = [name for name in sorted(os.listdir(directory)) if ".tar" in name]
    return {name.partition(".tar")[0]: os.path.join(directory, name) for name in names}


@contextmanager
def opened(path: str, runner: CommandRunner) -> Iterator[IO[bytes]]:
    """Open a tar file for reading in one direction, decompressed by the program that its suffix asks for."""
    compression = _SUFFIXES.get(os.path.splitext(path)[1])
    try:
        with open(path, "rb") as source:
            if compression is None:
                yield source
            else:
                with runner.reading(decompress_cmd(compression), source) as stream:
                    yield stream
                    while stream.read(_CHUNK):  # to the end, where the checksum of the compressed stream is
                        pass
    except tarfile.TarError as error:
        raise Error(f"{path} is not a whole tar file: {error}") from None


def sha256_of(stream: IO[bytes]) -> FileEntry:
    """Read a stream to its end and give its size and SHA-256."""
    digest, size = hashlib.sha256(), 0
    while True:
        chunk = stream.read(_CHUNK)
        if not chunk:
            return FileEntry(size, digest.hexdigest())
        digest.update(chunk)
        size += len(chunk)


def tar_entries(directory: str, runner: CommandRunner) -> list[tuple[str, FileEntry]]:
    """Hash every file of a backup's tar files, the WAL excepted; paths are relative to PGDATA."""
    found = []
    for name, path in tar_files(directory).items():
        if name != "pg_wal":
            prefix = "" if name == "base" else f"pg_tblspc/{name}/"
            found += [(prefix + member, entry) for member, entry in _hashed(path, runner)]
    return found


def _hashed(path: str, runner: CommandRunner) -> list[tuple[str, FileEntry]]:
    found = []
    with opened(path, runner) as stream, tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            if content is not None:
                found.append((member.name, sha256_of(content)))
    return found


def wal_names(directory: str, runner: CommandRunner) -> set[str]:
    """Name the files in the WAL that was streamed into a backup."""
    with opened(tar_files(directory)["pg_wal"], runner) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        return {os.path.basename(member.name) for member in archive}


def read_manifest(directory: str) -> tuple[Manifest, str]:
    """Read a backup's manifest, and give the SHA-256 of its text."""
    with open(f"{directory}/backup_manifest", "rb") as file:
        content = file.read()
    return Manifest.parse(content.decode("utf-8", "surrogateescape")), hashlib.sha256(content).hexdigest()


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
) -> tuple[Backup, Manifest]:
    """Gather the facts about a backup.

    ``cluster`` is system identifier, version and tablespaces; ``times`` are those of start and stop.
    """
    manifest, digest = read_manifest(directory)
    first, last = manifest.wal[0], manifest.wal[-1]
    identifier, version, tablespaces = cluster
    stored = sum(entry.stat().st_size for entry in os.scandir(directory) if entry.is_file())
    backup = Backup(
        *(label, kind, identifier, version, last.timeline, first.start, last.end, *times),
        *(compression, manifest.size, stored, digest, tablespaces),
    )
    return backup, manifest


def last_segment(need: WalNeed, segment_size: int) -> SegmentName:
    """Name the segment that ends the backup."""
    return SegmentName.ending_at(need.timeline, need.end, segment_size)


def write_description(directory: str, backup: Backup) -> None:
    """Write ``backup.json``."""
    write_json(f"{directory}/backup.json", backup.as_document(), 0o640)


def copy_configuration(files: list[str], data_directory: str, target: str) -> None:
    """Copy the configuration files outside a data directory, keeping their places below the directory they share."""
    real = os.path.realpath(data_directory)
    outside = [path for path in files if os.path.isfile(path) and not os.path.realpath(path).startswith(real + "/")]
    root = os.path.commonpath([os.path.dirname(path) for path in outside]) if outside else ""
    for path in outside:
        place = os.path.join(target, "config", os.path.relpath(path, root))
        os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
        shutil.copyfile(path, place)
        os.chmod(place, 0o600)


def publish(partial: str, final: str) -> None:
    """Give a backup the access of the directory it is in, make it durable, and give it its name."""
    mode = stat.S_IMODE(os.stat(os.path.dirname(final)).st_mode)
    for directory, _directories, names in os.walk(partial):
        os.chmod(directory, mode)
        for name in names:
            os.chmod(os.path.join(directory, name), mode & 0o640)
    sync_tree(partial)
    rename(partial, final)
