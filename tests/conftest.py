# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures that every kind of test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import soak
from tests.support.sandbox import CHECKOUT


def pytest_configure() -> None:
    soak.seed()  # settled before pytest-xdist starts processes, which inherit it


def pytest_report_header() -> str:
    return soak.described()


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Return the root of the checkout."""
    return CHECKOUT


@pytest.fixture
def share(request: pytest.FixtureRequest) -> soak.Share:
    """Say how much to try: a test with the mark `soak` may have to do with a slice, any other tries everything."""
    print(soak.described())  # noqa: T201 -- pytest shows it beside a failure
    drawn = request.node.get_closest_marker("soak") is not None
    return soak.Share(f"{request.path.name}::{request.node.name}", full=soak.FULL or not drawn)
