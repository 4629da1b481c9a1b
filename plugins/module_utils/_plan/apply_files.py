# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out the steps on single files and directories."""

from __future__ import annotations

from .._host import files
from .apply import StepTable
from .plan import MakeDirectory, SetAccess, WriteDocument


def _make_directory(step: MakeDirectory, _context: object) -> None:
    files.make_directory(step.path, step.mode, step.group)


def _set_access(step: SetAccess, _context: object) -> None:
    files.set_access(step.path, step.mode, step.group)


def _write_document(step: WriteDocument, _context: object) -> None:
    files.write_json(step.path, step.content, step.mode, step.group)


STEPS: StepTable = {
    MakeDirectory: _make_directory,
    SetAccess: _set_access,
    WriteDocument: _write_document,
}
