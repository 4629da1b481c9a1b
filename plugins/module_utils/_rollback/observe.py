# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put back what a restore has replaced: look at what is kept, keep the journal, exchange entries in a mount point."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import asdict

from .._cluster.data_directory import DataDirectory, RestoreRecord
from .._cluster.observe import major_version, mark_of, read_record, system_identifier
from .._errors import Error
from .._host.claim import look, settle
from .._host.files import remove_tree, write_json
from .._host.mounts import is_mount_point
from .._host.processes import find_postmaster
from .._host.runner import CommandRunner
from .._previous_data.observe import kept_paths
from .._restore.staging import move_in, move_out
from .._values.markers import HELD_CONTROL
from . import apply_new_timeline as new_timeline
from .journal import journal_of, read_journal
from .situation import Journal, Kept, Situation

# A server that finds one of these begins a recovery: readRecoverySignalFile() and read_backup_label() in
# src/backend/access/transam/xlogrecovery.c.
_SIGNS = ("standby.signal", "recovery.signal", "backup_label")


def observe_situation(
    directory: DataDirectory, wanted: str | None, bin_directory: str, runner: CommandRunner, identifier: str | None
) -> Situation:
    """Look at what is kept beside a data directory, and at the directory that is named."""
    journal = _journal(directory, wanted)
    named = [path for path in (wanted, None if journal is None else journal.source) if path is not None]
    paths = sorted({*kept_paths(directory), *named})
    kept = tuple(observe_kept(path, bin_directory, runner) for path in paths)
    return Situation(directory, kept, journal, identifier)


def _journal(directory: DataDirectory, wanted: str | None) -> Journal | None:
    """Read the journal; where it is damaged, what is named is put back without it.

    That cannot be in a mount point, where nothing else tells old entries from new ones.
    """
    try:
        return journal_of(directory)
    except (Error, OSError):
        if wanted is None or directory.mount_point or not os.path.isfile(directory.journal):
            raise
        return None


def kept_major(data_directory: str, wanted: str | None) -> int | None:
    """Tell the major version of what is kept beside a data directory that is gone; None when nothing is kept."""
    directory = DataDirectory(data_directory, data_directory, "unknown", is_mount_point(data_directory))
    versions = map(major_version, [*filter(None, [wanted]), *sorted(kept_paths(directory), reverse=True)])
    return next((version for version in versions if version is not None), None)


def observe_kept(path: str, bin_directory: str, runner: CommandRunner) -> Kept:
    """Look at a directory that was set aside; one inside a mount point has data that was made for that."""
    if not os.path.isdir(path):
        return Kept(path, "missing")
    parent = os.path.dirname(path)
    inode = os.stat(parent if is_mount_point(parent) else path).st_ino
    record = _record(path, inode)
    identifier = system_identifier(path, bin_directory, runner)
    return Kept(
        path,
        _kind(path, identifier, record),
        mark_of(path, inode, record),
        record,
        identifier,
        find_postmaster(path),
        os.stat(path).st_dev,
        None if identifier is None else new_timeline.observe(path, bin_directory, runner),
        tuple(name for name in _SIGNS if os.path.lexists(f"{path}/{name}")),
    )


def _record(path: str, inode: int) -> RestoreRecord | None:
    """Read a record that was made for this data; one that is damaged tells nothing."""
    try:
        record = read_record(path)
    except (Error, OSError):
        return None
    return record if record is not None and record.inode == inode else None


def _kind(path: str, identifier: str | None, record: RestoreRecord | None) -> str:
    if identifier is not None:
        return "cluster"
    if record is not None and os.path.exists(f"{path}/{HELD_CONTROL}"):
        return "unfinished"
    return "unknown" if os.listdir(path) else "empty"


def note(
    path: str, source: str, aside: str | None, timeline: int | None, bin_directory: str, runner: CommandRunner
) -> None:
    """Write the journal: what is put back, and all that is needed to go on from anywhere."""
    settle(source)  # a switch that was killed right after it had set this aside
    kept = observe_kept(source, bin_directory, runner)
    entries = tuple(sorted(os.listdir(source)))
    write_json(path, asdict(Journal(source, aside, kept.mark, kept.kind, entries, timeline)), 0o600)


def bring_back(path: str, source: str, aside: str | None, journal: str) -> None:
    """Exchange the entries of a mount point for those of ``source``, from which everything is moved.

    The control file is in ``global``, which leaves first and arrives last: between the two nothing can start.
    """
    noted = read_journal(journal)
    if noted is None:
        raise Error(f"{journal} is gone, which tells old entries from new ones", "run the rollback again")
    _clear_temporaries(journal)
    look(source)
    if aside is not None:
        move_out(path, source, aside, noted.entries)
    move_in(path, source, noted.entries, last="global")
    os.rmdir(source)


def forget(journal: str) -> None:
    """Remove the journal, and what a rollback that was killed has left, also in what it had set aside."""
    with suppress(Error):
        noted = read_journal(journal)
        if noted is not None and noted.aside is not None:
            settle(noted.aside)
    _clear_temporaries(journal)
    remove_tree(journal)


def _clear_temporaries(journal: str) -> None:
    directory, name = os.path.split(journal)
    for found in os.listdir(directory):
        if found.startswith(f".{name}.") and found.endswith(".tmp"):
            remove_tree(f"{directory}/{found}")
