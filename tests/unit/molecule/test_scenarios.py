# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No scenario is forgotten when all are run."""

from tests.gates.setup import ROOT
from tests.molecule.__main__ import SCENARIOS


def test_every_scenario_is_run() -> None:
    assert sorted(SCENARIOS) == sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))
