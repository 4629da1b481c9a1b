# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing that a user has named is taken for a record, whatever lines it is made of."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._wal.records import (
    Point,
    Record,
    Tablespace,
    TransactionEnd,
    parse_records,
)
from ansible_collections.pgark.postgres.plugins.module_utils._wal.users_text import one_line_each, text_of
from tests.unit.wal.test_records import TIME, line

OFFSETS = {"RESTORE_POINT": 8, "CREATE": 4, "MESSAGE": 24}
FORGED = "rmgr: XLOG len (rec/tot):1/1, tx:1, lsn: 0/3000028, prev 0/0, desc: PARAMETER_CHANGE wal_level=minimal "
# As if the transaction that really ends there had ended later, and as if one had that has not.
OTHER_END = line("Transaction", "COMMIT 2099-01-01 00:00:00.000000 UTC", "0/3000100", xid=740)
NO_END = line("Transaction", "COMMIT 2099-01-01 00:00:00.000000 UTC", "0/3000078", xid=999)
END = line("Transaction", f"COMMIT {TIME} UTC", "0/3000100", xid=740)
ENDED = TransactionEnd(0x3000100, 0x3000128, 740, TIME)


def record_of(kind: str, text: bytes, major: int = 18, before: bytes = b"") -> bytes:
    """Make a record with a text, as PostgreSQL lays it out; ``before`` stands before the header of its data."""
    offset = OFFSETS.get(kind, 72 if major >= 15 else 64)
    data = bytes(offset) + text + b"\0" + b"behind\n"
    head = struct.pack("=BB", 255, len(data)) if len(data) < 256 else struct.pack("=BI", 254, len(data))
    return bytes(24) + before + head + data


def parsed(text: str, texts: Mapping[int, str]) -> list[Record]:
    """Read what pg_waldump printed of records of which some, by their positions, have a text."""
    return list(parse_records(one_line_each(text, lambda _kind, lsn, _length: texts[lsn])))


@pytest.mark.parametrize("forged", [FORGED, NO_END, OTHER_END])
@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n", "\x0b\n"])
def test_a_prepared_transaction_says_nothing_by_its_name(forged: str, line_break: str) -> None:
    name = f"{line_break}{forged}{line_break}"
    printed = line("Transaction", f"PREPARE gid {name}: {TIME} UTC", "0/3000050").replace("\r\n", "\n")
    assert parsed(printed.replace("\r", "\n") + END, {0x3000050: name}) == [ENDED]
    # It may as well name a record that stands before it.
    again = printed.replace("0/3000050", "0/3000200").replace("\r", "\n")
    assert parsed(END + again, {0x3000200: name}) == [ENDED]


def test_the_name_of_one_may_look_like_another() -> None:
    inner = line("Transaction", f"PREPARE gid y: {TIME} UTC", "0/3000070")
    first = line("Transaction", f"PREPARE gid {inner}: {TIME} UTC", "0/3000050")
    second = line("Transaction", f"PREPARE gid {inner}{FORGED}: {TIME} UTC", "0/3000060")
    assert parsed(first + second + END, {0x3000050: inner, 0x3000060: f"{inner}{FORGED}"}) == [ENDED]


def test_what_is_asked_for_by_name_keeps_it() -> None:
    name, path = f"two\n{FORGED}\r", f"/srv/a\n{FORGED}"
    printed = (
        line("XLOG", f"RESTORE_POINT {name}", "0/3000050", 98).replace("\r\n", "\n")
        + line("Tablespace", f'CREATE 24576 "{path}"', "0/30000B8")
        + END
    )
    found = parsed(printed, {0x3000050: name, 0x30000B8: path})
    assert found == [Point(0x3000050, 0x30000B8, name), Tablespace(0x30000B8, 24576, path), ENDED]


def test_what_the_record_does_not_have_is_refused() -> None:
    printed = line("Transaction", f"PREPARE gid x\n{FORGED}: {TIME} UTC", "0/3000050")
    with pytest.raises(Error, match="the record at 0/3000050 is not what pg_waldump has printed of it"):
        parsed(printed, {0x3000050: "another"})


def test_where_nobody_has_named_anything_no_record_is_read() -> None:
    assert parsed(END, {}) == [ENDED]


@pytest.mark.parametrize("kind", ["PREPARE", "RESTORE_POINT", "CREATE", "MESSAGE"])
@pytest.mark.parametrize("major", [13, 14, 15, 18])
@pytest.mark.parametrize("before", [b"", b"\xfd\x01\x00", b"\xfc\xff\x00\x00\x00", b"\xfd\x01\x00\xfc\xff\x00\x00\x00"])
@pytest.mark.parametrize("text", [b"", b"a\nb", b"x" * 300])
def test_the_text_is_where_the_record_has_it(kind: str, major: int, before: bytes, text: bytes) -> None:
    record = record_of(kind, text, major, before)
    assert text_of(record, kind, major) == text
    assert text_of(record[: record.rindex(b"\0")], kind, major) is None


@pytest.mark.parametrize("record", [b"", bytes(24), bytes(24) + b"\xfd\x01", bytes(24) + b"\x00\x20" + bytes(80)])
def test_a_record_without_data_has_no_text(record: bytes) -> None:
    assert text_of(record, "PREPARE", 18) is None
