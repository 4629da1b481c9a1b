# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup is unpacked into the directories that are meant for it, whatever is in it, and nowhere else."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster import staged
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import Reservation, RestoreRecord
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.observe import read_record
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._host.runner import CommandRunner
from ansible_collections.pgark.postgres.plugins.module_utils._repository.observe_manifest import read_manifest
from ansible_collections.pgark.postgres.plugins.module_utils._restore import staging as restore
from ansible_collections.pgark.postgres.plugins.module_utils._restore import unpack
from ansible_collections.pgark.postgres.plugins.module_utils._restore.steps import UnpackBackup
from ansible_collections.pgark.postgres.plugins.module_utils._values.markers import (
    CONTROL,
    HELD_CONTROL,
    PLACE_MARK,
    RECORD,
)
from ansible_collections.pgark.postgres.plugins.module_utils._values.target import Target
from tests.unit.fakes import Killed, changes_of, killed_at
from tests.unit.synthetic import FILES, SEGMENT, SUFFIXES, TABLESPACE, SyntheticBackup, add, contents, fill

RUN = Reservation("/data", "an id", "/srv/pgark", "1f2e3d4c", "db1", 4712, "90210", "2026-11-21T12:00:00Z")
RECORDED = RestoreRecord(Target().as_dict(), "monday", "main", "73", "/data.before-x", reservation=RUN)
OUTSIDE = {"a live cluster/PG_VERSION": "17\n", "home/authorized_keys": "honest\n"}


class Subject:
    """A backup, a staging directory that has been begun, and what must stay as it is beside them."""

    def __init__(self, directory: Path, compression: str = "none") -> None:
        self.directory = directory
        self.stored = SyntheticBackup(directory / "stored", compression)
        self.staging = directory / "data.restore"
        self.place = directory / "a tablespace"
        self.wal = directory / "wal outside"
        fill(directory / "others", OUTSIDE)
        self.record = replace(RECORDED, places=(str(self.place), str(self.wal)))
        restore.begin(str(self.staging), self.record)

    def again(self) -> None:
        """Begin anew."""
        staged.discard(str(self.staging), self.record.places)
        restore.begin(str(self.staging), self.record)

    def check_record(self) -> None:
        """Make sure that the staging directory says what it said when it was begun."""
        assert read_record(str(self.staging)) == replace(self.record, own=self.staging.stat().st_ino)

    def contents(self) -> dict[str, str]:
        """Give all that was unpacked."""
        found = contents(self.staging) | contents(self.place) | contents(self.wal)
        return {name: text for name, text in found.items() if name not in (PLACE_MARK, RECORD)}

    def run(self, outside: bool = True, in_place: tuple[str, ...] = ()) -> None:
        """Unpack; WAL and tablespace go outside, or the WAL stays inside."""
        digest = read_manifest(str(self.stored.directory))[1]
        step = UnpackBackup(
            backup=str(self.stored.directory),
            path=str(self.staging),
            tablespaces={} if in_place else {"16384": str(self.place)},
            in_place=in_place,
            wal=str(self.wal) if outside else None,
            manifest_sha256=digest,
            size=0,
            segment_size=16 << 20,
        )
        restore.unpack(step, CommandRunner())

    def refused(self) -> str:
        """Unpack what has to be refused, and make sure that nothing else was touched; give what is said."""
        with pytest.raises(Error) as refusal:
            self.run()
        assert contents(self.directory / "others") == OUTSIDE
        assert sorted(os.listdir(self.directory / "others")) == ["a live cluster", "home"]
        places = {"stored", "data.restore", "a tablespace", "wal outside", "others"}
        assert set(os.listdir(self.directory)) <= places
        self.check_record()
        links = {os.readlink(path) for path in self.staging.rglob("*") if path.is_symlink()}
        assert links <= {str(self.place), str(self.wal)}
        return refusal.value.message

    def edit(self, archive: str, change: Callable[[tarfile.TarFile], object]) -> None:
        """Add to an archive that is not compressed."""
        with tarfile.open(self.stored.tar(archive), "a", format=tarfile.USTAR_FORMAT) as opened:
            change(opened)


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    """Provide a good backup, and where it can be unpacked."""
    return Subject(tmp_path)


