# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What restores, attempts and clones have left: what each has outside of the data directory, and what may be removed.

Data that was set aside is not changed by as much as a file, because a rollback gives it back to the byte. So its mark
is a note beside it, ``<previous directory>.json``, which knows the directory by its inode.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .._cluster.data_directory import RestoreRecord
from .._errors import Error
from .._plan.plan import Plan, Step
from .._values.progress import size_text

_HINT = "previous_data.yml lists what can be; nothing has been removed"


@dataclass(frozen=True)
class Directory:
    """A directory, known by ``device`` and ``inode`` whatever has its path.

    ``kind``: ``whole`` (all of it is ours), ``tablespace`` (what PostgreSQL has made in a directory of somebody's) or
    ``wal`` (a directory of somebody's, of which only WAL is ours).
    """

    path: str
    device: int
    inode: int
    kind: str = "whole"

    def is_in(self, other: Directory) -> bool:
        """Tell whether it would be removed with the other one: it is that one, or lies in it."""
        if (self.device, self.inode) == (other.device, other.inode):
            return True
        return other.kind != "wal" and self.path.startswith(f"{other.path}/")


@dataclass(frozen=True)
class KeptNote:
    """The note beside data that was set aside.

    ``directory`` and ``mark`` tell it from any other, under whatever name it has by now. ``belongs`` are the
    directories outside whose data it is.
    """

    data_directory: str
    directory: Directory
    mark: str
    at: str
    made_by: Mapping[str, Any] = field(default_factory=dict)
    belongs: tuple[Directory, ...] = ()


@dataclass(frozen=True)
class Item:
    """Something that was left. ``kind``: ``previous`` (data that was set aside), ``staging`` or ``place``.

    ``directory`` is None when it has gone, and something that belongs to it, or its ``note``, has not. ``run`` is the
    one whose mark a staging and a place carry. ``marked`` tells that it is known to be ours.
    """

    kind: str
    path: str
    directory: Directory | None
    belongs: tuple[Directory, ...] = ()
    marked: bool = True
    postmaster: int | None = None
    run: str = ""
    since: str = ""
    made_by: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None
    size: int = 0

    @property
    def holds(self) -> tuple[Directory, ...]:
        """Every directory that goes with it."""
        return (*([] if self.directory is None else [self.directory]), *self.belongs)


@dataclass(frozen=True)
class Users:
    """Who uses which directories: the data directory, other ones beside it, and servers that run.

    ``waiting`` is what a rollback of a restore that nobody has promoted puts back. ``interrupted`` tells of a switch
    that was interrupted: what is staged is on its way. All that is seen from ``host`` only: what another host, which
    shares the storage, has made may be in use there.
    """

    directories: Mapping[str, tuple[Directory, ...]] = field(default_factory=dict)
    waiting: str | None = None
    interrupted: bool = False
    host: str = ""


@dataclass(frozen=True)
class RemoveKept(Step):
    """Remove something that was left, with what belongs to it, its mark last."""

    path: str
    item: Item

    @property
    def text(self) -> str:
        named = ", ".join(found.path for found in self.item.belongs)
        return f"remove {self.path}{f' with {named}' if named else ''} ({size_text(self.item.size)})"


def reason(item: Item, others: Collection[Item], users: Users) -> str | None:
    """Say why something cannot be removed; None when it can. ``others`` are to stay."""
    if item.postmaster is not None:
        return f"a server (process {item.postmaster}) is running in it"
    if not item.marked:
        return "it has no mark of a restore, so it may be somebody else's"
    if item.path == users.waiting:
        return "a rollback puts it back, and the restore in place has not been promoted yet"
    if item.kind == "staging" and users.interrupted:
        return "a restore was interrupted while the data was being exchanged for it"
    if item.kind == "place" and item.made_by.get("host") not in (None, users.host):
        return _elsewhere(item, users.host)
    return _used(item, others, users)


def _used(item: Item, others: Collection[Item], users: Users) -> str | None:
    needed = [*users.directories.items(), *((other.path, other.holds) for other in others)]
    for owner, directories in needed:
        for found in directories:
            if any(found.is_in(mine) for mine in item.holds):
                return f"{found.path} is in use" if found.path == owner else f"{found.path} is in use by {owner}"
    return None


def _elsewhere(item: Item, host: str) -> str:
    made = item.made_by
    return (
        f"{made['host']} has made it ({item.since or 'unknown when'}, for {made.get('cluster')} from "
        f"{made.get('repository')}), and what uses it there cannot be seen from {host}: remove it there, or by hand if "
        "that host is gone or was renamed"
    )


def without_owned(items: Iterable[Item]) -> list[Item]:
    """Leave out the places that belong to something else in the list, and go with that."""
    found = list(items)
    owned = {(each.device, each.inode) for item in found if item.kind != "place" for each in item.belongs}
    return [
        item
        for item in found
        if item.kind != "place" or item.directory is None or (item.directory.device, item.directory.inode) not in owned
    ]


def plan_removal(items: Collection[Item], paths: Iterable[str], gone: Collection[str], users: Users) -> Plan:
    """Plan to remove what is named, all of it or, with the reasons, nothing; ``gone`` are paths where nothing is."""
    names = list(dict.fromkeys(path.rstrip("/") or "/" for path in paths))
    wanted = [found for path in names if (found := _find(items, path, gone)) is not None]
    staying = [item for item in items if item not in wanted]
    why = {item.path: reason(item, staying, users) for item in wanted}
    refused = [f"{path}: {text}" for path, text in why.items() if text is not None]
    if refused:
        raise Error(f"this cannot be removed: {'; '.join(refused)}", _HINT)
    kept = {"kept": [item.path for item in items]}
    return Plan(tuple(RemoveKept(item.path, item) for item in wanted), kept, {"kept": [item.path for item in staying]})


def _find(items: Collection[Item], path: str, gone: Collection[str]) -> Item | None:
    for item in items:
        if item.path == path:
            return item
    owner = next((item for item in items for found in item.belongs if found.path == path), None)
    if owner is not None:
        raise Error(f"{path} belongs to {owner.path}, which is of no use without it", f"name {owner.path} instead")
    if path in gone:
        return None
    known = ", ".join(item.path for item in items) or "nothing"
    raise Error(f"{path} is nothing that a restore has left; what was left: {known}", _HINT)


def sized(items: Iterable[Item], sizes: Mapping[str, int]) -> list[Item]:
    """Add up the bytes of all that goes with each item, which are given by path."""
    return [replace(item, size=sum(sizes[found.path] for found in item.holds)) for item in items]


def made_by(record: RestoreRecord | None) -> dict[str, Any]:
    """Say which restore has made, or set aside, something; for a person to read."""
    if record is None:
        return {}
    facts = {"cluster": record.cluster, "target": dict(record.target), "backup": record.backup, "source": record.source}
    return {**facts, "run": record.run}


@dataclass(frozen=True)
class NoteKept(Step):
    """Note beside the previous directory what belongs to the data that is set aside, before it is.

    In a mount point the previous directory is made for that, unless an exchange has begun already.
    """

    path: str
    previous: str
    mount_point: bool
    made_by: Mapping[str, Any]

    @property
    def text(self) -> str:
        return f"note in {self.previous}.json what belongs to the data in {self.path}"
