# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan the directories of a cluster in a repository: what is missing is made, what is too open is closed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import Error
from .catalog import Identity
from .layout import FORMAT, Layout
from .plan import MakeDirectory, Plan, SetAccess, Step, WriteDocument

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


def plan_repository(
    layout: Layout, found: Found, identity: Identity, access: tuple[str, str | None, int], new_id: str
) -> Plan:
    """Plan the repository and one cluster's directories in it.

    ``access`` is owner, group (None: leave it) and directory mode; ``new_id`` names the repository if it is a new one.
    """
    _check_repository(layout, found)
    check_owner(layout, found.identity, identity.system_identifier)
    owner, group, mode = access
    directories = [layout.repository, layout.directory, layout.backups, layout.wal]
    documents = {
        layout.marker: ({"format": FORMAT, "id": new_id} if found.marker is None else None),
        layout.identity: (identity.as_document() if found.identity != identity else None),
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


def check_owner(layout: Layout, there: Identity | None, identifier: str) -> None:
    """Refuse a cluster in the directory of another one, told by the system identifier."""
    if there is not None and there.system_identifier != identifier:
        raise Error(
            f"{layout.directory} belongs to the cluster with system identifier {there.system_identifier} "
            f"(PostgreSQL {there.major}), this one has {identifier}",
            "give this cluster a name of its own in the repository (backup_repository_cluster)",
        )


def _check_entry(path: str, entry: Entry, owner: str, kind: str) -> None:
    if entry.kind == "missing":
        return
    if entry.kind != kind:
        raise Error(
            f"{path} is a {entry.kind}, expected a {kind}", "move it away; nothing below a repository may be a link"
        )
    if entry.owner != owner:
        raise Error(f"{path} belongs to {entry.owner}, expected {owner}", f"as root: chown -R {owner} {path}")


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
