# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out a plan, whatever it is about: the functions come in a table, which a module makes of those of its rooms.

A room is an ``apply_*.py`` beside this file. None is imported here, because a module ships all that it imports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .._core.catalog import Identity
from .._core.kept_files import Kept
from .._core.layout import Layout
from .._core.plan import Plan, Step
from .._errors import Error
from . import claim
from .runner import CommandRunner
from .server import Server
from .tools import Connection


@dataclass
class Host:
    """What steps work with; each kind of plan needs only a part of it.

    ``taken`` is when the backup under way was started and stopped, by the server's clock; ``tablespaces`` are those
    that the server had before it, ``kept`` its configuration outside of the data directory. ``further`` are the
    cluster's places in other repositories, which get its WAL, too. ``notes`` are for a person to read afterwards.
    """

    runner: CommandRunner
    bin_directory: str = ""
    connection: Connection | None = None
    opened: Server | None = None
    layout: Layout | None = None
    further: tuple[Layout, ...] = ()
    identity: Identity | None = None
    data_directory: str = ""
    wal_program: str = ""
    taken: list[datetime] = field(default_factory=list)
    tablespaces: dict[str, str] = field(default_factory=dict)
    kept: Kept | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def server(self) -> Server:
        """The server that the plan was made for."""
        if self.opened is None:
            raise Error("a running server is needed, and none is connected")
        return self.opened

    @property
    def place(self) -> Layout:
        """The cluster's place in the repository that the plan was made for."""
        if self.layout is None:
            raise Error("a repository is needed, and none is named")
        return self.layout


# The function of each kind of step.
StepTable = Mapping[type[Any], Callable[[Any, Host], None]]


def apply(plan: Plan, host: Host, steps: StepTable) -> None:
    """Carry out the steps of a plan in their order; no server starts in a directory that one of them exchanges."""
    check_known(plan, steps)
    exchanged = {step.exchanges for step in plan.steps if step.exchanges is not None}
    with ExitStack() as stack:
        for path in sorted(exchanged):
            stack.enter_context(claim.claimed(path))
        for step in plan.steps:
            if step.starts_server:
                stack.close()  # PostgreSQL itself takes the directory now
            carry_out(step, host, steps)


def check_known(plan: Plan, steps: StepTable) -> None:
    """Raise TypeError, before anything is done, for a plan that could not be carried out to its end."""
    for step in plan.steps:
        _function_of(step, steps)


def carry_out(step: Step, host: Host, steps: StepTable) -> None:
    """Carry out one step."""
    _function_of(step, steps)(step, host)


def _function_of(step: Step, steps: StepTable) -> Callable[[Any, Host], None]:
    try:
        return steps[type(step)]
    except KeyError:
        raise TypeError(f"no function carries out {type(step).__name__}") from None
