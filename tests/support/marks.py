# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Marks for tests against real servers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest

from tests.support.postgres import VERSIONS, versions
from tests.support.soak import FULL

Test = TypeVar("Test", bound=Callable[..., object])
# PGARK_TEST_VERSIONS narrows them, too.
ALL = versions() if "PGARK_TEST_VERSIONS" in os.environ else VERSIONS


def on(chosen: Sequence[str]) -> pytest.MarkDecorator:
    """Have a test run with these versions of PostgreSQL."""
    # Those of an older version stay in one process, which prepares clusters of that version once.
    grouped = [version if version in versions() else pytest.param(version, marks=_group(version)) for version in chosen]
    return pytest.mark.parametrize("version", grouped, ids=lambda version: f"pg{version}", indirect=True)


def _group(version: str) -> pytest.MarkDecorator:
    return pytest.mark.xdist_group(f"pg{version}")


def since(oldest: int) -> pytest.MarkDecorator:
    """Leave out the servers that are too old for what a test is about."""
    return on([version for version in versions() if int(version) >= oldest])


# For what differs from version to version, and for one test of each story.
every_version = on(ALL)


def soak(test: Test) -> Test:
    """Mark a test for the soak: with all versions at full length, in a slice with the newest."""
    marked: Test = pytest.mark.soak(on(ALL if FULL else versions())(test))
    return marked
