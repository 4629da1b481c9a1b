# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person who waits is told of how far it is, how fast it goes and how long it will take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pgark.postgres.plugins.module_utils._values.progress import (
    ReplayProgress,
    StagingProgress,
    Track,
    duration_text,
    size_text,
)

MB = 2**20


def track(*positions: int, start: int | None = 0, end: int | None = 100 * MB, every: float = 5) -> Track:
    """Look at each position in turn, every few seconds."""
    found = Track(start, end)
    for number, position in enumerate(positions):
        found = found.seen(1000 + number * every, position)
    return found


@pytest.mark.parametrize(
    ("seen", "percent", "rate", "remaining"),
    [
        (track(), None, None, None),
        (track(10 * MB), 10, None, None),
        (track(0, 10 * MB), 10, 2 * MB, 45),
        (track(50 * MB, 60 * MB, 70 * MB, start=50 * MB), 40, 2 * MB, 15),
        (track(10 * MB, 10 * MB), 10, 0, None),
        (track(0, 100 * MB), 100, 20 * MB, 0),
        (track(0, 100 * MB - 1), 99, (100 * MB - 1) / 5, pytest.approx(0, abs=1e-6)),
        (track(0, 130 * MB), 100, 26 * MB, 0),
        (track(0, 10 * MB, start=20 * MB), 0, 2 * MB, 45),
        (track(0, 10 * MB, start=None), None, 2 * MB, 45),
        (track(0, 10 * MB, end=None), None, 2 * MB, None),
        (track(0, 0, end=0), 100, 0, None),
        (track(10 * MB, 5 * MB), 5, 0, None),
    ],
)
def test_percent_rate_and_remaining_time(
    seen: Track, percent: int | None, rate: float | None, remaining: float | None
) -> None:
    assert (seen.percent, seen.rate, seen.remaining) == (percent, rate, remaining)


def test_a_rate_is_that_of_the_last_minute() -> None:
    fast = track(*(number * 50 * MB for number in range(20)), end=10_000 * MB)
    slow = fast
    for number in range(1, 14):
        slow = slow.seen(1095 + number * 5, 950 * MB + number * MB)
    assert fast.rate == 10 * MB
    assert slow.rate == MB / 5


def test_two_looks_at_the_same_moment_say_nothing_about_a_rate() -> None:
    assert track(0, 10, every=0).rate is None


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        (track(10 * MB), ""),
        (track(0, 10 * MB), ", 2 MB/s, 45 s left"),
        (track(0, 10 * MB, end=None), ", 2 MB/s"),
        (track(10 * MB, 10 * MB), ", 0 B/s"),
        (track(0, 100 * MB), ", 20 MB/s"),
    ],
)
def test_what_is_not_known_is_not_said(seen: Track, text: str) -> None:
    assert seen.speed_text == text


@given(st.lists(st.integers(0, 2**64), max_size=30), st.integers(0, 2**64), st.integers(0, 2**64))
def test_no_history_gives_a_nonsensical_number(positions: list[int], start: int, end: int) -> None:
    seen = track(*positions, start=start, end=end)
    assert seen.percent is None or 0 <= seen.percent <= 100
    assert seen.percent != 100 or positions[-1] >= end
    assert seen.rate is None or seen.rate >= 0
    assert seen.remaining is None or seen.remaining >= 0


@given(st.floats(0, 2**70))
def test_a_size_is_short(size: float) -> None:
    number, unit = size_text(size).split()
    assert unit in ("B", "kB", "MB", "GB", "TB", "PB")
    assert unit == "PB" or float(number) < 1024


@given(st.integers(1, 10**9))
def test_a_duration_is_right_to_its_smaller_unit(seconds: int) -> None:
    lengths = {"d": 86400, "h": 3600, "min": 60, "s": 1}
    words = duration_text(seconds).split()
    parts = [(int(number), lengths[unit]) for number, unit in zip(words[::2], words[1::2], strict=True)]
    largest = parts[0][1]
    smaller = max((length for length in lengths.values() if length < largest), default=1)
    assert 0 <= seconds - sum(number * length for number, length in parts) < smaller


def staging(
    step: str = "unpack", done: int | None = 0, total: int | None = 100 * MB, *, complete: bool = False
) -> dict:
    return {"backup": "monday", "step": step, "bytes": done, "total": total, "complete": complete}


def test_staging_is_told_step_by_step() -> None:
    progress = StagingProgress(0)
    looks = [
        staging(done=10 * MB),
        staging(done=60 * MB),
        staging("verify", 20 * MB),
        staging("verify", 80 * MB),
        staging("sync", None),
        staging("sync", None, complete=True),
    ]
    assert [progress.text(number * 5.0, look) for number, look in enumerate(looks, start=1)] == [
        "staging monday, unpacked 10 MB of 100 MB (10 %), 2 MB/s, 45 s left",
        "staging monday, unpacked 60 MB of 100 MB (60 %), 6 MB/s, 7 s left",
        "staging monday, verified 20 MB of 100 MB (20 %), 4 MB/s, 20 s left",
        "staging monday, verified 80 MB of 100 MB (80 %), 8 MB/s, 2 s left",
        "staging monday, writing it to disk",
        None,
    ]


def test_where_nothing_is_staged_nothing_is_told() -> None:
    assert StagingProgress(0).text(5, None) is None


def test_staging_of_an_unknown_size_is_told_by_what_is_done() -> None:
    assert StagingProgress(0).text(5, staging(done=10 * MB, total=None)) == "staging monday, unpacked 10 MB, 2 MB/s"


def recovering(position: str | None, start: str | None = "0/1000000", end: str | None = "0/B000000") -> dict:
    return {"progress": f"recovering at {position}", "position": position, "start_lsn": start, "end_lsn": end}


def test_a_recovery_is_told_from_where_it_began_to_where_it_will_end() -> None:
    progress = ReplayProgress(100)
    assert progress.text(105, recovering(None)) == "recovering at None, 5 s so far"
    assert progress.text(110, recovering("0/3000000")) == "recovering at 0/3000000, 20 %, 10 s so far"
    expected = "recovering at 0/5000000, 40 %, 6.4 MB/s, 15 s left, 15 s so far"
    assert progress.text(115, recovering("0/5000000")) == expected


def test_a_recovery_whose_way_is_not_known_is_told_by_its_rate() -> None:
    progress = ReplayProgress(0)
    progress.text(5, recovering("0/3000000", None, None))
    expected = "recovering at 0/5000000, 6.4 MB/s, 10 s so far"
    assert progress.text(10, recovering("0/5000000", None, None)) == expected


def test_a_recovery_is_idle_since_it_moved_last() -> None:
    progress = ReplayProgress(0)
    idle = []
    for now, position in ((5, "0/3000000"), (10, "0/3000000"), (20, "0/3000000"), (25, "0/3000001"), (30, "0/3000001")):
        progress.text(now, recovering(position))
        idle.append(progress.idle)
    assert idle == [0, 5, 15, 0, 5]
