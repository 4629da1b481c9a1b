# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An estimate follows from sizes alone."""

from __future__ import annotations

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._windows.estimate import (
    replay_seconds,
    restore_seconds,
    staging_seconds,
)


def test_twice_as_much_takes_twice_as_long() -> None:
    assert staging_seconds(2 * 10**9) == pytest.approx(2 * staging_seconds(10**9))
    assert replay_seconds(200) == pytest.approx(2 * replay_seconds(100))


def test_replay_depends_on_the_size_of_segments() -> None:
    assert replay_seconds(100, 64 * 2**20) == pytest.approx(4 * replay_seconds(100))


def test_a_restore_takes_as_long_as_its_parts_and_the_switch_between_them() -> None:
    switch = restore_seconds(0, 0)
    assert switch > 0
    assert restore_seconds(10**10, 50) == pytest.approx(staging_seconds(10**10) + switch + replay_seconds(50))
