# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a get delivers, and when it may say that a file is not there: PostgreSQL takes that for the end of WAL."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.wal_program.harness import (
    BACKUP_HISTORY,
    HISTORY,
    MB,
    NAME,
    Repository,
    assert_done,
    assert_failed,
    get,
    load,
    push,
    run,
    segment,
    sha256_line,
    without_power_over_files,
    write_segment,
)

ABSENT = [NAME, f"{NAME}.partial", "00000002.history", f"{NAME}.00000028.backup"]


@pytest.fixture
def restored(tmp_path: Path) -> Path:
    """Return where PostgreSQL wants a file, in a directory that nothing else is in."""
    directory = tmp_path / "new data" / "pg_wal"
    directory.mkdir(parents=True)
    return directory / "RECOVERYXLOG"


def archive(repository: Repository, pg_wal: Path, compression: str) -> bytes:
    path = write_segment(pg_wal)
    assert_done(push(repository, path, compression))
    return path.read_bytes()


def test_a_segment_comes_back_as_it_was(repository: Repository, pg_wal: Path, restored: Path, compression: str) -> None:
    content = archive(repository, pg_wal, compression)
    assert_done(get(repository, NAME, restored))
    assert restored.read_bytes() == content
    assert [entry.name for entry in restored.parent.iterdir()] == ["RECOVERYXLOG"]


@pytest.mark.parametrize(
    ("name", "content"), [("00000002.history", HISTORY), (f"{NAME}.00000028.backup", BACKUP_HISTORY)]
)
def test_history_files_come_back(
    name: str, content: bytes, repository: Repository, pg_wal: Path, restored: Path
) -> None:
    assert_done(push(repository, write_segment(pg_wal, name, content)))
    assert_done(get(repository, name, restored))
    assert restored.read_bytes() == content


def test_what_is_in_the_way_is_replaced(repository: Repository, pg_wal: Path, restored: Path) -> None:
    content = archive(repository, pg_wal, "lz4")
    restored.write_bytes(b"old")
    restored.with_name("RECOVERYXLOG.pgark-tmp").write_bytes(b"left by a get that was killed")
    assert_done(get(repository, NAME, restored))
    assert restored.read_bytes() == content
    assert [entry.name for entry in restored.parent.iterdir()] == ["RECOVERYXLOG"]


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o027, 0o640), (0o022, 0o640)])
def test_a_delivered_file_has_the_mode_of_the_server_s_files(
    umask: int, mode: int, repository: Repository, pg_wal: Path, restored: Path
) -> None:
    archive(repository, pg_wal, "none")
    assert_done(get(repository, NAME, restored, preexec_fn=lambda: os.umask(umask)))
    assert restored.stat().st_mode & 0o7777 == mode


def test_a_segment_behind_the_last_one_that_is_wanted_is_absent(
    repository: Repository, pg_wal: Path, restored: Path
) -> None:
    third, fourth, forked = "000000010000000000000003", "000000010000000000000004", "000000020000000000000004"
    for name in (third, fourth, forked):
        assert_done(push(repository, write_segment(pg_wal, name)))
    through = (*repository.options(), "--absent-status", "44", "--through", third)
    for name in (fourth, forked):
        assert_failed(run("get", *through, name, restored), 44, f"what is to be recovered ends with {third}")
    assert not any(restored.parent.iterdir())
    assert_done(run("get", *through, third, restored))


@pytest.mark.parametrize("name", ABSENT)
@pytest.mark.parametrize("others", [False, True], ids=["empty", "other files are there"])
def test_a_file_that_is_not_there_is_absent(
    others: bool, name: str, repository: Repository, pg_wal: Path, restored: Path
) -> None:
    if others:
        other = "000000010000000000000004"
        assert_done(push(repository, write_segment(pg_wal, other)))
    words = f"{name} is not in the archive of main in {repository.path}"
    assert_failed(get(repository, name, restored), 1, words)
    assert_failed(run("get", *repository.options(), "--absent-status", "44", name, restored), 44, words)
    assert not any(restored.parent.iterdir())


