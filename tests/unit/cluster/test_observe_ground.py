# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is missing of a path is found from above, and a way that others laid is refused."""

from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster.ground import Lacking, Needed
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.observe_ground import check_way, lacking
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error


def test_a_directory_is_missing_with_those_above_it(tmp_path: Path) -> None:
    way = [str(tmp_path / "a"), str(tmp_path / "a/b")]
    assert lacking([Needed(str(tmp_path)), Needed(way[1], mode=0o750), Needed(way[1])]) == [
        Lacking(path, 0o750) for path in way
    ]


def test_what_a_restore_makes_itself_is_not_missing(tmp_path: Path) -> None:
    assert lacking([Needed(str(tmp_path / "a/b"), made=2)]) == []
    assert lacking([Needed(str(tmp_path / "a/b"), made=1)]) != []


def test_a_way_without_links_in_directories_of_our_own_is_taken(tmp_path: Path) -> None:
    check_way(str(tmp_path / "postgresql/17/main"))


def test_a_link_on_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(Error, match=f"leads to {tmp_path}/main\nHINT: say where it is to be"):
        check_way(str(tmp_path / "link/main"))


def test_a_directory_that_anybody_may_change_is_no_place(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    expected = f"is in {tmp_path}, to which others write: its mode is 0777\nHINT: .* root: chmod o-w {tmp_path}; or say"
    with pytest.raises(Error, match=expected):
        check_way(str(tmp_path / "main"))
