# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks that a check runs itself, because they have to fail."""

from __future__ import annotations

import subprocess

from tests.gates.setup import ROOT
from tests.molecule.machines import EPHEMERAL, INVENTORIES


def refuse(playbook: str, host: str, *arguments: str) -> str:
    """Run a playbook on one host, where it must fail; returns what it said."""
    places = [EPHEMERAL / "inventory", *(ROOT / place / "inventory" for place in INVENTORIES)]
    sources = [word for place in places for word in ("--inventory", str(place))]
    argv = ["ansible-playbook", *sources, "--limit", host, *arguments, str(ROOT / "playbooks" / f"{playbook}.yml")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2, f"{playbook} exited {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout
