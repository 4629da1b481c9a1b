# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures that every kind of test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import soak
from tests.support.sandbox import CHECKOUT

LONGEST_ID = 500


def pytest_configure() -> None:
    soak.seed()  # settled before pytest-xdist starts processes, which inherit it
    # How long an example takes is the machine's affair, and the same checkout gives the same verdict.
    settings.register_profile(
        "ours", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=not soak.FULL
    )
    settings.load_profile("ours")


def pytest_report_header() -> str:
    return soak.described()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name what is long by its length: names that hold whole segments cost a minute and a gigabyte."""
    long = isinstance(val, (str, bytes)) and len(val) > LONGEST_ID
    return f"{argname} of {len(val)}" if long else None


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """Give the next test the umask that this one had, whatever it has called: modules change theirs."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


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
