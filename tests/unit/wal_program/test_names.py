# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which file names are taken, and that the program agrees with the collection about them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pgark.postgres.plugins.module_utils._errors import InvalidValue
from ansible_collections.pgark.postgres.plugins.module_utils._repository import layout
from ansible_collections.pgark.postgres.plugins.module_utils._wal import names as wal
from tests.unit.wal_program.harness import MAGIC, MB, Repository, assert_failed, get, load, push, segment

pgark_wal = load()

GOOD = {
    "000000010000000000000003": "segment",
    "FFFFFFFF000000AB000000CD": "segment",
    "000000010000000000000003.partial": "partial",
    "00000002.history": "history",
    "000000010000000000000003.00000028.backup": "backup",
}
BAD = [
    "",
    ".",
    "..",
    "../000000010000000000000003",
    "00000001000000000000000",
    "0000000100000000000000033",
    "00000001000000000000000a",
    "00000001000000000000000G",
    "000000010000000000000003.",
    "000000010000000000000003.gz",
    "000000010000000000000003.Partial",
    "000000010000000000000003.partial.partial",
    "000000010000000000000003\n",
    "000000010000000000000003 ",
    " 000000010000000000000003",
    "000000010000000000000003.sha256",
    "000000010000000000000003..backup",
    "000000010000000000000003.0000002.backup",
    "000000010000000000000003.0000002g.backup",
    "000000010000000000000003.00000028.backup.backup",
    "0000002.history",
    "0000000a.history",
    "000000010000000000000003.history",
    "00000002.history\n",
    "RECOVERYXLOG",
    "repository.json",
    "%p",
    "'; touch x; '",
    "٠٠٠٠٠٠٠١٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٣",  # digits to str.isdigit, but not to PostgreSQL
    "0" * 65,
    "0" * 5000,
]


@pytest.mark.parametrize("name", GOOD)
def test_names_of_postgresql_are_taken_by_both(name: str) -> None:
    assert pgark_wal.check_name(name) == name
    assert wal.classify(name) == GOOD[name]
    assert pgark_wal.is_segment(name) == (GOOD[name] in ("segment", "partial"))


@pytest.mark.parametrize("name", BAD)
def test_other_names_are_refused_by_both(name: str) -> None:
    assert wal.classify(name) is None
    with pytest.raises(pgark_wal.Refused, match="found the file name"):
        pgark_wal.check_name(name)


@given(st.from_regex(r"[0-9A-Fa]{7,9}([0-9A-F]{16})?(\.(history|partial|[0-9A-F]{7,9}\.backup))?\n?", fullmatch=True))
def test_both_agree_on_every_name_like_those(name: str) -> None:
    try:
        taken = bool(pgark_wal.check_name(name))
    except pgark_wal.Refused:
        taken = False
    assert taken == (wal.classify(name) is not None)


@given(st.text(max_size=70) | st.from_regex(r"[A-Za-z0-9_.-]{1,65}", fullmatch=True))
def test_both_agree_on_names_of_clusters(name: str) -> None:
    try:
        taken = bool(layout.check_name("cluster", name))
    except InvalidValue:
        taken = False
    assert pgark_wal.is_cluster_name(name) == taken


@pytest.mark.parametrize("compression", layout.SUFFIXES)
def test_both_agree_on_suffixes(compression: str) -> None:
    assert pgark_wal.SUFFIXES[compression] == layout.SUFFIXES[compression]
    assert len(pgark_wal.SUFFIXES) == len(layout.SUFFIXES)


@pytest.mark.parametrize("name", GOOD)
def test_both_put_a_file_in_the_same_place(name: str, repository: Repository, pg_wal: Path) -> None:
    content = {"history": b"1 0/3000028 a reason\n", "backup": b"START WAL LOCATION: 0/3000028\n"}
    path = pg_wal / name
    path.write_bytes(content.get(GOOD[name]) or segment(name))
    assert push(repository, path).returncode == 0
    place = Path(layout.Layout(str(repository.path), repository.cluster).wal_file(name))
    assert place.read_bytes() == path.read_bytes()


@given(st.integers(1, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**12 - 1), st.sampled_from([1, 16, 1024]))
def test_both_agree_on_where_a_segment_starts(timeline: int, high: int, low: int, megabytes: int) -> None:
    size = megabytes * MB
    name = wal.SegmentName(timeline, high, low % (2**32 // size))
    header = segment(str(name), size=MB, address=name.start_lsn(size).value, segment_size=size)[:40]
    archive = type("Archive", (), {"system_identifier": 7710444717259544790, "major": 17, "segment_size": size})
    pgark_wal.check_segment(archive, str(name), header, size, None)
    elsewhere = str(name.next(size))
    with pytest.raises(pgark_wal.Refused, match="page address"):
        pgark_wal.check_segment(archive, elsewhere, header, size, None)


def test_the_supported_versions_are_those_with_a_known_magic() -> None:
    assert pgark_wal.PAGE_MAGIC == MAGIC


@pytest.mark.parametrize("name", ["passwd", "000000010000000000000003.gz", "%f"])
def test_push_refuses_a_file_of_another_name(name: str, repository: Repository, pg_wal: Path) -> None:
    (pg_wal / name).write_bytes(segment())
    assert_failed(push(repository, pg_wal / name), 1, name)
    assert repository.files() == set()


@pytest.mark.parametrize("name", ["passwd", "../../cluster.json", "", "0" * 65, "00000001000000000000000a", "a\nb"])
def test_get_of_another_name_is_not_the_end_of_wal(name: str, repository: Repository, pg_wal: Path) -> None:
    assert_failed(get(repository, name, pg_wal / "RECOVERYXLOG"), 200, "expected that of a segment")
    assert not any(pg_wal.iterdir())
