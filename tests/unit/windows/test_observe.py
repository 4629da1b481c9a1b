# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is observed before a restore is decided, while a server goes on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._host.runner import CommandRunner
from ansible_collections.pgark.postgres.plugins.module_utils._repository.catalog import SegmentFile
from ansible_collections.pgark.postgres.plugins.module_utils._repository.layout import Layout
from ansible_collections.pgark.postgres.plugins.module_utils._repository.observe_catalog import read_catalog
from ansible_collections.pgark.postgres.plugins.module_utils._values.target import Target
from ansible_collections.pgark.postgres.plugins.module_utils._windows import observe as survey
from ansible_collections.pgark.postgres.plugins.module_utils._windows.forks import Forked
from tests.unit.repository.test_observe import lay_out, put_segment


def test_a_segment_that_is_archived_and_removed_between_two_looks_is_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(str(tmp_path / "repository"), "main")
    lay_out(layout)
    put_segment(layout, 1)

    def removed_when_archived(_directory: str, _identity: object) -> dict[tuple[int, int], SegmentFile]:
        put_segment(layout, 2)
        return {}

    monkeypatch.setattr(survey, "own_segments", removed_when_archived)
    seen = survey.WindowReader(layout, "", CommandRunner(), str(tmp_path))._with_own_wal(read_catalog(layout))
    assert sorted(number for _timeline, number in seen.files) == [1, 2]


@pytest.mark.parametrize("differs", ["first", "further"])
def test_another_history_in_any_repository_is_refused_before_anything_is_chosen(
    differs: str, tmp_path: Path, places: Callable[[str], Layout]
) -> None:
    """What the old data has is archived in all of them before it is replaced, which would be refused by then."""
    data = tmp_path / "data/pg_wal"
    data.mkdir(parents=True)
    for name, at in (("own", data), *((name, Path(places(name).wal)) for name in ("first", "further"))):
        left = "0/5000028" if name == differs else "0/3000028"
        (at / "00000002.history").write_text(f"1\t{left}\tx\n")
    seen = survey.WindowReader(places("first"), "", CommandRunner(), str(data.parent), further=(places("further"),))
    with pytest.raises(Forked, match=r"00000002\.history in .*/pg_wal and in .*/" + differs):
        seen.choice(read_catalog(places("first")), Target("latest"), None, datetime.now(UTC))


@pytest.fixture
def places(tmp_path: Path) -> Callable[[str], Layout]:
    """Give repositories by name, made when they are first asked for."""

    def place(name: str) -> Layout:
        layout = Layout(str(tmp_path / name), "main")
        if not Path(layout.wal).exists():
            lay_out(layout)
        return layout

    return place
