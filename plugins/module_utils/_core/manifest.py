# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backup manifest, in which PostgreSQL lists what a base backup is made of.

Source of the facts: "Backup Manifest Format" (chapter 75 of PostgreSQL 17's manual).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from .._errors import InvalidValue
from .wal import Lsn, SegmentName


@dataclass(frozen=True)
class FileEntry:
    """A file of the backup: its size in bytes and the SHA-256 of its content, in lower-case hexadecimal digits."""

    size: int
    sha256: str


@dataclass(frozen=True)
class WalNeed:
    """The WAL without which the backup is not consistent."""

    timeline: int
    start: Lsn
    end: Lsn

    def segments(self, segment_size: int) -> tuple[str, ...]:
        """Name the segments, oldest first."""
        name = SegmentName.containing(self.timeline, self.start, segment_size)
        last = SegmentName.ending_at(self.timeline, self.end, segment_size)
        count = last.number(segment_size) - name.number(segment_size) + 1
        numbers = range(name.number(segment_size), name.number(segment_size) + count)
        return tuple(str(SegmentName.numbered(self.timeline, number, segment_size)) for number in numbers)


@dataclass(frozen=True)
class Manifest:
    """What a manifest says: every file by its path relative to PGDATA, and the WAL that is needed."""

    files: dict[str, FileEntry]
    wal: tuple[WalNeed, ...]

    @property
    def size(self) -> int:
        """The bytes of all files once they are restored."""
        return sum(entry.size for entry in self.files.values())

    @classmethod
    def parse(cls, text: str) -> Manifest:
        """Read a manifest that was written with ``--manifest-checksums=SHA256``."""
        try:
            return cls._build(json.loads(text))
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidValue(f"the backup manifest cannot be read: {error!r}") from None

    @classmethod
    def _build(cls, document: dict[str, list[dict[str, str]]]) -> Manifest:
        files = {_path(entry): _entry(entry) for entry in document["Files"]}
        wal = tuple(
            WalNeed(int(need["Timeline"]), Lsn.parse(need["Start-LSN"]), Lsn.parse(need["End-LSN"]))
            for need in document["WAL-Ranges"]
        )
        if not files or not wal:
            raise ValueError("no files or no WAL range listed")
        return cls(files, wal)


def _path(entry: dict[str, str]) -> str:
    if "Path" in entry:
        return entry["Path"]
    return bytes.fromhex(entry["Encoded-Path"]).decode("utf-8", "surrogateescape")


def _entry(entry: dict[str, str]) -> FileEntry:
    if entry["Checksum-Algorithm"] != "SHA256":
        raise ValueError(f"'{entry.get('Path')}' has a {entry['Checksum-Algorithm']} checksum, expected SHA256")
    return FileEntry(int(entry["Size"]), entry["Checksum"])


def compare(listed: dict[str, FileEntry], found: Iterable[tuple[str, FileEntry]]) -> list[str]:
    """Name every difference between the manifest and the files that were found; an empty list means none."""
    seen, problems = set(), []
    for path, entry in found:
        seen.add(path)
        if path not in listed:
            problems.append(f"'{path}' is in the backup but not in its manifest")
        elif entry.size != listed[path].size:
            problems.append(f"'{path}' has {entry.size} bytes, the manifest says {listed[path].size}")
        elif entry.sha256 != listed[path].sha256:
            problems.append(f"'{path}' has another SHA-256 than the manifest says")
    return problems + [f"'{path}' is in the manifest but not in the backup" for path in sorted(set(listed) - seen)]
