# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan the undoing of a restore: the data that it replaced is put back, and the restored data is set aside.

Two renames do it, with a journal written before the first and removed after the second. Links to tablespaces and to WAL
outside belong to the data that they are in, so nothing else is moved.
"""

from __future__ import annotations

from dataclasses import dataclass

from .._cluster.data_directory import DataDirectory, RestoreRecord, check_exchangeable
from .._errors import Error
from .._plan.plan import Plan, Step
from .._previous_data.plan import NoteKept, made_by
from .._restore.plan import turned_back
from .._restore.steps import PutInPlace, ReleaseControl, SetAside
from .new_timeline import Anew
from .situation import Journal, Kept, Situation, check_source, find_source


@dataclass(frozen=True)
class NoteRollback(Step):
    """Write the journal at ``path``: what ``source`` is and holds now, and which timeline it is to leave then."""

    path: str
    source: str
    aside: str | None
    timeline: int | None = None

    @property
    def text(self) -> str:
        kept = "" if self.aside is None else f", and what is in place kept as {self.aside}"
        return f"note in {self.path} that {self.source} is being put back{kept}"


@dataclass(frozen=True)
class BringBack(Step):
    """Move the entries of a data directory that is a mount point aside, and those of ``source`` in."""

    path: str
    source: str
    aside: str | None
    journal: str

    @property
    def exchanges(self) -> str:
        return self.path

    @property
    def text(self) -> str:
        out = "" if self.aside is None else f"move the entries of {self.path} to {self.aside}, and "
        return f"{out}move those of {self.source} into {self.path}"


@dataclass(frozen=True)
class ForgetRollback(Step):
    """Remove the journal: the rollback is done."""

    path: str

    @property
    def text(self) -> str:
        return f"remove {self.path}"


@dataclass(frozen=True)
class Rollback:
    """What a rollback does: ``source`` is put back (None: it was before), the data now in place goes to ``aside``.

    ``startable`` tells whether what is in place at the end is a cluster.
    """

    plan: Plan
    source: str | None
    aside: str | None
    startable: bool
    warnings: tuple[str, ...] = ()

    @property
    def moves_data(self) -> bool:
        """Tell whether a server has to be down for it."""
        return any(not isinstance(step, ForgetRollback) for step in self.plan.steps)


def plan_rollback(situation: Situation, wanted: str | None, force: bool, stamp: str, anew: Anew) -> Rollback:
    """Plan to put ``wanted`` back (None: what the restore in place replaced); all but a running server is checked."""
    journal, directory = situation.journal, situation.directory
    if journal is not None and situation.under_way:
        return _resume(situation, journal, wanted, anew)
    if journal is not None and journal.mark == directory.mark and wanted in (None, journal.source):
        steps = (
            *_release(directory.real_path, directory.kind),
            *_leave(directory, journal.timeline, anew),
            ForgetRollback(directory.journal),
        )
        plan = _plan(directory, steps, directory.kind, directory.record)
        return Rollback(plan, journal.source, journal.aside, directory.startable)
    forgotten = () if journal is None else (ForgetRollback(directory.journal),)
    if wanted is None and situation.undone is not None:
        plan = _plan(directory, forgotten, directory.kind, directory.record)
        return Rollback(plan, None, situation.undone.path, directory.startable)
    source = find_source(situation, wanted)
    check_source(situation, source, force)
    check_exchangeable(directory)
    aside = _aside(situation, source, stamp)
    left = source.lineage.timeline if source.lineage is not None and anew.needed(source.lineage) else None
    steps = (
        *forgotten,
        *turned_back(directory),
        NoteRollback(directory.journal, source.path, aside, left),
        *_moves(directory, source.path, source.kind, aside),
        *_leave(directory, left, anew),
        ForgetRollback(directory.journal),
    )
    plan = _plan(directory, steps, source.kind, source.record)
    warnings = tuple(filter(None, [source.warning, anew.warning(source.lineage)]))
    return Rollback(plan, source.path, aside, source.startable, warnings)


def _aside(situation: Situation, source: Kept, stamp: str) -> str | None:
    """Name the place for the data now in place: the one that it came from when a rollback is undone, else a new one."""
    directory, record = situation.directory, source.record
    if not situation.holds_data:
        return None
    came_from = record.undo_directory if record is not None and record.undo_mark == directory.mark else None
    return came_from if came_from is not None and situation.find(came_from) is None else directory.previous(stamp)


def _moves(directory: DataDirectory, source: str, kind: str, aside: str | None) -> tuple[Step, ...]:
    real = directory.real_path
    why = {**made_by(directory.record), "rolled_back": source}
    keep = () if aside is None else (NoteKept(real, aside, directory.mount_point, why),)
    if directory.mount_point:
        return (*keep, BringBack(real, source, aside, directory.journal), *_release(real, kind))
    first = () if aside is None else (*keep, SetAside(real, aside))
    return (*first, PutInPlace(source, real), *_release(real, kind))


def _leave(directory: DataDirectory, timeline: int | None, anew: Anew) -> tuple[Step, ...]:
    return () if timeline is None else (anew.step(directory.real_path, timeline),)


def _release(path: str, kind: str) -> tuple[Step, ...]:
    return () if kind == "cluster" else (ReleaseControl(path),)


def _resume(situation: Situation, journal: Journal, wanted: str | None, anew: Anew) -> Rollback:
    """Go on with a rollback that was interrupted."""
    directory = situation.directory
    if wanted not in (None, journal.source):
        raise Error(
            f"a rollback that puts {journal.source} back was interrupted, and {wanted} is asked for",
            "finish the first one without previous_directory; then give this one",
        )
    moved = journal.aside is None or situation.find(journal.aside) is not None
    if not directory.mount_point and moved and directory.kind not in ("missing", "empty"):
        raise Error(
            f"{directory.path} was missing when a rollback was interrupted, and something is there now",
            f"move it away, and run this again to put {journal.source} there",
        )
    aside = journal.aside if directory.mount_point or not moved else None
    steps = (
        *_moves(directory, journal.source, journal.kind, aside),
        *_leave(directory, journal.timeline, anew),
        ForgetRollback(directory.journal),
    )
    source = situation.find(journal.source)
    record = None if source is None else source.record
    startable = journal.kind in ("cluster", "unfinished")
    return Rollback(_plan(directory, steps, journal.kind, record), journal.source, journal.aside, startable)


def _plan(directory: DataDirectory, steps: tuple[Step, ...], kind: str, record: RestoreRecord | None) -> Plan:
    before, after = (None if found is None else found.target for found in (directory.record, record))
    return Plan(
        steps,
        {"data_directory": directory.kind, "restored_to": before},
        {"data_directory": "cluster" if kind == "unfinished" else kind, "restored_to": after},
    )
