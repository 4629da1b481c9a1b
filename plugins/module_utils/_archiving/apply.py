# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out the steps of archiving: what is set, drained, kept and forgotten."""

from __future__ import annotations

from dataclasses import dataclass

from .._host import files
from .._plan.apply import StepTable
from .._plan.plan import AlterSystem, ReloadServer
from .._server.server import Server
from . import observe as archiving
from . import observe_takeover as takeover
from .plan import DrainArchive
from .takeover import ForgetReplaced, KeepReplaced


@dataclass(frozen=True)
class ArchivingContext:
    """The server that the plan was made for."""

    server: Server


def _alter_system(step: AlterSystem, context: ArchivingContext) -> None:
    context.server.alter_system(step.name, step.value)


def _reload_server(step: ReloadServer, context: ArchivingContext) -> None:
    context.server.reload()


def _drain_archive(step: DrainArchive, context: ArchivingContext) -> None:
    archiving.drain(context.server, step.timeout)


def _keep_replaced(step: KeepReplaced, _context: object) -> None:
    takeover.keep(step)


def _forget_replaced(step: ForgetReplaced, _context: object) -> None:
    files.remove_tree(step.path)


STEPS: StepTable = {
    AlterSystem: _alter_system,
    ReloadServer: _reload_server,
    DrainArchive: _drain_archive,
    KeepReplaced: _keep_replaced,
    ForgetReplaced: _forget_replaced,
}
