# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a timeline was left inside of a segment that is replayed, its part of it is wanted under its own name."""

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._restore.left_segments import left_segments
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn, TimelinePath

SIZE = 1 << 20
ONE = "1\t0/A05000\tx\n"
TEN, TWELVE = "0000000A", "0000000C"


@pytest.mark.parametrize(
    ("history", "start", "end", "expected"),
    [
        ("", "0/900028", None, []),
        (ONE, "0/900028", None, [(1, 2, TEN, 0x5000)]),
        # recovery begins behind the fork, in its segment or later
        (ONE, "0/A00028", None, [(1, 2, TEN, 0x5000)]),
        (ONE, "0/A05000", None, []),
        (ONE, "0/B00028", None, []),
        # it ends before that segment; at its first byte, where it looks into it; in it, before the fork
        (ONE, "0/900028", "0/9FFFF8", []),
        (ONE, "0/900028", "0/A00000", [(1, 2, TEN, 0x5000)]),
        (ONE, "0/900028", "0/A00100", [(1, 2, TEN, 0x5000)]),
        # the next timeline begins with a segment of its own
        ("1\t0/A00000\tx\n", "0/900028", None, []),
        # several forks: in segments of their own, and in the same one
        (f"{ONE}2\t0/C00100\tx\n", "0/900028", None, [(1, 2, TEN, 0x5000), (2, 3, TWELVE, 0x100)]),
        (f"{ONE}2\t0/A07000\tx\n", "0/900028", None, [(1, 3, TEN, 0x5000), (2, 3, TEN, 0x7000)]),
        (f"{ONE}2\t0/A07000\tx\n", "0/A06000", None, [(2, 3, TEN, 0x7000)]),
        # timeline 2 was followed to a point before it had left timeline 1: nothing is replayed of it
        ("1\t0/B05000\tx\n2\t0/A05000\tx\n", "0/900028", None, [(1, 3, TEN, 0x5000)]),
    ],
)
def test_what_recovery_has_under_another_name_only(
    history: str, start: str, end: str | None, expected: list[tuple[int, int, str, int]]
) -> None:
    path = TimelinePath.parse(history.count("\n") + 1, history)
    found = left_segments(path, Lsn.parse(start), None if end is None else Lsn.parse(end), SIZE)
    wanted = [
        (f"{own:08X}00000000{low}", f"{next_one:08X}00000000{low}", size) for own, next_one, low, size in expected
    ]
    assert [(str(each.name), str(each.source), each.length) for each in found] == wanted
