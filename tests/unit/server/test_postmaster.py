# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a server is to be reached is what it says itself, and who listens there is what the kernel says."""

from __future__ import annotations

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._server.postmaster import (
    PidFile,
    answering,
    listeners,
    parse_pid_file,
)

WHOLE = "4711\n/srv/db\n1795000000\n5433\n/run/pg\nlocalhost\n  5433001   1234\nready   \n"
# Sockets that listen on 127.0.0.1:5432 and 0.0.0.0:5433, and a connection from 127.0.0.1:5432.
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   999        0 101 1 0 100 0 0 10 0
   1: 00000000:1539 00000000:0000 0A 00000000:00000000 00:00000000 00000000   999        0 102 1 0 100 0 0 10 0
   2: 0100007F:1538 0100007F:9C40 01 00000000:00000000 00:00000000 00000000   999        0 103 1 0 20 4 30 10 -1
"""
TCP6 = """\
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000001000000:1538 00000000000000000000000000000000:0000 0A 0:0 00:0 0 999 0 104 1 0
"""
IPV4, IPV6 = bytes([127, 0, 0, 1]), bytes(15) + b"\1"
MAPPED = bytes(10) + b"\xff\xff"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (WHOLE, PidFile(4711, 5433, "/run/pg", "localhost", settled=True)),
        (WHOLE.replace("/run/pg\nlocalhost", "\n"), PidFile(4711, 5433, "", "", settled=True)),
        (WHOLE.replace("4711", "-4711"), None),  # a single-user server
        ("4711\n/srv/db\n1795000000\n5433\n\n", None),  # a server that has only just begun
        ("", None),
        ("garbage\n" * 9, None),
    ],
)
def test_a_server_says_where_it_is(text: str, expected: PidFile | None) -> None:
    assert parse_pid_file(text) == expected


def test_those_that_listen_are_told_from_those_that_are_connected() -> None:
    assert list(listeners(TCP, 5432)) == [(IPV4, "101")]
    assert list(listeners(TCP, 5433)) == [(bytes(4), "102")]
    assert list(listeners(TCP6, 5432)) == [(IPV6, "104")]
    assert list(listeners("", 5432)) == []


@pytest.mark.parametrize(
    ("found", "address", "expected"),
    [
        ([(IPV4, "1"), (bytes(4), "2")], IPV4, {"1"}),  # the one bound to the very address goes first
        ([(bytes(4), "2"), (bytes(16), "3")], IPV4, {"2"}),
        ([(bytes(16), "3")], IPV4, {"3"}),
        ([(MAPPED + IPV4, "4"), (bytes(4), "2")], IPV4, {"4"}),
        ([(bytes(4), "2")], IPV6, set()),
        ([(bytes(16), "3"), (IPV6, "5")], IPV6, {"5"}),
        ([(bytes([10, 0, 0, 1]), "6")], IPV4, set()),
        ([(IPV4, "1"), (IPV4, "7")], IPV4, {"1", "7"}),  # shared by SO_REUSEPORT
    ],
)
def test_who_answers_at_an_address(found: list[tuple[bytes, str]], address: bytes, expected: set[str]) -> None:
    assert answering(found, address) == expected
