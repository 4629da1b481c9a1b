# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a repository holds: documents that survive a round trip, and WAL joined into unbroken runs."""

import json
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pgark.postgres.plugins.module_utils._configuration.files import KeptFile, Origin
from ansible_collections.pgark.postgres.plugins.module_utils._errors import InvalidValue
from ansible_collections.pgark.postgres.plugins.module_utils._repository import cluster_document
from ansible_collections.pgark.postgres.plugins.module_utils._repository.catalog import Backup, SegmentFile, wal_ranges
from ansible_collections.pgark.postgres.plugins.module_utils._values.documents import seal
from ansible_collections.pgark.postgres.plugins.module_utils._values.times import format_time
from ansible_collections.pgark.postgres.plugins.module_utils._wal.identity import Identity
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn, SegmentName
from tests.gates.setup import ROOT
from tests.unit.examples import BACKUP, IDENTITY, MB, MOMENTS, NOON, SIZE, backup, catalog, fork, segment_file

names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}", fullmatch=True)
identifiers = st.integers(1, (1 << 64) - 1).map(str)
paths = st.text(st.characters(exclude_characters="/\0", codec="utf-8")).map(lambda name: f"/srv/x{name.strip('.')}")
access = {
    "path": paths,
    "owner": st.sampled_from(["postgres", "DOMAIN\\\\db admin", "1001"]),
    "group": st.just("ssl-cert"),
    "mode": st.sampled_from(["0640", "0755"]),
}
stored = {"stored": st.just("config/0003"), "sha256": st.just("ab" * 32)}
kept = st.one_of(
    st.builds(KeptFile, kind=st.just("file"), **access, **stored),
    st.builds(KeptFile, kind=st.just("link"), **access, target=paths),
    st.builds(KeptFile, kind=st.just("directory"), **access),
)
backups = st.builds(
    Backup,
    label=names,
    type=st.sampled_from(["full", "incremental"]),
    system_identifier=identifiers,
    version=st.integers(130000, 189999),
    timeline=st.integers(1, 0xFFFFFFFF),
    start_lsn=st.builds(Lsn, st.integers((1 << 63) - (1 << 40), 1 << 63)),
    stop_lsn=st.builds(Lsn, st.integers((1 << 63) + 1, (1 << 63) + (1 << 40))),
    start_time=MOMENTS,
    stop_time=MOMENTS,
    compression=st.sampled_from(["none", "zstd"]),
    size=st.integers(0, (1 << 63) - 1),
    stored_size=st.integers(0, (1 << 63) - 1),
    manifest_sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    tablespaces=st.dictionaries(st.integers(1, (1 << 32) - 1).map(str), paths),
    parent=st.none() | names,
    origin=st.builds(Origin, paths, paths, st.integers(1, 65535)),
    configuration=st.lists(kept, max_size=3).map(tuple),
)
KEPT = asdict(KeptFile("/etc/x", "file", "postgres", "postgres", "0640", None, "config/0001", "ab" * 32))


@given(backups)
def test_a_backup_survives_its_document(subject: Backup) -> None:
    assert Backup.from_document(json.loads(json.dumps(subject.sealed()))) == subject


@given(st.builds(Identity, identifiers, st.integers(130000, 189999), st.sampled_from([MB, SIZE])))
def test_an_identity_survives_its_document(subject: Identity) -> None:
    assert cluster_document.from_document(json.loads(json.dumps(cluster_document.as_document(subject)))) == subject


def test_a_document_is_readable_by_people() -> None:
    document = BACKUP.as_document()
    assert document["format"] == 1
    assert document["stop_lsn"] == "0/3000158"
    assert document["stop_time"] == "2026-11-21T12:01:00.000000Z"
    assert cluster_document.as_document(IDENTITY) == {
        "format": 1,
        "system_identifier": "7301234567890123456",
        "version": 170000,
        "wal_segment_size": SIZE,
    }
    assert IDENTITY.major == 17


@pytest.mark.parametrize("given_format", [2, "1", None, True, 1.0])
def test_a_document_of_another_format_is_refused(given_format: object) -> None:
    with pytest.raises(InvalidValue, match=rf"backup.json has format {given_format!r}, expected 1\nHINT: "):
        Backup.from_document({**BACKUP.as_document(), "format": given_format})
    with pytest.raises(InvalidValue, match=rf"cluster.json has format {given_format!r}, expected 1\nHINT: "):
        cluster_document.from_document({**cluster_document.as_document(IDENTITY), "format": given_format})


