# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out the removal of what is kept."""

from __future__ import annotations

from .._plan.apply import StepTable
from . import apply_removal as removal
from .plan import RemoveKept


def _remove_kept(step: RemoveKept, _context: object) -> None:
    removal.remove(step.item)


STEPS: StepTable = {
    RemoveKept: _remove_kept,
}
