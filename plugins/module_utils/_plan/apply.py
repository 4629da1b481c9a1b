# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out a plan, whatever it is about: the functions come in a table, which a module makes of those of its rooms.

A room is an ``apply_*.py`` beside this file. None is imported here, because a module ships all that it imports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from .._host import claim
from .plan import Plan, Step

# The function of each kind of step; what it works with besides, its room knows.
StepTable = Mapping[type[Any], Callable[[Any, Any], None]]


def apply(plan: Plan, context: object, steps: StepTable) -> None:
    """Carry out the steps of a plan in their order; no server starts in a directory that one of them exchanges."""
    check_known(plan, steps)
    exchanged = {step.exchanges for step in plan.steps if step.exchanges is not None}
    with ExitStack() as stack:
        for path in sorted(exchanged):
            stack.enter_context(claim.claimed(path))
        for step in plan.steps:
            if step.starts_server:
                stack.close()  # PostgreSQL itself takes the directory now
            carry_out(step, context, steps)


def check_known(plan: Plan, steps: StepTable) -> None:
    """Raise TypeError, before anything is done, for a plan that could not be carried out to its end."""
    for step in plan.steps:
        _function_of(step, steps)


def carry_out(step: Step, context: object, steps: StepTable) -> None:
    """Carry out one step."""
    _function_of(step, steps)(step, context)


def _function_of(step: Step, steps: StepTable) -> Callable[[Any, Any], None]:
    try:
        return steps[type(step)]
    except KeyError:
        raise TypeError(f"no function carries out {type(step).__name__}") from None
