# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan how a clone gets a system identifier of its own, after which its source's archive takes nothing from it.

As pg_createsubscriber does it: another identifier in the control file, then pg_resetwal, because the WAL that is there
has the old one. Between the two nothing can start, and archiving is off all the while.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .._cluster.data_directory import DataDirectory, RestoreRecord
from .._errors import Error
from .._plan.plan import Plan, Step

# DBState in src/include/catalog/pg_control.h, as pg_controldata says it
_CLEAN = "shut down"
_RECOVERING = ("in archive recovery", "shut down in recovery")
_UNCLEAN_HINT = "start it, and stop it with mode fast or smart"
# What makes a server recover when it starts, until recovery has ended.
SIGNALS = ("recovery.signal", "standby.signal", "backup_label")


@dataclass(frozen=True)
class NoteIdentity(Step):
    """Note the identifier that is coming, so that a run after this one was interrupted goes on with the same."""

    path: str
    record: RestoreRecord

    @property
    def text(self) -> str:
        return f"note in {self.path} that its system identifier is to be {self.record.identity}"


@dataclass(frozen=True)
class OfferHistory(Step):
    """Mark the history file of the clone's timeline as waiting for the archive.

    It was written while archiving was off. A repository of the clone's own needs it: without it, backups on this
    timeline could not be restored.
    """

    path: str
    name: str

    @property
    def text(self) -> str:
        return f"have {self.name} archived as soon as {self.path} has an archive of its own"


@dataclass(frozen=True)
class ChangeIdentity(Step):
    """Write another system identifier, and the checksum that goes with it, into the control file."""

    path: str
    identifier: str

    @property
    def text(self) -> str:
        return f"change the system identifier in {self.path}/global/pg_control to {self.identifier}"


@dataclass(frozen=True)
class ResetWal(Step):
    """Begin new WAL that has the identifier of the control file."""

    path: str

    @property
    def text(self) -> str:
        return f"begin new WAL in {self.path} with pg_resetwal"


@dataclass(frozen=True)
class Clone:
    """What is at the data directory of a clone.

    ``state`` is what the control file says about the cluster, ``signals`` are the files that make it recover,
    ``own_wal`` tells whether its WAL has the identifier of its control file, and ``history`` names the history file
    that no archive has been offered.
    """

    directory: DataDirectory
    state: str
    signals: tuple[str, ...] = ()
    own_wal: bool = True
    history: str | None = None

    @property
    def record(self) -> RestoreRecord:
        """What the restore noted; raises Error where there was none, or none from another cluster."""
        found = self.directory.record
        if found is None or found.source is None:
            raise Error(
                f"{self.directory.path} is not the result of a restore with source_cluster",
                "only what was restored from another cluster's backup gets a system identifier of its own",
            )
        return found

    @property
    def detached(self) -> bool:
        """Tell whether it is done; a server runs only where control file and WAL are of one cluster."""
        own = self.directory.system_identifier == self.record.identity
        return own and (self.own_wal or self.directory.postmaster is not None)


def plan_detach(clone: Clone, new: str) -> Plan:
    """Plan what is left to do; ``new`` is the identifier for a clone for which none has been noted."""
    record, directory = clone.record, clone.directory
    if clone.detached:
        return Plan()
    _check_settled(clone)
    identity = record.identity or new
    steps: list[Step] = []
    if record.identity is None:
        steps.append(NoteIdentity(directory.real_path, replace(record, identity=identity)))
    if clone.history is not None:
        steps.append(OfferHistory(directory.real_path, clone.history))
    if directory.system_identifier != identity:
        steps.append(ChangeIdentity(directory.real_path, identity))
    steps.append(ResetWal(directory.real_path))
    before = {"system_identifier": directory.system_identifier}
    return Plan(tuple(steps), before, {"system_identifier": identity})


def _check_settled(clone: Clone) -> None:
    """Refuse while recovery has not ended, or unless the last shutdown was a clean one."""
    path = clone.directory.path
    if clone.directory.kind != "cluster":
        raise Error(
            f"{path} holds no whole cluster: a restore was interrupted", "run pitr_restore with state: restored first"
        )
    if clone.signals or clone.state in _RECOVERING:
        left = f", and {clone.signals[0]} is there" if clone.signals else ""
        raise Error(
            f"the recovery in {path} has not ended: its state is '{clone.state}'{left}",
            "promote it first: recovery with state: promoted, or pitr_finalize.yml",
        )
    if clone.directory.postmaster is None and clone.state != _CLEAN:
        raise Error(f"{path} was not shut down cleanly: its state is '{clone.state}'", _UNCLEAN_HINT)
