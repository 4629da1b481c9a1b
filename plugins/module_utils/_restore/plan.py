# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan a restore: what is staged beside the data directory, and how the two are switched.

New WAL and tablespace directories get names of their own, so the old data directory stays whole with the old ones and
the switch is one rename. Where the data directory is a mount point and cannot be renamed, its entries are moved one by
one; ``global/pg_control`` is missing all the while and put in place last, so nothing half-done can start.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .._cluster.data_directory import (
    DataDirectory,
    RestoreRecord,
    RestoreRequest,
    check_aside_free,
    check_exchangeable,
    check_stopped,
)
from .._configuration.files import AUTOMATIC, KeptFile
from .._configuration.steps import PlaceLinks, RestoreConfiguration
from .._dependents.connected import Dependents
from .._dependents.report import lasting
from .._errors import Error
from .._plan.plan import Plan, Step
from .._previous_data.plan import NoteKept, made_by
from .._repository.catalog import Backup
from .._repository.layout import Layout
from .._values.times import format_time
from .._wal.identity import Identity
from .._wal.names import Lsn
from .._windows.choice import Choice
from .left_segments import left_segments
from .parameters import asked_by_wal
from .space import BackupSizes, check_room
from .steps import (
    BeginStaging,
    CheckLabel,
    CompareWal,
    ConfigureRecovery,
    FinishStaging,
    KeepOptions,
    MoveTablespaces,
    MoveTablespacesBack,
    NoteUndo,
    PlaceLeftSegments,
    PutInPlace,
    ReleaseControl,
    RemoveStaging,
    ReserveAside,
    SaveWal,
    SetAside,
    SwapEntries,
    UnpackBackup,
    VerifyStaging,
)


@dataclass(frozen=True)
class Recovery:
    """How a staged server recovers: ``settings`` stay until the promotion or for good, ``overrides`` are put back.

    ``options`` are words of the command line of the server that is replaced, which is started with them again.
    """

    settings: Mapping[str, str]
    overrides: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()


def check_directory(directory: DataDirectory, identity: Identity, force: bool, replace_new: bool = False) -> None:
    """Refuse to replace what is not this cluster's data or, with ``replace_new``, a cluster that is new."""
    if directory.kind == "unknown" and not force:
        raise Error(
            f"{directory.path} is not empty and is not a PostgreSQL data directory, so it is not replaced",
            "check data_directory; with force: true it is kept as the previous directory",
        )
    found = directory.system_identifier
    if found is not None and found != identity.system_identifier:
        _check_new(directory, identity, replace_new)
    elif directory.segment_size not in (None, identity.wal_segment_size):
        raise Error(
            f"{directory.path} writes WAL in segments of {directory.segment_size} bytes, that of the backups is in "
            f"segments of {identity.wal_segment_size}: pg_resetwal has made another cluster of it",
            "to go back to before that change, move the directory away first: its WAL goes with none that is archived",
        )


def _check_new(directory: DataDirectory, identity: Identity, replace_new: bool) -> None:
    """Refuse to replace another cluster, unless it is as initdb has made it and that is asked for."""
    if replace_new and directory.used == ():
        return
    foreign = (
        f"{directory.path} holds another cluster: its system identifier is {directory.system_identifier}, that of the "
        f"backups is {identity.system_identifier}"
    )
    if directory.used == ():
        raise Error(
            f"{foreign}. It is new: nobody has written to it since it was made",
            "on a new host, give replace_new_cluster: true to have it replaced; it is kept as the previous directory",
        )
    why = f". It cannot be taken for a new one: {'; '.join(directory.used)}" if directory.used and replace_new else ""
    raise Error(
        foreign + why,
        "check data_directory, repository and cluster; only the cluster that was backed up is replaced, or one that is "
        "new",
    )


