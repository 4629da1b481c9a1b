# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Note what is kept, and see what restores, attempts and clones have left."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime, timezone
from typing import Any

from .._cluster.data_directory import DataDirectory, RestoreRecord
from .._cluster.marks import read_mark
from .._cluster.observe import major_version, mark_of, own_record, own_staging
from .._errors import Error
from .._host.files import make_directory, read_json, remove_tree, tree_size, write_json
from .._host.mounts import is_mount_point
from .._host.processes import find_postmaster, servers
from .plan import Directory, Item, KeptNote, NoteKept, Users, made_by, sized, without_owned

_PRIVATE = 0o700


def note(step: NoteKept) -> None:
    """Write the note beside what is about to be set aside."""
    if step.mount_point:
        make_directory(step.previous, _PRIVATE)
        if os.listdir(step.previous):
            return  # its entries have begun to move: it was noted before the first one
    found = os.stat(step.previous if step.mount_point else step.path)
    kept = KeptNote(
        data_directory=step.path,
        directory=Directory(step.previous, found.st_dev, found.st_ino),
        mark=mark_of(step.path, found.st_ino, None),
        at=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        made_by=step.made_by,
        belongs=tuple(belongings(step.path)),
    )
    noted = read_note(_note_of(step.previous))
    if noted is not None and replace(noted, at=kept.at) == kept:
        return  # a run that was killed got as far as this
    write_json(_note_of(step.previous), asdict(kept), 0o600)


def forget_note(previous: str) -> None:
    """Remove the note of data that is in place again."""
    if read_note(_note_of(previous)) is not None:
        remove_tree(_note_of(previous))


def _note_of(previous: str) -> str:
    return f"{previous}.json"


def belongings(data_directory: str) -> Iterator[Directory]:
    """Give the directories outside a data directory whose data it is.

    What somebody has made is not ours; of a tablespace there, PostgreSQL's own directory is, which has the version.
    """
    for path, kind in _links(data_directory):
        if read_mark(path) is not None:
            yield _directory(path)
        elif kind == "wal":
            yield _directory(path, "wal")
        else:
            versions = re.compile(rf"PG_{major_version(data_directory)}_\d+")
            names = sorted(name for name in os.listdir(path) if versions.fullmatch(name))
            yield from (_directory(f"{path}/{name}", "tablespace") for name in names)


def _links(data_directory: str) -> Iterator[tuple[str, str]]:
    """Give where the links of a data directory lead to, and what for."""
    tablespaces = f"{data_directory}/pg_tblspc"
    names = sorted(os.listdir(tablespaces)) if os.path.isdir(tablespaces) else []
    paths = [(f"{data_directory}/pg_wal", "wal"), *((f"{tablespaces}/{name}", "tablespace") for name in names)]
    for path, kind in paths:
        if os.path.islink(path) and os.path.isdir(path):
            yield os.path.realpath(path), kind


def _directory(path: str, kind: str = "whole") -> Directory:
    found = os.stat(path)
    return Directory(path, found.st_dev, found.st_ino, kind)


def observe_kept(data_directory: str, search: Collection[str]) -> tuple[list[Item], Users]:
    """Look at all that was left for a data directory; places are looked for where known ones are, and in ``search``."""
    directory = _observe(data_directory)
    items = [*_previous(directory), *_staging(directory)]
    near = [path for path, _kind in _links(data_directory)]
    near += [found.path for item in items for found in item.belongs]
    users = _users(directory, items)
    own = users.directories.get(data_directory, ())
    around = {os.path.dirname(path) for path in near} | set(near) | set(search)
    places = [item for item in _places(data_directory, around) if item.directory not in own]
    found = without_owned([*items, *places])
    sizes = {each.path: tree_size(each.path) for item in found for each in item.holds}
    return sized(found, sizes), users


def _observe(data_directory: str) -> DataDirectory:
    mount_point = is_mount_point(data_directory)
    there = os.path.isdir(data_directory)
    seen = DataDirectory(data_directory, data_directory, "unknown" if there else "missing", mount_point)
    return replace(
        seen,
        record=_readable(own_record, data_directory),
        staged=_readable(own_staging, seen.staging),
        recovering=os.path.exists(f"{data_directory}/recovery.signal"),
    )


def _readable(read: Callable[[str], RestoreRecord | None], directory: str) -> RestoreRecord | None:
    with suppress(Error, OSError):
        return read(directory)
    return None


def _users(directory: DataDirectory, items: Collection[Item]) -> Users:
    real, staged = directory.real_path, directory.staged
    parent = os.path.dirname(real)
    known = {item.path for item in items}
    beside = [f"{parent}/{name}" for name in os.listdir(parent)] if os.path.isdir(parent) else []
    others = [path for path in (*beside, *servers()) if os.path.isfile(f"{path}/PG_VERSION") and path not in known]
    owners = dict.fromkeys(filter(os.path.isdir, [real, *others]))
    startable = os.path.isfile(f"{real}/global/pg_control")
    interrupted = staged is not None and staged.undo_directory is not None and not startable
    restore = staged if interrupted else directory.record
    waiting = restore is not None and (interrupted or directory.recovering or not startable)
    return Users(
        {path: tuple(_used(path)) for path in owners},
        restore.undo_directory if waiting and restore is not None else None,
        interrupted,
        os.uname().nodename,
    )


