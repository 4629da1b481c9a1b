# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data that cannot be exchanged by renames is refused, before a server is stopped for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import (
    DataDirectory,
    check_exchangeable,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error

PLAIN = DataDirectory("/pgdata", "/var/lib/data", "cluster")


@pytest.mark.parametrize("directory", [PLAIN, replace(PLAIN, mount_point=True), replace(PLAIN, kind="missing")])
def test_plain_directories_and_mount_points_can_be(directory: DataDirectory) -> None:
    check_exchangeable(directory)


@pytest.mark.parametrize("mount_point", [False, True])
def test_what_is_mounted_inside_is_named(mount_point: bool) -> None:
    inside = ("/var/lib/data/base", "/var/lib/data/pg_wal")
    with pytest.raises(
        Error, match=r"inside of it: /var/lib/data/base, /var/lib/data/pg_wal\nHINT: mount them elsewhere"
    ):
        check_exchangeable(replace(PLAIN, mount_point=mount_point, inner_mounts=inside))


@pytest.mark.parametrize(("mount_point", "place"), [(False, "/var/lib"), (True, "/var/lib/data")])
def test_a_place_that_cannot_be_written_to_is_named(mount_point: bool, place: str) -> None:
    with pytest.raises(Error, match=rf"cannot be made: {place} is not there, or .*\nHINT: .*chown or chmod {place}$"):
        check_exchangeable(replace(PLAIN, mount_point=mount_point, writable=False))
