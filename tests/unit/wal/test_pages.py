# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The headers of a segment's pages tell whether it is whole, where it belongs, and of this cluster."""

from dataclasses import replace

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import TimelinePath
from ansible_collections.pgark.postgres.plugins.module_utils._wal.pages import (
    HEADER,
    LONG_HEADER,
    PAGE,
    Place,
    problem_of_head,
    problem_of_pages,
)
from tests.unit.examples import IDENTITY, MB, SIZE, fork

PATH = TimelinePath.parse(2, fork(1, 7.5))
SEVENTH = Place(IDENTITY, PATH, 7)
MAGIC = 0xD116
PAGES = SIZE // PAGE
EMPTY = b"\0" * HEADER.size


def head(**changes: int) -> bytes:
    fields = {
        "magic": MAGIC, "flags": 2, "timeline": 1, "address": SEVENTH.start,
        "identifier": int(IDENTITY.system_identifier), "size": SIZE, "page": PAGE,
    }  # fmt: skip
    return LONG_HEADER.pack(*{**fields, **changes}.values())


def pages(place: Place = SEVENTH) -> list[bytes]:
    """Make the headers of a segment in the middle of which timeline 2 begins, in the middle of a page, too."""
    switch = 7 * SIZE + SIZE // 2
    addresses = (place.start + index * PAGE for index in range(PAGES))
    return [HEADER.pack(MAGIC, 0, 2 if address >= switch else 1, address) for address in addresses]


def test_a_segment_that_is_right_has_no_problem() -> None:
    assert problem_of_head(SEVENTH, head()) is None
    assert problem_of_pages(SEVENTH, pages()) is None
    assert problem_of_pages(SEVENTH, [*pages()[:1000], *[EMPTY] * (PAGES - 1000)]) is None


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (b"", "it has 0 bytes"),
        (head(magic=0xD118), "its first page has magic number D118, expected D116 of PostgreSQL 17"),
        (head(flags=0), "its first page has no header of a segment"),
        (head(identifier=7), "it is WAL of the cluster with system identifier 7, expected 7301234567890123456"),
        (head(size=MB), "its segments have 1048576 bytes, expected 16777216"),
    ],
)
def test_a_first_page_of_something_else_is_named(header: bytes, problem: str) -> None:
    assert problem_of_head(SEVENTH, header) == problem


def test_a_version_that_is_not_known_is_not_judged_by_its_magic_number() -> None:
    unknown = replace(SEVENTH, identity=replace(IDENTITY, version=190000))
    assert problem_of_head(unknown, head(magic=0xD200)) is None


@pytest.mark.parametrize(
    ("index", "header", "problem"),
    [
        (3, HEADER.pack(MAGIC, 0, 1, 6 * SIZE + 3 * PAGE), "the page at 0/7006000 says that it is that at 0/6006000"),
        (3, HEADER.pack(MAGIC, 0, 2, 7 * SIZE + 3 * PAGE), "the page at 0/7006000 is of timeline 2, expected 1"),
        (2000, HEADER.pack(MAGIC, 0, 1, 7 * SIZE + 2000 * PAGE), "the page at 0/7FA0000 is of timeline 1, expected 2"),
        (3, EMPTY, "a page at 0/7008000 follows empty ones"),
    ],
    ids=["swapped", "timeline too early", "timeline left before", "hole"],
)
def test_a_page_that_does_not_belong_there_is_named(index: int, header: bytes, problem: str) -> None:
    assert problem_of_pages(SEVENTH, [*pages()[:index], header, *pages()[index + 1 :]]) == problem


@pytest.mark.parametrize(
    ("switch", "number", "timelines"),
    [
        (7.5, 6, [(6 * SIZE, 1)]),
        (7.5, 7, [(7 * SIZE, 1), (7 * SIZE + SIZE // 2, 2)]),
        (7.5, 8, [(8 * SIZE, 2)]),
        (7.0, 7, [(7 * SIZE, 2)]),
        (7.0, 6, [(6 * SIZE, 1)]),
    ],
)
def test_a_page_in_which_a_timeline_begins_is_of_the_one_before(
    switch: float, number: int, timelines: list[tuple[int, int]]
) -> None:
    assert Place(IDENTITY, TimelinePath.parse(2, fork(1, switch)), number).timelines == timelines
