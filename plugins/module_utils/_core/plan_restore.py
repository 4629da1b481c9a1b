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
from .data_directory import DataDirectory, RestoreRecord, RestoreRequest
from .layout import Layout
from .plan import Plan, Step
from .progress import size_text
from .room import Parts, check_room


@dataclass(frozen=True)
class Recovery:
    """How a staged server recovers: ``settings`` stay until the promotion or for good, ``overrides`` are put back."""

    settings: Mapping[str, str]
    overrides: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RemoveStaging(Step):
    """Remove what an interrupted or outdated staging left, its directories outside included."""

    path: str
    places: tuple[str, ...]

    @property
    def text(self) -> str:
        return f"remove the outdated {self.path}"


@dataclass(frozen=True)
class BeginStaging(Step):
    """Create the staging directory with a record of what will belong to it."""

    path: str
    record: RestoreRecord

    @property
    def text(self) -> str:
        return f"create {self.path}"


@dataclass(frozen=True)
class UnpackBackup(Step):
    """Unpack a backup; ``tablespaces`` maps oid to new directory, ``wal`` is a new one outside (None: inside)."""

    backup: str
    path: str
    tablespaces: Mapping[str, str]
    wal: str | None
    size: int

    @property
    def text(self) -> str:
        return f"unpack {self.backup} into {self.path} ({size_text(self.size)})"


@dataclass(frozen=True)
class VerifyStaging(Step):
    """Verify the unpacked files and their WAL against the backup's manifest."""

    path: str
    backup: str
    manifest_sha256: str
    size: int

    @property
    def text(self) -> str:
        return f"verify {self.path} against the backup's manifest ({size_text(self.size)})"


@dataclass(frozen=True)
class ConfigureRecovery(Step):
    """Write the recovery settings, the signal file and the new places of tablespaces.

    What stood before in the place of ``overrides``, which hold during recovery only, is noted in the record.
    """

    path: str
    settings: Mapping[str, str]
    overrides: Mapping[str, str]
    tablespaces: Mapping[str, str]

    @property
    def text(self) -> str:
        written = {**self.settings, **self.overrides}
        return "write recovery settings: " + ", ".join(f"{name} = '{value}'" for name, value in written.items())


@dataclass(frozen=True)
class FinishStaging(Step):
    """Sync everything, then mark the staging directory complete, for the data directory that it will be.

    ``mount_point`` is that directory when it cannot be renamed; otherwise the staging directory becomes it.
    """

    path: str
    record: RestoreRecord
    mount_point: str | None

    @property
    def text(self) -> str:
        return f"sync {self.path} and mark it complete"


@dataclass(frozen=True)
class SaveWal(Step):
    """Archive the WAL that waits in the old directory, and copy what cannot be archived into the new one."""

    old: str
    staging: str
    layout: Layout

    @property
    def text(self) -> str:
        return f"save the WAL that only {self.old} holds"


@dataclass(frozen=True)
class RestoreConfiguration(Step):
    """Put the configuration files of the backup back where they are missing outside PGDATA."""

    backup: str
    directory: str

    @property
    def text(self) -> str:
        return f"restore the missing configuration files in {self.directory}"


@dataclass(frozen=True)
class SetAside(Step):
    """Rename the data directory to the previous directory."""

    path: str
    previous: str

    @property
    def text(self) -> str:
        return f"rename {self.path} to {self.previous}"


@dataclass(frozen=True)
class PutInPlace(Step):
    """Rename the staging directory to the data directory."""

    staging: str
    path: str

    @property
    def text(self) -> str:
        return f"rename {self.staging} to {self.path}"


@dataclass(frozen=True)
class SwapEntries(Step):
    """Move the entries of a data directory that is a mount point to the previous directory, and the staged ones in."""

    path: str
    staging: str
    previous: str
    entries: tuple[str, ...]

    @property
    def text(self) -> str:
        return f"move the entries of {self.path} to {self.previous}, and those of {self.staging} in"


@dataclass(frozen=True)
class ReleaseControl(Step):
    """Put ``global/pg_control`` in place: from here on the directory can start."""

    path: str

    @property
    def text(self) -> str:
        return f"put {self.path}/global/pg_control in place"


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
    leftover = () if directory.staged is None else (RemoveStaging(staging, directory.staged.places),)
    steps: tuple[Step, ...] = (
        *leftover,
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
    backup = choice.backup
    return RestoreRecord(
        *(request.target.as_dict(), backup.label, request.cluster, backup.system_identifier, directory.previous(stamp)),
        places=places,
        source=request.source,
        size=parts.size,
        start_lsn=str(choice.start_lsn),
        end_lsn=None if choice.end_lsn is None else str(choice.end_lsn),
    )


def plan_switch(directory: DataDirectory, request: RestoreRequest, layout: Layout, configuration: str | None) -> Plan:
    """Plan the switch from the data now in place to the staged data; the server must be down.

    ``configuration`` is the directory outside PGDATA whose files are missing (None: they are there, or inside PGDATA).
    """
    staged = directory.staged
    if staged is None and request.in_place(directory):
        left = (ReleaseControl(directory.real_path),) if directory.kind == "unfinished" else ()
        return Plan(left, {"data_directory": directory.kind}, {"data_directory": "cluster"})
    if staged is None or not request.staged(directory):
        raise Error(
            f"{directory.staging} holds no complete staging of this restore",
            "run pitr_restore with state: staged first",
        )
    if directory.postmaster is not None:
        raise Error(
            f"a server (process {directory.postmaster}) is running on {directory.path}",
            "stop it first; nothing has been changed",
        )
    steps: list[Step] = []
    # The WAL of an earlier clone is not its source's, even where it has the same names and system identifier.
    if directory.kind not in ("missing", "empty") and request.source is None:
        steps.append(SaveWal(directory.real_path, directory.staging, layout))
    if configuration is not None:
        steps.append(RestoreConfiguration(layout.backup(staged.backup), configuration))
    steps += _switch(directory, staged)
    before = {
        "data_directory": directory.kind,
        "restored_to": None if directory.record is None else directory.record.target,
    }
    return Plan(tuple(steps), before, {"data_directory": "cluster", "restored_to": staged.target})


def _switch(directory: DataDirectory, staged: RestoreRecord) -> list[Step]:
    real = directory.real_path
    if directory.mount_point:
        swap = SwapEntries(real, directory.staging, staged.previous_directory, staged.entries)
        return [swap, ReleaseControl(real)]
    aside = [] if directory.kind == "missing" else [SetAside(real, staged.previous_directory)]
    return [*aside, PutInPlace(directory.staging, real), ReleaseControl(real)]