def _used(data_directory: str) -> Iterator[Directory]:
    """Give a data directory, and all that its links lead to."""
    yield _directory(data_directory)
    yield from (_directory(path) for path, _kind in _links(data_directory))
    yield from belongings(data_directory)


def _previous(directory: DataDirectory) -> Iterator[Item]:
    """Give the data that was set aside: what a note knows, under whatever name, and what none does."""
    parent, start = os.path.split(directory.previous(""))
    names = sorted(os.listdir(parent)) if os.path.isdir(parent) else []
    noted = {f"{parent}/{name}" for name in names if name.startswith(start) and name.endswith(".json")}
    notes = {path: found for path in sorted(noted) if (found := read_note(path)) is not None}
    known: set[str] = set()
    # A note that was written for a switch which never came is of data that has another one now.
    for path, found in sorted(notes.items(), key=lambda item: not _is(item[1].directory.path, item[1])):
        if _is(directory.real_path, found):
            continue  # what is in place again has a note until the rollback is done
        beside = (f"{parent}/{os.path.basename(found.directory.path)}", *(f"{parent}/{name}" for name in names))
        there = next((each for each in beside if _is(each, found)), None)
        if there is None or there not in known:
            known.add(there or "")
            yield _kept(there, found, path)
    for path in sorted(set(kept_paths(directory)) - known):
        yield Item("previous", path, _directory(path), marked=False, postmaster=find_postmaster(path))


def _kept(path: str | None, found: KeptNote, noted_in: str) -> Item:
    there = None if path is None else replace(found.directory, path=path)
    belongs = [each for each in found.belongs if _is_there(each)]
    if path is not None:  # a tablespace that was moved aside since, which its link leads to
        belongs += [each for each in belongings(path) if each.kind == "whole" and each not in belongs]
    server = None if path is None else find_postmaster(path)
    named = path or found.directory.path
    item = Item("previous", named, there, tuple(belongs), postmaster=server, note=noted_in)
    return replace(item, since=found.at, made_by=found.made_by)


def _is(path: str, found: KeptNote) -> bool:
    """Tell whether a directory is what a note is about; one that is empty has lost all else to its removal."""
    if os.path.islink(path) or not _is_there(replace(found.directory, path=path)):
        return False
    return not os.listdir(path) or mark_of(path, found.directory.inode, None) == found.mark


def _is_there(found: Directory) -> bool:
    with suppress(OSError):
        seen = os.lstat(found.path)
        return (seen.st_dev, seen.st_ino) == (found.device, found.inode)
    return False


def read_note(path: str) -> KeptNote | None:
    """Read a note; None where there is none that can be read."""
    with suppress(Error, KeyError, TypeError, OSError):
        document = read_json(path)
        if document is not None:
            document = {name: value for name, value in document.items() if name != "removing"}  # not said any more
            own, *belongs = (Directory(**each) for each in (document["directory"], *document["belongs"]))
            return KeptNote(**{**document, "directory": own, "belongs": tuple(belongs)})
    return None


def _staging(directory: DataDirectory) -> Iterator[Item]:
    path, record = directory.staging, directory.staged
    if not os.path.isdir(path):
        return
    if record is None:
        yield Item("staging", path, _directory(path), marked=not os.listdir(path))
        return
    marks = {place: read_mark(place) for place in record.places}
    places = tuple(_directory(place) for place, mark in marks.items() if mark and mark.get("run") == record.run)
    since = "" if record.reservation is None else record.reservation.at
    yield Item("staging", path, _directory(path), places, run=record.run, since=since, made_by=made_by(record))


def _places(data_directory: str, around: Collection[str]) -> Iterator[Item]:
    """Give the directories that were made for a data directory, and are marked so."""
    for parent in sorted(path for path in around if os.path.isdir(path) and os.access(path, os.R_OK | os.X_OK)):
        for name in sorted(os.listdir(parent)):
            mark = read_mark(f"{parent}/{name}")
            if mark is not None and mark.get("data_directory") == data_directory:
                facts: dict[str, Any] = {key: mark.get(key) for key in ("cluster", "repository", "host")}
                place = _directory(f"{parent}/{name}")
                run, since = str(mark.get("run", "")), str(mark.get("at", ""))
                yield Item("place", place.path, place, run=run, since=since, made_by=facts)


def missing(paths: Collection[str]) -> list[str]:
    """Give the paths where nothing is."""
    return [path.rstrip("/") for path in paths if not os.path.lexists(path)]


def kept_paths(directory: DataDirectory) -> list[str]:
    """List the directories that restores and rollbacks have set aside."""
    first = directory.previous("")
    parent, prefix = os.path.split(first)
    names = os.listdir(parent) if os.path.isdir(parent) else []
    return [f"{parent}/{name}" for name in names if name.startswith(prefix) and os.path.isdir(f"{parent}/{name}")]
