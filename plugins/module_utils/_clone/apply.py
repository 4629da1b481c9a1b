# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out the steps that give a clone an identity of its own."""

from __future__ import annotations

from dataclasses import dataclass

from .._host.runner import CommandRunner
from .._plan.apply import StepTable
from . import identity
from .plan_detach import ChangeIdentity, NoteIdentity, OfferHistory, ResetWal


@dataclass(frozen=True)
class DetachContext:
    """What runs commands, and where PostgreSQL's programs are."""

    runner: CommandRunner
    bin_directory: str


def _note_identity(step: NoteIdentity, _context: object) -> None:
    identity.note(step.path, step.record)


def _offer_history(step: OfferHistory, _context: object) -> None:
    identity.offer_history(step.path, step.name)


def _change_identity(step: ChangeIdentity, _context: object) -> None:
    identity.change(step.path, step.identifier)


def _reset_wal(step: ResetWal, context: DetachContext) -> None:
    identity.reset_wal(step.path, context.bin_directory, context.runner)


STEPS: StepTable = {
    NoteIdentity: _note_identity,
    OfferHistory: _offer_history,
    ChangeIdentity: _change_identity,
    ResetWal: _reset_wal,
}
