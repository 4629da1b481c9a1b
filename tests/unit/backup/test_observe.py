# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup is good when every byte is what its manifest says, and is visible only when it is durable."""

import hashlib
import json
import os
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._backup import observe as backup
from ansible_collections.pgark.postgres.plugins.module_utils._configuration.files import Kept, Origin
from ansible_collections.pgark.postgres.plugins.module_utils._errors import CommandFailed, Error
from ansible_collections.pgark.postgres.plugins.module_utils._host.runner import CommandRunner, Result
from ansible_collections.pgark.postgres.plugins.module_utils._host.tools import compress_cmd
from ansible_collections.pgark.postgres.plugins.module_utils._repository.catalog import Backup
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn
from tests.unit.examples import NOON, SIZE
from tests.unit.fakes import FakeRunner, Killed, changes_of, killed_at
from tests.unit.synthetic import FILES, SEGMENT, SUFFIXES, TABLESPACE, WAL, SyntheticBackup

RUNNER = CommandRunner()
ORIGIN = Origin("/data", "/data", 5432)


@pytest.fixture
def subject(tmp_path: Path) -> SyntheticBackup:
    """Provide a good backup on a path with a space."""
    return SyntheticBackup(tmp_path / "a backup")


def verify(subject: SyntheticBackup) -> None:
    backup.verify(str(subject.directory), subject.manifest, SIZE, RUNNER)


@pytest.mark.parametrize("compression", SUFFIXES)
def test_a_good_backup_is_good_in_any_compression(tmp_path: Path, compression: str) -> None:
    subject = SyntheticBackup(tmp_path / "x", compression)
    verify(subject)
    found = dict(backup.tar_entries(str(subject.directory), RUNNER))
    assert set(found) == {*FILES, *(f"pg_tblspc/16384/{path}" for path in TABLESPACE)}
    assert found["PG_VERSION"].size == 3
    assert found["PG_VERSION"].sha256 == hashlib.sha256(b"17\n").hexdigest()


@pytest.mark.parametrize("compression", SUFFIXES)
def test_a_tar_file_is_read_through_behind_its_end(tmp_path: Path, compression: str) -> None:
    """A decompressor whose output nobody reads to the end is killed by its pipe, and never gets to its checksum."""
    subject = SyntheticBackup(tmp_path / "x", compression)
    verify(subject)
    subject.pack(padding=8 << 20)
    with pytest.raises(Error, match="or more than 10240 bytes of zeros"):
        verify(subject)


Change = Callable[[SyntheticBackup], object]
BASE, TBLSPC = "base", "16384"
RELATION, OUTSIDE = "base/1/1259", next(iter(TABLESPACE))

CHANGES: list[tuple[Change, str]] = [
    (lambda b: b.archives[BASE].update({RELATION: FILES[RELATION][:-1]}), "'base/1/1259' has 8191 bytes, .* says 8192"),
    (lambda b: b.archives[BASE].update({RELATION: FILES[RELATION] + b"x"}), "'base/1/1259' has 8193 bytes"),
    (lambda b: b.archives[BASE].update({RELATION: b"PG_CLASS" * 1024}), "'base/1/1259' has another SHA-256"),
    (lambda b: b.archives[BASE].update({RELATION: b""}), "'base/1/1259' has 0 bytes"),
    (lambda b: b.archives[BASE].update({"base/1/9": b""}), "'base/1/9' is in the backup but not in its manifest"),
    (lambda b: b.archives[BASE].pop(RELATION), "'base/1/1259' is in the manifest but not in the backup"),
    (
        lambda b: b.archives[TBLSPC].pop(OUTSIDE),
        f"'pg_tblspc/16384/{OUTSIDE}' is in the manifest but not",
    ),
    (lambda b: b.archives[TBLSPC].update({OUTSIDE: b"x" * 1500}), f"'pg_tblspc/16384/{OUTSIDE}' has another SHA-256"),
    (lambda b: b.archives["pg_wal"].pop(SEGMENT), f"segment {SEGMENT} is needed and not in the backup"),
]


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize(("change", "message"), CHANGES, ids=[message[:30] for _change, message in CHANGES])
def test_a_change_is_named(tmp_path: Path, compression: str, change: Change, message: str) -> None:
    subject = SyntheticBackup(tmp_path / "x", compression)
    change(subject)
    subject.pack()
    with pytest.raises(Error, match=message) as failure:
        verify(subject)
    assert failure.value.message.startswith(f"the backup in {subject.directory} is not good: ")
    assert ";" not in failure.value.message


def test_many_problems_are_counted(subject: SyntheticBackup) -> None:
    subject.archives["base"] = {f"new/{number}": b"" for number in range(20)}
    subject.pack()
    with pytest.raises(Error, match=f"'new/9' is in the backup but not in its manifest; and {10 + len(FILES)} more$"):
        verify(subject)


