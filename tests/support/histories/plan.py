# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operations of a history as data, and how they are drawn.

An operation has a verb, the name of a method of `life.Life`, and what that is given. What it is done to is given as a
fraction of what there will be then, so that a history still means something when operations are taken out of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

Operation = Mapping[str, Any]
Draw = Callable[[random.Random], dict[str, Any]]

NAMES = ("before the upgrade", 'it\'s a "point"', "nightly")
SETTINGS = (
    "recovery_target = 'immediate'",
    "recovery_target_time = '2001-01-01 00:00:00+00'",
    "recovery_target_name = 'nightly'",
    "recovery_target_xid = '800'",
    "recovery_target_lsn = '0/3000000'",
    "recovery_target_inclusive = 'off'",
    "recovery_target_timeline = '1'",
    "recovery_target_action = 'shutdown'",
    "recovery_min_apply_delay = '1h'",
)
AHEAD = (0, 0, 0, -7200, -3600, -60, -5, 3600)
"""Seconds that the clock is ahead of the true time."""
WAYS = ("flip", "truncate", "empty", "append", "remove", "swap", "bare")
KINDS = {"time": 9, "xid": 3, "lsn": 3, "name": 2, "latest": 2, "immediate": 2, "unknown": 1}


def fraction(drawn: random.Random) -> float:
    """Draw which of several it will be."""
    return int(drawn.random() * 1000) / 1000  # never 1


def aim(drawn: random.Random) -> dict[str, Any]:
    """Draw a target: its kind, which one of those that there will be then, on which timeline, from which backup."""
    [kind] = drawn.choices(list(KINDS), list(KINDS.values()))
    timeline = drawn.choice([None, "own", "own", fraction(drawn)])
    label = fraction(drawn) if drawn.random() < 0.15 else None
    inclusive = drawn.random() < 0.7
    return {"kind": kind, "at": fraction(drawn), "inclusive": inclusive, "timeline": timeline, "label": label}


def _nothing(_drawn: random.Random) -> dict[str, Any]:
    return {}


def _some(name: str, values: Sequence[Any]) -> Draw:
    return lambda drawn: {name: drawn.choice(values)}


def _which(**others: Sequence[Any]) -> Draw:
    return lambda drawn: {"at": fraction(drawn), **{name: drawn.choice(values) for name, values in others.items()}}


# How often, and with what.
HAPPENS: dict[str, tuple[int, Draw]] = {
    "commit": (12, _which(rows=(1, 2, 3), changes=(None, "update", "delete"))),
    "abort": (3, _nothing),
    "savepoint": (3, _some("more", (True, False))),
    "across": (2, _nothing),
    "prepare": (3, _nothing),
    "finish": (3, _which(commit=(True, False))),
    "point": (3, _some("name", NAMES)),
    "switch": (3, _nothing),
    "backup": (5, _nothing),
    "clock": (5, _some("ahead", AHEAD)),
    "crash": (2, _some("how", ("kill", "immediate"))),
    "setting": (2, _some("line", SETTINGS)),
    "copy": (2, _some("backwards", (True, False))),
    "damage": (2, lambda drawn: {"at": fraction(drawn), "how": drawn.choice(WAYS), "which": fraction(drawn)}),
    "space": (2, _nothing),
    "drop": (1, _which()),
}
# What is not drawn, because it is not right yet: the fault is known, and its repair puts the operation back.
LEFT_OUT: dict[str, str] = {}
VERDICTS: dict[str, tuple[int, Draw]] = {
    "look": (6, lambda drawn: {"aims": [aim(drawn) for _turn in range(3)]}),
    "restore": (4, lambda drawn: {"aims": [aim(drawn) for _turn in range(2)]}),
    "roll_back": (1, _nothing),
}


def draw(drawn: random.Random, left_out: Collection[str] = tuple(LEFT_OUT)) -> list[Operation]:
    """Draw a history: what happens, and now and then what can be had of it."""
    happens = {verb: entry for verb, entry in HAPPENS.items() if verb not in left_out}
    operations: list[Operation] = []
    for _chapter in range(drawn.randint(3, 6)):
        operations += [_one(drawn, happens) for _turn in range(drawn.randint(1, 4))]
        verdict = _one(drawn, VERDICTS)
        # What is not archived can be had only where the server is.
        archived = [{"verb": "switch"}] if verdict["verb"] == "look" and drawn.random() < 0.7 else []
        operations += [*archived, verdict]
    return operations


def _one(drawn: random.Random, table: Mapping[str, tuple[int, Draw]]) -> Operation:
    [verb] = drawn.choices(list(table), [weight for weight, _draw in table.values()])
    return {"verb": verb, **table[verb][1](drawn)}


def written(operation: Operation) -> str:
    """Write an operation for a person.

    >>> written({"verb": "clock", "ahead": -60})
    'clock ahead=-60'
    """
    details = [f"{name}={value!r}" for name, value in operation.items() if name != "verb"]
    return " ".join([operation["verb"], *details])
