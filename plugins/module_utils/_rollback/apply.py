# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out the steps that only a rollback has."""

from __future__ import annotations

from contextlib import suppress

from .._errors import Error
from .._plan.apply import StepTable
from .._previous_data import observe as kept_data
from .._restore.context import RestoreContext
from . import apply_new_timeline as new_timeline
from . import journal as aside
from . import observe as rollback
from .new_timeline import NewTimeline, StayOnTimeline
from .plan import BringBack, ForgetRollback, NoteRollback


def _note_rollback(step: NoteRollback, context: RestoreContext) -> None:
    rollback.note(step.path, step.source, step.aside, step.timeline, context.bin_directory, context.runner)


def _bring_back(step: BringBack, _context: object) -> None:
    rollback.bring_back(step.path, step.source, step.aside, step.journal)


def _new_timeline(step: NewTimeline, context: RestoreContext) -> None:
    context.notes.append(new_timeline.leave(step, context.bin_directory, context.runner))


def _stay_on_timeline(step: StayOnTimeline, _context: object) -> None:
    new_timeline.stay(step.path)


def _forget_rollback(step: ForgetRollback, _context: object) -> None:
    with suppress(Error):
        noted = aside.read_journal(step.path)
        if noted is not None:
            kept_data.forget_note(noted.source)
    rollback.forget(step.path)


STEPS: StepTable = {
    NoteRollback: _note_rollback,
    BringBack: _bring_back,
    NewTimeline: _new_timeline,
    StayOnTimeline: _stay_on_timeline,
    ForgetRollback: _forget_rollback,
}
