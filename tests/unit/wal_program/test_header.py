# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the header of a segment's first page must say before the segment is archived, or delivered."""

from __future__ import annotations

import doctest
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wal_program.harness import (
    COMPRESSIONS,
    HISTORY,
    MAGIC,
    MB,
    NAME,
    SYSTEM_IDENTIFIER,
    Repository,
    assert_done,
    assert_failed,
    get,
    load,
    push,
    run,
    segment,
    write_segment,
)

WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "of another cluster": ({"system_identifier": 42}, ["system identifier 42", str(SYSTEM_IDENTIFIER)]),
    "of a newer version": ({"version": 18}, ["0xD118 (PostgreSQL 18)", "0xD116 (PostgreSQL 17)"]),
    "of an older version": ({"version": 16}, ["0xD113 (PostgreSQL 16)"]),
    "of an unknown version": ({"magic": 0xD0FF}, ["0xD0FF"]),
    "of zeros": ({"magic": 0, "system_identifier": 0}, ["0x0000"]),
    "without a long header": ({"flags": 1}, ["page flags 0x0001"]),
    "of another position": ({"address": 5 * MB}, ["page address 0/500000, expected 0/300000"]),
    "of a later timeline": ({"timeline": 2}, ["page timeline 2, expected 1"]),
    "of timeline 0": ({"timeline": 0}, ["page timeline 0"]),
    "of an impossible segment size": ({"segment_size": 3 * MB}, ["segment size 3145728"]),
    "of a tiny segment size": ({"segment_size": 512 * 1024}, ["segment size 524288"]),
    "of an impossible block size": ({"block_size": 8191}, ["block size 8191"]),
    "of another size than it says": ({"segment_size": 2 * MB}, ["segment size 2097152, expected 1048576"]),
}
HISTORIES = {
    "switch in the segment": (1, b"1\t0/3000028\treason\n", True),
    "two switches in the segment": (1, b"1\t0/3000028\tx\n2\t0/3000100\ty\n", True),
    "the elder of two, but the switch from it was before": (1, b"1\t0/2000028\tx\n2\t0/3000100\ty\n", False),
    "the younger of two, the switch to it was before": (2, b"1\t0/2000028\tx\n2\t0/3000100\ty\n", True),
    "the switch was before the segment": (1, b"1\t0/2000028\treason\n", False),
    "the switch was where the segment begins": (1, b"1\t0/3000000\treason\n", False),
    "the switch comes after the segment": (1, b"1\t0/4000000\treason\n", False),
    "the last switch comes after the segment": (1, b"1\t0/3000028\tx\n2\t0/4000000\ty\n", False),
    "the elder of two, but the younger was left before it began": (1, b"1\t0/3000100\tx\n2\t0/2000028\ty\n", False),
    "not an ancestor": (1, b"# a comment\n\n2\t0/3000028\treason\n", False),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_push_refuses_a_segment(wrong: str, repository: Repository, pg_wal: Path) -> None:
    options, words = WRONG[wrong]
    assert_failed(push(repository, write_segment(pg_wal, content=segment(**options))), 1, NAME, *words)
    assert repository.files() == set()


@pytest.mark.parametrize("wrong", WRONG)
def test_get_refuses_a_segment(wrong: str, repository: Repository, pg_wal: Path) -> None:
    options, words = WRONG[wrong]
    archive_by_hand(repository, NAME, segment(**options))
    if wrong == "of another position":  # one that has been renamed
        words = [*words, NAME]
    assert_failed(get(repository, NAME, pg_wal / "RECOVERYXLOG"), 200, NAME, *words)
    assert not any(pg_wal.iterdir())


def test_the_examples_in_the_program_are_right() -> None:
    result = doctest.testmod(load())
    assert result.attempted
    assert not result.failed


def archive_by_hand(repository: Repository, name: str, content: bytes) -> None:
    """Put a file into the archive that the program would have refused; its checksum is right."""
    directory = repository.archived(name).parent
    directory.mkdir(mode=0o750, exist_ok=True)
    repository.archived(name, "gzip").write_bytes(gzip.compress(content, 1))


@pytest.mark.parametrize("version", MAGIC)
def test_each_version_is_archived_and_delivered(version: int, tmp_path: Path, pg_wal: Path) -> None:
    repository = Repository.create(tmp_path / "other", version=version * 10000 + 4)
    path = write_segment(pg_wal, content=segment(version=version))
    assert_done(push(repository, path))
    assert_done(get(repository, NAME, tmp_path / "restored"))
    assert (tmp_path / "restored").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("megabytes", [1, 2, 16, 64])
def test_each_segment_size_is_archived_and_delivered(megabytes: int, repository: Repository, tmp_path: Path) -> None:
    name = "00000001000000AB00000007"
    path = write_segment(tmp_path / "pg_wal", name, segment(name, size=megabytes * MB))
    assert_done(push(repository.holding(megabytes * MB), path, "lz4"))
    assert_done(get(repository, name, tmp_path / "restored"))
    assert (tmp_path / "restored").read_bytes() == path.read_bytes()


def test_a_name_beyond_the_last_segment_of_a_log_file_is_refused(repository: Repository, pg_wal: Path) -> None:
    name = "000000010000000000000100"  # with segments of 16 MB this would be another name for …1/00000000
    path = write_segment(pg_wal, name, segment(name, size=16 * MB))
    assert_failed(push(repository.holding(16 * MB), path), 1, "segment number 256")


@pytest.mark.parametrize("size", [0, 1, 39, 40, 8192, MB - 1, MB + 1, 2 * MB])
def test_a_segment_that_is_not_whole_is_refused(
    size: int, repository: Repository, pg_wal: Path, compression: str
) -> None:
    path = write_segment(pg_wal, content=(segment() + segment())[:size])
    assert_failed(push(repository, path, compression), 1, NAME, str(size))
    assert repository.files() == set()


def test_a_partial_segment_is_held_to_the_same(repository: Repository, pg_wal: Path) -> None:
    name = f"{NAME}.partial"
    assert_failed(push(repository, write_segment(pg_wal, name, segment(system_identifier=1))), 1, "system identifier")
    assert_done(push(repository, write_segment(pg_wal, name, segment()), "zstd"))
    assert repository.files() == {f"{name}.zst"}
    assert_failed(get(repository, NAME, pg_wal / "RECOVERYXLOG"), 1, f"{NAME} is not in the archive")


@pytest.mark.parametrize("case", HISTORIES)
def test_the_first_segment_of_a_timeline_must_begin_on_its_ancestor(
    case: str, repository: Repository, pg_wal: Path
) -> None:
    timeline, history, accepted = HISTORIES[case]
    name = "000000030000000000000003"
    (pg_wal / "00000003.history").write_bytes(history)
    path = write_segment(pg_wal, name, segment(name, size=16 * MB, timeline=timeline))
    done = push(repository.holding(16 * MB), path, "lz4")
    if accepted:
        assert_done(done)
    else:
        assert_failed(done, 1, f"page timeline {timeline}, expected 3")


@pytest.mark.parametrize("name", ["000000020000000000000003", "FFFFFFFF0000000000000003"])
def test_any_older_timeline_will_do_where_the_history_file_is_gone(
    name: str, repository: Repository, pg_wal: Path
) -> None:
    path = write_segment(pg_wal, name, segment(name, timeline=1))
    assert_done(push(repository, path))
    assert_done(get(repository, name, pg_wal / "RECOVERYXLOG"))


def test_the_history_file_is_looked_for_beside_the_segment(repository: Repository, tmp_path: Path) -> None:
    name = "000000020000000000000003"
    path = write_segment(tmp_path / "pg_wal", name, segment(name, size=16 * MB, timeline=1))
    (path.parent / "00000002.history").write_bytes(b"1\t0/7000000\treason\n")
    relative = Path("pg_wal") / name
    repository.holding(16 * MB)
    assert_failed(push(repository, relative, cwd=tmp_path), 1, "page timeline 1")
    (path.parent / "00000002.history").write_bytes(HISTORY)
    assert_done(push(repository, relative, cwd=tmp_path))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"# nothing but a comment\n",
        b"\0" * 40,
        b"1\n",
        b"one\t0/3000028\n",
        b"1\t3000028\n",
        b"1\t0/30/28\n",
        b"3\t0/3000028\n",
        b"4\t0/3000028\n",
        b"2\t0/3000028\tx\n1\t0/4000028\ty\n",
        b"1\t0/3000028\tx\n1\t0/4000028\ty\n",
        HISTORY + b"#" * MB,
    ],
    ids=lambda content: repr(content[:30]),
)
def test_a_history_file_of_nonsense_is_neither_archived_nor_delivered(
    content: bytes, repository: Repository, pg_wal: Path
) -> None:
    name = "00000003.history"
    assert_failed(push(repository, write_segment(pg_wal, name, content)), 1, name)
    assert repository.files() == set()
    (repository.wal / name).write_bytes(content)
    assert_failed(get(repository, name, pg_wal / "RECOVERYHISTORY"), 200, name)
    assert not (pg_wal / "RECOVERYHISTORY").exists()


