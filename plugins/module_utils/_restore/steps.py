# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a restore."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._cluster.data_directory import RestoreRecord
from .._plan.plan import Step
from .._repository.layout import Layout
from .._server.options import parse_options
from .._values.progress import size_text
from .._values.target import STOPS
from .._wal.identity import Identity
from .._wal.names import SEGMENT_SIZES
from .left_segments import LeftSegment

_TOLD = ("restore_command", "listen_addresses")
_LONGEST_VALUE = 60


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
    """Create the staging directory with a record of what will belong to it, and the directories outside, marked."""

    path: str
    record: RestoreRecord

    @property
    def text(self) -> str:
        return f"create {self.path}"


@dataclass(frozen=True)
class UnpackBackup(Step):
    """Unpack a backup; ``tablespaces`` maps oid to new directory, ``wal`` is a new one outside (None: inside).

    ``in_place`` are the oids of tablespaces that lie in the data directory itself.
    """

    backup: str
    path: str
    tablespaces: Mapping[str, str]
    in_place: tuple[str, ...]
    wal: str | None
    manifest_sha256: str
    size: int
    segment_size: int = SEGMENT_SIZES[-1]

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
class CheckLabel(Step):
    """Hold what ``backup.json`` says of a backup against what PostgreSQL wrote into it.

    ``timelines`` are that of the start and that of the stop.
    """

    path: str
    label: str
    start_lsn: str
    tablespaces: Mapping[str, str]
    stop_lsn: str
    timelines: tuple[int, int]
    identity: Identity

    @property
    def text(self) -> str:
        return f"check that backup_label and pg_control in {self.path} are those of backup '{self.label}'"


@dataclass(frozen=True)
class PlaceLeftSegments(Step):
    """Put segments in which a timeline was left under its name, where recovery looks for what was prepared in them.

    ``old`` is a data directory with WAL that may not be archived yet (None: there is none).
    """

    path: str
    segments: tuple[LeftSegment, ...]
    identity: Identity
    old: str | None

    @property
    def text(self) -> str:
        named = ", ".join(f"{segment.name} (from {segment.source})" for segment in self.segments)
        return f"put into {self.path}/pg_wal what belongs to a timeline that was left in it: {named}"


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
        shown = {name: value for name, value in written.items() if value or name not in STOPS}
        # What a person asks about; a command is hundreds of characters of paths. The values of the step have it all.
        told = {name: value for name, value in shown.items() if name.startswith("recovery_target") or name in _TOLD}
        named = [name if len(value) > _LONGEST_VALUE else f"{name} = '{value}'" for name, value in told.items()]
        more = f" and {len(shown) - len(told)} more" if len(shown) > len(told) else ""
        return f"write recovery settings: {', '.join(named)}{more}"


@dataclass(frozen=True)
class KeepOptions(Step):
    """Note the options of the server that is replaced, with which the restored one is started."""

    path: str
    options: tuple[str, ...]

    @property
    def text(self) -> str:
        return f"keep what the server was started with on its command line, for pg_ctl: {', '.join(self.names)}"

    @property
    def names(self) -> list[str]:
        """Name the settings; their values may be secrets."""
        return [option.name or option.words[0] for option in parse_options(self.options)]

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "options": self.names}


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
class CompareWal(Step):
    """Compare the WAL of the data in place with what is archived, so that `SaveWal` reads only what is new by then."""

    old: str
    staging: str
    layout: Layout
    system_identifier: str | None = None

    @property
    def text(self) -> str:
        return f"compare {self.old}/pg_wal with what is archived, while the server may still run"


@dataclass(frozen=True)
class SaveWal(Step):
    """Archive the WAL that waits in the old directory, and copy what cannot be archived into the new one.

    With ``force``, what is not the archive's own history is left where it is, and not a reason to refuse. So is what
    another cluster wrote than the one of the ``system_identifier`` (None: whatever is there is its).
    """

    old: str
    staging: str
    layout: Layout
    force: bool = False
    system_identifier: str | None = None

    @property
    def text(self) -> str:
        return f"save the WAL that only {self.old} holds"


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
    def exchanges(self) -> str:
        return self.path

    @property
    def text(self) -> str:
        return f"rename {self.path} to {self.previous}"


@dataclass(frozen=True)
class MoveTablespaces(Step):
    """Move tablespaces of the data that was set aside out of the way of recovery, which makes them anew; by path.

    ``mark`` is what the directories say of themselves that are made for it.
    """

    previous: str
    moves: Mapping[str, str]
    mark: Mapping[str, Any]

    @property
    def text(self) -> str:
        moved = ", ".join(f"{path} to {to}" for path, to in self.moves.items())
        return f"move tablespaces of {self.previous}, which recovery makes anew: {moved}"


@dataclass(frozen=True)
class ReserveAside(Step):
    """Make the directories into which tablespaces go aside, while the data that they belong to is in place.

    From then on renames are enough. Those that do not ``last`` are removed again: it was only to be seen that it works.
    """

    moves: Mapping[str, str]
    mark: Mapping[str, Any]
    last: bool

    @property
    def text(self) -> str:
        what = "make room for tablespaces that go aside" if self.last else "try whether tablespaces can go aside"
        return f"{what}: {', '.join(self.moves.values())}"


@dataclass(frozen=True)
class MoveTablespacesBack(Step):
    """Undo what an interrupted `MoveTablespaces` has begun, by renames only; what it has finished is whole."""

    previous: str
    moves: Mapping[str, str]
    run: str

    @property
    def text(self) -> str:
        moved = ", ".join(f"{to} to {path}" for path, to in self.moves.items())
        return f"move back tablespaces of {self.previous} whose move was not finished: {moved}"


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
    def exchanges(self) -> str:
        return self.path

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
