# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The headers in PostgreSQL's tar files, and nothing else that may be called tar.

Source of the facts: ``tarCreateHeader`` and ``print_tar_number`` in ``src/port/tar.c``. It writes plain ustar: files,
directories and symbolic links, with names of up to 99 bytes and no extension of any kind.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .._errors import InvalidValue

BLOCK = 512
_MAGIC = b"ustar\x0000"
_KINDS = {b"0": "file", b"5": "directory", b"2": "link"}
_OCTAL = re.compile(rb"[0-7]+")
_CHECKSUM = slice(148, 156)
_SHOWN = 100


@dataclass(frozen=True)
class Member:
    """One entry of an archive: ``kind`` is ``file``, ``directory`` or ``link``, ``size`` is in bytes.

    The slash that PostgreSQL puts behind the names of directories and links is not a part of ``name``.
    """

    name: str
    kind: str
    mode: int
    size: int

    @property
    def padding(self) -> int:
        """The bytes that fill its last block."""
        return -self.size % BLOCK


def parse_header(block: bytes) -> Member | None:
    r"""Read a header, which is a block of 512 bytes; None for one of zeros, of which two end an archive.

    Raises InvalidValue for what PostgreSQL does not write.

    >>> parse_header(bytes(512)) is None
    True
    """
    if not any(block):
        return None
    if _number(block[_CHECKSUM], "checksum") != _checksum(block):
        raise InvalidValue("what should be a tar header has a wrong checksum")
    if block[257:265] != _MAGIC or any(block[345:]):
        raise InvalidValue("a tar header is not in the plain ustar form that PostgreSQL writes")
    name = _name(block[:100])
    kind = _KINDS.get(block[156:157])
    if kind is None:
        raise InvalidValue(
            f"'{name}' is of type {block[156:157]!r}; PostgreSQL packs files, directories and symbolic links"
        )
    size = _number(block[124:136], f"size of '{name}'")
    if size and kind != "file":
        raise InvalidValue(f"'{name}' is a {kind} with a content of {size} bytes")
    return Member(
        name.rstrip("/") if kind != "file" else name, kind, _number(block[100:108], f"mode of '{name}'"), size
    )


def _checksum(block: bytes) -> int:
    """Add up the bytes; those of the checksum itself count as spaces."""
    return sum(block) - sum(block[_CHECKSUM]) + ord(" ") * 8


def _name(field: bytes) -> str:
    """Read up to the first zero: what pg_basebackup has renamed since has the rest of a longer name behind it."""
    name = field.partition(b"\0")[0]
    if not name:
        raise InvalidValue(f"a tar header has no proper name: {field[:_SHOWN]!r}")
    return name.decode("utf-8", "surrogateescape")


def _number(field: bytes, what: str) -> int:
    """Read octal digits, or, of what takes more of them than there is room for, bytes behind one with the high bit."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.rstrip(b" \0")
    if not _OCTAL.fullmatch(digits):
        raise InvalidValue(f"a tar header has no proper {what}: {field!r}")
    return int(digits, 8)
