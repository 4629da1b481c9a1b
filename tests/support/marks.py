# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Marks for tests against real servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from tests.support.postgres import versions
from tests.support.soak import Share

Test = TypeVar("Test", bound=Callable[..., object])


def on(chosen: list[str]) -> pytest.MarkDecorator:
    """Have a test run with these versions of PostgreSQL."""
    return pytest.mark.parametrize("version", chosen, ids=lambda version: f"pg{version}", indirect=True)


# For what is no matter of the server's version: the newest one has to do.
once = on(versions()[-1:])


def soak(test: Test) -> Test:
    """Mark a test for the soak: with all versions at full length, in a slice with one that is drawn."""
    drawn = Share(test.__qualname__).of(versions(), 1)
    marked: Test = pytest.mark.soak(on(drawn)(test))
    return marked