@pytest.mark.parametrize("compression", SUFFIXES)
def test_a_backup_is_unpacked_so_that_it_cannot_start(tmp_path: Path, compression: str) -> None:
    subject = Subject(tmp_path, compression)
    subject.run()
    expected = {path: content for path, content in FILES.items() if path != CONTROL}
    assert {path: (subject.staging / path).read_bytes() for path in expected} == expected
    assert (subject.staging / HELD_CONTROL).read_bytes() == FILES[CONTROL]
    assert not (subject.staging / CONTROL).exists()
    assert os.readlink(subject.staging / "pg_tblspc/16384") == str(subject.place)
    assert {path: (subject.place / path).read_bytes() for path in TABLESPACE} == TABLESPACE
    assert os.readlink(subject.staging / "pg_wal") == str(subject.wal)
    assert sorted(os.listdir(subject.wal)) == [SEGMENT, "archive_status", PLACE_MARK]
    subject.check_record()


def test_wal_stays_inside_where_it_was_inside(subject: Subject) -> None:
    subject.run(outside=False)
    assert sorted(os.listdir(subject.staging / "pg_wal")) == [SEGMENT, "archive_status"]


def test_a_tablespace_in_place_stays_inside(subject: Subject) -> None:
    subject.run(in_place=("16384",))
    place = subject.staging / "pg_tblspc/16384"
    assert not place.is_symlink()
    assert {path: (place / path).read_bytes() for path in TABLESPACE} == TABLESPACE


def modes(*directories: Path) -> set[int]:
    """Give the modes of all that is below some directories, and of these; what is our own apart."""
    paths = [path for directory in directories for path in (directory, *directory.rglob("*"))]
    theirs = [path for path in paths if not path.is_symlink() and path.name not in (RECORD, PLACE_MARK)]
    return {stat.S_IMODE(path.lstat().st_mode) for path in theirs}


@pytest.mark.parametrize(("asked", "expected"), [(0o640, {0o750, 0o640}), (0o600, {0o700, 0o600})])
def test_a_group_reads_where_it_did(subject: Subject, asked: int, expected: set[int]) -> None:
    """The server's own file, which comes first, has the mode that its files have: 0640 after initdb -g."""
    subject.stored.mode = asked
    subject.stored.pack()
    previous = os.umask(0o077)
    try:
        subject.run()
    finally:
        os.umask(previous)
    assert modes(subject.staging, subject.place, subject.wal) == expected