DAMAGE: dict[str, Callable[[Path], object]] = {
    "repository gone": shutil.rmtree,
    "mount point empty": lambda path: [shutil.rmtree(path), path.mkdir()],
    "marker gone": lambda path: (path / "repository.json").unlink(),
    "marker is nonsense": lambda path: (path / "repository.json").write_text("{}"),
    "marker is a FIFO": lambda path: [(path / "repository.json").unlink(), os.mkfifo(path / "repository.json")],
    "marker is a link": lambda path: [
        (path / "repository.json").unlink(),
        (path / "repository.json").symlink_to("/dev/zero"),
    ],
    "cluster gone": lambda path: shutil.rmtree(path / "main"),
    "identity gone": lambda path: (path / "main/cluster.json").unlink(),
    "archive gone": lambda path: shutil.rmtree(path / "main/wal"),
    "archive is a file": lambda path: [shutil.rmtree(path / "main/wal"), (path / "main/wal").write_text("")],
    "writable by others": lambda path: (path / "main/wal").chmod(0o777),
    "symlink": lambda path: [(path / "main").rename(path / "x"), (path / "main").symlink_to("x")],
    "no permission for the repository": lambda path: path.chmod(0),
    "no permission for the marker": lambda path: (path / "repository.json").chmod(0),
    "no permission for the cluster": lambda path: (path / "main").chmod(0),
    "no permission for the archive": lambda path: (path / "main/wal").chmod(0),
    "archive cannot be listed": lambda path: (path / "main/wal").chmod(0o300),
    "archive cannot be entered": lambda path: (path / "main/wal").chmod(0o600),
}


