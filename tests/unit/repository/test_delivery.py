# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan counts on what `pgark-wal get` delivers and on nothing else: each archived form is asked of both."""

from __future__ import annotations

import os
import socket
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._repository.layout import Layout
from ansible_collections.pgark.postgres.plugins.module_utils._repository.observe import require
from ansible_collections.pgark.postgres.plugins.module_utils._repository.observe_catalog import read_catalog
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import TimelinePath
from ansible_collections.pgark.postgres.plugins.module_utils._wal.pages import Place
from ansible_collections.pgark.postgres.plugins.module_utils._windows.segments import bring
from tests.unit.wal_program.harness import MB, NAME, Repository, get, segment, sha256_line

WHOLE = segment()[:8192].ljust(MB, b"\0")
OTHER = segment(seed=7)[:8192].ljust(MB, b"\0")
PACKERS = {"gzip": "gzip -1 -c", "zstd": "zstd -q -1 --check -c", "lz4": "lz4 -q -1 --frame-crc -z -c"}
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\0\0\0skip"
PLACE = (1, 3)


def packed(compression: str, content: bytes = WHOLE, more: str = "") -> bytes:
    argv = f"{PACKERS[compression]} {more}".split()
    return subprocess.run(argv, input=content, capture_output=True, check=True).stdout


class Archived:
    """A repository in which the forms of one segment are put."""

    def __init__(self, path: Path) -> None:
        self.repository = Repository.create(path)
        self.directory = self.repository.archived().parent
        self.directory.mkdir(mode=0o750)
        (path / "main/backup").mkdir(mode=0o750)

    def form(self, compression: str, content: bytes, name: str = NAME, directory: str | None = None) -> Path:
        path = self.repository.archived(name, compression)
        if directory is not None:
            path = path.parent.with_name(directory) / path.name
        path.parent.mkdir(mode=0o750, exist_ok=True)
        path.write_bytes(content)
        return path

    def plain(self, content: bytes = WHOLE, line: str | None = None, name: str = NAME) -> None:
        self.form("none", content, name)
        (self.directory / f"{name}.sha256").write_text(sha256_line(name, content) if line is None else line)

    def planned(self, target: Path) -> bytes | None:
        """Give what the plan reads for the segment, None where it finds none or refuses it."""
        layout = Layout(str(self.repository.path), "main")
        try:
            file = read_catalog(layout).files.get(PLACE)
        except Error:
            return None
        if file is None:
            return None
        place = Place(require(layout), TimelinePath.parse(1, ""), PLACE[1])
        return target.read_bytes() if bring([file], place, str(target)).problem is None else None

    def delivered(self, target: Path, name: str = NAME) -> bytes | None:
        """Give what a server gets."""
        return target.read_bytes() if get(self.repository, name, target).returncode == 0 else None


@pytest.fixture
def archived(tmp_path: Path) -> Archived:
    """Provide an archive without a segment."""
    return Archived(tmp_path / "repository")


DIGEST = sha256_line(NAME, WHOLE).split()[0]
LINES = {
    "as sha256sum writes it": (f"{DIGEST}  {NAME}\n", True),
    "with a path": (f"{DIGEST}  /srv/wal/{NAME}\n", False),
    "of a binary file": (f"{DIGEST} *{NAME}\n", False),
    "in upper case": (f"{DIGEST.upper()}  {NAME}\n", False),
    "without a line break": (f"{DIGEST}  {NAME}", False),
    "with a carriage return": (f"{DIGEST}  {NAME}\r\n", False),
    "with another line": (f"{DIGEST}  {NAME}\n{DIGEST}  {NAME}.x\n", False),
    "with one space": (f"{DIGEST} {NAME}\n", False),
    "without a name": (f"{DIGEST}\n", False),
    "of another name": (f"{DIGEST}  {NAME[:-1]}4\n", False),
    "of other bytes": (sha256_line(NAME, OTHER), False),
    "empty": ("", False),
}


@pytest.mark.parametrize("line", LINES)
def test_a_checksum_beside_a_segment_is_judged_alike(archived: Archived, tmp_path: Path, line: str) -> None:
    text, whole = LINES[line]
    archived.plain(line=text)
    expected = WHOLE if whole else None
    assert archived.delivered(tmp_path / "got") == expected
    assert archived.planned(tmp_path / "read") == expected


