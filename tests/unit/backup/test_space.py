# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup that would fill a repository is not begun, or is stopped: WAL comes first."""

from __future__ import annotations

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._backup.space import (
    check_backup_room,
    check_still_fits,
    expected,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._values.space import FreeSpace
from tests.unit.examples import MB, backup

KNOWN = [
    backup("plain", 0, 3, compression="none", size=100 * MB, stored_size=110 * MB),
    backup("old", 10, 4, compression="zstd", size=100 * MB, stored_size=90 * MB),
    backup("new", 20, 5, compression="zstd", size=100 * MB, stored_size=30 * MB),
    backup("empty", 30, 6, compression="zstd", size=0, stored_size=1),
]


@pytest.mark.parametrize(
    ("compression", "size", "basis"),
    [
        ("none", 220, "the cluster has 200 MB, and backup 'plain' took 110 MB for 100 MB"),
        ("zstd", 60, "backup 'new' took 30 MB for 100 MB"),
        ("gzip", 50, "the cluster has 200 MB, and gzip may bring it to a quarter"),
    ],
)
def test_what_a_backup_takes_is_guessed_from_the_last_one_of_its_kind(compression: str, size: int, basis: str) -> None:
    found = expected(200 * MB, KNOWN, compression)
    assert found.size == size * MB
    assert basis in found.basis


def test_without_any_backup_nothing_is_guessed_of_what_is_not_compressed() -> None:
    assert expected(200 * MB, [], "none").size == 200 * MB


def test_what_would_fill_the_repository_is_refused_with_the_figures() -> None:
    wanted = expected(200 * MB, KNOWN, "zstd")
    check_backup_room("/srv/pgark/main/backup", FreeSpace(1, 110 * MB, 1000 * MB), wanted)
    message = (
        r"no.* room for a backup in /srv/pgark/main/backup: about 60 MB are needed \(the cluster has 200 MB, .*\), "
        r"109 MB are free, of which 50 MB are kept for WAL\nHINT: make room"
    )
    with pytest.raises(Error, match=message):
        check_backup_room("/srv/pgark/main/backup", FreeSpace(1, 109 * MB, 1000 * MB), wanted)


def test_what_takes_more_than_was_guessed_is_stopped_in_time() -> None:
    check_still_fits("/srv/pgark", FreeSpace(1, 25 * MB, 1000 * MB))
    with pytest.raises(Error, match=r"was stopped .* file system of /srv/pgark: 24 MB are left, which are kept"):
        check_still_fits("/srv/pgark", FreeSpace(1, 24 * MB, 1000 * MB))
