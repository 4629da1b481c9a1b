# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in pg_wal is compared with what is archived, whatever its compression; a name proves nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._repository.catalog import Catalog, SegmentFile
from ansible_collections.pgark.postgres.plugins.module_utils._repository.layout import Layout
from ansible_collections.pgark.postgres.plugins.module_utils._wal.identity import Identity
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import SegmentName
from ansible_collections.pgark.postgres.plugins.module_utils._windows.observe_forks import (
    compare,
    digest_of,
    fork_defects,
    waiting_fork,
)
from tests.unit.wal_program.harness import MB, SYSTEM_IDENTIFIER, segment

COMPRESSED = {"": [], ".zst": ["zstd"], ".gz": ["gzip"], ".lz4": ["lz4"]}
IDENTITY = Identity(str(SYSTEM_IDENTIFIER), 170000, MB)


def name_of(number: int) -> str:
    return str(SegmentName.numbered(1, number, MB))


class Places:
    """A data directory and a repository."""

    def __init__(self, top: Path) -> None:
        self.data = top / "data"
        self.layout = Layout(str(top / "repository"), "main")
        (self.data / "pg_wal/archive_status").mkdir(parents=True)

    def write(self, name: str, content: bytes, ready: bool = False) -> None:
        (self.data / "pg_wal" / name).write_bytes(content)
        if ready:
            (self.data / "pg_wal/archive_status" / f"{name}.ready").touch()

    def archive(self, name: str, content: bytes, suffix: str = "") -> Path:
        """Archive a file as pgark-wal does."""
        place = Path(self.layout.wal_file(name) + suffix)
        place.parent.mkdir(parents=True, exist_ok=True)
        argv = COMPRESSED[suffix]
        packed = subprocess.run([*argv, "-c"], input=content, capture_output=True, check=True).stdout if argv else None
        place.write_bytes(content if packed is None else packed)
        if not suffix and not name.endswith(".history"):
            Path(f"{place}.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
        return place

    def compare(self, name: str) -> str:
        return compare(f"{self.data}/pg_wal/{name}", name, self.layout)

    def catalog(self, *numbers: int) -> Catalog:
        """Give a catalog that has so many segments."""
        files = {(1, n): SegmentFile(self.layout.wal_file(name_of(n)), MB, 0) for n in numbers}
        return Catalog(IDENTITY, (), (), {}, files)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Provide empty ones."""
    return Places(tmp_path)


@pytest.mark.parametrize("suffix", COMPRESSED)
def test_a_segment_is_told_from_another_of_its_name(places: Places, suffix: str) -> None:
    name = name_of(3)
    places.write(name, segment(name))
    assert places.compare(name) == "absent"
    archived = places.archive(name, segment(name), suffix)
    assert places.compare(name) == "same"
    places.archive(name, segment(name, seed=1), suffix)
    assert places.compare(name) == "other"
    archived.write_bytes(archived.read_bytes()[:-9])
    assert places.compare(name) == "unreadable", "damage is nobody else's WAL"


@pytest.mark.parametrize("other", ["000000010000000000000004", "000000020000000000000003"])
def test_what_lies_under_the_name_of_another_segment_is_damage(places: Places, other: str) -> None:
    name = name_of(3)
    places.write(name, segment(name))
    for suffix in COMPRESSED:
        archived = places.archive(name, segment(other), suffix)
        assert places.compare(name) == "unreadable", suffix
        archived.unlink()


def test_a_history_file_is_compared_as_a_whole(places: Places) -> None:
    places.write("00000002.history", b"1\t0/3000028\tx\n")
    places.archive("00000002.history", b"1\t0/3000028\tx\n")
    assert places.compare("00000002.history") == "same"
    places.archive("00000002.history", b"1\t0/5000028\tx\n")
    assert places.compare("00000002.history") == "other"


def test_the_checksum_of_a_finished_segment_is_none_once_it_is_removed_or_recycled(places: Places) -> None:
    name = SegmentName.parse(name_of(3))
    assert digest_of(str(places.data), name) is None
    places.write(str(name), segment(str(name)))
    assert digest_of(str(places.data), name) == hashlib.sha256(segment(str(name))).hexdigest()
    places.write(str(name), segment(name_of(1)))
    assert digest_of(str(places.data), name) is None
    with pytest.raises(FileNotFoundError, match="pg_wal"):
        digest_of(f"{places.data}/elsewhere", name)


def test_what_waits_is_a_fork_only_when_the_archive_has_other_bytes(places: Places) -> None:
    first, second = name_of(3), name_of(4)
    for name in (second, first):
        places.write(name, segment(name), ready=True)
    assert waiting_fork(str(places.data), places.layout) is None
    places.archive(first, segment(first), ".zst")
    assert waiting_fork(str(places.data), places.layout) is None, "archived ahead"
    places.archive(first, segment(first, seed=1), ".zst")
    assert f"{first} in {places.data}/pg_wal and in" in str(waiting_fork(str(places.data), places.layout))


@pytest.mark.parametrize(
    ("own", "archived", "fork"),
    [
        ({1: 0, 2: 0}, {1: 0, 2: 0}, None),
        ({1: 0, 2: 9}, {1: 0, 2: 0, 3: 0}, 2),
        ({1: 0, 2: 9, 3: 9}, {1: 0, 2: 0}, 2),
        ({4: 9}, {1: 0, 2: 0}, None),
        ({}, {1: 0}, None),
    ],
)
def test_a_data_directory_with_another_history_than_the_archive_is_a_defect(
    places: Places, own: dict[int, int], archived: dict[int, int], fork: int | None
) -> None:
    """The seed of a segment says which server wrote it."""
    for number, seed in own.items():
        places.write(name_of(number), segment(name_of(number), seed=seed))
    for number, seed in archived.items():
        places.archive(name_of(number), segment(name_of(number), seed=seed))
    found = fork_defects(str(places.data), places.catalog(*archived), places.layout)
    assert [(defect.kind, defect.subject) for defect in found] == ([] if fork is None else [("fork", name_of(fork))])


FORKED = b"1\t0/3000028\tx\n"


@pytest.mark.parametrize(
    ("own", "archived", "fork"),
    [
        ({"00000002.history": FORKED}, {"00000002.history": FORKED}, None),
        ({"00000002.history": FORKED}, {}, None),
        ({"00000002.history": FORKED}, {"00000002.history": b"1\t0/5000028\tx\n"}, "00000002.history"),
        ({"00000002.history": FORKED}, {"00000002.history": FORKED + b"# and more\n"}, "00000002.history"),
        ({"00000002.history": FORKED}, {"00000002.history": b"damaged"}, None),
        ({"00000002.history": b"pgark-wal: stands in\n"}, {"00000002.history": FORKED}, None),
        ({"00000002.history": b"pgark-wal: stands in\n"}, {"00000002.history": b"damaged"}, None),
    ],
)
def test_a_history_that_differs_from_the_archived_one_is_a_fork(
    places: Places, own: dict[str, bytes], archived: dict[str, bytes], fork: str | None
) -> None:
    """What is damaged, or stands in for what is, is nobody's history."""
    places.write(name_of(1), segment(name_of(1)))
    places.archive(name_of(1), segment(name_of(1)))
    for name, content in own.items():
        places.write(name, content)
    for name, content in archived.items():
        places.archive(name, content)
    found = fork_defects(str(places.data), places.catalog(1), places.layout)
    assert [(defect.kind, defect.subject) for defect in found] == ([] if fork is None else [("fork", fork)])


@pytest.mark.parametrize("plant", [Path.mkdir, os.mkfifo, lambda place: place.symlink_to("/dev/zero")])
def test_what_is_in_the_place_of_an_archived_history_is_no_fork(
    places: Places, plant: Callable[[Path], object]
) -> None:
    places.write("00000002.history", FORKED)
    place = Path(places.layout.wal_file("00000002.history"))
    place.parent.mkdir(parents=True)
    plant(place)
    assert fork_defects(str(places.data), places.catalog(), places.layout) == []
