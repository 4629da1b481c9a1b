# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records are read from segments wherever they lie, over the headers of pages and into the next segment."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn
from ansible_collections.pgark.postgres.plugins.module_utils._wal.observe_users_text import lines_of_records
from ansible_collections.pgark.postgres.plugins.module_utils._wal.records import parse_records
from tests.unit.wal.test_records import TIME, line
from tests.unit.wal.test_users_text import END, ENDED, FORGED, record_of

SIZE = 1 << 20
PAGE = 8192
BEGIN = 3 * SIZE


def written(directory: Path, lsn: int, record: bytes) -> None:
    """Write a record into segments that have headers on their pages, and nothing else."""
    content = bytearray()
    for page in range(2 * SIZE // PAGE):
        content += b"\n" * (40 if page % (SIZE // PAGE) == 0 else 24)
        content += bytes(PAGE - len(content) % PAGE)
    at = lsn - BEGIN
    for byte in record:
        if at % PAGE == 0:
            at += 24 if at % SIZE else 40
        content[at] = byte
        at += 1
    for number in (0, 1):
        (directory / str(3 + number)).write_bytes(content[number * SIZE : (number + 1) * SIZE])


def read(directory: Path, text: str) -> str:
    return lines_of_records(text, lambda number: str(directory / str(number)), SIZE, 18)


def printed(name: bytes, lsn: int, length: int) -> str:
    text = name.decode(errors="surrogateescape")
    return line("Transaction", f"PREPARE gid {text}: {TIME} UTC", str(Lsn(lsn)), length)


@pytest.mark.parametrize("boundary", [PAGE, 2 * PAGE, SIZE])
@pytest.mark.parametrize("before", [8, 16, 24, 32, 104, 128, 256])
def test_a_record_may_go_on_in_the_next_page_or_segment(tmp_path: Path, boundary: int, before: int) -> None:
    name, lsn = f"x\n{FORGED}\n".encode() + b"\xff\xc3", BEGIN + boundary - before
    record = record_of("PREPARE", name)
    written(tmp_path, lsn, record)
    assert list(parse_records(read(tmp_path, printed(name, lsn, len(record)) + END))) == [ENDED]


def test_a_text_may_fill_pages(tmp_path: Path) -> None:
    name = f"{FORGED}\n".encode() * 300
    record, lsn = record_of("MESSAGE", name), BEGIN + SIZE - PAGE - 64
    written(tmp_path, lsn, record)
    message = f'MESSAGE nontransactional, prefix "{name.decode()}"; payload (1 bytes): 78'
    text = read(tmp_path, line("LogicalMessage", message, str(Lsn(lsn)), len(record)) + END)
    assert list(parse_records(text)) == [ENDED]
    assert text.count("\n") == 2


@pytest.mark.parametrize("left", [None, b"", b"another segment" + bytes(SIZE)])
def test_a_segment_that_has_gone_meanwhile_is_no_proof(tmp_path: Path, left: bytes | None) -> None:
    name, lsn = f"x\n{FORGED}".encode(), BEGIN + 40
    if left is not None:
        (tmp_path / "3").write_bytes(left)
    with pytest.raises(Error, match=r"the WAL at 0/300028 has gone while it was read|the record at 0/300028 is not"):
        read(tmp_path, printed(name, lsn, 300))
