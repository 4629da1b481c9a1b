# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Base backups, segments and directories in PostgreSQL's form, made of a few small files."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePath

from ansible_collections.pgark.postgres.plugins.module_utils._repository.manifest import Manifest
from ansible_collections.pgark.postgres.plugins.module_utils._repository.observe_manifest import read_manifest
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import SegmentName

SUFFIXES = {"none": "", "gzip": ".gz", "zstd": ".zst", "lz4": ".lz4"}
SEGMENT = "000000010000000000000002"
FILES = {
    "backup_label": b"START WAL LOCATION: 0/2000028\n",
    "PG_VERSION": b"17\n",
    "base/1/1259": b"pg_class" * 1024,
    "global/pg_control": b"control" * 100,
    "postgresql.auto.conf": b"work_mem = '4MB'\nrestore_command = 'old'\n",
}
TABLESPACE = {"PG_17_202406281/5/16385": b"in a tablespace" * 100}
WAL = {SEGMENT: b"WAL" * 5000}


def fill(directory: Path, files: dict[str, str]) -> None:
    """Write files below a directory, which need not exist yet."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def contents(directory: Path) -> dict[str, str]:
    """Give the files below a directory with their content, and its empty directories."""
    found = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            found[str(path.relative_to(directory))] = path.read_text(errors="replace")
        elif path.is_dir() and not any(path.iterdir()):
            found[f"{path.relative_to(directory)}/"] = ""
    return found


TINY = 4096


def segment(number: int, written: int | None = None) -> bytes:
    """Make a tiny segment of timeline 1; ``written`` is the number in its page header, another one when recycled."""
    address = (number if written is None else written) * TINY
    return struct.pack("=HHIQ", 0xD116, 0, 1, address).ljust(TINY, b"x")


def name_of(number: int) -> str:
    """Name a tiny segment."""
    return str(SegmentName.numbered(1, number, TINY))


class SyntheticBackup:
    """A directory with tar files and a manifest; what a test changes is packed again, the manifest is not."""

    def __init__(self, directory: Path, compression: str = "none") -> None:
        self.directory = directory
        self.compression = compression
        self.mode = 0o600
        self.archives: dict[str, dict[str, bytes]] = {
            "base": dict(FILES),
            "16384": dict(TABLESPACE),
            "pg_wal": dict(WAL),
        }
        directory.mkdir()
        self.pack()
        self.write_manifest()

    def pack(self, padding: int = 0) -> None:
        """Write every tar file, with some zeros more at the end."""
        for name, files in self.archives.items():
            content = _tar(files, name, self.mode) + bytes(padding)
            self.tar(name).write_bytes(self._compressed(content))

    def tar(self, name: str) -> Path:
        """The path of a tar file."""
        return self.directory / f"{name}.tar{SUFFIXES[self.compression]}"

    def write_manifest(self) -> None:
        """List the files as they are now."""
        listed = {
            **self.archives["base"],
            **{f"pg_tblspc/16384/{path}": content for path, content in self.archives["16384"].items()},
        }
        document = {
            "PostgreSQL-Backup-Manifest-Version": 2,
            "Files": [
                {
                    "Path": path,
                    "Size": len(content),
                    "Checksum-Algorithm": "SHA256",
                    "Checksum": hashlib.sha256(content).hexdigest(),
                }
                for path, content in listed.items()
            ],
            "WAL-Ranges": [{"Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100"}],
        }
        (self.directory / "backup_manifest").write_text(json.dumps(document))

    @property
    def manifest(self) -> Manifest:
        """The manifest as it is on disk."""
        return read_manifest(str(self.directory))[0]

    def _compressed(self, content: bytes) -> bytes:
        if self.compression == "none":
            return content
        return subprocess.run([self.compression, "-c", "-q"], input=content, capture_output=True, check=True).stdout


def _tar(files: Mapping[str, bytes], name: str, mode: int) -> bytes:
    """Pack files as PostgreSQL does; the base archive also has empty directories, and a link to its tablespace."""
    buffer = io.BytesIO()
    above = {str(parent) for path in files for parent in PurePath(path).parents} if name != "pg_wal" else set()
    empty = {"base", "global", "pg_tblspc", "pg_wal", "./pg_wal/archive_status"} if name == "base" else set()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in files.keys() & {"backup_label"}:  # which the server sends first
            add(archive, path, tarfile.REGTYPE, mode, files[path])
        for directory in sorted((above | empty) - {"."}, key=lambda path: path.removeprefix("./")):
            add(archive, directory, tarfile.DIRTYPE, mode | (mode & 0o444) >> 2)
        if name == "base":
            add(archive, "pg_tblspc/16384", tarfile.SYMTYPE, 0o777, link="/nowhere/old tablespace")
        for path, content in files.items():
            if path != "backup_label":
                add(archive, path, tarfile.REGTYPE, mode, content)
    return buffer.getvalue()


def add(archive: tarfile.TarFile, name: str, kind: bytes, mode: int, content: bytes = b"", link: str = "") -> None:
    """Add a member to an archive."""
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.size, member.linkname = kind, mode, len(content), link
    archive.addfile(member, io.BytesIO(content))