def test_nobody_else_gets_a_right_and_nothing_runs_as_its_owner(subject: Subject) -> None:
    for name in ("a script", "open"):
        subject.stored.archives["base"][name] = b"x"
    subject.stored.pack()
    subject.stored.write_manifest()
    at = {"a script": 0o6777, "open": 0o666}
    with tarfile.open(subject.stored.tar("base"), "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in subject.stored.archives["base"].items():
            for parent in [*Path(name).parents][-2::-1]:
                if str(parent) not in archive.getnames():
                    add(archive, str(parent), tarfile.DIRTYPE, 0o2777)
            add(archive, name, tarfile.REGTYPE, at.get(name, 0o600), content)
        for name in ("pg_tblspc", "pg_wal"):
            add(archive, name, tarfile.DIRTYPE, 0o777)
    subject.run(outside=False)
    assert modes(subject.staging) == {0o700, 0o600}
    assert stat.S_IMODE((subject.staging / "a script").stat().st_mode) == 0o700


def test_what_earlier_restores_have_left_stays_in_the_backup(subject: Subject) -> None:
    """A record names directories that are in use; staging is discarded together with those that its record names."""
    in_use = subject.directory / "in use"
    restore.begin(f"{subject.directory}/stored/x", replace(RECORDED, places=(str(in_use),)))
    fill(in_use, {"PG_VERSION": "17"})
    record = (subject.directory / "stored/x" / RECORD).read_bytes()
    left = {RECORD: record, f"pgark.restore/{RECORD}": record, f"base/{RECORD}": b"not a record"}
    subject.stored.archives["base"].update(left)
    subject.stored.pack()
    subject.stored.write_manifest()
    subject.run()
    subject.check_record()
    assert (subject.staging / "base" / RECORD).exists()
    assert not (subject.staging / "pgark.restore").exists()
    subject.again()
    assert (in_use / "PG_VERSION").exists()


Change = Callable[[tarfile.TarFile], None]


def file(name: str, content: bytes = b"attack") -> Change:
    return lambda archive: add(archive, name, tarfile.REGTYPE, 0o600, content)


def directory(name: str) -> Change:
    return lambda archive: add(archive, name, tarfile.DIRTYPE, 0o700)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Change:
    return lambda archive: add(archive, name, kind, 0o777, link=target)


ATTACKS = [
    ("base", file("../others/home/authorized_keys"), "is not a plain relative path"),
    ("base", file(f"./{RECORD}"), "is not a plain relative path"),
    ("base", directory("."), "is not a plain relative path"),
    ("base", link("lnk", ".."), "is a link; only those in pg_tblspc"),
    ("base", link("hard", "../others/home/authorized_keys", tarfile.LNKTYPE), "is of type b'1'"),
    ("base", link("fifo", "", tarfile.FIFOTYPE), "is of type b'6'"),
    ("base", file("PG_VERSION"), "'PG_VERSION' has 6 bytes, the manifest says 3"),
    ("base", lambda archive: add(archive, "base", tarfile.DIRTYPE, 0o700), "'base' is in it twice"),
    (
        "base",
        lambda archive: add(archive, "PG_VERSION", tarfile.REGTYPE, 0o600, b"18\n"),
        "'PG_VERSION' is in it twice",
    ),
    ("base", file("new"), "'new' is in the backup but not in its manifest"),
    ("base", directory("a/b"), "'a/b' comes without the directory"),
    ("base", directory("PG_VERSION/b"), "comes without the directory"),
    ("16384", file("authorized_keys"), "does not belong into a tablespace"),
    ("16384", link("PG_17_202406281/5/1", "/"), "does not belong into a tablespace"),
    ("pg_wal", file("authorized_keys"), "is not a file of WAL"),
    ("pg_wal", file(SEGMENT), f"'{SEGMENT}' is in it twice"),
]


@pytest.mark.parametrize("size", [9 << 30, 4 << 40])
@pytest.mark.parametrize("archive", ["base", "pg_wal"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_hole_behind_the_end_of_an_archive_keeps_nobody_waiting(
    tmp_path: Path, compression: str, archive: str, size: int
) -> None:
    """It takes no room, whoever reads it reads zeros for hours, and gzip skips them without a word."""
    subject = Subject(tmp_path, compression)
    os.truncate(subject.stored.tar(archive), size)
    assert f"has {size} bytes, expected " in subject.refused()


def zeros(archive: tarfile.TarFile) -> None:
    """Write more zeros behind the end than fill a record."""
    assert archive.fileobj is not None
    archive.fileobj.write(bytes(10753))


def hole(name: str, size: int) -> Change:
    """Announce a member with more content than is there."""

    def add_to(archive: tarfile.TarFile) -> None:
        member = tarfile.TarInfo(name)
        member.size = size
        archive.addfile(member)

    return add_to


@pytest.mark.parametrize(
    ("archive", "change", "message"),
    [
        ("base", zeros, "more than 10240 bytes of zeros"),
        ("base", hole("pgark.x", 1 << 32), "'pgark.x' is in the backup but not in its manifest"),
        ("pg_wal", hole("000000010000000000000003", (16 << 20) + 1), "bytes, expected 16777216 at most"),
        ("pg_wal", hole("00000002.history", 2 << 20), "bytes, expected 1048576 at most"),
    ],
)
def test_what_has_no_end_is_refused_by_its_size(subject: Subject, archive: str, change: Change, message: str) -> None:
    subject.edit(archive, change)
    assert message in subject.refused()


@pytest.mark.parametrize(("archive", "change", "message"), ATTACKS)
def test_what_no_backup_has_is_refused_and_nothing_outside_is_touched(
    subject: Subject, archive: str, change: Change, message: str
) -> None:
    subject.edit(archive, change)
    said = subject.refused()
    assert f"{archive}.tar cannot be unpacked: " in said
    assert message in said


@pytest.mark.parametrize("name", ["pg_tblspc", "pg_wal", "base"])
def test_a_directory_that_is_a_link_is_refused(subject: Subject, name: str) -> None:
    """What follows in it, or in another archive, would be written where it leads."""
    target = str(subject.directory / "others" / "home")
    members = {path: content for path, content in FILES.items() if path != "base/1/1259"}
    with tarfile.open(subject.stored.tar("base"), "w", format=tarfile.USTAR_FORMAT) as archive:
        add(archive, name, tarfile.SYMTYPE, 0o777, link=target)
        add(archive, "global", tarfile.DIRTYPE, 0o700)
        for path, content in members.items():
            add(archive, path, tarfile.REGTYPE, 0o600, content)
    assert f"'{name}' is a link" in subject.refused()


def test_a_link_that_somebody_plants_meanwhile_is_not_followed(subject: Subject) -> None:
    home = subject.directory / "others" / "home"
    (subject.staging / "base").symlink_to(home)
    with pytest.raises((Error, OSError)):
        subject.run()
    assert contents(subject.directory / "others") == OUTSIDE


@pytest.mark.parametrize(
    ("name", "message"), [("data.tar", "'data.tar' is not the name"), ("9.tar", "backup.json does")]
)
def test_an_archive_that_no_backup_has_is_refused(subject: Subject, name: str, message: str) -> None:
    with tarfile.open(subject.stored.directory / name, "w"):
        pass
    assert message in subject.refused()


def test_an_archive_that_is_missing_is_named(subject: Subject) -> None:
    subject.stored.tar("16384").unlink()
    assert "the archive 16384.tar is not there" in subject.refused()


def test_an_archive_is_a_regular_file(subject: Subject) -> None:
    """A pipe would keep whoever opens it waiting for ever."""
    path = subject.stored.tar("base")
    path.unlink()
    os.mkfifo(path)
    assert f"{path} is not a regular file" in subject.refused()


@pytest.mark.parametrize("keep", [0, 100, 600, 0.3, 0.6])
@pytest.mark.parametrize("compression", SUFFIXES)
def test_an_archive_that_is_cut_off_is_an_error(tmp_path: Path, compression: str, keep: float) -> None:
    subject = Subject(tmp_path, compression)
    path = subject.stored.tar("base")
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else min(keep, len(content) - 1)])
    assert f"{path} cannot be unpacked: " in subject.refused()


def test_a_manifest_that_was_edited_is_not_believed(subject: Subject) -> None:
    step = UnpackBackup(str(subject.stored.directory), str(subject.staging), {}, (), None, "of another", 0)
    with pytest.raises(Error, match=r"backup_manifest was changed: its SHA-256 is .*, backup.json says of another"):
        restore.unpack(step, CommandRunner())
    assert os.listdir(subject.staging) == [RECORD]


def test_room_is_left_for_the_server(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was free when it was looked for: the server has gone on writing since."""
    monkeypatch.setattr(unpack, "reserve", lambda total: total + 1)
    said = subject.refused()
    assert f"the file system of {subject.staging} is full, or nearly so" in said


def test_inodes_are_left_for_the_server(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fstatvfs

    def full(descriptor: int) -> SimpleNamespace:
        found = real(descriptor)
        names = ("f_bavail", "f_blocks", "f_frsize")
        return SimpleNamespace(f_files=100_000, f_favail=4_999, **{name: getattr(found, name) for name in names})

    monkeypatch.setattr(os, "fstatvfs", full)
    assert f"the file system of {subject.staging} is full, or nearly so" in subject.refused()


@pytest.mark.parametrize("archive", ["base", "16384"])
def test_directories_without_number_are_refused_before_they_take_all_inodes(subject: Subject, archive: str) -> None:
    top = "" if archive == "base" else next(iter(TABLESPACE)).split("/")[0] + "/"

    def add_many(opened: tarfile.TarFile) -> None:
        for number in range(2000):
            add(opened, f"{top}d{number}", tarfile.DIRTYPE, 0o700)

    subject.edit(archive, add_many)
    assert "directories, for the" in subject.refused()
    made = sum(path.is_dir() for tree in (subject.staging, subject.place) for path in tree.rglob("*"))
    assert made < 1100


def test_unpacking_that_is_killed_can_be_repeated(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = len(changes_of(monkeypatch, subject.run))
    whole = subject.contents()
    assert moments > 10
    for moment in range(1, moments + 1):
        subject.again()
        with killed_at(monkeypatch, moment), pytest.raises(Killed):
            subject.run()
    subject.again()
    subject.run()
    assert subject.contents() == whole
    assert contents(subject.directory / "others") == OUTSIDE
