# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of what lies in a data directory's pg_wal, only what its cluster wrote under that very name counts."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn, SegmentName
from ansible_collections.pgark.postgres.plugins.module_utils._windows.observe_own_wal import own_histories, own_segments
from tests.unit.examples import IDENTITY, fork

SIZE = 4096
TINY = replace(IDENTITY, wal_segment_size=SIZE)
NAME = SegmentName.numbered(2, 7, SIZE)


def page(number: int = 7, timeline: int = 2, identifier: str = TINY.system_identifier) -> bytes:
    """Write the first page of a segment: XLogLongPageHeaderData."""
    return struct.pack("=HHIQ8xQ", 0xD116, 2, timeline, number * SIZE, int(identifier)).ljust(SIZE, b"x")


@pytest.fixture
def wal(tmp_path: Path) -> Path:
    (tmp_path / "pg_wal" / "archive_status").mkdir(parents=True)
    return tmp_path / "pg_wal"


@pytest.mark.parametrize(
    ("content", "own"),
    [
        (page(), True),
        (page(timeline=1), True),
        (page(timeline=3), False),
        (page(timeline=0), False),
        (page(number=4), False),
        (page(identifier="7301234567890123457"), False),
        (page() + b"x", False),
        (page()[:-1], False),
        (b"", False),
        (bytes(SIZE), False),
    ],
    ids=["own", "first of its timeline", "of a later timeline", "of none", "recycled", "of another cluster", "too long",
         "too short", "empty", "prepared"],
)  # fmt: skip
def test_a_segment_is_told_by_its_first_page(wal: Path, content: bytes, own: bool) -> None:
    (wal / str(NAME)).write_bytes(content)
    found = own_segments(str(wal.parent), TINY)
    assert list(found) == ([(2, 7)] if own else [])
    if own:
        status = (wal / str(NAME)).stat()
        assert found[2, 7][:3] == (str(wal / str(NAME)), SIZE, status.st_mtime_ns)


@pytest.mark.parametrize(
    ("left", "timeline", "own"),
    [
        (7.5, 1, True),
        (7.5, 2, True),
        (7.5, 3, False),
        (6.5, 1, False),
        (6.5, 2, True),
        (7, 1, False),
        (7, 2, True),
        (8.5, 1, True),
    ],
)
def test_what_an_ancestor_wrote_after_its_timeline_was_left_is_recycled(
    wal: Path, left: float, timeline: int, own: bool
) -> None:
    """A promotion renames it ahead of use, and its number may be the same again."""
    (wal / str(NAME)).write_bytes(page(timeline=timeline))
    (wal / "00000002.history").write_text(f"1\t{Lsn(int(left * SIZE))}\treason\n")
    assert list(own_segments(str(wal.parent), TINY)) == ([(2, 7)] if own else [])


def test_other_files_are_left_alone(wal: Path) -> None:
    for name in (f"{NAME}.partial", f"{NAME}.00000028.backup", "xlogtemp.123", "RECOVERYXLOG"):
        (wal / name).write_bytes(page())
    (wal / "00000002.history").write_text(fork(1, 3))
    assert own_segments(str(wal.parent), TINY) == {}
    assert [path.timeline for path in own_histories(str(wal.parent)).values()] == [2]


def test_a_history_that_nobody_can_read_is_left_out(wal: Path) -> None:
    """A restore keeps what stood in for one that is damaged in the archive."""
    (wal / "00000002.history").write_text(fork(1, 3))
    (wal / "00000003.history").write_text("pgark-wal: 00000003.history cannot be delivered: it is damaged\n")
    (wal / "00000004.history").mkdir()
    assert list(own_histories(str(wal.parent))) == [2]


def test_a_directory_without_wal_has_none(tmp_path: Path) -> None:
    assert (own_segments(str(tmp_path), TINY), own_histories(str(tmp_path))) == ({}, {})
