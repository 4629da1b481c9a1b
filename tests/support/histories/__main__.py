# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Live through many histories: python -m tests.support.histories."""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.gates.setup import ROOT
from tests.support.histories.campaign import SHRINKING, Goal, campaign, explained, told
from tests.support.histories.plan import written
from tests.support.histories.theatre import Theatre, drawn
from tests.support.prepared import Prepared
from tests.support.sandbox import Sandbox


def main() -> int:
    """Go on where the last run stopped, or repeat one history; returns 0 only if all of it was right."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with Sandbox(in_memory=True) as sandbox:
        theatre = Theatre(sandbox, Prepared(sandbox))
        if options.repeat:
            return _repeat(theatre, options.versions, options.repeat)
        return 0 if _campaign(theatre, options) else 1


def _campaign(theatre: Theatre, options: argparse.Namespace) -> bool:
    options.state.parent.mkdir(exist_ok=True)
    seed = options.seed or _seed_of(options.state)
    _say(f"seed {seed}; what was found is kept in {options.state}, and a next run goes on from there")
    goal = Goal(options.verdicts, options.promoted, options.tries)
    return campaign(theatre, seed, options.versions, goal, options.state, _say)


def _seed_of(state: Path) -> str:
    """Return the seed of the last run, which is gone on with."""
    kept = state.with_suffix(".seed")
    if not kept.exists():
        kept.write_text(secrets.token_hex(4), encoding="utf-8")
    return kept.read_text(encoding="utf-8")


def _repeat(theatre: Theatre, versions: Sequence[str], name: str) -> int:
    operations = drawn(name)
    for operation in operations:
        _say(f"  {written(operation)}")
    differ = 0
    for version in versions:
        outcome = theatre.play(version, operations)
        _say(told([{"verdicts": [vars(verdict) for verdict in outcome.verdicts], "difference": outcome.difference}]))
        if outcome.difference is not None:
            differ += 1
            _say(str(outcome.difference))
            _say(explained(theatre, version, operations, outcome))
    return 1 if differ else 0


def _say(words: str) -> None:
    print(f"histories | {words}", flush=True)  # noqa: T201 -- it is for a person who waits


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.support.histories", description=__doc__)
    parser.add_argument("--verdicts", type=int, default=1000, help="how many on each version")
    parser.add_argument("--promoted", type=int, default=300, help="how many of them are restores to promotion")
    parser.add_argument("--versions", type=lambda text: text.split(","), default=["17", "18"], help="such as 17,18")
    parser.add_argument("--seed", help="begin with this one, or go on with it")
    parser.add_argument(
        "--tries", type=int, default=SHRINKING, help="how often to repeat one that fails, to shorten it"
    )
    parser.add_argument("--state", type=Path, default=ROOT / ".build" / "histories.jsonl")
    parser.add_argument("--repeat", metavar="NAME", help="one history, such as 5e7b-12, as it is printed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