@pytest.mark.parametrize("keep", [0, 100, 600, 0.3, 0.6])
@pytest.mark.parametrize("compression", SUFFIXES)
def test_a_tar_file_that_is_cut_off_is_an_error(tmp_path: Path, compression: str, keep: float) -> None:
    subject = SyntheticBackup(tmp_path / "x", compression)
    path = subject.tar("base")
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else min(keep, len(content) - 1)])
    with pytest.raises(Error, match=r"is not a whole tar file|is not good|ended with status"):
        verify(subject)


@pytest.mark.parametrize("compression", ["gzip", "zstd", "lz4"])
def test_a_flipped_bit_in_a_compressed_file_is_an_error(tmp_path: Path, compression: str) -> None:
    subject = SyntheticBackup(tmp_path / "x", compression)
    path = subject.tar("base")
    content = bytearray(path.read_bytes())
    content[-3] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(Error, match=f"^{compression} ended with status|^{path} is not a whole tar file"):
        verify(subject)


@pytest.mark.parametrize("compression", ["gzip", "zstd", "lz4"])
def test_the_wal_is_compressed_as_the_rest_is(tmp_path: Path, compression: str) -> None:
    """The server compresses what it sends, and pg_basebackup stores the WAL as it comes."""
    subject = SyntheticBackup(tmp_path / "x", compression)
    subject.tar("pg_wal").unlink()
    plain = SyntheticBackup(tmp_path / "plain").tar("pg_wal")
    (subject.directory / "pg_wal.tar").write_bytes(plain.read_bytes())
    for _again in range(2):  # one that pg_basebackup has compressed stays
        backup.compress_wal(str(subject.directory), compression, RUNNER)
        assert [path.name for path in subject.directory.glob("pg_wal*")] == [f"pg_wal.tar{SUFFIXES[compression]}"]
        assert subject.tar("pg_wal").stat().st_size < plain.stat().st_size / 10
        verify(subject)


def test_wal_that_cannot_be_compressed_fails_the_backup(tmp_path: Path) -> None:
    subject = SyntheticBackup(tmp_path / "x")
    runner = FakeRunner((compress_cmd("gzip"), Result(1, "", "No space left on device")))
    with pytest.raises(CommandFailed, match="No space left on device"):
        backup.compress_wal(str(subject.directory), "gzip", runner)
    assert subject.tar("pg_wal").exists()


def test_the_facts_come_from_the_manifest_and_the_files(subject: SyntheticBackup) -> None:
    times = (NOON, NOON + timedelta(minutes=1))
    facts, manifest = backup.describe(
        str(subject.directory), "monday", "full", "none", ("73", 170010, {"16384": "/ts"}), times, Kept((), ORIGIN)
    )
    content = (subject.directory / "backup_manifest").read_bytes()
    assert facts == Backup(
        *("monday", "full", "73", 170010, 1, Lsn(0x2000028), Lsn(0x2000100), *times, "none"),
        size=sum(map(len, [*FILES.values(), *TABLESPACE.values()])),
        stored_size=sum(path.stat().st_size for path in subject.directory.iterdir()),
        manifest_sha256=hashlib.sha256(content).hexdigest(),
        origin=ORIGIN,
        tablespaces={"16384": "/ts"},
    )
    assert manifest.wal[0].segments(SIZE) == tuple(WAL)
    assert str(backup.last_segment(manifest.wal[0], SIZE)) == SEGMENT
    backup.write_description(str(subject.directory), facts)
    assert Backup.from_document(json.loads((subject.directory / "backup.json").read_text())) == facts


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    """Provide the directory of a backup that is complete, but not published."""
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup").chmod(0o750)
    path = tmp_path / "backup" / ".x.partial"
    (path / "config").mkdir(parents=True)
    for name in ("base.tar", "config/postgresql.conf"):
        (path / name).touch(mode=0o600)
    return path


def test_a_backup_is_durable_before_it_is_visible(partial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    final = partial.with_name("x")
    done = changes_of(monkeypatch, lambda: backup.publish(str(partial), str(final)))
    renamed = done.index(f"rename {partial}")
    for name in ("", "/base.tar", "/config", "/config/postgresql.conf"):
        assert f"fsync {partial}{name}" in done[:renamed]
    assert done[renamed + 1 :] == [f"fsync {partial.parent}"]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (final, *final.rglob("*"))}
    assert modes == {"x": 0o750, "config": 0o750, "base.tar": 0o640, "postgresql.conf": 0o640}


def test_a_publication_that_is_killed_is_done_or_not_begun(partial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    final = partial.with_name("x")
    moments = 1 + 2 * 4
    for moment in range(1, moments + 1):
        with killed_at(monkeypatch, moment), pytest.raises(Killed):
            backup.publish(str(partial), str(final))
        assert os.listdir(partial.parent) == [".x.partial"]
    backup.publish(str(partial), str(final))
    assert os.listdir(final.parent) == ["x"]


def test_a_published_backup_is_never_replaced(partial: Path) -> None:
    final = partial.with_name("x")
    final.mkdir()
    (final / "backup.json").write_text("published")
    with pytest.raises(OSError, match="not empty"):
        backup.publish(str(partial), str(final))
    assert (final / "backup.json").read_text() == "published"
