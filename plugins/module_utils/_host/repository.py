# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look into a repository: what is there, and whether it may be used. Symbolic links below it are not followed."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from datetime import datetime, timezone

from .._core.catalog import Backup, Catalog, Identity, SegmentFile, check_format, wal_ranges
from .._core.layout import MARKER, SUFFIXES, Layout
from .._core.plan_repository import Entry, Found
from .._core.wal import SegmentName, TimelinePath, classify
from .._errors import Error
from .files import read_json

_PARTIAL = re.compile(r"\..+\.partial")
_KINDS = ((stat.S_ISDIR, "directory"), (stat.S_ISREG, "file"), (stat.S_ISLNK, "link"))


def observe(layout: Layout) -> Found:
    """Look at the skeleton of a repository, which may not exist yet."""
    paths = (layout.repository, layout.marker, layout.directory, layout.identity, layout.backups, layout.wal)
    entries = {path: _entry(path) for path in paths}
    root = entries[layout.repository]
    others = os.listdir(layout.repository) if root.kind == "directory" else []
    foreign = [name for name in others if name not in (MARKER, "lost+found") and not name.startswith(f".{MARKER}.")]
    return Found(entries, _marker(layout), _identity(layout), bool(foreign))


def _entry(path: str) -> Entry:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return Entry()
    kind = next((name for test, name in _KINDS if test(found.st_mode)), "other")
    return Entry(kind, stat.S_IMODE(found.st_mode), _user(found.st_uid), _group(found.st_gid))


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def on_root_of(path: str) -> bool:
    """Tell whether the nearest existing directory of ``path`` is on the same file system as ``/``."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return os.stat(path).st_dev == os.stat("/").st_dev


def _marker(layout: Layout) -> dict[str, object] | None:
    document = read_json(layout.marker)
    if document is not None:
        check_format(layout.marker, document)
    return document


def _identity(layout: Layout) -> Identity | None:
    document = read_json(layout.identity)
    return None if document is None else Identity.from_document(document)


def known_major(layout: Layout) -> int | None:
    """Give the major version of a cluster that the repository knows; None when it does not know it."""
    identity = _identity(layout)
    return None if identity is None else identity.major


def repository_id(layout: Layout) -> str:
    """Give what tells this repository from all others."""
    return str((_marker(layout) or {}).get("id", layout.repository))


def require(layout: Layout) -> Identity:
    """Make sure that the repository is one, holds the cluster, and is closed to others; give the cluster's identity."""
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
    owner = _entry(layout.directory).owner
    for path in (layout.repository, layout.directory, layout.backups, layout.wal):
        check_directory(path, _entry(path), None if path == layout.repository else owner)
    return identity


def check_directory(path: str, entry: Entry, owner: str | None) -> None:
    """Refuse what is no directory, is open to others, or belongs to another than ``owner`` (None: anybody)."""
    if entry.kind == "missing":
        raise Error(f"{path} is not there, expected a directory", "run setup_archiving.yml, which makes it")
    if entry.kind != "directory":
        raise Error(
            f"{path} is a {entry.kind}, expected a directory", "move it away; nothing below a repository may be a link"
        )
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


def read_catalog(layout: Layout) -> Catalog:
    """List what the repository holds for a cluster; unfinished backups are named, and not among the backups."""
    identity = require(layout)
    files, paths, histories = _wal(layout, identity.wal_segment_size)
    backups, incomplete = _backups(layout, identity)
    wal = wal_ranges(files, identity.wal_segment_size)
    return Catalog(identity, tuple(backups), wal, paths, files, histories, incomplete)


def _backups(layout: Layout, identity: Identity) -> tuple[list[Backup], dict[str, list[str]]]:
    found, incomplete = [], {}
    with os.scandir(layout.backups) as entries:
        directories = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    for entry in directories:
        document = None if entry.name.startswith(".") else read_json(f"{entry.path}/backup.json")
        if document is None:
            incomplete[entry.name] = ["backup.json"]
            continue
        backup = Backup.from_document(document)
        _check_backup(entry.path, backup, entry.name, identity)
        found.append(backup)
        missing = _missing_files(entry.path, backup)
        if missing:
            incomplete[entry.name] = missing
    # By position, not by time: a clock can be set back.
    return sorted(found, key=lambda backup: (backup.timeline, backup.stop_lsn, backup.label)), incomplete


def _missing_files(path: str, backup: Backup) -> list[str]:
    """Name the files without which a backup cannot be unpacked; what is in them is a matter of verification."""
    names = os.listdir(path)
    there = {name.partition(".tar")[0] + ".tar" for name in names if ".tar" in name} | set(names)
    needed = ("backup_manifest", "base.tar", *(f"{oid}.tar" for oid in backup.tablespaces), "pg_wal.tar")
    return [name for name in needed if name not in there]


def _check_backup(path: str, backup: Backup, name: str, identity: Identity) -> None:
    found = (backup.label, backup.system_identifier)
    if found != (name, identity.system_identifier):
        raise Error(
            f"{path}/backup.json describes backup '{found[0]}' of the cluster with system identifier {found[1]}, "
            f"expected '{name}' of {identity.system_identifier}",
            "move the directory away; it was put there by hand",
        )


_Segments = dict[tuple[int, int], SegmentFile]


def _wal(layout: Layout, size: int) -> tuple[_Segments, dict[int, TimelinePath], dict[int, datetime]]:
    segments: _Segments = {}
    paths, arrived = {}, {}
    for entry in os.scandir(layout.wal):
        if entry.is_dir(follow_symlinks=False):
            segments.update(_segments(entry.path, size))
        elif classify(entry.name) == "history" and entry.is_file(follow_symlinks=False):
            timeline = int(entry.name[:8], 16)
            with open(entry.path, encoding="ascii", errors="replace") as file:
                paths[timeline] = TimelinePath.parse(timeline, file.read())
            arrived[timeline] = datetime.fromtimestamp(entry.stat().st_mtime, timezone.utc)
    return segments, paths, arrived


def _segments(directory: str, size: int) -> _Segments:
    found: _Segments = {}
    for entry in os.scandir(directory):
        stem, suffix = os.path.splitext(entry.name)
        name = entry.name if suffix not in SUFFIXES.values() else stem
        if classify(name) == "segment" and entry.is_file(follow_symlinks=False):
            segment, status = SegmentName.parse(name), entry.stat()
            found[segment.timeline, segment.number(size)] = SegmentFile(entry.path, status.st_size, status.st_mtime_ns)
    return found


def has_segment(layout: Layout, name: str) -> bool:
    """Tell whether a segment is in the repository, under any compression."""
    return any(_entry(layout.wal_file(name) + suffix).kind == "file" for suffix in SUFFIXES.values())


def leftovers(layout: Layout) -> list[str]:
    """List the directories of backups that did not finish; call it with the cluster's lock held."""
    return sorted(f"{layout.backups}/{name}" for name in os.listdir(layout.backups) if _PARTIAL.fullmatch(name))
