# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out the steps that exchange the data directory, in a restore and in a rollback."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from .._cluster.observe import read_record
from .._configuration import observe as kept_files
from .._configuration.steps import RestoreConfiguration
from .._errors import Error
from .._host import claim
from .._plan.apply import StepTable
from .._previous_data import observe as kept_data
from .._previous_data.plan import NoteKept
from . import apply_replayed as replayed
from . import staging as restore
from .context import RestoreContext
from .steps import (
    MoveTablespaces,
    MoveTablespacesBack,
    NoteUndo,
    PutInPlace,
    ReleaseControl,
    ReserveAside,
    SaveWal,
    SetAside,
    SwapEntries,
)
from .wal_saver import WalSaver


def _save_wal(step: SaveWal, context: RestoreContext) -> None:
    places = (step.layout, *context.layouts[1:])
    saver = WalSaver(step.old, step.staging, places, context.wal_program, context.runner, step.force)
    replace(saver, system_identifier=step.system_identifier).run()


def _restore_configuration(step: RestoreConfiguration, context: RestoreContext) -> None:
    context.notes.extend(kept_files.put_back(step.backup, step.files, step.suffix))


def _note_undo(step: NoteUndo, _context: object) -> None:
    restore.note(step.path, step.record)


def _note_kept(step: NoteKept, _context: object) -> None:
    kept_data.note(step)


def _set_aside(step: SetAside, _context: object) -> None:
    claim.move_unused(step.path, step.previous)
    claim.settle(step.previous)


def _move_tablespaces(step: MoveTablespaces, _context: object) -> None:
    replayed.move_aside(step.previous, step.moves, step.mark)


def _reserve_aside(step: ReserveAside, _context: object) -> None:
    replayed.reserve(step.moves, step.mark, step.last)


def _move_tablespaces_back(step: MoveTablespacesBack, _context: object) -> None:
    replayed.move_back(step.previous, step.moves, step.run)


def _put_in_place(step: PutInPlace, _context: object) -> None:
    claim.move_unused(step.staging, step.path)


def _swap_entries(step: SwapEntries, _context: object) -> None:
    restore.swap_entries(step.path, step.staging, step.previous, step.entries)


def _release_control(step: ReleaseControl, _context: object) -> None:
    with suppress(Error):
        record = read_record(step.path)
        if record is not None:
            claim.settle(record.previous_directory)  # a run that was killed right after it had set that aside
    restore.release_control(step.path)


STEPS: StepTable = {
    SaveWal: _save_wal,
    RestoreConfiguration: _restore_configuration,
    NoteUndo: _note_undo,
    NoteKept: _note_kept,
    SetAside: _set_aside,
    ReserveAside: _reserve_aside,
    MoveTablespaces: _move_tablespaces,
    MoveTablespacesBack: _move_tablespaces_back,
    PutInPlace: _put_in_place,
    SwapEntries: _swap_entries,
    ReleaseControl: _release_control,
}
