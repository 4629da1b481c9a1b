# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""List what a repository holds for a cluster: its backups, and the WAL that a recovery would be given."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

from .._errors import Error, printable
from .._host.files import read_history, read_json, reason
from .._wal.identity import Identity
from .._wal.names import SegmentName, TimelinePath, classify
from .catalog import Backup, Catalog, SegmentFile, wal_ranges
from .delivery import require_archive
from .layout import MOST_PACKED, SUFFIXES, Layout
from .observe import check_kind, entry_of, require, segment_file, state_of
from .plan import Entry

_SEGMENTS = re.compile("[0-9A-F]{16}")
_NAME = 24  # characters of a segment's name


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
            if backup is not None and not missing:
                _check_sizes(entry.path, backup, identity.wal_segment_size)
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


def _check_sizes(path: str, backup: Backup, segment_size: int) -> None:
    """Refuse a description that cannot be true: it would be taken for the best, and hide those that are."""
    held = {True: 0, False: 0}
    with os.scandir(path) as entries:
        for entry in entries:
            archive, tar, suffix = entry.name.partition(".tar")
            if tar and entry.is_file(follow_symlinks=False):
                held[archive == "pg_wal"] += entry.stat(follow_symlinks=False).st_size * MOST_PACKED.get(suffix, 1)
    untrue = backup.untrue(held[False], held[True], segment_size)
    if untrue is not None:
        raise Error(untrue, "move the directory away; it was put there by hand, or damaged")


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
            directory = entry_of(entry.path)
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
        found[place] = stored._replace(state=" ".join([told, *map(state_of, states)]))
    return found


def _place(name: str, directory: str, size: int) -> tuple[int, int] | None:
    """Give timeline and number of the segment that is asked for by a name, in a directory (None: none ever is)."""
    if classify(name) != "segment" or name[: len(directory)] != directory:
        return None
    segment = SegmentName.parse(name)
    place = segment.timeline, segment.number(size)
    return place if SegmentName.numbered(*place, size) == segment else None