def halves(compression: str) -> bytes:
    return packed(compression, WHOLE[: MB // 2]) + packed(compression, WHOLE[MB // 2 :])


COMPRESSED: dict[str, tuple[Callable[[str], bytes], bool]] = {
    "one frame": (packed, True),
    "of small blocks": (lambda c: packed(c, more={"lz4": "-B4 -BX", "zstd": "-19", "gzip": "-9"}[c]), True),
    "two frames": (halves, False),
    "an empty frame behind it": (lambda c: packed(c) + packed(c, b""), False),
    "zeros behind it": (lambda c: packed(c) + bytes(512), False),
    "a byte behind it": (lambda c: packed(c) + b"x", False),
    "a skippable frame behind it": (lambda c: packed(c) + SKIPPABLE, False),
    "a skippable frame before it": (lambda c: SKIPPABLE + packed(c), False),
    "cut off": (lambda c: packed(c)[:-1], False),
    "cut off in its header": (lambda c: packed(c)[:4], False),
    "a page too long": (lambda c: packed(c, WHOLE + bytes(8192)), False),
    "a page too short": (lambda c: packed(c, WHOLE[:-8192]), False),
    "that never seems to end": (lambda c: packed(c, WHOLE + bytes(64 * MB)), False),
    "of another format": (lambda c: packed("gzip" if c != "gzip" else "zstd"), False),
    "of nothing": (lambda c: packed(c, b""), False),
}


@pytest.mark.parametrize("compression", PACKERS)
@pytest.mark.parametrize("form", COMPRESSED)
def test_a_compressed_segment_is_judged_alike(archived: Archived, tmp_path: Path, form: str, compression: str) -> None:
    make, whole = COMPRESSED[form]
    archived.form(compression, make(compression))
    expected = WHOLE if whole else None
    assert archived.delivered(tmp_path / "got") == expected
    assert archived.planned(tmp_path / "read") == expected
    assert not list(tmp_path.glob("*tmp")), "nothing half-read stays"


def deflated(content: bytes) -> bytes:
    """Give a gzip member with a name and a comment, of blocks that are stored."""
    stream = zlib.compressobj(0, zlib.DEFLATED, -15)
    head = b"\x1f\x8b\x08\x18" + bytes(6) + b"name\0comment\0"
    check = zlib.crc32(content).to_bytes(4, "little") + (len(content) % 2**32).to_bytes(4, "little")
    return head + stream.compress(content) + stream.flush() + check


def with_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(path.parent, os.O_RDONLY)
        listening.bind(f"/proc/self/fd/{here}/{path.name}")  # a path of a socket is short
        os.close(here)


def hole(path: Path, size: int) -> None:
    path.touch()
    os.truncate(path, size)


ODD: dict[str, tuple[Callable[[Archived], object], bytes | None]] = {
    "zstd without a checksum": (lambda a: a.form("zstd", packed("zstd", more="--no-check")), None),
    "lz4 without a checksum": (lambda a: a.form("lz4", packed("lz4", more="--no-frame-crc")), None),
    "gzip of stored blocks": (lambda a: a.form("gzip", deflated(WHOLE)), WHOLE),
    "there, and in another directory": (
        lambda a: [a.form("gzip", packed("gzip", OTHER), directory="0000000100000001"), a.form("gzip", packed("gzip"))],
        WHOLE,
    ),
    "in a directory that all may write in": (
        lambda a: [a.form("gzip", packed("gzip")), a.directory.chmod(0o777)],
        None,
    ),
    "in a directory that others may write in": (lambda a: [a.plain(), a.directory.chmod(0o752)], None),
    "in a directory that the group may write in": (lambda a: [a.plain(), a.directory.chmod(0o770)], WHOLE),
    "a file that all may write in": (lambda a: a.form("gzip", packed("gzip")).chmod(0o666), WHOLE),
    "a link": (lambda a: a.form("gzip", packed("gzip")).rename(a.directory / "x").parent.joinpath(
        f"{NAME}.gz").symlink_to("x"), None),
    "a FIFO": (lambda a: os.mkfifo(a.directory / f"{NAME}.zst"), None),
    "a socket": (lambda a: with_socket(a.directory / NAME), None),
    "a directory": (lambda a: (a.directory / f"{NAME}.lz4").mkdir(), None),
    "a hole": (lambda a: [a.plain(b""), hole(a.directory / NAME, 1 << 40)], None),
    "a compressed hole": (lambda a: hole(a.directory / f"{NAME}.gz", 1 << 40), None),
    "a frame and a hole": (lambda a: hole(a.form("zstd", packed("zstd")), 1 << 40), None),
    "with holes": (lambda a: [a.plain(), hole(a.form("none", WHOLE[:8192]), MB)], WHOLE),
    "a link to a checksum": (
        lambda a: [a.plain(), (a.directory / f"{NAME}.sha256").rename(a.directory / "x").parent.joinpath(
            f"{NAME}.sha256").symlink_to("x")], None),
    "no checksum": (lambda a: a.form("none", WHOLE), None),
    "another segment": (lambda a: a.plain(segment("000000010000000000000004")), None),
    "of another cluster": (lambda a: a.plain(segment(system_identifier=7)), None),
    "of another version": (lambda a: a.plain(segment(version=16)), None),
    "damaged, and compressed": (lambda a: [a.plain(line="x"), a.form("zstd", packed("zstd"))], WHOLE),
    "whole, and damaged compressed": (lambda a: [a.plain(), a.form("zstd", b"x")], WHOLE),
    "two whole ones that differ": (lambda a: [a.form("gzip", packed("gzip", OTHER)), a.plain()], WHOLE),
    "two compressed ones that differ": (
        lambda a: [a.form("gzip", packed("gzip", OTHER)), a.form("lz4", packed("lz4"))],
        WHOLE,
    ),
    "without a checksum, and compressed": (lambda a: [a.form("none", OTHER), a.form("gzip", packed("gzip"))], WHOLE),
    "a link, and compressed": (
        lambda a: [(a.directory / NAME).symlink_to("/dev/zero"), a.form("lz4", packed("lz4"))],
        WHOLE,
    ),
    "of a cluster that pgark-wal does not know": (
        lambda a: [a.plain(), (a.repository.path / "main/cluster.json").write_text(
            (a.repository.path / "main/cluster.json").read_text().replace("170010", "990010"))], None),
}  # fmt: skip


@pytest.mark.parametrize("form", ODD)
def test_what_is_odd_is_judged_alike(archived: Archived, tmp_path: Path, form: str) -> None:
    make, expected = ODD[form]
    make(archived)
    assert archived.delivered(tmp_path / "got") == expected
    assert archived.planned(tmp_path / "read") == expected


@pytest.mark.parametrize(
    ("name", "directory"),
    [
        (NAME, "0000000100000001"),
        ("00000001000000000000000a", "0000000100000000"),
        ("00000001000000000000000A", "000000010000000a"),
        (
            f"{1:08X}{0:08X}{4096 + 3:08X}",
            "0000000100000000",
        ),  # after which 1 MB segments would be of the next log file
        (f"{NAME}.gz", "0000000100000000"),
    ],
)
def test_what_no_server_asks_for_is_no_segment(archived: Archived, name: str, directory: str) -> None:
    archived.form("gzip", packed("gzip"), name, directory)
    found = read_catalog(Layout(str(archived.repository.path), "main"))
    assert (found.files, found.wal) == ({}, ())


CHANGES: dict[str, Callable[[Archived], object]] = {
    "the checksum is gone": lambda a: (a.directory / f"{NAME}.sha256").unlink(),
    "the checksum is another file": lambda a: [
        (a.directory / f"{NAME}.sha256").unlink(),
        (a.directory / f"{NAME}.sha256").write_text("x"),
    ],
    "all may write in the directory": lambda a: a.directory.chmod(0o777),
    "there is another form": lambda a: a.form("zstd", packed("zstd")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_read_is_known_again_only_while_all_that_get_looks_at_is_the_same(
    archived: Archived, change: str
) -> None:
    layout = Layout(str(archived.repository.path), "main")
    archived.plain()
    before = read_catalog(layout).files[PLACE]
    assert read_catalog(layout).files[PLACE] == before
    CHANGES[change](archived)
    assert read_catalog(layout).files[PLACE].state != before.state


def test_a_form_that_is_passed_over_is_named(archived: Archived, tmp_path: Path) -> None:
    archived.plain(line="x")
    archived.form("zstd", packed("zstd"))
    layout = Layout(str(archived.repository.path), "main")
    file, place = read_catalog(layout).files[PLACE], Place(require(layout), TimelinePath.parse(1, ""), PLACE[1])
    text = bring([file], place, str(tmp_path / "read")).passed_over
    assert text is not None
    assert text.startswith(f"{archived.directory / NAME} is damaged: ")
    assert text.endswith("; recovery reads another form of it instead")


def test_what_get_delivers_is_not_read_from_another_repository_however_damaged(tmp_path: Path) -> None:
    """A page of another place under a good checksum: a server is given that, and asks nobody else."""
    damaged, other = Archived(tmp_path / "first"), Archived(tmp_path / "second")
    damaged.plain(WHOLE[:8192] + WHOLE[:8192] + WHOLE[16384:])
    other.plain()
    layouts = [Layout(str(each.repository.path), "main") for each in (damaged, other)]
    files = [read_catalog(layout).files[PLACE] for layout in layouts]
    place = Place(require(layouts[0]), TimelinePath.parse(1, ""), PLACE[1])
    assert damaged.delivered(tmp_path / "got") is not None
    assert "says that it is that at" in str(bring(files, place, str(tmp_path / "read")).problem)
    (damaged.directory / f"{NAME}.sha256").unlink()
    assert bring(files, place, str(tmp_path / "read")).problem is None


def test_no_room_is_no_damage(archived: Archived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archived.form("zstd", b"x")
    layout = Layout(str(archived.repository.path), "main")
    file, place = read_catalog(layout).files[PLACE], Place(require(layout), TimelinePath.parse(1, ""), PLACE[1])
    assert bring([file], place, str(tmp_path / "read")).problem is not None
    found = os.statvfs(tmp_path)
    full = os.statvfs_result((*found[:4], 0, *found[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _path: full)
    with pytest.raises(OSError, match="No space left on device"):
        bring([file], place, str(tmp_path / "read"))
