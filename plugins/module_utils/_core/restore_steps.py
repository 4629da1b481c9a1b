# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a restore."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .data_directory import RestoreRecord
from .layout import Layout
from .plan import Step
from .progress import size_text


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
class NoteUndo(Step):
    """Write into the staged record what a rollback puts back, before the data now in place is moved."""

    path: str
    record: RestoreRecord

    @property
    def text(self) -> str:
        return f"note in {self.path} that a rollback puts {self.record.undo_directory} back"


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
