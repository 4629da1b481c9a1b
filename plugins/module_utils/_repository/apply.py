# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out the steps that only a repository has."""

from __future__ import annotations

from .._plan.apply import StepTable
from . import observe as repository
from .plan import RetireCluster


def _retire_cluster(step: RetireCluster, _context: object) -> None:
    repository.retire(step.path, step.to)


STEPS: StepTable = {
    RetireCluster: _retire_cluster,
}
