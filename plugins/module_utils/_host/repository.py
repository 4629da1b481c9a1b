# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look into a repository: what is there, and whether it may be used. Symbolic links below it are not followed."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field

from .._core import cluster_document
from .._core.catalog import Backup, Catalog, SegmentFile, wal_ranges
from .._core.identity import Identity
from .._core.layout import NAME, SUFFIXES, Layout
from .._core.markers import MARKER
from .._core.plan_repository import Entry, Found, hint_about_owner
from .._core.wal import SegmentName, TimelinePath, classify
from .._errors import Error, InvalidValue, printable, shown
from .delivery import require_archive
from .files import group_name, locked, read_history, read_json, reason, rename, user_name

_PARTIAL = re.compile(r"\..+\.partial")
_SEGMENTS = re.compile("[0-9A-F]{16}")
_NAME = 24  # characters of a segment's name
_KINDS = ((stat.S_ISDIR, "directory"), (stat.S_ISREG, "file"), (stat.S_ISLNK, "link"))


def observe(layout: Layout) -> Found:
    """Look at the skeleton of a repository, which may not exist yet."""
    paths = (layout.repository, layout.marker, layout.directory, layout.identity, layout.backups, layout.wal)
    _check_readable(layout.repository)
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
    owner = _entry(layout.directory).owner
    for path in (layout.repository, layout.directory, layout.backups, layout.wal):
        check_directory(path, _entry(path), None if path == layout.repository else owner)
    return identity


def _check_readable(path: str) -> None:
    """Say why a directory may not be read; hosts that share one may know its owner by another number."""
    entry, user = _entry(path), user_name(os.geteuid())
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


def read_catalog(layout: Layout) -> Catalog:
    """List what the repository holds for a cluster; unfinished backups are named, and not among the backups."""
    identity = require(layout)
    require_archive(layout)
    wal, stored = _wal(layout, identity.wal_segment_size), _backups(layout, identity)
    return Catalog(
        identity,
        # By position, not by time: a clock can be set back.
        tuple(sorted(stored.backups, key=lambda backup: (backup.timeline, backup.stop_lsn, backup.label))),
        wal_ranges(wal.files, identity.wal_segment_size),
        wal.paths,
        wal.files,
        stored.incomplete,
        stored.broken,
        wal.broken,
    )


@dataclass
class _Stored:
    """What is in the directory of backups; ``broken`` says, by label, what is wrong with a description."""

    backups: list[Backup] = field(default_factory=list)
    incomplete: dict[str, list[str]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


def _backups(layout: Layout, identity: Identity) -> _Stored:
    stored = _Stored()
    with os.scandir(layout.backups) as entries:
        directories = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    for entry in directories:
        try:
            backup = _backup(entry.path, entry.name, identity)
            missing = ["backup.json"] if backup is None else _missing_files(entry.path, backup)
        except (Error, OSError) as error:
            # One that nobody can read must not be in the way of the others.
            stored.broken[printable(entry.name)] = printable(reason(error))
            continue
        if backup is not None:
            stored.backups.append(backup)
        if missing:
            stored.incomplete[printable(entry.name)] = missing
    return stored


def _backup(path: str, name: str, identity: Identity) -> Backup | None:
    """Read the description of a backup; None where there is none, because the backup was not finished."""
    document = None if name.startswith(".") else read_json(f"{path}/backup.json")
    if document is None:
        return None
    backup = Backup.from_document(document)
    _check_backup(path, backup, name, identity)
    return backup


def _missing_files(path: str, backup: Backup) -> list[str]:
    """Name the files without which a backup cannot be unpacked; what is in them is a matter of verification."""
    with os.scandir(path) as entries:
        names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
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


@dataclass
class _Wal:
    """The archived WAL; ``broken`` says, by timeline, what is wrong with a history file."""

    files: _Segments = field(default_factory=dict)
    paths: dict[int, TimelinePath] = field(default_factory=dict)
    broken: dict[int, str] = field(default_factory=dict)


def _wal(layout: Layout, size: int) -> _Wal:
    wal = _Wal()
    with os.scandir(layout.wal) as entries:
        found = list(entries)
    for entry in found:
        if _SEGMENTS.fullmatch(entry.name):
            directory = _entry(entry.path)
            check_kind(entry.path, directory)  # pgark-wal follows no link to it
            wal.files.update(_segments(entry.path, directory, size))
        elif classify(entry.name) == "history":
            timeline = int(entry.name[:8], 16)
            try:
                wal.paths[timeline] = read_history(entry.path, timeline)
            except (Error, OSError) as error:
                wal.broken[timeline] = printable(reason(error))
    return wal


def _segments(directory: str, access: Entry, size: int) -> _Segments:
    """List the segments in a directory: those that pgark-wal looks for there, whatever is in their place.

    What is no file is in the way of a copy that another place has, unless there is another form of it. With other
    forms, another checksum beside it or other rights to the directory, it is not what was read before.
    """
    with os.scandir(directory) as entries:
        there = {entry.name: entry for entry in entries}
    found: _Segments = {}
    for name in sorted({name[:_NAME] for name in there}):
        forms = [there[name + suffix] for suffix in SUFFIXES.values() if name + suffix in there]
        place = _place(name, os.path.basename(directory), size) if forms else None
        if place is None:
            continue
        first = min(forms, key=lambda form: not form.is_file(follow_symlinks=False))
        beside = there.get(f"{name}.sha256")
        states = [entry.stat(follow_symlinks=False) for entry in (*forms, *([beside] if beside else []))]
        told = f"{access.mode:o}:{access.owner}:{access.group}"
        stored = segment_file(first.path, first.stat(follow_symlinks=False))
        found[place] = stored._replace(state=" ".join([told, *map(_state, states)]))
    return found


def _place(name: str, directory: str, size: int) -> tuple[int, int] | None:
    """Give timeline and number of the segment that is asked for by a name, in a directory (None: none ever is)."""
    if classify(name) != "segment" or name[: len(directory)] != directory:
        return None
    segment = SegmentName.parse(name)
    place = segment.timeline, segment.number(size)
    return place if SegmentName.numbered(*place, size) == segment else None


def retire(path: str, to: str) -> None:
    """Give a cluster's directory another name, unless an operation is under way in it."""
    with locked(f"{path}/lock", "backup_repository"):
        if os.path.lexists(to):
            raise Error(f"{to} is there already, expected a free name for what is in {path}", "move it away")
        rename(path, to)


def segment_file(path: str, status: os.stat_result, own: bool = False) -> SegmentFile:
    """Describe a stored segment."""
    return SegmentFile(path, status.st_size, status.st_mtime_ns, _state(status), own)


def _state(status: os.stat_result) -> str:
    """Tell what a file is now: none of this can be set."""
    return f"{status.st_dev:x}:{status.st_ino:x}:{status.st_ctime_ns:x}"


def has_segment(layout: Layout, name: str) -> bool:
    """Tell whether a segment is in the repository, under any compression."""
    return any(_entry(layout.wal_file(name) + suffix).kind == "file" for suffix in SUFFIXES.values())


def leftovers(layout: Layout) -> list[str]:
    """List the directories of backups that did not finish; call it with the cluster's lock held."""
    return sorted(f"{layout.backups}/{name}" for name in os.listdir(layout.backups) if _PARTIAL.fullmatch(name))
