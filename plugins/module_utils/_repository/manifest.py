# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backup manifest, in which PostgreSQL lists what a base backup is made of.

Source of the facts: "Backup Manifest Format" (chapter 75 of PostgreSQL 17's manual).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidValue
from .._values.documents import TIMELINE, Unfit, lsn, matching, number, parse_document, text
from .._values.file_entry import FileEntry
from .._wal.names import Lsn, SegmentName, is_span

_SIZE = number(0, (1 << 63) - 1)
_IDENTIFIER = number(1, (1 << 64) - 1)
_CHECKSUM = matching("[0-9a-f]{64}", "64 hexadecimal digits")


@dataclass(frozen=True)
class WalNeed:
    """The WAL without which the backup is not consistent."""

    timeline: int
    start: Lsn
    end: Lsn

    def numbers(self, segment_size: int) -> range:
        """Give the numbers of the segments, counted from the beginning of the log."""
        return range(self.start.value // segment_size, (self.end.value - 1) // segment_size + 1)

    def segments(self, segment_size: int) -> tuple[str, ...]:
        """Name the segments, oldest first."""
        numbers = self.numbers(segment_size)
        return tuple(str(SegmentName.numbered(self.timeline, number, segment_size)) for number in numbers)


@dataclass(frozen=True)
class Manifest:
    """What a manifest says: every file by its path relative to PGDATA, and the WAL that is needed.

    The system identifier is there from PostgreSQL 17 on.
    """

    files: dict[str, FileEntry]
    wal: tuple[WalNeed, ...]
    system_identifier: str | None = None

    @property
    def size(self) -> int:
        """The bytes of all files once they are restored."""
        return sum(entry.size for entry in self.files.values())

    @classmethod
    def parse(cls, content: bytes) -> Manifest:
        """Read a manifest that was written with ``--manifest-checksums=SHA256``."""
        try:
            return cls._build(parse_document("the backup manifest", content))
        except InvalidValue:
            raise
        except Unfit as error:
            raise InvalidValue(f"the backup manifest cannot be read: it has a value that is not {error}") from None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InvalidValue(f"the backup manifest cannot be read: {error!r}") from None

    @classmethod
    def _build(cls, document: dict[str, Any]) -> Manifest:
        files = {_path(entry): _entry(entry) for entry in document["Files"]}
        wal = tuple(_need(need) for need in document["WAL-Ranges"])
        if not files or not wal:
            raise ValueError("no files or no WAL range listed")
        identifier = document.get("System-Identifier")
        return cls(files, wal, None if identifier is None else str(_IDENTIFIER(identifier)))


def _path(entry: dict[str, Any]) -> str:
    if "Path" in entry:
        return text(entry["Path"])
    return text(bytes.fromhex(entry["Encoded-Path"]).decode("utf-8", "surrogateescape"))


def _entry(entry: dict[str, Any]) -> FileEntry:
    if entry["Checksum-Algorithm"] != "SHA256":
        raise ValueError(f"'{entry.get('Path')}' has a {entry['Checksum-Algorithm']} checksum, expected SHA256")
    return FileEntry(_SIZE(entry["Size"]), _CHECKSUM(entry["Checksum"]))


def _need(entry: dict[str, Any]) -> WalNeed:
    need = WalNeed(TIMELINE(entry["Timeline"]), lsn(entry["Start-LSN"]), lsn(entry["End-LSN"]))
    if need.start != need.end and not is_span(need.start, need.end):
        raise ValueError(f"a WAL range from {need.start} to {need.end}")
    return need


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
