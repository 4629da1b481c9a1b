# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archived segments are read in batches, from a private directory, and what cannot be read is named."""

from __future__ import annotations

import gzip
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import CommandFailed, Error
from ansible_collections.pgark.postgres.plugins.module_utils._host.runner import CommandRunner, Result
from ansible_collections.pgark.postgres.plugins.module_utils._program.pgark_wal import Archive
from ansible_collections.pgark.postgres.plugins.module_utils._repository.catalog import Catalog, SegmentFile
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn, SegmentName
from ansible_collections.pgark.postgres.plugins.module_utils._windows.cache import WalCache, cache_file
from ansible_collections.pgark.postgres.plugins.module_utils._windows.reader import WalReader
from ansible_collections.pgark.postgres.plugins.module_utils._windows.segments import bring
from ansible_collections.pgark.postgres.plugins.module_utils._windows.source import SegmentContents
from ansible_collections.pgark.postgres.plugins.module_utils._windows.spans import WalSpan, stretches
from tests.unit.examples import IDENTITY, SIZE, catalog, fork
from tests.unit.wal.test_records import line
from tests.unit.wal_program.harness import Repository, sha256_line

DAMAGED = "damaged"
BIN = "/usr/lib/postgresql/17/bin"


class FakeWaldump(CommandRunner):
    """Prints what the files hold: lines of pg_waldump, or the word for a damaged segment; notes how it was called."""

    def __init__(self, version: str = "17.10") -> None:
        super().__init__()
        self.version = version
        self.calls: list[list[str]] = []
        self.modes: set[int] = set()
        self.ending: str | None = None

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        environment: Mapping[str, str] | None = None,
        directory: str | None = None,
        source: IO[bytes] | None = None,
    ) -> Result:
        assert argv[0] == f"{BIN}/pg_waldump"
        if "--version" in argv:
            return Result(0, f"pg_waldump (PostgreSQL) {self.version}\n", "")
        assert (check, environment) == (False, {"TZ": "UTC"})
        self.calls.append([word for word in argv[1:] if not word.startswith("--path=")])
        place = next(word[len("--path=") :] for word in argv if word.startswith("--path="))
        self.modes |= {stat.S_IMODE(os.stat(path).st_mode) for path in (place, os.path.dirname(place))}
        kinds = [word[len("--rmgr=") :] for word in argv if word.startswith("--rmgr=")]
        first, *rest = (word for word in argv[1:] if not word.startswith("--"))
        return self.dump(place, SegmentName.parse(first), SegmentName.parse(rest[0] if rest else first), kinds)

    def dump(self, place: str, first: SegmentName, last: SegmentName, kinds: list[str]) -> Result:
        printed, name = "", first
        while name <= last:
            content = Path(place, str(name)).read_text()
            if content == DAMAGED:
                if self.ending is not None:
                    Path(place, str(name)).write_text(self.ending)
                at = name.start_lsn(SIZE)
                return Result(1, printed, f"pg_waldump: error: error in WAL record at 0/28: bad page at {at}\n")
            if content == "strange":
                return Result(1, "", "pg_waldump: error: out of memory\n")
            lines = content.splitlines(keepends=True)
            printed += "".join(each for each in lines if not kinds or each.split()[1] in kinds)
            name = name.next(SIZE)
        return Result(0, printed, "")


def content_of(number: int) -> str:
    """Let each segment have a transaction, and a restore point named after it."""
    at = number * SIZE
    end = line("Transaction", f"COMMIT 2026-11-21 12:00:{number:02}.000000 UTC", str(Lsn(at + 0x100)), xid=700 + number)
    return end + line("XLOG", f"RESTORE_POINT p{number}", str(Lsn(at + 0x200)), 98)