def test_what_a_document_has_on_top_is_no_error() -> None:
    assert Backup.from_document(seal({**BACKUP.as_document(), "comment": "x"})) == BACKUP


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


def test_tablespaces_that_lie_in_the_data_directory_are_told_from_those_outside() -> None:
    subject = replace(BACKUP, tablespaces={"16384": "/ts", "16385": "pg_tblspc/16385"})
    assert (subject.outside, subject.in_place) == ({"16384": "/ts"}, ("16385",))
    assert Backup.from_document(subject.sealed()) == subject


@pytest.mark.parametrize("missing", ["label", "stop_lsn", "stop_time", "manifest_sha256"])
def test_a_damaged_description_is_named(missing: str) -> None:
    document = {name: value for name, value in BACKUP.as_document().items() if name != missing}
    with pytest.raises(InvalidValue, match=rf"backup.json has no {missing}, expected one\nHINT: "):
        Backup.from_document(seal(document))
    with pytest.raises(InvalidValue, match=r"cluster.json has no version, expected one\nHINT: "):
        cluster_document.from_document({"format": 1, "system_identifier": "73", "wal_segment_size": SIZE})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"label": "../x"}, "a name fit for a directory"),
        ({"label": 5}, "a name fit for a directory"),
        ({"parent": "../x"}, "a name fit for a directory"),
        ({"type": "half"}, "one of full, incremental"),
        ({"compression": ["none"]}, "one of none, zstd, lz4, gzip"),
        ({"system_identifier": 7301234567890123456}, "a system identifier in quotes"),
        ({"version": "170000"}, "a whole number from 100000 to 999999"),
        ({"timeline": True}, "a whole number from 1 to 4294967295"),
        ({"timeline": None}, "a whole number from 1 to 4294967295"),
        ({"timeline": 10**30}, "a whole number from 1 to 4294967295"),
        ({"timeline": 1.0}, "a whole number from 1 to 4294967295"),
        ({"size": -5}, "a whole number from 0 to 9223372036854775807"),
        ({"size": "9"}, "a whole number from 0 to 9223372036854775807"),
        ({"stored_size": float("inf")}, "a whole number from 0 to 9223372036854775807"),
        ({"start_lsn": "nowhere"}, "an LSN such as 0/3000028"),
        ({"stop_lsn": 5}, "a text of at most 4096 characters"),
        ({"stop_time": 5}, "a text of at most 4096 characters"),
        ({"stop_time": "yesterday"}, "a time such as 2026-11-21T01:15:00.000000Z"),
        ({"manifest_sha256": None}, "64 hexadecimal digits"),
        ({"manifest_sha256": "../../../etc/passwd"}, "64 hexadecimal digits"),
        ({"tablespaces": []}, "an object"),
        ({"tablespaces": {"../../x": "/srv/q"}}, "the oid of a tablespace"),
        ({"tablespaces": {"1": 5}}, "a text of at most 4096 characters"),
        ({"tablespaces": {"1": "srv"}}, "an absolute path without '..'"),
        ({"tablespaces": {"1": "pg_tblspc/2"}}, "an absolute path without '..'"),
        ({"tablespaces": {"../x": "pg_tblspc/../x"}}, "the oid of a tablespace"),
        ({"tablespaces": {"1": "/srv/../etc"}}, "an absolute path without '..'"),
        ({"tablespaces": {"1": "/srv/\0"}}, "a text of at most 4096 characters"),
        ({"tablespaces": {"1": "/srv/\ud800"}}, "a text of at most 4096 characters"),
        ({"origin": None}, "an object"),
        ({"origin": {"data_directory": "/d", "config_directory": "/c", "port": 0}}, "a whole number from 1 to 65535"),
        ({"configuration": [{"path": "/etc/x"}]}, "another one: an object that has no kind, expected one"),
        ({"configuration": [{**KEPT, "path": "/etc/../x"}]}, "an absolute path without '..'"),
        ({"configuration": [{**KEPT, "path": "/etc/./x"}]}, "an absolute path without '//', '.' or a slash at its end"),
        ({"configuration": [{**KEPT, "path": "/etc//x"}]}, "an absolute path without '//', '.' or a slash at its end"),
        ({"configuration": [{**KEPT, "owner": "\ud800"}]}, "the name or number of a user or group"),
        ({"configuration": [{**KEPT, "group": "x\udc80"}]}, "the name or number of a user or group"),
        ({"configuration": [{**KEPT, "stored": None}]}, "a file with where it is stored and its SHA-256"),
        ({"configuration": [{**KEPT, "sha256": None}]}, "a file with where it is stored and its SHA-256"),
        ({"configuration": [{**KEPT, "kind": "link"}]}, "a link with its target"),
        ({"configuration": [{**KEPT, "mode": "4755x"}]}, "a mode of four octal digits"),
        ({"configuration": [{**KEPT, "stored": "../../x"}]}, "a file of the backup such as config/0001"),
        ({"start_lsn": "0/3000158"}, "the second shortly behind the first"),
        ({"start_lsn": "0/0", "stop_lsn": "FFFFFFFF/FFFFFFFF"}, "the second shortly behind the first"),
    ],
    ids=str,
)
def test_what_a_description_may_not_say_is_named_with_what_was_expected(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidValue, match=rf"^backup.json has {next(iter(change))} .*{expected}\nHINT: "):
        Backup.from_document(seal({**BACKUP.as_document(), **change}))


