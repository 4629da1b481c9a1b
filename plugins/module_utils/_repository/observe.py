# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look into a repository: what is there, and whether it may be used. Symbolic links below it are not followed."""

from __future__ import annotations

import os
import re
import stat

from .._errors import Error, InvalidValue, shown
from .._host.files import group_name, locked, read_json, rename, user_name
from .._values.markers import MARKER
from .._wal.identity import Identity
from . import cluster_document
from .catalog import SegmentFile
from .layout import NAME, SUFFIXES, Layout
from .plan import Entry, Found, hint_about_owner

_PARTIAL = re.compile(r"\..+\.partial")
_KINDS = ((stat.S_ISDIR, "directory"), (stat.S_ISREG, "file"), (stat.S_ISLNK, "link"))


def observe(layout: Layout) -> Found:
    """Look at the skeleton of a repository, which may not exist yet."""
    paths = (layout.repository, layout.marker, layout.directory, layout.identity, layout.backups, layout.wal)
    _check_readable(layout.repository)
    entries = {path: entry_of(path) for path in paths}
    root = entries[layout.repository]
    others = os.listdir(layout.repository) if root.kind == "directory" else []
    foreign = [name for name in others if name not in (MARKER, "lost+found") and not name.startswith(f".{MARKER}.")]
    return Found(entries, _marker(layout), _identity(layout), bool(foreign))


def entry_of(path: str) -> Entry:
    """Describe what is in a place itself, not what a link leads to."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return Entry()
    kind = next((name for test, name in _KINDS if test(found.st_mode)), "other")
    return Entry(kind, stat.S_IMODE(found.st_mode), user_name(found.st_uid), group_name(found.st_gid))


def on_root_of(path: str) -> bool:
    """Tell whether the nearest existing directory of ``path`` is on the same file system as ``/``."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return os.stat(path).st_dev == os.stat("/").st_dev


def _marker(layout: Layout) -> dict[str, object] | None:
    document = read_json(layout.marker)
    if document is None:
        return None
    cluster_document.check_format(layout.marker, document)
    if not isinstance(document.get("id"), str) or not re.fullmatch(NAME, document["id"]):
        raise InvalidValue(
            f"{layout.marker} has id {shown(document.get('id'))}, expected 1 to 63 letters, digits, '_', '-' and '.'",
            "it was changed by hand, or damaged",
        )
    return document


def _identity(layout: Layout) -> Identity | None:
    document = read_json(layout.identity)
    return None if document is None else cluster_document.from_document(document)


def known_major(layout: Layout) -> int | None:
    """Give the major version of a cluster that the repository knows; None when it does not know it."""
    identity = _identity(layout)
    return None if identity is None else identity.major


def repository_id(layout: Layout) -> str:
    """Give what tells this repository from all others."""
    return str((_marker(layout) or {}).get("id", layout.repository))


def require(layout: Layout) -> Identity:
    """Make sure that the repository is one, holds the cluster, and is closed to others; give the cluster's identity."""
    _check_readable(layout.repository)
    if _marker(layout) is None:
        raise Error(
            f"{layout.repository} is not a repository: it has no repository.json",
            "if it is a mount point, mount it; if it is new, run setup_archiving.yml",
        )
    identity = _identity(layout)
    if identity is None:
        raise Error(
            f"{layout.repository} holds nothing of a cluster '{layout.cluster}'",
            "check backup_repository_cluster, or run setup_archiving.yml",
        )
    owner = entry_of(layout.directory).owner
    for path in (layout.repository, layout.directory, layout.backups, layout.wal):
        check_directory(path, entry_of(path), None if path == layout.repository else owner)
    return identity


def _check_readable(path: str) -> None:
    """Say why a directory may not be read; hosts that share one may know its owner by another number."""
    entry, user = entry_of(path), user_name(os.geteuid())
    if entry.kind == "directory" and not os.access(path, os.R_OK | os.X_OK):
        raise Error(
            f"{path} has mode {entry.mode:04o} and belongs to {entry.owner}:{entry.group}, so {user} may not read it",
            hint_about_owner(path, entry.owner, user),
        )


def check_directory(path: str, entry: Entry, owner: str | None) -> None:
    """Refuse what is no directory, is open to others, or belongs to another than ``owner`` (None: anybody)."""
    if entry.kind == "missing":
        raise Error(f"{path} is not there, expected a directory", "run setup_archiving.yml, which makes it")
    check_kind(path, entry)
    if entry.mode & 0o007:
        raise Error(
            f"{path} has mode {entry.mode:04o}, expected one closed to others",
            "run setup_archiving.yml, which repairs it",
        )
    if owner is not None and entry.owner != owner:
        raise Error(
            f"{path} belongs to {entry.owner}, expected {owner}, to whom the cluster's directory belongs",
            "give it to the user that owns the cluster",
        )


def check_kind(path: str, entry: Entry) -> None:
    """Refuse what is no directory."""
    if entry.kind != "directory":
        raise Error(
            f"{path} is a {entry.kind}, expected a directory", "move it away; nothing below a repository may be a link"
        )


def retire(path: str, to: str) -> None:
    """Give a cluster's directory another name, unless an operation is under way in it."""
    with locked(f"{path}/lock", "backup_repository"):
        if os.path.lexists(to):
            raise Error(f"{to} is there already, expected a free name for what is in {path}", "move it away")
        rename(path, to)


def segment_file(path: str, status: os.stat_result, own: bool = False) -> SegmentFile:
    """Describe a stored segment."""
    return SegmentFile(path, status.st_size, status.st_mtime_ns, state_of(status), own)


def state_of(status: os.stat_result) -> str:
    """Tell what a file is now: none of this can be set."""
    return f"{status.st_dev:x}:{status.st_ino:x}:{status.st_ctime_ns:x}"


def has_segment(layout: Layout, name: str) -> bool:
    """Tell whether a segment is in the repository, under any compression."""
    return any(entry_of(layout.wal_file(name) + suffix).kind == "file" for suffix in SUFFIXES.values())


def leftovers(layout: Layout) -> list[str]:
    """List the directories of backups that did not finish; call it with the cluster's lock held."""
    return sorted(f"{layout.backups}/{name}" for name in os.listdir(layout.backups) if _PARTIAL.fullmatch(name))