@pytest.fixture(autouse=True)
def _anything_is_a_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the text that stands for WAL here; what is taken for a segment is a test of its own."""
    monkeypatch.setattr(f"{bring.__module__}._problem", lambda *_: None)
    monkeypatch.setattr(Archive, "check", lambda *_: None)
    monkeypatch.setattr(f"{WalReader.__module__}.lines_of_records", lambda text, *_: text)


@pytest.fixture
def archive(tmp_path: Path) -> Catalog:
    """Provide nine archived segments, every second of them compressed."""
    subject = catalog([], {(1, number): number for number in range(1, 10)})
    return replace(subject, files={(1, number): stored(tmp_path, number) for number in range(1, 10)})


def stored(directory: Path, number: int, content: str | None = None, timeline: int = 1) -> SegmentFile:
    text = (content_of(number) if content is None else content).encode()
    repository, name = Repository(directory / "repository"), str(SegmentName.numbered(timeline, number, SIZE))
    if not repository.path.exists():
        Repository.create(repository.path, segment_size=SIZE)
    path = repository.archived(name, "gzip" if number % 2 else "none")
    path.parent.mkdir(exist_ok=True, mode=0o750)
    path.write_bytes(gzip.compress(text) if number % 2 else text)
    path.with_name(f"{name}.sha256").write_text(sha256_line(name, text))
    return SegmentFile(str(path), len(text), number)


def in_pg_wal(directory: Path, number: int, content: str) -> SegmentFile:
    path = directory / str(SegmentName.numbered(1, number, SIZE))
    path.write_text(content)
    return SegmentFile(str(path), len(content), number, own=True)


def changed(subject: Catalog, directory: Path, number: int, content: str) -> Catalog:
    return replace(subject, files={**subject.files, (1, number): stored(directory, number, content)})


def the_stretch(subject: Catalog, timeline: int = 1) -> WalSpan:
    (found,) = stretches(subject, subject.path_to(timeline))
    return found


def look(
    subject: Catalog, runner: FakeWaldump, first: int, last: int, cache: WalCache | None = None
) -> list[SegmentContents]:
    with WalReader(subject, BIN, runner, cache) as reader:
        return list(reader.backwards(the_stretch(subject), first, last))


def test_segments_are_read_backwards_in_growing_batches_with_the_one_after_each(archive: Catalog) -> None:
    runner = FakeWaldump()
    seen = look(archive, runner, 2, 9)
    assert [(each.number, each.summary.points[0].name) for each in seen] == [(n, f"p{n}") for n in range(9, 1, -1)]
    names = [[int(word[-2:], 16) for word in call if not word.startswith("--")] for call in runner.calls]
    assert names == [[9, 9], [7, 9], [3, 7], [2, 3]]
    assert runner.modes == {0o700}


def test_the_private_directory_is_gone_afterwards(
    archive: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "private"))
    (tmp_path / "private").mkdir()
    look(archive, FakeWaldump(), 1, 9)
    with pytest.raises(CommandFailed):
        look(changed(archive, tmp_path, 4, "strange"), FakeWaldump(), 1, 9)
    assert list((tmp_path / "private").iterdir()) == []


def test_before_postgresql_15_each_kind_of_records_is_asked_for_by_itself(archive: Catalog) -> None:
    runner = FakeWaldump("14.2")
    old = replace(archive, identity=replace(IDENTITY, version=140000))
    (seen,) = look(old, runner, 9, 9)
    assert [[word for word in call if word.startswith("--")] for call in runner.calls] == [
        ["--rmgr=Transaction"],
        ["--rmgr=XLOG"],
        ["--rmgr=Tablespace"],
    ]
    assert (seen.summary.xids, seen.summary.points[0].name) == ((709, 709), "p9")
    runner.calls.clear()
    new = FakeWaldump()
    look(archive, new, 9, 9)
    assert [word for word in new.calls[0] if word.startswith("--")] == [
        "--rmgr=Transaction",
        "--rmgr=XLOG",
        "--rmgr=Tablespace",
    ]


def test_a_path_over_several_timelines_is_read_as_one(tmp_path: Path) -> None:
    """The segment of the switch is read from the new timeline; all get the names that they would have there."""
    places = [(1, number) for number in range(1, 8)] + [(2, number) for number in range(7, 10)]
    subject = catalog([], dict.fromkeys(places, 0), {2: fork(1, 7.5)})
    subject = replace(
        subject,
        files={(t, n): stored(tmp_path, n, content_of(n).replace("POINT p", f"POINT t{t}-"), t) for t, n in places},
    )
    runner = FakeWaldump()
    with WalReader(subject, BIN, runner, None) as reader:
        seen = list(reader.backwards(the_stretch(subject, 2), 5, 9))
    assert [each.summary.points[0].name for each in seen] == ["t2-9", "t2-8", "t2-7", "t1-6", "t1-5"]
    assert {word[:8] for call in runner.calls for word in call if not word.startswith("--")} == {"00000002"}


def test_a_damaged_segment_is_named_and_nothing_behind_it_counts(archive: Catalog, tmp_path: Path) -> None:
    seen = look(changed(archive, tmp_path, 4, DAMAGED), FakeWaldump(), 1, 8)
    found = {each.number: (each.summary.latest is not None, each.damage) for each in seen}
    assert found[4] == (False, "error in WAL record at 0/28: bad page at 0/4000000")
    assert found[5] == (False, None)
    assert all(found[number] == (True, None) for number in (1, 2, 3, 6, 7, 8))


@pytest.mark.parametrize(
    ("own", "rest", "damaged"), [(True, "", False), (False, "\0" * 100, False), (False, "\0" * 100 + "x", True)]
)
def test_the_last_segment_may_end_where_nothing_was_written_yet(
    archive: Catalog, tmp_path: Path, own: bool, rest: str, damaged: bool
) -> None:
    """The end of a server's own one may hold what was there before it was recycled."""
    subject = changed(archive, tmp_path, 9, DAMAGED)
    runner = FakeWaldump()
    runner.ending = rest
    subject = replace(subject, files={**subject.files, **({(1, 9): in_pg_wal(tmp_path, 9, DAMAGED)} if own else {})})
    (seen,) = look(subject, runner, 9, 9)
    assert (seen.damage is not None, seen.summary.latest) == (damaged, None)