@pytest.mark.parametrize("name", [NAME, "000000010000000100000000", "00000002.history"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_repository_that_cannot_be_read_is_not_the_end_of_wal(
    damage: str, name: str, repository: Repository, pg_wal: Path, restored: Path
) -> None:
    archive(repository, pg_wal, "gzip")
    DAMAGE[damage](repository.path)
    done = get(repository, name, restored, prefix=without_power_over_files())
    for path in (repository.path, repository.path / "main", repository.wal):  # or pytest could not remove them
        if path.is_dir():
            path.chmod(0o750)
    assert_failed(done, 200, name, str(repository.path))
    assert not any(restored.parent.iterdir())


@pytest.mark.parametrize("what", ["directory", "segment"])
def test_a_segment_that_may_not_be_read_is_not_the_end_of_wal(
    what: str, repository: Repository, pg_wal: Path, restored: Path, compression: str
) -> None:
    archive(repository, pg_wal, compression)
    archived = repository.archived(NAME, compression)
    path = archived.parent if what == "directory" else archived
    path.chmod(0)
    done = get(repository, NAME, restored, prefix=without_power_over_files())
    path.chmod(0o750)
    assert_failed(done, 200, NAME, f"Permission denied: {path}")


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)


CORRUPTION: dict[str, Callable[[Path], object]] = {
    "bit flipped at the start": lambda path: flip(path, 20),
    "bit flipped in the middle": lambda path: flip(path, path.stat().st_size // 2),
    "bit flipped at the end": lambda path: flip(path, -2),
    "last byte cut off": lambda path: os.truncate(path, path.stat().st_size - 1),
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "a byte appended": lambda path: path.write_bytes(path.read_bytes() + b"\x01"),
    "zeros in the middle": lambda path: path.write_bytes(
        path.read_bytes()[: MB // 8].ljust(path.stat().st_size, b"\0")
    ),
    "a directory": lambda path: [path.unlink(), path.mkdir()],
    "a FIFO": lambda path: [path.unlink(), os.mkfifo(path)],
    "a symlink": lambda path: [path.rename(path.with_name("x")), path.symlink_to("x")],
}


@pytest.mark.parametrize("corruption", CORRUPTION)
def test_a_corrupt_segment_is_never_delivered(
    corruption: str, repository: Repository, pg_wal: Path, restored: Path, compression: str
) -> None:
    archive(repository, pg_wal, compression)
    archived = repository.archived(NAME, compression)
    CORRUPTION[corruption](archived)
    assert_failed(get(repository, NAME, restored), 200, archived.name, str(repository.path))
    assert not any(restored.parent.iterdir())


@pytest.mark.parametrize("sidecar", [None, "", "nonsense\n", sha256_line(NAME, b"other"), "\xff"])
def test_a_plain_segment_without_its_checksum_is_not_delivered(
    sidecar: str | None, repository: Repository, pg_wal: Path, restored: Path
) -> None:
    archive(repository, pg_wal, "none")
    path = repository.archived().with_suffix(".sha256")
    path.unlink()
    if sidecar is not None:
        path.write_text(sidecar, encoding="latin-1")
    assert_failed(get(repository, NAME, restored), 200, "SHA-256", f"{NAME}.sha256")
    assert not any(restored.parent.iterdir())


@pytest.mark.parametrize(
    ("compression", "command"), [("zstd", "zstd -q --no-check -c"), ("lz4", "lz4 -q --no-frame-crc -c")]
)
def test_a_compressed_segment_without_a_checksum_is_not_delivered(
    compression: str, command: str, repository: Repository, restored: Path
) -> None:
    archived = repository.archived(NAME, compression)
    archived.parent.mkdir(mode=0o750)
    archived.write_bytes(subprocess.run(command.split(), input=segment(), capture_output=True, check=True).stdout)
    assert_failed(get(repository, NAME, restored), 200, "unverifiable")


def test_a_segment_of_another_name_is_not_delivered(
    repository: Repository, pg_wal: Path, restored: Path, compression: str
) -> None:
    archive(repository, pg_wal, compression)
    wanted = "000000010000000000000004"
    shutil.copy(repository.archived(NAME, compression), repository.archived(wanted, compression))
    repository.archived(wanted).with_suffix(".sha256").write_text(sha256_line(wanted, segment()))
    assert_failed(get(repository, wanted, restored), 200, "page address 0/300000, expected 0/400000")


def test_something_huge_is_given_up(
    repository: Repository,
    pg_wal: Path,
    restored: Path,
    compression: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    archive(repository, pg_wal, compression)
    repository.holding(MB - 1)
    pgark_wal = load()
    monkeypatch.setattr(pgark_wal, "SEGMENT_SIZES", [MB - 1])
    assert pgark_wal.main(["get", *repository.options(), NAME, str(restored)]) == 200
    assert f"more than {MB - 1} bytes" in capfd.readouterr().err
    assert not any(restored.parent.iterdir())


@pytest.mark.parametrize("good", ["gzip", "lz4", "zstd"])
def test_another_form_is_tried_when_one_is_corrupt(
    good: str, repository: Repository, pg_wal: Path, restored: Path
) -> None:
    content = archive(repository, pg_wal, good)
    repository.archived().write_bytes(b"rubbish")
    done = get(repository, NAME, restored)
    assert done.returncode == 0
    assert "delivered" in done.stderr
    assert restored.read_bytes() == content


def test_the_next_repository_is_tried_when_a_segment_is_corrupt_or_absent(
    repository: Repository, pg_wal: Path, restored: Path, tmp_path: Path
) -> None:
    empty, corrupt = Repository.create(tmp_path / "empty"), Repository.create(tmp_path / "corrupt")
    content = archive(repository, pg_wal, "zstd")
    archive(corrupt, pg_wal, "zstd")
    os.truncate(corrupt.archived(NAME, "zstd"), 1000)
    options = [option for each in (empty, corrupt, repository) for option in ("--repository", str(each.path))]
    done = run("get", *options, "--cluster", "main", NAME, restored)
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert f"{NAME}.zst" in done.stderr
    assert str(corrupt.path) in done.stderr
    assert restored.read_bytes() == content


def test_a_file_is_absent_only_if_every_repository_could_be_read(
    repository: Repository, restored: Path, tmp_path: Path
) -> None:
    second = Repository.create(tmp_path / "second")
    argv = ["get", *repository.options(), "--repository", str(second.path), NAME, str(restored)]
    assert_failed(run(*argv), 1, str(repository.path), str(second.path))
    (second.path / "repository.json").unlink()
    assert_failed(run(*argv), 200, str(second.path))
    (second.path / "repository.json").write_text('{"format": 1, "id": "x"}')
    (repository.path / "repository.json").unlink()
    assert_failed(run(*argv), 200, str(repository.path))


def test_a_place_that_cannot_be_written_is_not_the_end_of_wal(
    repository: Repository, pg_wal: Path, tmp_path: Path
) -> None:
    archive(repository, pg_wal, "gzip")
    assert_failed(get(repository, NAME, tmp_path / "missing" / "RECOVERYXLOG"), 200, "No such file")


def test_a_missing_decompressor_is_not_the_end_of_wal(
    repository: Repository,
    pg_wal: Path,
    restored: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    archive(repository, pg_wal, "zstd")
    pgark_wal = load()
    monkeypatch.setitem(pgark_wal.DECOMPRESSORS, ".zst", "no-such-program -d")
    assert pgark_wal.main(["get", *repository.options(), NAME, str(restored)]) == 200
    assert "HINT: install it" in capfd.readouterr().err
