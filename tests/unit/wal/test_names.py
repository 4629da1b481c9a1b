# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Positions, names and timelines are what PostgreSQL takes them for, with every segment size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pgark.postgres.plugins.module_utils._errors import InvalidValue
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn, SegmentName, TimelinePath, classify
from tests.unit.examples import MB

SIZES = [2**power * MB for power in range(11)]
SEGMENT = "000000010000000000000003"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0/0", 0),
        ("0/3000028", 0x3000028),
        ("1/0", 1 << 32),
        ("0/FFFFFFFF", (1 << 32) - 1),
        ("16/B374D848", 0x16B374D848),
        ("FFFFFFFF/FFFFFFFF", (1 << 64) - 1),
    ],
)
def test_positions_are_read_and_written(text: str, value: int) -> None:
    assert Lsn.parse(text) == Lsn(value)
    assert str(Lsn(value)) == text


def test_positions_may_be_written_in_small_letters() -> None:
    assert Lsn.parse("16/b374d848") == Lsn.parse("16/B374D848")


@pytest.mark.parametrize(
    "text", ["", "0", "0/", "/0", "0/3000028 ", "0/3000028\n", "0-3", "123456789/0", "0/123456789", "G/0", "0/0/0"]
)
def test_what_is_not_a_position_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="is not an LSN; expected two hexadecimal numbers"):
        Lsn.parse(text)


def test_positions_have_an_order_across_the_boundary_of_a_log_file() -> None:
    unordered = ["10/0", "0/10", "1/0", "0/FFFFFFFF", "9/0", "0/9"]
    assert sorted(unordered, key=Lsn.parse) == ["0/9", "0/10", "0/FFFFFFFF", "1/0", "9/0", "10/0"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        SEGMENT[:-1],
        SEGMENT + "0",
        SEGMENT + "\n",
        "00000001000000000000000g",
        "0000000100000000000000ab",
        f"{SEGMENT}.partial",
        "../../../../../etc/passwd",
    ],
)
def test_what_is_not_a_segment_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="is not the name of a WAL segment"):
        SegmentName.parse(text)


@pytest.mark.parametrize(
    ("size", "lsn", "containing", "ending_at"),
    [
        (16 * MB, "0/3000028", "000000010000000000000003", "000000010000000000000003"),
        (16 * MB, "0/4000000", "000000010000000000000004", "000000010000000000000003"),
        (16 * MB, "0/4000001", "000000010000000000000004", "000000010000000000000004"),
        (16 * MB, "1/0", "000000010000000100000000", "0000000100000000000000FF"),
        (1 * MB, "0/FFFFFFFF", "000000010000000000000FFF", "000000010000000000000FFF"),
        (1 * MB, "1/0", "000000010000000100000000", "000000010000000000000FFF"),
        (1024 * MB, "0/C0000000", "000000010000000000000003", "000000010000000000000002"),
        (1024 * MB, "1/0", "000000010000000100000000", "000000010000000000000003"),
    ],
)
def test_a_position_at_the_boundary_begins_one_segment_and_ends_another(
    size: int, lsn: str, containing: str, ending_at: str
) -> None:
    assert str(SegmentName.containing(1, Lsn.parse(lsn), size)) == containing
    assert str(SegmentName.ending_at(1, Lsn.parse(lsn), size)) == ending_at