@pytest.mark.parametrize("number", [5, 9])
def test_a_segment_that_cannot_be_decompressed_is_damaged_wherever_it_is(archive: Catalog, number: int) -> None:
    path = archive.files[1, number].path
    with open(path, "r+b") as file:
        file.truncate(20)
    seen = {each.number: each for each in look(archive, FakeWaldump(), 1, 9)}
    assert "corrupt: found the end of the file before that of its content" in str(seen[number].damage)
    assert [each.damage for each in seen.values() if each.number != number] == [None] * 8


def test_a_segment_that_is_damaged_is_read_from_a_further_repository(archive: Catalog, tmp_path: Path) -> None:
    """It is named each time, so it is not remembered."""
    with open(archive.files[1, 5].path, "r+b") as file:
        file.truncate(20)
    (tmp_path / "further").mkdir()
    further = replace(archive, files={(1, each): stored(tmp_path / "further", each) for each in (5, 10)})
    both = archive.backed_by(further)
    cache = str(tmp_path / "cache.json")
    for _turn in range(2):
        with WalReader(both, BIN, FakeWaldump(), WalCache(cache)) as reader:
            seen = list(reader.forwards(the_stretch(both), 1, 10))
        assert [(each.summary.count, each.damage) for each in seen] == [(1, None)] * 10
        text = reader.replaced[str(SegmentName.numbered(1, 5, SIZE))]
        assert text.startswith(f"{archive.files[1, 5].path} is damaged: ")
        assert text.endswith(f"; recovery reads {further.files[1, 5].path} instead")


def test_other_failures_are_failures(archive: Catalog, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=r"pg_waldump ended with status 1: .* out of memory"):
        look(changed(archive, tmp_path, 9, "strange"), FakeWaldump(), 9, 9)


def test_programs_of_another_version_are_refused(archive: Catalog) -> None:
    with pytest.raises(
        Error, match=r"has pg_waldump \(PostgreSQL\) 16.4, expected that of PostgreSQL 17\nHINT: set bin"
    ):
        look(archive, FakeWaldump("16.4"), 9, 9)


def test_segments_are_read_forwards_in_growing_batches(archive: Catalog) -> None:
    runner = FakeWaldump()
    with WalReader(archive, BIN, runner, None) as reader:
        seen = list(reader.forwards(the_stretch(archive), 1, 8))
    assert [(each.number, each.summary.points[0].name) for each in seen] == [(n, f"p{n}") for n in range(1, 9)]
    names = [[int(word[-2:], 16) for word in call if not word.startswith("--")] for call in runner.calls]
    assert names == [[1, 2], [2, 4], [4, 8], [8, 9]]


def test_reading_goes_on_behind_a_damaged_segment(archive: Catalog, tmp_path: Path) -> None:
    subject = changed(archive, tmp_path, 4, DAMAGED)
    with WalReader(subject, BIN, FakeWaldump(), None) as reader:
        seen = list(reader.forwards(the_stretch(subject), 1, 9))
    assert [each.number for each in seen] == list(range(1, 10))
    assert [each.number for each in seen if each.damage] == [4]
    assert [each.number for each in seen if not each.summary.count] == [4]


def test_a_segment_that_was_read_on_other_timelines_is_read_again(tmp_path: Path) -> None:
    """A history that was changed since would have its pages judged by another one."""
    places = [(1, number) for number in range(1, 7)] + [(2, number) for number in range(7, 10)]
    files = {(t, n): stored(tmp_path, n, timeline=t) for t, n in places}
    cache = str(tmp_path / "cache.json")
    for where, calls in ((7.5, 1), (7.5, 0), (7.25, 1)):
        subject = replace(catalog([], dict.fromkeys(places, 0), {2: fork(1, where)}), files=files)
        runner = FakeWaldump()
        with WalReader(subject, BIN, runner, WalCache(cache)) as reader:
            list(reader.forwards(the_stretch(subject, 2), 7, 7))
        assert len(runner.calls) == calls


