# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a repository holds: documents that survive a round trip, and WAL joined into unbroken runs."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pgark.postgres.plugins.module_utils._core.catalog import Backup, Identity, wal_ranges
from ansible_collections.pgark.postgres.plugins.module_utils._core.wal import Lsn, SegmentName
from ansible_collections.pgark.postgres.plugins.module_utils._errors import InvalidValue
from tests.unit.core.examples import BACKUP, IDENTITY, MB, MOMENTS, NOON, SIZE, backup, catalog, fork, segment_file

lsns = st.builds(Lsn, st.integers(0, (1 << 64) - 1))
backups = st.builds(
    Backup,
    label=st.text(),
    type=st.sampled_from(["full", "incremental"]),
    system_identifier=st.integers(0).map(str),
    version=st.integers(130000, 189999),
    timeline=st.integers(1, 0xFFFFFFFF),
    start_lsn=lsns,
    stop_lsn=lsns,
    start_time=MOMENTS,
    stop_time=MOMENTS,
    compression=st.sampled_from(["none", "zstd"]),
    size=st.integers(0),
    stored_size=st.integers(0),
    manifest_sha256=st.text("0123456789abcdef"),
    tablespaces=st.dictionaries(st.text("0123456789"), st.text()),
    parent=st.none() | st.text(),
)


@given(backups)
def test_a_backup_survives_its_document(subject: Backup) -> None:
    assert Backup.from_document(json.loads(json.dumps(subject.as_document()))) == subject


@given(st.builds(Identity, st.integers(0).map(str), st.integers(130000, 189999), st.sampled_from([MB, SIZE])))
def test_an_identity_survives_its_document(subject: Identity) -> None:
    assert Identity.from_document(json.loads(json.dumps(subject.as_document()))) == subject


def test_a_document_is_readable_by_people() -> None:
    document = BACKUP.as_document()
    assert document["format"] == 1
    assert document["stop_lsn"] == "0/3000158"
    assert document["stop_time"] == "2026-11-21T12:01:00.000000Z"
    assert IDENTITY.as_document() == {
        "format": 1,
        "system_identifier": "7301234567890123456",
        "version": 170000,
        "wal_segment_size": SIZE,
    }
    assert IDENTITY.major == 17


@pytest.mark.parametrize("given_format", [2, "1", None])
def test_a_document_of_another_format_is_refused(given_format: object) -> None:
    with pytest.raises(InvalidValue, match=rf"backup.json has format {given_format!r}, expected 1\nHINT: "):
        Backup.from_document({**BACKUP.as_document(), "format": given_format})
    with pytest.raises(InvalidValue, match=rf"cluster.json has format {given_format!r}, expected 1\nHINT: "):
        Identity.from_document({**IDENTITY.as_document(), "format": given_format})


def test_what_a_document_has_on_top_is_no_error() -> None:
    assert Backup.from_document({**BACKUP.as_document(), "comment": "x"}) == BACKUP


def slow_ranges(numbers: dict[tuple[int, int], int]) -> list[tuple[int, int, int, int]]:
    """The obvious model: timeline, first and last number and latest minute of every maximal run."""
    found = []
    for timeline, number in sorted(numbers):
        if (timeline, number - 1) in numbers:
            continue
        last = number
        while (timeline, last + 1) in numbers:
            last += 1
        arrived = max(numbers[timeline, n] for n in range(number, last + 1))
        found.append((timeline, number, last, arrived))
    return found


near_a_boundary = st.integers(252, 260)


@given(
    st.dictionaries(st.tuples(st.integers(1, 3), near_a_boundary), st.integers(0, 99)),
    st.randoms(use_true_random=False),
)
def test_segments_are_joined_into_the_longest_unbroken_runs(
    numbers: dict[tuple[int, int], int], random: object
) -> None:
    places = list(numbers)
    random.shuffle(places)
    segments = {place: segment_file(place, numbers[place]) for place in places}
    found = [
        (r.timeline, r.first.number(SIZE), r.last.number(SIZE), int((r.archived - NOON) / timedelta(minutes=1)))
        for r in wal_ranges(segments, SIZE)
    ]
    assert found == slow_ranges(numbers)
    assert [r.count for r in wal_ranges(segments, SIZE)] == [
        last - first + 1 for _timeline, first, last, _arrived in found
    ]


@pytest.mark.parametrize(("size", "per_log"), [(MB, 4096), (SIZE, 256), (1024 * MB, 4)])
def test_a_run_goes_on_in_the_next_log_file(size: int, per_log: int) -> None:
    names = [SegmentName(1, 0, per_log - 1), SegmentName(1, 1, 0)]
    (run,) = wal_ranges({(1, per_log - 1): segment_file((1, 0), 0), (1, per_log): segment_file((1, 0), 0)}, size)
    assert run.as_dict() == {
        "timeline": 1,
        "first": str(names[0]),
        "last": str(names[1]),
        "count": 2,
        "last_archived": "2026-11-21T12:00:00.000000Z",
    }


@pytest.mark.parametrize(
    ("segments", "histories", "timeline_of_backup", "latest"),
    [
        ({}, {}, None, 1),
        ({(1, 3): 0}, {}, None, 1),
        ({(1, 3): 0, (2, 4): 0}, {}, None, 2),
        ({(1, 3): 0}, {2: fork(1, 3), 3: fork(1, 3)}, None, 3),
        ({}, {}, 4, 4),
    ],
)
def test_the_latest_timeline_is_the_highest_of_which_there_is_anything(
    segments: dict[tuple[int, int], int], histories: dict[int, str], timeline_of_backup: int | None, latest: int
) -> None:
    held = [] if timeline_of_backup is None else [replace(backup("x", 1, 3), timeline=timeline_of_backup)]
    assert catalog(held, segments, histories).latest_timeline == latest


def test_a_timeline_without_its_history_is_refused_with_those_that_have_one() -> None:
    subject = catalog([], {(1, 3): 0, (3, 4): 0}, {2: fork(1, 3)})
    assert subject.path_to(1).timeline == 1
    assert subject.path_to(2).timeline == 2
    with pytest.raises(
        InvalidValue, match=r"the history file 00000003.history of timeline 3 .*\nHINT: .*archived: 1, 2$"
    ):
        subject.path_to(3)


@pytest.mark.parametrize("missing", ["label", "stop_lsn", "stop_time", "tablespaces"])
def test_a_damaged_description_is_named(missing: str) -> None:
    document = {name: value for name, value in BACKUP.as_document().items() if name != missing}
    with pytest.raises(InvalidValue, match=rf"backup.json cannot be read: KeyError\('{missing}'\)\nHINT: "):
        Backup.from_document(document)
    with pytest.raises(InvalidValue, match=r"cluster.json cannot be read: KeyError\('version'\)\nHINT: "):
        Identity.from_document({"format": 1, "system_identifier": "73", "wal_segment_size": SIZE})
