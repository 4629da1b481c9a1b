# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mount points are known by the kernel's list, those of the same file system included."""

from __future__ import annotations

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._host.mount_table import Mounts

# As Debian has it, with a bind mount of the same file system (its root is not /), and fields that may be missing.
LISTED = r"""22 27 0:20 / /proc rw,nosuid,nodev,noexec,relatime shared:13 - proc proc rw
27 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw,errors=remount-ro
40 27 8:2 /srv/volume /var/lib/postgresql/18/main rw,relatime shared:1 - ext4 /dev/sda2 rw
41 40 8:3 / /var/lib/postgresql/18/main/pg_wal rw,relatime - xfs /dev/sdb1 rw
42 27 8:4 / /mnt/a\040b\011c\134d rw master:1 propagate_from:2 - ext4 /dev/sdc rw
"""


def test_every_mount_is_found_whatever_its_file_system_and_its_name() -> None:
    main = "/var/lib/postgresql/18/main"
    assert Mounts.parse(LISTED).points == {"/", "/proc", main, f"{main}/pg_wal", "/mnt/a b\tc\\d"}


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/var/lib/postgresql/18/main", ["/var/lib/postgresql/18/main/pg_wal"]),
        ("/var/lib/postgresql/18/main/pg_wal", []),
        ("/var/lib/postgresql/18/mai", []),
        ("/var/lib/postgresql/18", ["/var/lib/postgresql/18/main", "/var/lib/postgresql/18/main/pg_wal"]),
        ("/proc", []),
    ],
)
def test_what_is_mounted_inside_of_a_directory_is_named(path: str, inside: list[str]) -> None:
    assert Mounts.parse(LISTED).below(path) == inside


def test_what_is_mounted_in_the_root_is_everything_else() -> None:
    assert len(Mounts.parse(LISTED).below("/")) == 4


HIDDEN = """1 0 8:1 / / rw - ext4 /dev/a rw
2 1 8:2 / /data/base rw - ext4 /dev/b rw
3 2 8:2 / /data/base/deep rw - ext4 /dev/b rw
4 1 8:3 / /data rw - ext4 /dev/c rw
5 4 8:4 / /data/log rw - ext4 /dev/d rw
6 5 8:5 / /data/log rw - ext4 /dev/e rw
"""


def test_what_a_later_mount_hides_is_not_there() -> None:
    """A file system on /data was mounted over what had been mounted inside of that; one on /data/log twice."""
    assert Mounts.parse(HIDDEN).points == {"/", "/data", "/data/log"}


@pytest.mark.parametrize("text", ["", "\n", "not a mount\n"])
def test_what_says_nothing_is_no_mount(text: str) -> None:
    assert Mounts.parse(text).points == frozenset()


def test_a_mount_whose_parent_is_out_of_sight_counts() -> None:
    """In a container, or a namespace: the mount that the root is in belongs to the host."""
    assert Mounts.parse("9 4711 8:1 / / rw - ext4 /dev/a rw\n").points == {"/"}
    assert Mounts.parse("9 9 0:1 / / rw - rootfs rootfs rw\n").points == {"/"}
