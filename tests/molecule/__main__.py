# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run scenarios of molecule and take their times: python -m tests.molecule [--scenario NAME] [STEP ...]."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.gates.setup import ROOT
from tests.molecule import engine

SCENARIOS = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))
# Molecule knows a checkout by the last part of its path only; a directory of its own keeps two checkouts apart.
STATE = ROOT / ".build" / "molecule"


def main() -> int:
    """Run what was asked for; returns 0 only if every scenario passed."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        engine.provide()
    except engine.Unusable as reason:
        print(f"molecule | {reason}", file=sys.stderr)
        return 1
    step = options.step or ["test"]
    results = [_timed(step, scenario) for scenario in options.scenario or SCENARIOS]
    print(*(f"molecule | {line}" for line, _passed in results), sep="\n")
    return 0 if all(passed for _line, passed in results) else 1


def _timed(step: Sequence[str], scenario: str) -> tuple[str, bool]:
    """Run one step of one scenario; returns a line about it, and whether it passed."""
    started = time.monotonic()
    try:
        passed = _molecule(step, scenario)
    except BaseException:
        if step[0] == "test":
            _molecule(["destroy"], scenario)
        raise
    seconds = time.monotonic() - started
    return f"{scenario:<16} {' '.join(step)} {'passed' if passed else 'FAILED'} {seconds:5.0f} s", passed


def _molecule(step: Sequence[str], scenario: str) -> bool:
    command, *options = step
    argv = ["molecule", "--base-config", "molecule/config.yml", command, "--scenario-name", scenario, *options]
    print(f"molecule | {scenario}: {' '.join(step)}", flush=True)
    return subprocess.run(argv, cwd=ROOT, env=_environment(), check=False).returncode == 0


def _environment() -> dict[str, str]:
    STATE.mkdir(parents=True, exist_ok=True)
    programs = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": programs, "ANSIBLE_HOME": str(STATE), "MOLECULE_COMMAND_BORDERS": "false"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.molecule", description="test on whole hosts")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="run this one; all unless given")
    parser.add_argument("step", nargs="*", help="what molecule shall do, with its options: test unless given")
    return parser


if __name__ == "__main__":
    sys.exit(main())
