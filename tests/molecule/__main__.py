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
from collections.abc import Sequence

from tests.gates.setup import ROOT, locked
from tests.molecule import engine
from tests.molecule.side_by_side import Job, side_by_side

# The longest come first, so that none goes on alone at the end.
SCENARIOS = ("pitr_restore", "setup_archiving", "layouts", "two_clusters")
# Those that need images, which no two may build at the same time.
CREATING = ("check", "converge", "create", "prepare", "test")
# Molecule knows a checkout by the last part of its path only; a directory of its own keeps two checkouts apart.
STATE = ROOT / ".build" / "molecule"


def main() -> int:
    """Run what was asked for; returns 0 only if every scenario passed."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    STATE.mkdir(parents=True, exist_ok=True)
    scenarios, step = options.scenario or SCENARIOS, options.step or ["test"]
    try:
        with locked(STATE / "images.lock"):
            engine.provide()
            ready = step[0] not in CREATING or _run([_images(scenarios)], 1)
    except engine.Unusable as reason:
        print(f"molecule | {reason}", file=sys.stderr)
        return 1
    if options.images or not ready:
        return 0 if ready else 1
    try:
        passed = _attended(step, *scenarios) if len(scenarios) == 1 else _unattended(step, scenarios, options.at_once)
    except BaseException:
        if step[0] == "test":
            _unattended(["destroy"], scenarios, len(scenarios))
        raise
    return 0 if passed else 1


def _attended(step: Sequence[str], scenario: str) -> bool:
    """Run one step of one scenario at the terminal, which a login needs."""
    return subprocess.run(_molecule(step, scenario), cwd=ROOT, env=_environment(), check=False).returncode == 0


def _unattended(step: Sequence[str], scenarios: Sequence[str], at_once: int) -> bool:
    """Run one step of scenarios side by side."""
    jobs = [Job(f"{name}: {' '.join(step)}", _molecule(step, name), STATE / f"{name}.log") for name in scenarios]
    return _run(jobs, at_once)


def _run(jobs: Sequence[Job], at_once: int) -> bool:
    """Run jobs, and show what those that fail have said; returns whether all passed."""
    passed = True
    for ended in side_by_side(jobs, at_once, directory=ROOT, environment=_environment()):
        name, log = ended.job.name, ended.job.log
        passed = passed and ended.passed
        if not ended.passed:
            print(log.read_text(errors="replace"))
        result = "passed" if ended.passed else "FAILED"
        print(f"molecule | {name:<22} {result} {ended.seconds:5.0f} s ({log.relative_to(ROOT)})", flush=True)
    return passed


def _images(scenarios: Sequence[str]) -> Job:
    places = [ROOT / "molecule" / name / "inventory" for name in ("shared", *scenarios)]
    sources = [word for place in places for word in ("--inventory", str(place))]
    argv = ["ansible-playbook", *sources, "--extra-vars", f"images_directory={STATE / 'images'}"]
    return Job("images", [*argv, str(ROOT / "molecule/shared/images.yml")], STATE / "images.log")


def _molecule(step: Sequence[str], scenario: str) -> list[str]:
    command, *options = step
    return ["molecule", "--base-config", "molecule/config.yml", command, "--scenario-name", scenario, *options]


def _environment() -> dict[str, str]:
    programs = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": programs, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOME": str(STATE)}
    return os.environ | own | {"MOLECULE_COMMAND_BORDERS": "false"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.molecule", description="test on whole hosts")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="run this one; all unless given")
    parser.add_argument("--images", action="store_true", help="build the images that the hosts boot from, and no more")
    parser.add_argument("--at-once", type=int, default=os.cpu_count(), help="how many scenarios run side by side")
    parser.add_argument("step", nargs="*", help="what molecule shall do, with its options: test unless given")
    return parser


if __name__ == "__main__":
    sys.exit(main())