def plan_staging(
    directory: DataDirectory,
    choice: Choice,
    request: RestoreRequest,
    layout: Layout,
    recovery: Recovery,
    parts: BackupSizes,
    stamp: str,
    aside: Mapping[str, str],
) -> Plan:
    """Plan the staging directory for a restore that is not in place, unless what is staged would be staged again.

    ``directory.tablespaces`` has a place for each tablespace of the backup that is outside PGDATA, ``aside`` one for
    each that recovery makes.
    """
    backup = choice.backup
    check_exchangeable(directory)
    given = _given(recovery, directory, backup)
    earlier = directory.staged
    if earlier is not None and request.staged(directory) and _serves(earlier, choice, aside, given):
        return Plan()
    left = left_segments(choice.path, choice.start_lsn, choice.end_lsn, parts.segment_size)
    check_room(directory, backup, parts.with_segments(len(left)))
    run = "" if request.reservation is None else request.reservation.run
    tablespaces = {oid: directory.tablespaces[oid].renewed(stamp, run) for oid in backup.outside}
    wal = None if directory.wal is None else directory.wal.renewed(stamp, run)
    record = _record(directory, choice, request, parts, stamp, (*tablespaces.values(), *filter(None, [wal])))
    record = replace(record, aside=aside, given=given)
    if directory.set_aside and directory.staged is not None:  # what has been moved away stays what a rollback puts back
        record = replace(record, undo_directory=directory.staged.undo_directory, undo_mark=directory.staged.undo_mark)
    stored, staging = layout.backup(backup.label), directory.staging
    identity = Identity(backup.system_identifier, backup.version, parts.segment_size)
    old = directory.real_path if directory.kind not in ("missing", "empty") and request.continues(directory) else None
    first = () if directory.staged is None else (RemoveStaging(staging, directory.staged.places),)
    steps: tuple[Step, ...] = (
        *_reserved(directory, record, last=False),
        *first,
        BeginStaging(staging, record),
        UnpackBackup(
            *(stored, staging, tablespaces, backup.in_place, wal),
            *(backup.manifest_sha256, parts.size, parts.segment_size),
        ),
        VerifyStaging(staging, stored, backup.manifest_sha256, parts.size),
        CheckLabel(
            *(staging, backup.label, str(backup.start_lsn), backup.tablespaces),
            *(str(backup.stop_lsn), (choice.path.timeline_after(backup.start_lsn), backup.timeline), identity),
        ),
        *place_links(backup, stored, staging, request.source is not None),
        *([PlaceLeftSegments(staging, left, identity, old)] if left else []),
        ConfigureRecovery(staging, recovery.settings, recovery.overrides, tablespaces),
        *([KeepOptions(staging, recovery.options)] if recovery.options else []),
        *([CompareWal(old, staging, layout, request.system_identifier)] if old else []),
        FinishStaging(staging, replace(record, complete=True), directory.real_path if directory.mount_point else None),
    )
    return Plan(
        steps,
        {"staging_directory": None},
        {"staging_directory": staging, "backup": backup.label, "target": str(request.target)},
    )


def _given(recovery: Recovery, directory: DataDirectory, backup: Backup) -> str:
    """Digest what a staged server gets but its data, for another request to be told from the one that staged it."""
    places = {oid: directory.tablespaces[oid].path for oid in sorted(backup.outside)}
    wal = None if directory.wal is None else directory.wal.path
    told = [dict(recovery.settings), dict(recovery.overrides), list(recovery.options), places, wal]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _serves(staged: RestoreRecord, choice: Choice, aside: Mapping[str, str], given: str) -> bool:
    """Tell whether what is staged is what would be staged now; where its WAL ends may have moved on since."""
    same = (staged.backup, staged.timeline, staged.given) == (choice.backup.label, choice.timeline, given)
    return same and set(staged.aside) == set(aside)


def check_no_less(directory: DataDirectory, request: RestoreRequest, choice: Choice, segment_size: int) -> None:
    """Refuse to go on with what is staged where WAL has gone since then that it was to be given."""
    staged = directory.staged
    if staged is None or not request.staged(directory) or staged.end_lsn is None or choice.end_lsn is None:
        return
    expected = Lsn.parse(staged.end_lsn)
    # A crash of the server may cost what it had not flushed, and not more than that.
    gone = choice.end_lsn.value // segment_size + 1 < expected.value // segment_size
    if gone and staged.timeline == choice.timeline:
        raise Error(
            f"when {directory.staging} was staged, there was WAL to {expected}; now what can be replayed ends at "
            f"{choice.end_lsn}",
            "find out where it has gone, to the archive and to the data directory; to restore what is left of it, use "
            "force: true",
        )