def test_a_backup_history_file_is_recognized_by_its_first_line(repository: Repository, pg_wal: Path) -> None:
    name = f"{NAME}.00000028.backup"
    assert_failed(push(repository, write_segment(pg_wal, name, b"")), 1, "START WAL LOCATION")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"format": 1, "system_identifier": "7710444717259544790", "version": 120022}', "version 120022"),
        ('{"format": 1, "system_identifier": "7710444717259544790", "version": 990000}', "version 990000"),
        ('{"format": 2, "system_identifier": "7710444717259544790", "version": 170010}', "expected format 1"),
        ('{"format": 1, "version": 170010}', "expected format 1, system_identifier"),
        ('{"format": 1, "system_identifier": "x", "version": 170010}', "expected format 1, system_identifier"),
        ('{"format": 1, "system_identifier": 7710444717259544790, "version": 170010}', "expected format 1, system_id"),
        (
            '{"format": 1, "system_identifier": "7710444717259544790", "version": "170010"}',
            "expected format 1, system_id",
        ),
        ('{"format": 1, "system_identifier": "7710444717259544790", "version": 1e400}', "expected format 1, system_id"),
        ('{"format": 1, "system_identifier": "7710444717259544790", "version": 170010}', "wal_segment_size None"),
        (f'{{"format": {"9" * 100_000}, "version": 170010}}', "a number of 100000 digits"),
        (f'{{"format": 1, "id": {"[" * 100_000}{"]" * 100_000}}}', "nested too deeply"),
        (f'{{"format": 1, "id": "{"x" * MB}"}}', "expected a small file"),
        ("[]", "holds a list, expected a JSON object"),
        ("not JSON", "JSON"),
        ("", "JSON"),
        ("{", "JSON"),
    ],
    ids=lambda text: text[:60],
)
def test_an_unusable_identity_is_refused(content: str, words: str, repository: Repository, pg_wal: Path) -> None:
    (repository.path / "main/cluster.json").write_text(content)
    assert_failed(push(repository, write_segment(pg_wal)), 1, words)
    assert_failed(get(repository, NAME, pg_wal / "RECOVERYXLOG"), 200, words)
    assert repository.files() == set()


