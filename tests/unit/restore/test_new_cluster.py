# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster may be replaced as a new one only where everything shows that nobody has written to it."""

from dataclasses import replace

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._restore.new_cluster import (
    Look,
    Written,
    first_write,
    signs_of_use,
)
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn


def record(manager: str, kind: str, lsn: str, transaction: int = 0, relation: str = "", more: str = "") -> str:
    """Write a record as pg_waldump does."""
    reference = f", blkref #0: rel {relation} blk 0 FPW" if relation else ""
    return (
        f"rmgr: {manager:11} len (rec/tot):     78/ 10526, tx: {transaction:10}, lsn: {lsn}, prev 0/0173EF38, "
        f"desc: {kind} {more}{reference}"
    )


def shutdown(lsn: str) -> str:
    return record("XLOG", "CHECKPOINT_SHUTDOWN", lsn, more="redo 0/1000028; tli 1; xid 0:3; oid 10000; shutdown")


INITDB = [
    shutdown("0/01000028"),
    shutdown("0/010B1D30"),
    record("Heap", "INSERT+INIT", "0/010B1DA8", 720, "1664/0/1260"),
    shutdown("0/0147A908"),
]
# What autovacuum does in a cluster that nobody has used, seen of PostgreSQL 14 to 18.
AUTOVACUUM = [
    record("Heap", "UPDATE", "0/0147A980", 738, "1663/1/2619", "old_xmax: 738, old_off: 1"),
    record("Heap", "INSERT+INIT", "0/0147AA00", 738, "1663/1/2840", "off: 1, flags: 0x00"),
    record("Btree", "INSERT_LEAF", "0/0147AA80", 738, "1663/1/2696", "off: 8"),
    record("Heap2", "PRUNE_VACUUM_SCAN", "0/0147AB00", 0, "1663/1/1259"),
    record("Heap", "INPLACE", "0/0147AB80", 739, "1663/1/1259", "off: 38"),
    record("Heap2", "PRUNE_ON_ACCESS", "0/0147AC00", 739, "1663/1/1259"),
    record("Transaction", "COMMIT", "0/0147AC80", 739, more="2026-11-30 09:18:52.309872 UTC"),
]


def test_what_initdb_and_autovacuum_write_is_nobodys() -> None:
    assert first_write([*INITDB, *AUTOVACUUM]) == Written(whole=True, last=Lsn.parse("0/0147AC80"))


@pytest.mark.parametrize(
    "write",
    [
        ("Heap", "HOT_UPDATE", "0/0147AD00", 740, "1664/0/1260", "old_xmax: 740"),  # ALTER ROLE ... PASSWORD
        ("Heap", "INSERT", "0/0147AD00", 740, "1664/0/1260"),  # CREATE ROLE
        ("Heap2", "MULTI_INSERT", "0/0147AD00", 740, "1663/5/1249", "ntuples: 3"),  # CREATE TABLE
        ("Heap", "DELETE", "0/0147AD00", 740, "1663/5/2615"),  # DROP SCHEMA
        ("Heap", "INSERT", "0/0147AD00", 740, "1663/5/2613"),  # a large object
    ],
)
def test_the_first_write_of_anybody_is_found(write: tuple[str, str, str, int, str]) -> None:
    later = record("Heap", "INSERT", "0/0147AE00", 741, "1663/5/1259")
    found = first_write([*INITDB, *AUTOVACUUM, record(*write), later])
    assert (found.transaction, found.at) == ("740", "0/0147AD00")


@pytest.mark.parametrize("lines", [[], INITDB[:2], ["pg_waldump: error: could not find file"]])
def test_wal_that_does_not_have_all_of_initdb_tells_nothing(lines: list[str]) -> None:
    assert not first_write(lines).whole


CONTROL = {"Latest checkpoint's TimeLineID": "1", "Latest checkpoint location": "0/147AC80"}
LOOK = Look(CONTROL, Written(whole=True, last=Lsn.parse("0/147AC80")))


@pytest.mark.parametrize(
    ("look", "sign"),
    [
        (replace(LOOK, control={**CONTROL, "Latest checkpoint's TimeLineID": "2"}), "it is on timeline 2"),
        (replace(LOOK, files=["base/16385", "global/16390"]), "base/16385, global/16390 was made in it"),
        (replace(LOOK, slots=["standby"]), "it has the replication slot standby"),
        (
            replace(LOOK, written=Written(True, Lsn(9), "740", "0/147AD00")),
            "transaction 740 has written to it, at 0/147AD",
        ),
        # pg_wal on a disk that was lost, WAL that breaks off, a cluster that has lived long enough to remove its first
        (replace(LOOK, written=Written(False)), "its WAL does not go from its beginning to its end"),
        (replace(LOOK, written=Written(True, Lsn.parse("0/147A000"))), "its WAL does not go from its beginning"),
        (Look({}, LOOK.written), "it is on timeline unknown; its WAL does not go"),
    ],
)
def test_whatever_was_written_is_said(look: Look, sign: str) -> None:
    assert signs_of_use(LOOK) == ()
    assert sign in "; ".join(signs_of_use(look))
