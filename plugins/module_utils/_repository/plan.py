# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan the directories of a cluster in a repository: what is missing is made, what is too open is closed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .._errors import Error
from .._plan.plan import MakeDirectory, Plan, SetAccess, Step, WriteDocument
from .._wal.identity import Identity
from .cluster_document import as_document
from .layout import FORMAT, Layout, check_name

_FILE_BITS = 0o640


@dataclass(frozen=True)
class Entry:
    """What is at a path; ``kind`` is ``missing``, ``directory``, ``file``, ``link`` or ``other``."""

    kind: str = "missing"
    mode: int = 0
    owner: str = ""
    group: str = ""


@dataclass(frozen=True)
class Found:
    """What is in place: entries by path, the content of the two documents, and whether the root holds other things."""

    entries: Mapping[str, Entry]
    marker: Mapping[str, Any] | None
    identity: Identity | None
    foreign_content: bool


@dataclass(frozen=True)
class RetireCluster(Step):
    """Give the directory of a cluster another name, under which all that is in it can be restored from."""

    path: str
    to: str

    @property
    def text(self) -> str:
        return f"keep what {self.path} holds of an earlier cluster as {self.to}"


def plan_repository(
    layout: Layout,
    found: Found,
    identity: Identity,
    access: tuple[str, str | None, int],
    new_id: str,
    retire: bool = False,
) -> Plan:
    """Plan the repository and one cluster's directories in it.

    ``access`` is owner, group (None: leave it) and directory mode; ``new_id`` names the repository if it is a new one.
    With ``retire``, what the directory holds of another cluster is kept under another name, to make room.
    """
    _check_repository(layout, found)
    if retire and _is_foreign(found.identity, identity):
        retirement, emptied = _retirement(layout, found)
        return _then(retirement, plan_repository(layout, emptied, identity, access, new_id), found)
    check_owner(layout, found.identity, identity)
    owner, group, mode = access
    directories = [layout.repository, layout.directory, layout.backups, layout.wal]
    documents = {
        layout.marker: ({"format": FORMAT, "id": new_id} if found.marker is None else None),
        layout.identity: (as_document(identity) if found.identity is None else None),
    }
    steps: list[Step] = []
    for path in (layout.repository, layout.marker, layout.directory, layout.identity, layout.backups, layout.wal):
        entry = found.entries.get(path, Entry())
        _check_entry(path, entry, owner, "directory" if path in directories else "file")
        wanted_mode = mode if path in directories else mode & _FILE_BITS
        steps += _steps(path, entry, wanted_mode, group, documents.get(path), path in directories)
    return Plan(tuple(steps), _shown(found.entries), _shown({**found.entries, **_wanted(steps, found.entries, owner)}))


def _check_repository(layout: Layout, found: Found) -> None:
    if found.marker is None and found.foreign_content:
        raise Error(
            f"{layout.repository} is not empty and has no repository.json, so it is not a repository",
            "give an empty or a new directory; if a file system is to be mounted there, mount it first",
        )


def check_owner(layout: Layout, there: Identity | None, identity: Identity) -> None:
    """Refuse a cluster in the directory of another one.

    That is told by the system identifier. One whose segments have got another size is another one, too: the same name
    is that of a different stretch of WAL then.
    """
    if there is None or not _is_foreign(there, identity):
        return
    if there.system_identifier != identity.system_identifier:
        raise Error(
            f"{layout.directory} belongs to the cluster with system identifier {there.system_identifier} "
            f"(PostgreSQL {there.major}), this one has {identity.system_identifier}",
            "give this cluster a name of its own in the repository (backup_repository_cluster); where it takes the "
            "place of that one, as a clone made anew does, backup_repository_retire=true keeps what is there as"
            f" {_retired(layout, there)}",
        )
    raise Error(
        f"{layout.directory} holds WAL in segments of {there.wal_segment_size} bytes of PostgreSQL {there.major}, and "
        f"this cluster has segments of {identity.wal_segment_size} bytes of PostgreSQL {identity.major}",
        "pg_resetwal --wal-segsize makes WAL that does not go with what is archived: give the cluster a new name in "
        "the repository (backup_repository_cluster), or set backup_repository_retire=true, which keeps what is there "
        f"as {_retired(layout, there)}; then take a base backup",
    )


def _is_foreign(there: Identity | None, identity: Identity) -> bool:
    return there is not None and there != identity


def _retired(layout: Layout, there: Identity) -> str:
    return f"{layout.cluster}.retired-{there.system_identifier}"


def _retirement(layout: Layout, found: Found) -> tuple[RetireCluster, Found]:
    """Give the step that makes room, and what is there after it."""
    name = "" if found.identity is None else check_name("cluster", _retired(layout, found.identity))
    below = (layout.directory, f"{layout.directory}/")
    kept = {path: entry for path, entry in found.entries.items() if path != below[0] and not path.startswith(below[1])}
    return RetireCluster(layout.directory, f"{layout.repository}/{name}"), replace(found, entries=kept, identity=None)


def _then(first: Step, rest: Plan, found: Found) -> Plan:
    return Plan((first, *rest.steps), _shown(found.entries), rest.after)


def _check_entry(path: str, entry: Entry, owner: str, kind: str) -> None:
    if entry.kind == "missing":
        return
    if entry.kind != kind:
        raise Error(
            f"{path} is a {entry.kind}, expected a {kind}", "move it away; nothing below a repository may be a link"
        )
    if entry.owner != owner:
        raise Error(f"{path} belongs to {entry.owner}, expected {owner}", hint_about_owner(path, entry.owner, owner))


def hint_about_owner(path: str, found: str, wanted: str) -> str:
    """Say what to do where something in a repository is another user's; ``found`` is a number where it has no name."""
    taken = f"where no other host or cluster uses it, as root: chown -R {wanted} {path}"
    if not found.isdigit():
        return taken
    return (
        f"no user of this host has the number {found}: where hosts share a repository, {wanted} has to have the same "
        f"number on all of them (id -u {wanted}; as root, with the server down: usermod --uid {found} {wanted}, and "
        f"give it what was its own), or each host a repository in a directory of its own; {taken}"
    )


def _steps(
    path: str, entry: Entry, mode: int, group: str | None, document: Mapping[str, Any] | None, directory: bool
) -> list[Step]:
    if document is not None:
        return [WriteDocument(path, document, mode, group)]
    if entry.kind == "missing" and directory:
        return [MakeDirectory(path, mode, group)]
    if entry.mode != mode or group not in (None, entry.group):
        return [SetAccess(path, mode, group)]
    return []


def _wanted(steps: list[Step], before: Mapping[str, Entry], owner: str) -> dict[str, Entry]:
    wanted = {}
    for step in steps:
        if isinstance(step, (MakeDirectory, SetAccess, WriteDocument)):
            old = before.get(step.path, Entry())
            kind = "file" if isinstance(step, WriteDocument) else "directory" if old.kind == "missing" else old.kind
            wanted[step.path] = Entry(kind, step.mode, owner, step.group or old.group)
    return wanted


def _shown(entries: Mapping[str, Entry]) -> dict[str, str]:
    return {
        path: f"{entry.kind} {entry.mode:04o} {entry.owner}:{entry.group or '(inherited)'}"
        for path, entry in sorted(entries.items())
        if entry.kind != "missing"
    }
