# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out the steps that bring pgark-wal to its place."""

from __future__ import annotations

from .._plan.apply import StepTable
from . import program
from .plan_program import InstallProgram


def _install_program(step: InstallProgram, _context: object) -> None:
    program.install_program(step)


STEPS: StepTable = {
    InstallProgram: _install_program,
}
