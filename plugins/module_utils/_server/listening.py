# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell whether it is a certain process that listens where a connection would go."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

from .postmaster import answering, listeners

_SOCKET = "socket:["
_LOOPBACK_6 = bytes(15) + b"\1"


def listens(pid: int, host: str, port: int) -> bool:
    """Tell whether a process of ours, and nobody else, answers at a port of each of a host's addresses.

    An address at which nobody listens does not matter; one of another machine is never the process.
    """
    ours, found = _sockets(pid), _listening(port)
    who = [answering(found, address) if _is_here(family, address) else None for family, address in _addresses(host)]
    return any(who) and all(inodes is not None and inodes <= ours for inodes in who)


def _sockets(pid: int) -> frozenset[str]:
    """Name the sockets that a process has open, by their inodes."""
    links = [_link(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
    return frozenset(link[len(_SOCKET) : -1] for link in links if link.startswith(_SOCKET))


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""


def _listening(port: int) -> list[tuple[bytes, str]]:
    found: list[tuple[bytes, str]] = []
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        if os.path.exists(path):  # tcp6 is not, where IPv6 is switched off
            with open(path, encoding="ascii") as file:
                found += listeners(file.read(), port)
    return found


def _addresses(host: str) -> Iterator[tuple[socket.AddressFamily, bytes]]:
    try:
        entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return
    for family, _type, _protocol, _name, place in entries:
        yield family, socket.inet_pton(family, str(place[0]).partition("%")[0])


def _is_here(family: socket.AddressFamily, address: bytes) -> bool:
    """Tell whether an address is one of this machine, to which a socket can be bound; a loopback one always is."""
    if (len(address) == 4 and address[0] == 127) or address == _LOOPBACK_6:
        return True
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((socket.inet_ntop(family, address), 0))
    except OSError:
        return False
    return True
