# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Histories that are drawn by a seed, and what can be had of them: exactly the ledger's rows, or nothing is touched.

A failure says which history it was, and the shortest one that shows the same. `make histories` counts thousands.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import soak
from tests.support.histories.campaign import SHRINKING, explained, name, told
from tests.support.histories.plan import Operation
from tests.support.histories.theatre import Theatre, drawn
from tests.support.marks import soak as in_the_soak
from tests.support.prepared import Prepared
from tests.support.sandbox import Sandbox
from tests.support.soak import Share

PARTS = 3


def aim(kind: str, at: float = 0.0, timeline: str | None = "own") -> dict[str, Any]:
    return {"kind": kind, "at": at, "inclusive": True, "timeline": timeline, "label": None}


# What was found by drawing, as the shortest history that shows it.
FOUND = {
    "a timeline that leaves its grandparent before its parent did": [
        {"verb": "point", "name": "nightly"},
        {"verb": "backup"},
        {"verb": "point", "name": "before the upgrade"},
        {"verb": "restore", "aims": [aim("name", 0.0)]},
        {"verb": "restore", "aims": [aim("name", 0.5)]},
        {"verb": "commit"},
        {"verb": "switch"},
        {"verb": "look", "aims": [aim("latest")]},
    ],
    "a segment that is damaged right behind the target": [
        {"verb": "backup"},
        {"verb": "commit"},
        {"verb": "switch"},
        {"verb": "damage", "at": 0.5, "how": "truncate", "which": 0.999},
        {"verb": "look", "aims": [aim("immediate")]},
    ],
    "a timeline that began and was left in the segment in which its grandparent was": [
        {"verb": "commit"},
        {"verb": "restore", "aims": [aim("latest")]},
        {"verb": "commit"},
        {"verb": "restore", "aims": [aim("immediate")]},
        {"verb": "commit"},
        {"verb": "point", "name": "nightly"},
        {"verb": "commit"},
        {"verb": "restore", "aims": [aim("name")]},
        {"verb": "look", "aims": [aim("latest")]},
    ],
    "a segment with the bytes of another one, before the backup": [
        {"verb": "prepare"},
        {"verb": "damage", "at": 0.036, "how": "swap", "which": 0.335},
        {"verb": "switch"},
        {"verb": "commit"},
        {"verb": "backup"},
        {"verb": "restore", "aims": [aim("immediate")]},
    ],
    "a segment that is damaged further behind": [
        {"verb": "backup"},
        {"verb": "commit"},
        {"verb": "point", "name": "nightly"},
        {"verb": "switch"},
        {"verb": "commit"},
        {"verb": "switch"},
        {"verb": "commit"},
        {"verb": "switch"},
        {"verb": "damage", "at": 0.5, "how": "truncate", "which": 0.8},
        {"verb": "look", "aims": [aim("name")]},
    ],
    "a timeline that was left behind a prepared transaction and a checkpoint, in one segment": [
        {"verb": "prepare"},
        {"verb": "crash", "how": "immediate"},
        {"verb": "point", "name": "nightly"},
        {"verb": "commit"},
        {"verb": "restore", "aims": [aim("name")]},
        {"verb": "commit"},
        {"verb": "look", "aims": [aim("latest")]},
        {"verb": "restore", "aims": [aim("latest")]},
    ],
    "a recovery that ends behind a prepared transaction, before its timeline begins in that segment": [
        {"verb": "prepare"},
        {"verb": "point", "name": "before the upgrade"},
        {"verb": "point", "name": "nightly"},
        {"verb": "commit"},
        {"verb": "restore", "aims": [aim("name", 0.5)]},
        {"verb": "restore", "aims": [aim("name", 0.0)]},
    ],
}


@pytest.fixture(scope="session")
def theatre(sandbox: Sandbox, prepared: Prepared) -> Theatre:
    """Prepare the place where histories are lived through."""
    return Theatre(sandbox, prepared)


@pytest.mark.parametrize("operations", FOUND.values(), ids=FOUND)
def test_what_was_wrong_once_is_right(theatre: Theatre, version: str, operations: list[Operation]) -> None:
    outcome = theatre.play(version, operations)
    assert outcome.difference is None
    assert [verdict.outcome for verdict in outcome.verdicts] == ["given"] * len(outcome.verdicts)


@pytest.mark.parametrize("part", range(PARTS))
@in_the_soak
def test_a_target_gives_exactly_what_the_ledger_says_or_is_refused_with_nothing_touched(
    theatre: Theatre, version: str, share: Share, part: int
) -> None:
    wanted, records, turn = share.length(500, 60) // PARTS, [], part
    while sum(len(record["verdicts"]) for record in records) < wanted:
        chosen = name(soak.seed(), turn)
        operations = drawn(chosen)
        outcome = theatre.play(version, operations)
        if outcome.difference is not None:
            shown = explained(theatre, version, operations, outcome, share.length(SHRINKING, 5))
            pytest.fail(f"history {chosen} on {version}: {shown}")
        records.append({"verdicts": [vars(verdict) for verdict in outcome.verdicts], "difference": None})
        turn += PARTS
    print(told(records))  # noqa: T201 -- pytest shows it with -rP
