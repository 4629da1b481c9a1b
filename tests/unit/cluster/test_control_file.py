# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The identifier in a control file, and the checksum over it."""

import struct

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster.control_file import (
    checksum_offset,
    crc32c,
    identifier_in,
    new_identifier,
    with_identifier,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error

IDENTIFIER = "7710549050421311557"
OFFSETS = {17: 288, 18: 292}  # of real servers; up to 16 the file has the version that it has in 17


def control(length: int = 288) -> bytes:
    """Make a control file whose checksum is behind that many bytes."""
    begin = struct.pack("=QII", int(IDENTIFIER), 1300, 202406281) + bytes(range(1, 256)) + bytes(length)
    begin = begin[:length]
    return (begin + struct.pack("=I", crc32c(begin))).ljust(8192, b"\0")


@pytest.mark.parametrize(
    ("content", "checksum"),
    # The test vectors of RFC 3720 (iSCSI), appendix B.4, read as numbers.
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_the_checksum_is_castagnolis(content: bytes, checksum: int) -> None:
    assert crc32c(content) == checksum


@pytest.mark.parametrize("offset", OFFSETS.values())
def test_the_checksum_is_found_where_it_is(offset: int) -> None:
    assert checksum_offset(control(offset)) == offset


@pytest.mark.parametrize("offset", OFFSETS.values())
def test_a_new_identifier_changes_nothing_but_itself_and_the_checksum(offset: int) -> None:
    before = control(offset)
    after = with_identifier(before, "73")
    assert (identifier_in(before), identifier_in(after)) == (IDENTIFIER, "73")
    assert checksum_offset(after) == offset
    changed = {place for place in range(8192) if before[place] != after[place]}
    assert changed <= {*range(8), *range(offset, offset + 4)}
    assert with_identifier(after, IDENTIFIER) == before


@pytest.mark.parametrize("damaged", [0, 7, 100, 287, 288, 291])
def test_a_damaged_file_is_not_given_a_good_checksum(damaged: int) -> None:
    content = bytearray(control())
    content[damaged] ^= 1
    with pytest.raises(Error, match="the control file is damaged: 0 places"):
        with_identifier(bytes(content), "73")


@pytest.mark.parametrize("content", [b"", bytes(8), bytes(8192), control()[:291], b"\xff" * 8192])
def test_what_is_no_control_file_is_refused(content: bytes) -> None:
    with pytest.raises(Error, match="0 places in it hold the checksum"):
        checksum_offset(content)


def test_a_file_with_two_checksums_is_refused() -> None:
    begin = control()[:292]
    twice = (begin + struct.pack("=I", crc32c(begin))).ljust(8192, b"\0")
    with pytest.raises(Error, match="2 places in it hold the checksum"):
        checksum_offset(twice)


def test_identifiers_differ_by_time_and_by_process() -> None:
    moment = 1795165200_999999
    made = {new_identifier(moment + later, process) for later in (0, 1, 2) for process in (1, 2, 4095)}
    assert len(made) == 9
    assert all(int(identifier) < 2**63 for identifier in made)
    assert int(new_identifier(moment, 4096 + 5)) == 1795165200 << 32 | 999999 << 12 | 5
