# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a cluster is as initdb has made it, as a package does on a new host: then it may be replaced.

All that anybody has ever written is in the WAL, from its first record on, and a new cluster still has it all: a table,
a role, a password, a row of a catalog. What writes besides is autovacuum, which analyzes what initdb has made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .._wal.names import Lsn

# The first segment of every cluster, whatever its size (BootStrapXLOG() in src/backend/access/transam/xlog.c).
FIRST_SEGMENT = "000000010000000000000001"
# FirstNormalObjectId in src/include/access/transam.h: what initdb makes has lower numbers.
FIRST_OF_USERS = 16384
# The first record of all, the end of initdb's bootstrap process, and that of the one that does the rest.
_SHUTDOWNS_OF_INITDB = 3
_RECORD = re.compile(r"rmgr: (\w+) .*?, tx: +(\d+), lsn: ([0-9A-F]+/[0-9A-F]+), .*?desc: (\w+)")
_RELATION = re.compile(r"\brel \d+/\d+/(\d+)\b")
_WRITES = ("INSERT", "MULTI_INSERT", "UPDATE", "HOT_UPDATE", "DELETE", "TRUNCATE")
# pg_statistic and its TOAST table, which autovacuum writes to.
_STATISTICS = {"2619", "2840"}


@dataclass(frozen=True)
class Written:
    """What WAL shows: where its last record is (None: there is none), and the first write by anybody, if there is one.

    ``whole`` tells that all of what initdb wrote is there.
    """

    whole: bool
    last: Lsn | None = None
    transaction: str | None = None
    at: str | None = None


def first_write(lines: Iterable[str]) -> Written:
    """Find the first write after initdb among all the records of a cluster, as pg_waldump prints them."""
    shutdowns, last, write = 0, None, None
    for line in lines:
        record = _RECORD.match(line)
        if record is None:
            continue
        manager, transaction, last, kind = record.groups()
        shutdowns += (manager, kind) == ("XLOG", "CHECKPOINT_SHUTDOWN")
        if write is None and shutdowns >= _SHUTDOWNS_OF_INITDB and _is_write(manager, kind, line):
            write = (transaction, last)
    end = None if last is None else Lsn.parse(last)
    return Written(shutdowns >= _SHUTDOWNS_OF_INITDB, end, *(write or (None, None)))


def _is_write(manager: str, kind: str, line: str) -> bool:
    if manager not in ("Heap", "Heap2") or kind not in _WRITES:
        return False
    return bool(set(_RELATION.findall(line)) - _STATISTICS)


@dataclass(frozen=True)
class Look:
    """What a look at the directory shows.

    ``control`` is what pg_controldata prints. ``files`` are paths in it that initdb does not make, ``slots`` the names
    of replication slots.
    """

    control: Mapping[str, str]
    written: Written
    files: Sequence[str] = ()
    slots: Sequence[str] = ()


def signs_of_use(look: Look) -> tuple[str, ...]:
    """Say what shows that somebody has written to a cluster, or why that cannot be told; nothing: it is a new one."""
    timeline = look.control.get("Latest checkpoint's TimeLineID", "unknown")
    found = {
        f"it is on timeline {timeline}": timeline != "1",
        f"{', '.join(look.files)} was made in it": bool(look.files),
        f"it has the replication slot {', '.join(look.slots)}": bool(look.slots),
    }
    return (*(text for text, seen in found.items() if seen), *_of_wal(look.control, look.written))


def _of_wal(control: Mapping[str, str], written: Written) -> list[str]:
    if written.transaction is not None:
        return [f"transaction {written.transaction} has written to it, at {written.at}"]
    checkpoint = control.get("Latest checkpoint location", "")
    if not written.whole or written.last is None or not checkpoint or written.last < Lsn.parse(checkpoint):
        return ["its WAL does not go from its beginning to its end, so it cannot be told who has written to it"]
    return []
