# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds a lock is what the kernel says."""

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._host.holders import lock_holders

TABLE = """\
1: FLOCK  ADVISORY  WRITE 11 08:0f:131 0 EOF
1: -> FLOCK  ADVISORY  WRITE 12 08:0f:131 0 EOF
2: POSIX  ADVISORY  WRITE 13 08:0f:131 0 EOF
3: FLOCK  ADVISORY  READ 14 00:1a:131 0 EOF
4: FLOCK  ADVISORY  WRITE 15 08:0f:1310 0 EOF
"""


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ((8, 15, 131), ["11"]),
        ((0, 26, 131), ["14"]),
        ((0, 99, 131), ["11", "14"]),  # overlayfs: the device that stat(2) tells is not there
        ((8, 15, 13), []),
    ],
)
def test_those_who_hold_a_lock_are_told_from_those_who_wait_for_it(
    place: tuple[int, int, int], expected: list[str]
) -> None:
    assert lock_holders(TABLE, place) == expected