def test_the_records_of_one_segment_are_those_that_begin_there(archive: Catalog) -> None:
    with WalReader(archive, BIN, FakeWaldump(), None) as reader:
        assert [record.lsn // SIZE for record in reader.records(the_stretch(archive), 4)] == [4, 4]


@pytest.mark.parametrize(("content", "found"), [(None, True), ("", False)])
def test_a_record_from_a_position_on_is_asked_for_by_that(
    archive: Catalog, tmp_path: Path, content: str | None, found: bool
) -> None:
    runner = FakeWaldump()
    subject = archive if content is None else changed(archive, tmp_path, 9, content)
    with WalReader(subject, BIN, runner, None) as reader:
        assert reader.has_record_from(the_stretch(subject), Lsn(0x9000050)) is found
    assert runner.calls == [["000000010000000000000009", "--start=0/9000050", "--limit=1"]]


def test_what_was_read_is_remembered_by_what_the_files_are(archive: Catalog, tmp_path: Path) -> None:
    cache, runner = str(tmp_path / "cache" / "wal.json"), FakeWaldump()
    first = look(archive, runner, 1, 9, WalCache(cache))
    runner.calls.clear()
    assert look(archive, runner, 1, 9, WalCache(cache)) == first
    assert runner.calls == []
    touched = replace(archive, files={**archive.files, (1, 5): archive.files[1, 5]._replace(mtime_ns=77)})
    assert look(touched, runner, 1, 9, WalCache(cache)) == first
    assert [[word[-1] for word in call[3:]] for call in runner.calls] == [["5", "6"], ["4", "5"]]
    assert stat.S_IMODE(os.stat(cache).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(cache)).st_mode) == 0o700


def test_what_a_server_may_still_write_is_not_remembered(archive: Catalog, tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "wal.json"
    own = {place: in_pg_wal(tmp_path, place[1], content_of(place[1])) for place in archive.files}
    look(replace(archive, files=own), FakeWaldump(), 1, 9, WalCache(str(cache)))
    assert not cache.exists()


def test_a_damaged_segment_is_not_remembered(archive: Catalog, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache.json")
    damaged = changed(archive, tmp_path, 4, DAMAGED)
    look(damaged, FakeWaldump(), 1, 8, WalCache(cache))
    seen = look(damaged, FakeWaldump(), 1, 8, WalCache(cache))
    assert [each.number for each in seen if each.damage] == [4]


@pytest.mark.parametrize(
    "content",
    ["", "nonsense", "[]", "{}", '{"format": 4, "segments": []}', '{"format": 5, "segments": 7}',
     '{"format": 5, "segments": [1]}', '{"format": 5, "segments": [["a", {}]]}', '{"format": 5, "segments": null}'],
)  # fmt: skip
def test_a_cache_that_is_none_is_made_anew(archive: Catalog, tmp_path: Path, content: str) -> None:
    path = tmp_path / "cache.json"
    path.write_text(content)
    look(archive, FakeWaldump(), 1, 9, WalCache(str(path)))
    runner = FakeWaldump()
    look(archive, runner, 1, 9, WalCache(str(path)))
    assert runner.calls == []


def test_an_entry_that_is_none_is_read_again(archive: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "cache.json"
    look(archive, FakeWaldump(), 9, 9, WalCache(str(path)))
    path.write_text(path.read_text().replace("2026-11-21", "nonsense"))
    (seen,) = look(archive, FakeWaldump(), 9, 9, WalCache(str(path)))
    assert seen.summary.latest == "2026-11-21 12:00:09.000000"


def test_a_cache_that_cannot_be_written_is_no_error(archive: Catalog, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert len(look(archive, FakeWaldump(), 1, 9, WalCache(f"{tmp_path}/file/cache.json"))) == 9


def test_what_was_not_used_for_longest_is_forgotten(
    archive: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "cache.json")
    monkeypatch.setattr("ansible_collections.pgark.postgres.plugins.module_utils._windows.cache._KEPT", 2)
    look(archive, FakeWaldump(), 1, 4, WalCache(path))
    runner = FakeWaldump()
    look(archive, runner, 1, 4, WalCache(path))
    assert [[word[-1] for word in call[3:]] for call in runner.calls] == [["4", "5"], ["3", "4"]]


@pytest.mark.parametrize(
    ("given", "place"),
    [("/tmp/x y", "/tmp/x y/pgark"), ("", "/home/me/.cache/pgark"), ("relative", "/home/me/.cache/pgark")],
)
def test_every_cluster_of_every_repository_has_a_cache_of_its_own(
    monkeypatch: pytest.MonkeyPatch, given: str, place: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    monkeypatch.setenv("HOME", "/home/me")
    names = {cache_file(*which) for which in (("id", "main"), ("id", "other"), ("id2", "main"))}
    assert len(names) == 3
    assert {os.path.dirname(name) for name in names} == {place}