def check_timeline(staged: RestoreRecord, choice: Choice) -> None:
    """Refuse to put in place what was staged for a timeline that the target is not reached on any more."""
    if staged.timeline != choice.timeline:
        raise Error(
            f"what is staged is backup {staged.backup} on timeline {staged.timeline}; by now the target is reached on "
            f"timeline {choice.timeline}, so what was committed there would be missing",
            "run pitr_restore with state: staged again; to have what is staged all the same, use force: true",
        )


def place_links(backup: Backup, stored: str, staging: str, clone: bool) -> tuple[Step, ...]:
    """Plan the links that the base backup lacks; that of ``postgresql.auto.conf`` waits for the end of recovery."""
    links = {path: target for path, target in backup.kept.links.items() if path != AUTOMATIC}
    if not links:
        return ()
    if not clone:
        return (PlaceLinks(staging, stored, links),)
    found = {path: backup.kept.file_at(f"{backup.origin.data_directory}/{path}") for path in links}
    return (PlaceLinks(staging, stored, {}, {path: file for path, file in found.items() if file is not None}),)


def _record(
    directory: DataDirectory,
    choice: Choice,
    request: RestoreRequest,
    parts: BackupSizes,
    stamp: str,
    places: tuple[str, ...],
) -> RestoreRecord:
    backup = choice.backup
    stop_lsn, last_time = _foreseen(request, choice)
    return RestoreRecord(
        *(request.target.as_dict(), backup.label, request.cluster, backup.system_identifier, directory.previous(stamp)),
        places=places,
        source=request.source,
        size=parts.size,
        start_lsn=str(choice.start_lsn),
        end_lsn=None if choice.end_lsn is None else str(choice.end_lsn),
        reservation=request.reservation,
        timeline=choice.timeline,
        stop_lsn=stop_lsn,
        last_time=last_time,
        needed=asked_by_wal(change.text for change in choice.route.parameters),
        automatic_link=backup.kept.links.get(AUTOMATIC) if request.source is None else None,
        to_do=request.to_do,
    )


def _foreseen(request: RestoreRequest, choice: Choice) -> tuple[str | None, str | None]:
    """Tell where a recovery to a moment stops, and after which transaction, for what it reaches to be compared with it.

    Of other targets the position is not known to the byte.
    """
    stop, last = choice.route.stop, choice.route.replayed.last_time
    if request.target.time is None or stop is None:
        return None, None
    return str(stop), None if last is None else format_time(last)


def turned_back(directory: DataDirectory) -> tuple[Step, ...]:
    """Give what makes old data and new data whole again where a switch was interrupted; it takes no room."""
    staged, record = directory.staged, directory.record
    if staged is not None and directory.exchanging and directory.kind == "unfinished":
        swap = SwapEntries(directory.real_path, directory.staging, staged.previous_directory, staged.entries)
        return (swap, *_moved_back(staged))
    if staged is not None and (directory.kind == "missing" or directory.set_aside):
        return _moved_back(staged)
    return _moved_back(record) if directory.kind == "unfinished" and record is not None else ()


