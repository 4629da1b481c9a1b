# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which segments a recovery asks for next, on one timeline and across several."""

from __future__ import annotations

import itertools

import pytest

from tests.unit.wal_program.harness import MB, load

SIZES = [MB, 16 * MB, 64 * MB, 1024 * MB]
# Timelines 1, 2, 4 and 7; two of the switches are in one segment of 16 MB, and one is at the start of a segment.
HISTORY = b"1\t0/3A00028\tone\n# a comment\n2\t0/3F00100\ttwo\n\n4\t1/2000000\tthree\n"
BEGINS = {1: 0, 2: 0x3A00028, 4: 0x3F00100, 7: 0x102000000}


def asked_next(name: str, size: int, begins: dict[int, int]) -> list[str]:
    """Look for each of the next 64 as XLogFileReadAnyTLI() in xlogrecovery.c does when the archive has everything."""
    timeline, number = int(name[:8], 16), int(name[8:16], 16) * (2**32 // size) + int(name[16:], 16)
    found = []
    for segno in range(number + 1, number + 65):
        for candidate in sorted(begins, reverse=True):
            if candidate < timeline:
                break  # "don't bother looking at too-old TLIs"
            if segno >= begins[candidate] // size:
                timeline = candidate
                break
        per_file = 2**32 // size
        found.append(f"{timeline:08X}{segno // per_file:08X}{segno % per_file:08X}")
    return found


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("timeline", BEGINS)
def test_recovery_asks_for_each_on_the_newest_timeline_that_has_begun(timeline: int, size: int) -> None:
    per_file = 2**32 // size
    for number in itertools.chain(range(8), range(55, 68), range(per_file - 3, per_file + 40)):
        name = f"{timeline:08X}{number // per_file:08X}{number % per_file:08X}"
        found = load().names_after(name, size, "00000007.history", HISTORY)
        assert found == asked_next(name, size, BEGINS)


@pytest.mark.parametrize("size", SIZES)
def test_without_a_history_file_it_stays_on_its_timeline(size: int) -> None:
    last = f"0000000300000000{2**32 // size - 1:08X}"
    assert load().names_after(last, size, "-", b"") == asked_next(last, size, {3: 0})


def test_a_history_that_does_not_know_the_segment_s_timeline_is_passed_over() -> None:
    name = "000000030000000000000003"
    assert load().names_after(name, MB, "00000007.history", HISTORY) == asked_next(name, MB, {3: 0})
