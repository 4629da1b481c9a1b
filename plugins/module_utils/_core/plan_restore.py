# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan a restore: what is staged beside the data directory, and how the two are switched.

New WAL and tablespace directories get names of their own, so the old data directory stays whole with the old ones and
the switch is one rename. Where the data directory is a mount point and cannot be renamed, its entries are moved one by
one; ``global/pg_control`` is missing all the while and put in place last, so nothing half-done can start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .._errors import Error
from .catalog import Identity
from .choice import Choice
from .data_directory import DataDirectory, RestoreRecord, RestoreRequest, check_stopped
from .layout import Layout
from .plan import Plan, Step
from .restore_steps import (
    BeginStaging,
    ConfigureRecovery,
    FinishStaging,
    NoteUndo,
    PutInPlace,
    ReleaseControl,
    RemoveStaging,
    RestoreConfiguration,
    SaveWal,
    SetAside,
    SwapEntries,
    UnpackBackup,
    VerifyStaging,
)
from .room import Parts, check_room


@dataclass(frozen=True)
class Recovery:
    """How a staged server recovers: ``settings`` stay until the promotion or for good, ``overrides`` are put back."""

    settings: Mapping[str, str]
    overrides: Mapping[str, str] = field(default_factory=dict)


def check_directory(directory: DataDirectory, identity: Identity, force: bool) -> None:
    """Refuse to replace what is not this cluster's data."""
    if directory.kind == "unknown" and not force:
        raise Error(
            f"{directory.path} is not empty and is not a PostgreSQL data directory, so it is not replaced",
            "check data_directory; with force: true it is kept as the previous directory",
        )
    found = directory.system_identifier
    if found is not None and found != identity.system_identifier:
        raise Error(
            f"{directory.path} holds another cluster: its system identifier is {found}, "
            f"that of the backups is {identity.system_identifier}",
            "check data_directory, repository and cluster; only the cluster that was backed up is replaced",
        )


def plan_staging(
    directory: DataDirectory,
    choice: Choice,
    request: RestoreRequest,
    layout: Layout,
    recovery: Recovery,
    parts: Parts,
    stamp: str,
) -> Plan:
    """Plan the staging directory for a restore that is neither in place nor staged.

    ``directory.tablespaces`` has a place for each tablespace of the backup.
    """
    backup = choice.backup
    check_room(directory, backup, parts)
    tablespaces = {oid: directory.tablespaces[oid].renewed(stamp) for oid in backup.tablespaces}
    wal = None if directory.wal is None else directory.wal.renewed(stamp)
    record = _record(directory, choice, request, parts, stamp, (*tablespaces.values(), *filter(None, [wal])))
    stored, staging = layout.backup(backup.label), directory.staging
    first = converge(directory)
    if not first and directory.staged is not None:
        first = (RemoveStaging(staging, directory.staged.places),)
    steps: tuple[Step, ...] = (
        *first,
        BeginStaging(staging, record),
        UnpackBackup(stored, staging, tablespaces, wal, parts.size),
        VerifyStaging(staging, stored, backup.manifest_sha256, parts.size),
        ConfigureRecovery(staging, recovery.settings, recovery.overrides, tablespaces),
        FinishStaging(staging, replace(record, complete=True), directory.real_path if directory.mount_point else None),
    )
    return Plan(
        steps,
        {"staging_directory": None},
        {"staging_directory": staging, "backup": backup.label, "target": str(request.target)},
    )


def _record(
    directory: DataDirectory,
    choice: Choice,
    request: RestoreRequest,
    parts: Parts,
    stamp: str,
    places: tuple[str, ...],
) -> RestoreRecord:
    # A switch was interrupted between its two renames: the data to go back to has been set aside already.
    left = directory.staged if directory.kind == "missing" else None
    backup = choice.backup
    return RestoreRecord(
        *(request.target.as_dict(), backup.label, request.cluster, backup.system_identifier, directory.previous(stamp)),
        places=places,
        source=request.source,
        size=parts.size,
        start_lsn=str(choice.start_lsn),
        end_lsn=None if choice.end_lsn is None else str(choice.end_lsn),
        undo_directory=None if left is None else left.undo_directory,
        undo_mark=None if left is None else left.undo_mark,
    )


def converge(directory: DataDirectory) -> tuple[Step, ...]:
    """Finish an exchange of entries that was interrupted: then old data and new data are whole again."""
    staged = directory.staged
    if staged is None or not (directory.exchanging and directory.kind == "unfinished"):
        return ()
    return (SwapEntries(directory.real_path, directory.staging, staged.previous_directory, staged.entries),)


def plan_switch(directory: DataDirectory, request: RestoreRequest, layout: Layout, configuration: str | None) -> Plan:
    """Plan the switch from the data now in place to the staged data; the server must be down.

    ``configuration`` is the directory outside PGDATA whose files are missing (None: they are there, or inside PGDATA).
    """
    staged = directory.staged
    if request.in_place(directory) and not request.staged(directory):
        left = (ReleaseControl(directory.real_path),) if directory.kind == "unfinished" else ()
        return Plan(left, {"data_directory": directory.kind}, {"data_directory": "cluster"})
    if staged is None or not request.staged(directory):
        raise Error(
            f"{directory.staging} holds no complete staging of this restore",
            "run pitr_restore with state: staged first",
        )
    check_stopped(directory)
    steps: list[Step] = []
    old = _old_data(directory, staged)
    # The WAL of an earlier clone is not its source's, even where it has the same names and system identifier.
    if old is not None and request.source is None:
        steps.append(SaveWal(old, directory.staging, layout))
    if configuration is not None:
        steps.append(RestoreConfiguration(layout.backup(staged.backup), configuration))
    steps += _switch(directory, staged)
    before = {
        "data_directory": directory.kind,
        "restored_to": None if directory.record is None else directory.record.target,
    }
    return Plan(tuple(steps), before, {"data_directory": "cluster", "restored_to": staged.target})


def _old_data(directory: DataDirectory, staged: RestoreRecord) -> str | None:
    """Tell where the data is that is replaced; an interrupted switch may have set it aside already."""
    if directory.kind not in ("missing", "empty"):
        return directory.real_path
    return staged.undo_directory if directory.kind == "missing" else None


def _switch(directory: DataDirectory, staged: RestoreRecord) -> list[Step]:
    real = directory.real_path
    noted = with_undo(directory, staged)
    note = [] if noted == staged else [NoteUndo(directory.staging, noted)]
    if directory.mount_point:
        swap = SwapEntries(real, directory.staging, staged.previous_directory, staged.entries)
        return [*note, swap, ReleaseControl(real)]
    aside = [] if directory.kind == "missing" else [SetAside(real, staged.previous_directory)]
    return [*note, *aside, PutInPlace(directory.staging, real), ReleaseControl(real)]


def with_undo(directory: DataDirectory, staged: RestoreRecord) -> RestoreRecord:
    """Add to a staged record what a rollback will put back: the data now in place.

    Where that is itself an attempt that nobody has promoted, it is what that one replaced: the data last written to.
    Once the data has been set aside, what is noted stays.
    """
    if directory.kind in ("missing", "empty") or directory.exchanging:
        return staged
    attempt = directory.record if directory.recovering or directory.kind == "unfinished" else None
    if attempt is not None and attempt.undo_directory is not None:
        return replace(staged, undo_directory=attempt.undo_directory, undo_mark=attempt.undo_mark)
    return replace(staged, undo_directory=staged.previous_directory, undo_mark=directory.mark)
