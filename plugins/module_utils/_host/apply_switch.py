# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out the steps that exchange the data directory, in a restore and in a rollback."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from .._core.restore_steps import (
    MoveTablespaces,
    NoteKept,
    NoteUndo,
    PutInPlace,
    ReleaseControl,
    RestoreConfiguration,
    SaveWal,
    SetAside,
    SwapEntries,
)
from .._errors import Error
from . import claim, kept_data, kept_files, replayed, restore
from .apply import Host, StepTable
from .cluster import read_record
from .wal_saver import WalSaver


def _save_wal(step: SaveWal, host: Host) -> None:
    places = (step.layout, *host.further)
    saver = WalSaver(step.old, step.staging, places, host.wal_program, host.runner, step.force)
    replace(saver, system_identifier=step.system_identifier).run()


def _restore_configuration(step: RestoreConfiguration, host: Host) -> None:
    host.notes += kept_files.put_back(step.backup, step.files, step.suffix)


def _note_undo(step: NoteUndo, host: Host) -> None:
    restore.note(step.path, step.record)


def _note_kept(step: NoteKept, host: Host) -> None:
    kept_data.note(step)


def _set_aside(step: SetAside, host: Host) -> None:
    claim.move_unused(step.path, step.previous)
    claim.settle(step.previous)


def _move_tablespaces(step: MoveTablespaces, host: Host) -> None:
    replayed.move_aside(step.previous, step.moves, step.mark)


def _put_in_place(step: PutInPlace, host: Host) -> None:
    claim.move_unused(step.staging, step.path)


def _swap_entries(step: SwapEntries, host: Host) -> None:
    restore.swap_entries(step.path, step.staging, step.previous, step.entries)


def _release_control(step: ReleaseControl, host: Host) -> None:
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
    MoveTablespaces: _move_tablespaces,
    PutInPlace: _put_in_place,
    SwapEntries: _swap_entries,
    ReleaseControl: _release_control,
}
