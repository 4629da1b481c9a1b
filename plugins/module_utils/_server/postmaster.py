# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running server says of itself in ``postmaster.pid``, and what the kernel says of who listens."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_LISTENING = "0A"  # TCP_LISTEN, in include/net/tcp_states.h of Linux
_STOPPING = "stopping"  # PM_STATUS_STOPPING
_MAPPED = bytes(10) + b"\xff\xff"  # how IPv6 writes an IPv4 address: section 2.5.5.2 of RFC 4291


@dataclass(frozen=True)
class PidFile:
    """``postmaster.pid``: src/include/utils/pidfile.h. A server that is starting has not written all of it yet.

    ``settled`` tells that it says what it does, other than stopping: all its sockets are there by then.
    """

    pid: int
    port: int
    socket_directory: str
    listen_address: str
    settled: bool = False


def parse_pid_file(text: str) -> PidFile | None:
    r"""Read ``postmaster.pid``; None where it does not name a server yet.

    >>> parse_pid_file("4711\n/srv/db\n1795000000\n5432\n/run/postgresql\nlocalhost\n")
    PidFile(pid=4711, port=5432, socket_directory='/run/postgresql', listen_address='localhost', settled=False)
    """
    lines = text.split("\n")
    if len(lines) < 7 or not lines[0].strip().isdigit() or not lines[3].strip().isdigit():
        return None
    settled = "".join(lines[7:8]).strip() not in ("", _STOPPING)
    return PidFile(int(lines[0]), int(lines[3]), lines[4], lines[5].strip(), settled)


def listeners(table: str, port: int) -> Iterator[tuple[bytes, str]]:
    r"""Give the address and the inode of each socket that listens on a port, from ``/proc/net/tcp`` or ``tcp6``.

    The kernel writes an address as words in the byte order of the machine: get_tcp4_sock() in net/ipv4/tcp_ipv4.c.
    """
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) > 9 and words[3] == _LISTENING:
            address, _colon, number = words[1].partition(":")
            if int(number, 16) == port:
                parts = (int(address[at : at + 8], 16) for at in range(0, len(address), 8))
                yield b"".join(struct.pack("=I", part) for part in parts), words[9]


def answering(found: list[tuple[bytes, str]], address: bytes) -> frozenset[str]:
    """Tell by inode which sockets a connection to an address reaches: those bound to it, else those bound to all."""
    ipv4 = len(address) == 4
    places = [{address, _MAPPED + address} if ipv4 else {address}, {bytes(len(address))}]
    places += [{bytes(16), _MAPPED + bytes(4)}] if ipv4 else []
    reached = (frozenset(inode for at, inode in found if at in place) for place in places)
    return next(filter(None, reached), frozenset())
