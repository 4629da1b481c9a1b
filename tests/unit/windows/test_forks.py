# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two files of one name are the same WAL only by their bytes; what was not written yet is no difference."""

import struct

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._windows.forks import CHUNK, forked, relation

PAGE, START = 8192, 3 << 24


def page(number: int, fill: bytes = b"x", written: int = PAGE, address: int | None = None) -> bytes:
    """Make a page of WAL, so many bytes of which are written."""
    header = struct.pack("=HHIQ", 0xD116, 0, 1, START + number * PAGE if address is None else address)
    return header.ljust(written, fill).ljust(PAGE, b"\0")


def pages(*some: bytes, count: int = 256) -> bytes:
    """Make a segment that begins with these pages, and goes on with zeros."""
    return b"".join(some).ljust(count * PAGE, b"\0")


FULL = pages(*(page(number) for number in range(200)))
OTHER_END = pages(*(page(number) for number in range(199)), page(199, b"y"))
BEHIND_A_CHUNK = pages(*(page(number) for number in range(140)), page(140, b"y"), count=256)


@pytest.mark.parametrize(
    ("own", "archived", "expected"),
    [
        (FULL, FULL, "same"),
        (b"", b"", "same"),
        (FULL, OTHER_END, "other"),
        (BEHIND_A_CHUNK, FULL, "other"),
        (pages(page(0)), FULL, "begun"),
        (pages(page(0), page(1, written=100)), FULL, "begun"),
        (pages(page(0), page(1, b"y", written=100)), FULL, "other"),
        (pages(page(0), page(1, address=0x77)), FULL, "begun"),
        (pages(page(0), page(1, b"y")), FULL, "other"),
        (FULL, FULL[:-PAGE], "other"),
        (FULL[:-1], FULL, "other"),
        (FULL, b"", "other"),
        (FULL, FULL + b"x", "other"),
    ],
)
def test_two_files_of_one_name(own: bytes, archived: bytes, expected: str) -> None:
    assert relation(chunks(own), chunks(archived), START, PAGE) == expected


def chunks(content: bytes) -> list[bytes]:
    return [content[at : at + CHUNK] for at in range(0, len(content), CHUNK)]


def test_the_way_out_names_the_option_only_where_there_is_one() -> None:
    assert "force=true" in str(forked("x", "/data/pg_wal", "/srv/db1/wal", force=True))
    message = str(forked("x", "/data/pg_wal", "/srv/db1/wal"))
    assert "force" not in message
    assert "x in /data/pg_wal and in /srv/db1/wal are not the same WAL" in message
    assert "HINT: find the other server" in message
