# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The system identifier in ``global/pg_control``, and the checksum that it is under.

``ControlFileData`` in ``src/include/catalog/pg_control.h`` begins with the identifier, a 64-bit number in the machine's
byte order, and ends with a CRC-32C of all that is before it. Where it ends differs (at byte 288 from PostgreSQL 13 to
17, which share one version of the file; at 292 in 18), so the checksum is recognised by being the right one.
"""

from __future__ import annotations

import struct

from .._errors import Error, InvalidValue

_IDENTIFIER = struct.Struct("=Q")
_CHECKSUM = struct.Struct("=I")
_LONGEST = 512  # PG_CONTROL_MAX_SAFE_SIZE: it is to fit into one sector of a disk
_POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed
_ALL_BITS = 0xFFFFFFFF


def _entry(value: int) -> int:
    for _bit in range(8):
        value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
    return value


_TABLE = tuple(map(_entry, range(256)))


def _shift(state: int, content: bytes) -> int:
    for byte in content:
        state = state >> 8 ^ _TABLE[(state ^ byte) & 0xFF]
    return state


def crc32c(content: bytes) -> int:
    """Give the CRC-32C, as PostgreSQL computes it.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    return _shift(_ALL_BITS, content) ^ _ALL_BITS


def checksum_offset(content: bytes) -> int:
    """Find where the checksum is: where a number is the CRC-32C of all bytes before it.

    Raises Error unless there is exactly one such place, as in a file that is damaged, or another one.
    """
    found = []
    state = _shift(_ALL_BITS, content[: _IDENTIFIER.size])
    for offset in range(_IDENTIFIER.size, min(len(content), _LONGEST) - _CHECKSUM.size + 1, _CHECKSUM.size):
        if _CHECKSUM.unpack_from(content, offset)[0] == state ^ _ALL_BITS:
            found.append(offset)
        state = _shift(state, content[offset : offset + _CHECKSUM.size])
    if len(found) != 1:
        raise Error(
            f"the control file is damaged: {len(found)} places in it hold the checksum of what is before, expected one",
            "restore the clone again",
        )
    return found[0]


def identifier_in(content: bytes) -> str:
    """Read the system identifier of a control file."""
    if len(content) < _IDENTIFIER.size:
        raise InvalidValue(f"the control file has {len(content)} bytes, expected one that PostgreSQL wrote")
    return str(_IDENTIFIER.unpack_from(content)[0])


def with_identifier(content: bytes, identifier: str) -> bytes:
    """Give a control file with another system identifier and the checksum that goes with it."""
    offset = checksum_offset(content)
    begin = _IDENTIFIER.pack(int(identifier)) + content[_IDENTIFIER.size : offset]
    return begin + _CHECKSUM.pack(crc32c(begin)) + content[offset + _CHECKSUM.size :]


def new_identifier(microseconds: int, process: int) -> str:
    """Make a system identifier from the time since 1970 and a process id, as initdb and pg_createsubscriber do.

    Seconds, microseconds and the process share 64 bits: BootStrapXLOG() in src/backend/access/transam/xlog.c.

    >>> new_identifier(1795165200_000001, 0x5123)
    '7710175824917303587'
    """
    seconds, rest = divmod(microseconds, 1_000_000)
    return str(seconds << 32 | rest << 12 | process & 0xFFF)
