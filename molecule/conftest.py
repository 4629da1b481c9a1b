# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every scenario's checks are run on: each of its machines, or each of its clusters."""

from __future__ import annotations

import pytest

from tests.molecule.machines import Cluster, Machine, members


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "machine" in metafunc.fixturenames:
        names = members("machines")
        metafunc.parametrize("machine", [Machine(name) for name in names], ids=names)
    if "cluster" in metafunc.fixturenames:
        names = members("postgres")
        metafunc.parametrize("cluster", [Cluster(name) for name in names], ids=names)
