# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is observed before a restore is decided, while a server goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._core.catalog import SegmentFile
from ansible_collections.pgark.postgres.plugins.module_utils._core.layout import Layout
from ansible_collections.pgark.postgres.plugins.module_utils._host import survey
from ansible_collections.pgark.postgres.plugins.module_utils._host.repository import read_catalog
from ansible_collections.pgark.postgres.plugins.module_utils._host.runner import CommandRunner
from tests.unit.host.test_repository import lay_out, put_segment


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
    seen = survey.Survey(layout, "", CommandRunner(), str(tmp_path))._with_own_wal(read_catalog(layout))
    assert sorted(number for _timeline, number in seen.files) == [1, 2]
