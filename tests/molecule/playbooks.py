# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks that a check runs itself: those that have to fail, and those that have nothing left to do."""

from __future__ import annotations

import os
import subprocess

from tests.gates.setup import ROOT
from tests.molecule.machines import EPHEMERAL, INVENTORIES


def refuse(playbook: str, host: str, *arguments: str) -> str:
    """Run a playbook on one host, where it must fail; returns what it said."""
    done = _run(playbook, "--limit", host, *arguments)
    assert done.returncode == 2, f"{playbook} exited {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def recap(playbook: str, *arguments: str) -> dict[str, str]:
    """Run a playbook on all clusters, where it must succeed; returns Ansible's count for each."""
    done = _run(playbook, *arguments)
    assert done.returncode == 0, f"{playbook} exited {done.returncode}: {done.stdout}{done.stderr}"
    lines = done.stdout.partition("PLAY RECAP")[2].splitlines()[1:]
    return {host.strip(): counts for host, _colon, counts in (line.partition(":") for line in lines) if counts}


def _run(playbook: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    places = [EPHEMERAL / "inventory", *(ROOT / place / "inventory" for place in INVENTORIES)]
    sources = [word for place in places for word in ("--inventory", str(place))]
    argv = ["ansible-playbook", *sources, *arguments, str(ROOT / "playbooks" / f"{playbook}.yml")]
    environment = os.environ | {"ANSIBLE_FORCE_COLOR": "false", "ANSIBLE_NOCOLOR": "true"}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