@pytest.mark.parametrize(
    "change", [{"stop_time": "2026-11-21T12:00:00.000000Z"}, {"stop_lsn": "0/3000160"}, {"comment": "x"}]
)
def test_what_was_changed_since_it_was_written_is_not_believed(change: dict[str, str]) -> None:
    with pytest.raises(InvalidValue, match=r"^backup.json was changed: its SHA-256 is [0-9a-f]{64}, it says '"):
        Backup.from_document({**BACKUP.sealed(), **change})
    with pytest.raises(InvalidValue, match=r"^backup.json has no checksum\nHINT: "):
        Backup.from_document({**BACKUP.as_document(), **change})


@pytest.mark.parametrize("size", [0, 1, MB + 1, 2 * 1024 * MB, "16MB", None, 1e400])
def test_a_segment_size_is_one_that_initdb_knows(size: object) -> None:
    with pytest.raises(InvalidValue, match=r"^cluster.json has wal_segment_size .*, expected one of 1048576, "):
        cluster_document.from_document({**cluster_document.as_document(IDENTITY), "wal_segment_size": size})


@pytest.mark.parametrize(
    ("change", "files", "wal", "what"),
    [
        ({}, BACKUP.size, 0, None),
        ({}, BACKUP.size - 1, 0, f"{BACKUP.size} bytes of files, expected {BACKUP.size - 1} at most"),
        ({"size": 1 << 62}, 1 << 46, 0, f"{1 << 62} bytes of files"),
        ({"stop_lsn": Lsn(5 * SIZE + 1)}, BACKUP.size, 2 * SIZE, None),
        ({"stop_lsn": Lsn(5 * SIZE + 1)}, BACKUP.size, 2 * SIZE - 1, "bytes of WAL from 0/3000028 to 0/5000001"),
        ({"stop_lsn": Lsn(1 << 46)}, BACKUP.size, 1 << 30, "bytes of WAL from 0/3000028 to 4000/0"),
    ],
)
def test_what_cannot_be_in_the_archives_of_a_backup_is_not_true(
    change: dict[str, Any], files: int, wal: int, what: str | None
) -> None:
    found = replace(BACKUP, **change).untrue(files, wal, SIZE)
    assert found is None if what is None else what in str(found)


@pytest.mark.parametrize(("mtime", "year"), [(1 << 62, 2116), (10**21, 9999), (-(10**21), 1000)])
def test_a_time_of_a_file_that_nobody_can_name_becomes_the_nearest_one(mtime: int, year: int) -> None:
    written = SegmentFile("/x", 1, mtime).written
    assert written.year == year
    assert len(format_time(written)) == len("2026-11-21T01:15:00.000000Z")


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"])
def test_a_description_has_no_times_that_another_zone_could_not_name(moment: str) -> None:
    document = BACKUP.as_document() | {"start_time": moment}
    with pytest.raises(InvalidValue, match=r"has start_time .*, expected a time such as"):
        Backup.from_document(seal(document))


def test_the_page_on_the_format_has_every_field() -> None:
    page = (ROOT / "docs/repository-format.md").read_text()
    fields = page.partition("## backup.json")[2].partition("\n## ")[0]
    assert [name for name in BACKUP.sealed() if f"`{name}`" not in fields] == []