VALUES = st.text() | st.integers(-(10**20), 10**20) | st.booleans() | st.none() | st.lists(st.text(), max_size=2)


@given(st.dictionaries(st.text(), VALUES, max_size=4), st.sampled_from([None, 2]))
def test_an_identity_is_read_as_any_json_reader_would(
    tmp_path_factory: pytest.TempPathFactory, found: dict[str, object], indent: int | None
) -> None:
    directory = tmp_path_factory.getbasetemp()
    for ascii_only in (True, False):
        text = json.dumps(found, indent=indent, ensure_ascii=ascii_only)
        (directory / "read.json").write_text(text, encoding="utf-8", newline="")
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            assert load().read_json("read.json", descriptor) == json.loads(text)
        finally:
            os.close(descriptor)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_two_clusters_share_a_repository(compression: str, repository: Repository, pg_wal: Path) -> None:
    other = Repository.create(repository.path, "other", version=180003)
    assert_failed(push(other, write_segment(pg_wal), compression), 1, "PostgreSQL 17")
    assert_done(push(repository, pg_wal / NAME, compression))
    assert_failed(get(other, NAME, pg_wal / "RECOVERYXLOG"), 1, "not in the archive of other")
    assert run("get", *repository.options(), NAME, pg_wal / "RECOVERYXLOG").returncode == 0
