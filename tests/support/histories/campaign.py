# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many histories, counted and kept in a file, so that whoever stops goes on later."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.gates.setup import ROOT
from tests.support.histories.plan import Operation, written
from tests.support.histories.shrinking import shrink
from tests.support.histories.theatre import Outcome, Theatre, drawn

Say = Callable[[str], None]
SHRINKING = 40
"""How often a history that fails is repeated with something left out."""


@dataclass(frozen=True)
class Goal:
    """How many verdicts are wanted, and how many of them are to be restores that were promoted.

    A history that fails is repeated at most so many `tries` with something left out.
    """

    verdicts: int
    promoted: int = 0
    tries: int = SHRINKING

    def met(self, records: Sequence[dict[str, Any]]) -> bool:
        """Tell whether there are enough."""
        verdicts = [verdict for record in records for verdict in record["verdicts"]]
        return len(verdicts) >= self.verdicts and sum(map(is_promoted, verdicts)) >= self.promoted


def is_promoted(verdict: dict[str, Any]) -> bool:
    """Tell whether a verdict was a restore to promotion."""
    return (verdict["way"], verdict["outcome"]) == ("in place", "given")


def campaign(theatre: Theatre, seed: str, versions: Sequence[str], goal: Goal, state: Path, say: Say) -> bool:
    """Live through histories until the goal is met on each version; returns whether all of it was right."""
    records = [json.loads(line) for line in state.read_text(encoding="utf-8").splitlines()] if state.exists() else []
    for version in versions:
        own = [record for record in records if (record["version"], record["seed"]) == (version, seed)]
        while not goal.met(own):
            own.append(_one(theatre, seed, version, len(own), goal.tries, say))
            with state.open("a", encoding="utf-8") as file:
                file.write(json.dumps(own[-1]) + "\n")
        say(f"PostgreSQL {version}: {told(own)}")
        records += own
    return not any(record["difference"] for record in records if record["seed"] == seed)


def _one(theatre: Theatre, seed: str, version: str, number: int, tries: int, say: Say) -> dict[str, Any]:
    begun, operations = time.monotonic(), drawn(name(seed, number))
    outcome = theatre.play(version, operations)
    seconds = round(time.monotonic() - begun, 1)
    verdicts = [asdict(verdict) for verdict in outcome.verdicts]
    say(f"{name(seed, number)} on {version}: {len(verdicts)} verdicts in {seconds} s")
    difference = None if outcome.difference is None else explained(theatre, version, operations, outcome, tries)
    if difference is not None:
        say(difference)
    return {
        "seed": seed,
        "number": number,
        "version": version,
        "commit": _commit(),
        "seconds": seconds,
        "verdicts": verdicts,
        "difference": difference,
    }


def name(seed: str, number: int) -> str:
    """Name one history of many."""
    return f"{seed}-{number}"


def explained(
    theatre: Theatre, version: str, operations: Sequence[Operation], outcome: Outcome, tries: int = SHRINKING
) -> str:
    """Say what went wrong, by the shortest history that shows the same kind of difference."""
    assert outcome.difference is not None
    kind, last = outcome.difference.kind, outcome

    def fails(shorter: Sequence[Operation]) -> bool:
        nonlocal last
        found = theatre.play(version, shorter)
        same = found.difference is not None and found.difference.kind == kind
        last = found if same else last
        return same

    assert outcome.at is not None
    short = shrink(operations[: outcome.at + 1], fails, tries)
    return "\n".join([f"{last.difference}", "It takes:", *(f"  {written(operation)}" for operation in short)])


def told(records: Iterable[dict[str, Any]]) -> str:
    """Say how many verdicts there were of each kind.

    >>> verdict = {"way": "beside", "kind": "xid", "outcome": "given", "pardons": [], "seconds": 1.5}
    >>> print(told([{"verdicts": [verdict, verdict], "difference": None}]))
    2 verdicts in 1 histories, 0 of them restores to promotion, 0 differences, 1.50 s a verdict
           2 beside xid given
    """
    records = list(records)
    verdicts = [verdict for record in records for verdict in record["verdicts"]]
    seconds = sum(verdict["seconds"] for verdict in verdicts) / max(len(verdicts), 1)
    counted = Counter(
        " ".join([verdict["way"], verdict["kind"], verdict["outcome"], *_reason(verdict)]) for verdict in verdicts
    )
    figures = (
        f"{len(verdicts)} verdicts in {len(records)} histories",
        f"{sum(map(is_promoted, verdicts))} of them restores to promotion",
        f"{sum(record['difference'] is not None for record in records)} differences",
        f"{seconds:.2f} s a verdict",
    )
    return "\n".join([", ".join(figures), *(f"{count:8} {what}" for what, count in sorted(counted.items()))])


def _reason(verdict: dict[str, Any]) -> list[str]:
    return [f"({', '.join(verdict['pardons'])})"] if verdict["outcome"] == "refused" else []


def _commit() -> str:
    argv = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
