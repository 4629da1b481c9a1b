# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Headers are read as PostgreSQL writes them, and everything else that tar knows is refused."""

from __future__ import annotations

import tarfile
from typing import Any

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._backup.tarheader import Member, parse_header
from ansible_collections.pgark.postgres.plugins.module_utils._errors import InvalidValue


def header(name: str, form: int = tarfile.USTAR_FORMAT, **values: Any) -> bytes:
    """Write the first header of a member."""
    member = tarfile.TarInfo(name)
    for each, value in {"mode": 0o600, **values}.items():
        setattr(member, each, value)
    return member.tobuf(form, errors="surrogateescape")[:512]


def changed(block: bytes, at: int, content: bytes) -> bytes:
    """Replace some bytes of a header, and correct its checksum."""
    block = block[:at] + content + block[at + len(content) :]
    total = sum(block[:148]) + 8 * 32 + sum(block[156:])
    return block[:148] + b"%06o\0 " % total + block[156:]


FILE = header("base/1/1259", size=8192)

READ = [
    (FILE, Member("base/1/1259", "file", 0o600, 8192)),
    (header("base", type=tarfile.DIRTYPE, mode=0o750), Member("base", "directory", 0o750, 0)),
    (header("pg_tblspc/1/", type=tarfile.SYMTYPE, linkname="/ts"), Member("pg_tblspc/1", "link", 0o600, 0)),
    (header("x" * 99), Member("x" * 99, "file", 0o600, 0)),
    (header("a b\n\udcff"), Member("a b\n\udcff", "file", 0o600, 0)),
    # What is too large for octal digits: print_tar_number in src/port/tar.c.
    (changed(FILE, 124, b"\x80" + (9 << 30).to_bytes(11, "big")), Member("base/1/1259", "file", 0o600, 9 << 30)),
    # What pg_basebackup has begun under another name: tar_close in src/bin/pg_basebackup/walmethods.c.
    (changed(header("2.history.tmp"), 0, b"2.history\0"), Member("2.history", "file", 0o600, 0)),
    (bytes(512), None),
]


@pytest.mark.parametrize(("block", "member"), READ)
def test_what_postgresql_writes_is_read(block: bytes, member: Member | None) -> None:
    assert parse_header(block) == member


REFUSED = [
    (FILE[:300] + b"x" + FILE[301:], "has a wrong checksum"),
    (b"x" * 512, "no proper checksum"),
    (header("long/" * 30), "not in the plain ustar form"),  # has a prefix
    (header("x" * 200, tarfile.GNU_FORMAT), "not in the plain ustar form"),
    (header("x", tarfile.GNU_FORMAT), "not in the plain ustar form"),
    (header("é" * 200, tarfile.PAX_FORMAT), "is of type b'x'"),
    (header("a", type=tarfile.LNKTYPE, linkname="/etc/passwd"), "'a' is of type b'1'; PostgreSQL packs files"),
    (header("a", type=tarfile.FIFOTYPE), "is of type b'6'"),
    (header("a", type=tarfile.CHRTYPE), "is of type b'3'"),
    (header("a", type=tarfile.BLKTYPE), "is of type b'4'"),
    (header("a", type=tarfile.CONTTYPE), "is of type b'7'"),
    (header("a", type=tarfile.GNUTYPE_SPARSE), "is of type b'S'"),
    (header("a", type=tarfile.AREGTYPE), r"is of type b'\x00'"),
    (changed(header("a", type=tarfile.DIRTYPE), 124, b"00000001000"), "is a directory with a content of 512 bytes"),
    (changed(header("a", type=tarfile.SYMTYPE), 124, b"00000001000"), "is a link with a content of 512 bytes"),
    (header(""), "has no proper name"),
    (changed(FILE, 124, b"-0000000001"), "no proper size of 'base/1/1259'"),
    (changed(FILE, 124, b"0x000000001"), "no proper size"),
    (changed(FILE, 100, b"9999999"), "no proper mode"),
]


@pytest.mark.parametrize(("block", "message"), REFUSED)
def test_anything_else_is_refused(block: bytes, message: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        parse_header(block)
    assert message in refusal.value.message
