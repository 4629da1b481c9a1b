# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""At full length everything is tried; a slice is drawn, and its seed draws the same again."""

from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path

import pytest

from tests.support import soak
from tests.support.soak import Share

ABOUT = 5


def test_full_length_leaves_nothing_out() -> None:
    share = Share("it", full=True)
    assert share.of("abc", 1) == ["a", "b", "c"]
    assert list(islice(share.points(ABOUT), 4)) == [1, 2, 3, 4]
    assert share.length(100, 3) == 100


def test_a_slice_begins_with_the_first_point_and_goes_on_in_drawn_steps() -> None:
    points = list(islice(Share("it", full=False).points(ABOUT), 1000))
    assert points[0] == 1
    assert {later - earlier for earlier, later in pairwise(points)} == set(range(1, 2 * ABOUT))


def test_a_slice_keeps_the_order_and_takes_no_more_than_there_is() -> None:
    share = Share("it", full=False)
    drawn = share.of(range(100), 10)
    assert len(set(drawn)) == 10
    assert drawn == sorted(drawn)
    assert share.of("ab", 3) == ["a", "b"]
    assert share.length(100, 3) == 3


def draws(name: str, seed: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    monkeypatch.setenv("PGARK_SOAK_SEED", seed)
    return Share(name, full=False).of(range(1000), 5)


def test_seed_and_name_decide_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    first = draws("it", "5e7b", monkeypatch)
    assert draws("it", "5e7b", monkeypatch) == first
    assert draws("it", "5e7c", monkeypatch) != first
    assert draws("another", "5e7b", monkeypatch) != first


def test_the_seed_of_a_slice_is_that_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "ROOT", tmp_path)
    monkeypatch.setattr(soak, "project_files", lambda: ["code", "link"])
    (tmp_path / "link").symlink_to("code")
    hashes = []
    for content in ("one", "other", "one"):
        (tmp_path / "code").write_text(content)
        hashes.append(soak.hash_of_files())
    assert hashes[0] == hashes[2] != hashes[1]
