# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What recovery would do to the directories in which it makes tablespaces is told, or refused, beforehand."""

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._restore.replayed import Found, moved_aside, those_replayed
from ansible_collections.pgark.postgres.plugins.module_utils._wal.records import Tablespace

MADE = (Tablespace(0x5000028, 24576, "/srv/fast"), Tablespace(0x5000100, 24576, ""))


@pytest.mark.parametrize(
    ("found", "moved"),
    [
        (Found("free"), {}),
        (Found("free", owned=True, fixed="it is a mount point"), {}),
        (Found("used", owned=True), {"/srv/fast": "/srv/fast/pgark-1"}),
    ],
)
def test_only_what_the_old_data_has_there_goes_aside(found: Found, moved: dict[str, str]) -> None:
    assert moved_aside(MADE, {"/srv/fast": found}, "pgark-1", clone=False) == moved


def test_a_tablespace_that_is_dropped_or_lies_in_the_data_directory_itself_moves_nothing() -> None:
    assert moved_aside(MADE[1:], {}, "pgark-1", clone=False) == {}


@pytest.mark.parametrize(
    ("found", "clone", "words"),
    [
        (Found("missing"), False, "which is not there: recovery would stop with an error\nHINT: make the directory"),
        (
            Found("free", closed="/srv/fast belongs to root, not to postgres"),
            False,
            "root, not to postgres: recovery would",
        ),
        (Found("inside"), False, "lies inside the data directory that is replaced: recovery would stop"),
        (Found("used"), False, "another cluster's, or that of data kept from before\nHINT: restore on a host"),
        (Found("used"), True, "it is perhaps the source's, or another cluster's\nHINT: restore on a host"),
        (
            Found("used", True, "/srv/fast cannot be written by postgres"),
            False,
            "moved aside: /srv/fast cannot be written",
        ),
    ],
)
def test_what_would_do_harm_is_refused_with_the_place_to_stop_before_it(found: Found, clone: bool, words: str) -> None:
    with pytest.raises(Error) as caught:
        moved_aside(MADE, {"/srv/fast": found}, "pgark-1", clone)
    said = str(caught.value)
    assert "the WAL to be replayed creates a tablespace in /srv/fast, at 0/5000028" in said
    assert words in said
    assert "target_lsn=0/5000028 with target_inclusive=false" in said


def test_what_lies_behind_the_end_of_a_recovery_does_no_harm() -> None:
    assert those_replayed(MADE, None) == MADE
    assert those_replayed(MADE, "0/5000100") == MADE[:1]
    assert those_replayed(MADE, "0/5000028") == ()
