# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan a base backup: whether one is due, its label, and the steps that make it visible only when it is good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .._errors import Error
from .._plan.plan import Plan, Step
from .._repository.catalog import Backup, Catalog
from .._repository.layout import Layout, check_name, default_label


@dataclass(frozen=True)
class BackupRequest:
    """What is asked for; ``compression`` is settled, ``max_age`` None means that a new backup is always due."""

    type: str
    label: str | None
    max_age: timedelta | None
    compression: str
    checkpoint: str


@dataclass(frozen=True)
class RemoveLeftover(Step):
    """Remove what a backup that did not finish left behind."""

    path: str

    @property
    def text(self) -> str:
        return f"remove the leftover {self.path}"


@dataclass(frozen=True)
class ProveArchiving(Step):
    """Switch WAL, and find the segment whole in the repository."""

    timeout: int

    @property
    def text(self) -> str:
        return "switch WAL and find the segment in the repository"


@dataclass(frozen=True)
class TakeBaseBackup(Step):
    """Run pg_basebackup into a directory that no reader looks at."""

    path: str
    label: str
    compression: str
    checkpoint: str

    @property
    def text(self) -> str:
        return f"take base backup '{self.label}' with compression {self.compression}"


@dataclass(frozen=True)
class CompressWal(Step):
    """Compress the WAL in the backup, which the server that compresses the rest streams as it is."""

    path: str
    compression: str

    @property
    def text(self) -> str:
        return f"compress the backup's WAL with {self.compression}"


@dataclass(frozen=True)
class CopyConfiguration(Step):
    """Copy the configuration files that live outside PGDATA, which pg_basebackup does not see."""

    path: str

    @property
    def text(self) -> str:
        return "copy configuration files that are outside the data directory"


@dataclass(frozen=True)
class VerifyBackup(Step):
    """Compare every file with the manifest, wait for the backup's last segment, and write ``backup.json``."""

    path: str
    label: str
    type: str
    compression: str
    timeout: int

    @property
    def text(self) -> str:
        return f"verify backup '{self.label}' against its manifest"


@dataclass(frozen=True)
class PublishBackup(Step):
    """Sync the backup and rename it to its label."""

    path: str
    final: str

    @property
    def text(self) -> str:
        return f"publish {self.final}"


def satisfying(catalog: Catalog, request: BackupRequest, now: datetime) -> Backup | None:
    """Find the backup that makes a new one unnecessary: the one with that label, else the newest that is young enough.

    A backup whose stop lies in the future of ``now`` (the clock was set back) does not count as young, and one whose
    files are missing makes nothing unnecessary.
    """
    whole = [backup for backup in catalog.backups if backup.label not in catalog.incomplete]
    if request.label is not None:
        return next((backup for backup in whole if backup.label == request.label), None)
    if request.max_age is None:
        return None
    zero = timedelta(0)
    young = [b for b in whole if b.type == request.type and zero <= now - b.stop_time <= request.max_age]
    return max(young, key=lambda backup: backup.stop_time, default=None)


def _unused_label(label: str, known: Sequence[str]) -> str:
    """Tell apart backups of one second.

    >>> _unused_label("20261121T011500Z-full", ["20261121T011500Z-full"])
    '20261121T011500Z-full.2'
    """
    numbered = (f"{label}.{number}" for number in range(2, len(known) + 2))
    return label if label not in known else next(name for name in numbered if name not in known)


def _new_label(catalog: Catalog, request: BackupRequest, now: datetime) -> str:
    """Settle the label; one under which anything is there is not free, whatever state that is in."""
    taken = catalog.taken_labels
    if request.label is None:
        return _unused_label(default_label(now, request.type), taken)
    if request.label in taken:
        why = catalog.broken.get(request.label, "it was not finished, or its files were removed")
        raise Error(
            f"there is a backup '{request.label}' already, which cannot be used: {why}",
            "choose another label, or move that backup's directory away",
        )
    return check_name("backup label", request.label)


def plan_removal(leftovers: Sequence[str]) -> Plan:
    """Plan to remove unfinished backups, whatever else there is to do."""
    return Plan(tuple(RemoveLeftover(path) for path in leftovers))


def plan_backup(
    layout: Layout,
    catalog: Catalog,
    request: BackupRequest,
    problems: Sequence[str],
    leftovers: Sequence[str],
    now: datetime,
    timeout: int,
) -> Plan:
    """Plan a backup, or nothing when there is one already.

    ``problems`` says why archiving does not work; ``leftovers`` are paths of unfinished backups; ``timeout`` is how
    many seconds a segment may take to arrive.
    """
    if satisfying(catalog, request, now):
        return Plan()
    if problems:
        raise Error(
            f"no backup is taken because archiving does not work: {'; '.join(problems)}",
            "a backup without the WAL that follows it cannot be restored to a point in time: run setup_archiving.yml",
        )
    known = [backup.label for backup in catalog.backups]
    label = _new_label(catalog, request, now)
    partial = layout.partial(label)
    steps: list[Step] = [RemoveLeftover(path) for path in leftovers]
    steps += [
        ProveArchiving(timeout),
        TakeBaseBackup(partial, label, request.compression, request.checkpoint),
        *([] if request.compression == "none" else [CompressWal(partial, request.compression)]),
        CopyConfiguration(partial),
        VerifyBackup(partial, label, request.type, request.compression, timeout),
        PublishBackup(partial, layout.backup(label)),
    ]
    return Plan(tuple(steps), {"backups": known}, {"backups": [*known, label]})