def plan_switch(
    directory: DataDirectory,
    request: RestoreRequest,
    layout: Layout,
    configuration: tuple[KeptFile, ...],
    force: bool = False,
    aside: Mapping[str, str] | None = None,
) -> Plan:
    """Plan the switch from the data now in place to the staged data; the server must be down.

    ``configuration`` is what of the backup's configuration outside PGDATA is to be put back, ``aside`` the tablespaces
    that go aside, where they have been looked for again (None: they are those that the staging knew).
    """
    staged = directory.staged
    if request.in_place(directory) and not request.staged(directory):
        return Plan(_left_to_release(directory), {"data_directory": directory.kind}, {"data_directory": "cluster"})
    if staged is None or not request.staged(directory):
        raise Error(
            f"{directory.staging} holds no complete staging of this restore",
            "run pitr_restore with state: staged first",
        )
    check_stopped(directory)
    check_exchangeable(directory)
    check_aside_free(directory)
    steps: list[Step] = []
    old = _old_data(directory, staged)
    # The WAL of an earlier clone is not its source's, even where it has the same names and system identifier.
    if old is not None and request.continues(directory):
        steps.append(SaveWal(old, directory.staging, layout, force, request.system_identifier))
    if configuration:
        suffix = staged.previous_directory.rpartition(".before-")[2]
        steps.append(RestoreConfiguration(layout.backup(staged.backup), configuration, f".before-{suffix}"))
    steps += _switch(directory, staged if aside is None else replace(staged, aside=aside))
    before = {
        "data_directory": directory.kind,
        "restored_to": None if directory.record is None else directory.record.target,
    }
    return Plan(tuple(steps), before, {"data_directory": "cluster", "restored_to": staged.target})


def _left_to_release(directory: DataDirectory) -> tuple[Step, ...]:
    """Finish a switch whose new data is there; in a mount point the old data's tablespaces are moved after that."""
    record = directory.record
    if directory.kind != "unfinished" or record is None:
        return ()
    moved = _moved(directory, record) if directory.mount_point else ()
    return (*moved, ReleaseControl(directory.real_path))


def _old_data(directory: DataDirectory, staged: RestoreRecord) -> str | None:
    """Tell where the data is that is replaced; an interrupted switch may have set it aside already."""
    if directory.kind not in ("missing", "empty"):
        return directory.real_path
    return staged.undo_directory if directory.set_aside else None


def _switch(directory: DataDirectory, staged: RestoreRecord) -> list[Step]:
    real = directory.real_path
    noted = with_undo(directory, staged)
    note = [] if noted == directory.staged else [NoteUndo(directory.staging, noted)]
    previous = staged.previous_directory
    keep = NoteKept(real, previous, directory.mount_point, made_by(staged))
    moved, reserved = _moved(directory, staged), _reserved(directory, staged, last=True)
    if directory.mount_point:
        swap = SwapEntries(real, directory.staging, previous, staged.entries)
        return [*reserved, *note, keep, swap, *moved, ReleaseControl(real)]
    if directory.kind == "missing" or directory.set_aside:
        return [*note, *moved, PutInPlace(directory.staging, real), ReleaseControl(real)]
    aside = SetAside(real, previous)
    return [*reserved, *note, keep, aside, *moved, PutInPlace(directory.staging, real), ReleaseControl(real)]


def _moved(directory: DataDirectory, staged: RestoreRecord) -> tuple[Step, ...]:
    """Move what recovery makes anew aside, after the data that it belongs to."""
    mark = _aside_mark(directory, staged)
    return (MoveTablespaces(staged.previous_directory, staged.aside, mark),) if staged.aside else ()


def _reserved(directory: DataDirectory, staged: RestoreRecord, last: bool) -> tuple[Step, ...]:
    """Make sure that there is room for what is going to be moved aside, before anything is moved."""
    return (ReserveAside(staged.aside, _aside_mark(directory, staged), last),) if staged.aside else ()


def _moved_back(staged: RestoreRecord) -> tuple[Step, ...]:
    return (MoveTablespacesBack(staged.previous_directory, staged.aside, staged.run),) if staged.aside else ()


def _aside_mark(directory: DataDirectory, staged: RestoreRecord) -> dict[str, Any]:
    made_by = {} if staged.reservation is None else asdict(staged.reservation)
    return {**made_by, "run": staged.run, "cluster": staged.cluster, "data_directory": directory.real_path}


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


def left_to_do(directory: DataDirectory, found: Dependents | None) -> tuple[str, ...]:
    """Tell what a restore leaves to be done, for those who depend on the server now in place.

    On an attempt that nobody has promoted nobody depends: those are meant who did so on what it replaced.
    """
    if directory.record is not None and directory.recovering:
        return directory.record.to_do
    return () if found is None else tuple(lasting(found))