@pytest.mark.parametrize("size", SIZES)
def test_the_last_segment_of_a_log_file_is_followed_by_the_first_of_the_next(size: int) -> None:
    last = SegmentName(7, 0x2A, (1 << 32) // size - 1)
    assert last.next(size) == SegmentName(7, 0x2B, 0)
    assert last.next(size).start_lsn(size) == Lsn(0x2B << 32)
    assert last.start_lsn(size).value + size == 0x2B << 32


@given(timeline=st.integers(1, 0xFFFFFFFF), lsn=st.integers(1, (1 << 63) - 1), size=st.sampled_from(SIZES))
def test_a_segment_holds_the_positions_it_is_named_for(timeline: int, lsn: int, size: int) -> None:
    name = SegmentName.containing(timeline, Lsn(lsn), size)
    assert SegmentName.parse(str(name)) == name
    assert name.timeline == timeline
    assert name.start_lsn(size).value <= lsn < name.start_lsn(size).value + size
    assert SegmentName.numbered(timeline, name.number(size), size) == name
    assert SegmentName.ending_at(timeline, Lsn(lsn), size) == SegmentName.containing(timeline, Lsn(lsn - 1), size)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (SEGMENT, "segment"),
        (f"{SEGMENT}.partial", "partial"),
        ("00000002.history", "history"),
        (f"{SEGMENT}.00000028.backup", "backup"),
        (SEGMENT.replace("3", "a"), None),
        (f"{SEGMENT}.zst", None),
        (f"{SEGMENT}\n", None),
        (f" {SEGMENT}", None),
        (f"../{SEGMENT}", None),
        (f"{SEGMENT}/../../x", None),
        (f"{SEGMENT}.backup", None),
        ("0000002.history", None),
        ("00000002.history.tmp", None),
        ("RECOVERYXLOG", None),
        ("%p", None),
        ("", None),
        ("A" * 65, None),
    ],
)
def test_only_what_postgresql_archives_has_a_kind(name: str, kind: str | None) -> None:
    assert classify(name) == kind


def path(*forks: tuple[int, str], timeline: int) -> TimelinePath:
    return TimelinePath.parse(timeline, "".join(f"{parent}\t{lsn}\treason\n" for parent, lsn in forks))


def test_the_first_timeline_has_no_history() -> None:
    branches = TimelinePath.parse(1, "").branches
    assert [(branch.timeline, branch.begin, branch.end) for branch in branches] == [(1, Lsn(0), None)]


def test_a_history_is_read_with_comments_and_empty_lines() -> None:
    text = '# a comment\n\n  1\t0/5000000\tat restore point "# x"\n2 1/A\tno recovery target specified\n'
    found = TimelinePath.parse(5, text)
    assert found == path((1, "0/5000000"), (2, "1/A"), timeline=5)
    assert found.timeline == 5
    assert [branch.timeline for branch in found.branches] == [1, 2, 5]


def test_a_path_leaves_an_ancestor_where_the_first_of_its_descendants_did() -> None:
    found = path((1, "0/7000000"), (2, "0/5000000"), timeline=3)
    assert [found.leads_through(1, Lsn.parse(lsn)) for lsn in ("0/5000000", "0/6000000")] == [True, False]
    assert found.timeline_before(Lsn.parse("0/6000000")) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one\t0/5\tx", "is not '<timeline> <LSN> ...'"),
        ("1", "is not '<timeline> <LSN> ...'"),
        ("1\tnowhere\tx", "is not an LSN"),
        ("\x00\x01", "is not '<timeline> <LSN> ...'"),
        ("9" * 5000 + "\t0/5\tx", "is not '<timeline> <LSN> ...'"),
        ("0\t0/5\tx", "lists the timelines \\[0\\], expected ones that ascend"),
        ("2\t0/5\tx", "lists the timelines \\[2\\], expected ones that ascend, and stay below its own"),
        ("1\t0/5\tx\n1\t0/6\tx", "lists the timelines \\[1, 1\\], expected ones that ascend"),
    ],
)
def test_a_damaged_history_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        TimelinePath.parse(2, text)


@pytest.mark.parametrize(
    ("timeline", "lsn", "leads"),
    [
        (1, "0/1", True),
        (1, "0/5000000", True),
        (1, "0/5000001", False),
        (2, "0/7000000", True),
        (2, "0/7000001", False),
        (4, "0/7000001", True),
        (3, "0/6000000", False),
        (5, "0/9000000", False),
    ],
)
def test_a_path_leads_through_a_timeline_up_to_where_it_was_left(timeline: int, lsn: str, leads: bool) -> None:
    assert path((1, "0/5000000"), (2, "0/7000000"), timeline=4).leads_through(timeline, Lsn.parse(lsn)) is leads
