# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tablespaces that recovery makes: it takes the path from the WAL, whatever a restore maps tablespaces to.

Replaying CREATE TABLESPACE fills the directory at that path, and takes what is in it for its own
(``create_tablespace_directories`` in ``src/backend/commands/tablespace.c``). On the host that the WAL comes from it is
the live one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .._errors import Error
from .._wal.names import Lsn
from .._wal.records import Tablespace


@dataclass(frozen=True)
class Found:
    """What is at the path of a tablespace: ``kind`` is ``missing``, ``free``, ``used``, or ``inside`` (PGDATA).

    ``free`` holds no files of this version's servers; ``owned`` tells that it is a tablespace of the data that is to be
    replaced, and so may be moved aside with it; ``fixed`` says why it cannot be (None: nothing is in the way).
    ``closed`` says why a server cannot make a tablespace of the directory, which takes more than to write in it.
    """

    kind: str
    owned: bool = False
    fixed: str | None = None
    closed: str | None = None


def those_replayed(created: Sequence[Tablespace], end: str | None) -> tuple[Tablespace, ...]:
    """Leave out what lies behind the end of a recovery (None: it has none)."""
    return tuple(record for record in created if end is None or Lsn(record.lsn) < Lsn.parse(end))


def moved_aside(created: Sequence[Tablespace], found: Mapping[str, Found], name: str, clone: bool) -> dict[str, str]:
    """Tell which directories go aside with the old data, and where to; raises Error where recovery would do harm.

    What a directory holds goes into a new one of that ``name`` in it.
    """
    paths = {record.path: record for record in created if record.path}
    for path, record in paths.items():
        _check(record, found[path], clone)
    return {path: f"{path}/{name}" for path in paths if found[path].kind == "used"}


def _check(record: Tablespace, found: Found, clone: bool) -> None:
    where = f"the WAL to be replayed creates a tablespace in {record.path}, at {Lsn(record.lsn)}"
    earlier = f"restore to a place before it, such as target_lsn={Lsn(record.lsn)} with target_inclusive=false"
    later = "or take a base backup behind it, from which it can be mapped elsewhere"
    if found.kind == "missing":
        raise Error(
            f"{where}, which is not there: recovery would stop with an error",
            f"make the directory, with mode 0700, for the user that owns the cluster; or {earlier}",
        )
    if found.kind == "inside":
        raise Error(
            f"{where}, which lies inside the data directory that is replaced: recovery would stop with an error",
            earlier,
        )
    if found.kind == "used" and not found.owned:
        whose = "the source's, or another cluster's" if clone else "another cluster's, or that of data kept from before"
        raise Error(
            f"{where}, where a tablespace with data is, which is not of the data to be replaced: recovery would write "
            f"into it, and it is perhaps {whose}",
            f"restore on a host on which that path is free; {earlier}; {later}",
        )
    if found.kind == "used" and found.fixed is not None:
        raise Error(
            f"{where}, and the live one there cannot be moved aside: {found.fixed}", f"mend that; or {earlier}; {later}"
        )
    if found.closed is not None:
        raise Error(
            f"{where}, and {found.closed}: recovery would stop with an error",
            f"give it to the user that owns the cluster; or {earlier}",
        )
