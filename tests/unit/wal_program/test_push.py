# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a push leaves in the repository, and what it refuses to touch."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.wal_program.harness import (
    BACKUP_HISTORY,
    COMPRESSIONS,
    HISTORY,
    MB,
    NAME,
    Repository,
    assert_done,
    assert_failed,
    push,
    run,
    segment,
    sha256_line,
    without_power_over_files,
    write_segment,
)

UNCOMPRESSED = {
    "00000002.history": (HISTORY, HISTORY.replace(b"specified", b"SPECIFIED")),
    f"{NAME}.00000028.backup": (BACKUP_HISTORY, BACKUP_HISTORY + b"STOP WAL LOCATION: 0/3000100\n"),
}
READERS = {
    "gzip": ["gzip", "-d", "-c"],
    "lz4": ["lz4", "-d", "-c", "-q"],
    "zstd": ["zstd", "-d", "-c", "-q"],
}


def identity(path: Path) -> tuple[int, int, bytes]:
    """Return what changes when a file is replaced or written to."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, path.read_bytes()


def test_a_segment_is_stored_in_a_form_that_the_usual_programs_read(
    repository: Repository, pg_wal: Path, compression: str
) -> None:
    path = write_segment(pg_wal)
    assert_done(push(repository, path, compression))
    archived = repository.archived(NAME, compression)
    if compression == "none":
        assert archived.read_bytes() == path.read_bytes()
        assert repository.files() == {NAME, f"{NAME}.sha256"}
        assert archived.with_suffix(".sha256").read_text() == sha256_line(NAME, path.read_bytes())
        subprocess.run(["sha256sum", "--check", f"{NAME}.sha256"], cwd=archived.parent, check=True, capture_output=True)
    else:
        assert repository.files() == {archived.name}
        form = archived.read_bytes()
        assert (
            subprocess.run(READERS[compression], input=form, capture_output=True, check=True).stdout
            == path.read_bytes()
        )


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_compressed_file_carries_a_checksum_of_its_content(
    compression: str, repository: Repository, pg_wal: Path
) -> None:
    assert_done(push(repository, write_segment(pg_wal), compression))
    assert repository.archived(NAME, compression).read_bytes()[4] & 0x04


@pytest.mark.parametrize("name", UNCOMPRESSED)
def test_history_files_are_never_compressed(name: str, repository: Repository, pg_wal: Path, compression: str) -> None:
    assert_done(push(repository, write_segment(pg_wal, name, UNCOMPRESSED[name][0]), compression))
    assert repository.files() == {name}
    assert repository.archived(name).read_bytes() == UNCOMPRESSED[name][0]


@pytest.mark.parametrize("later", COMPRESSIONS)
def test_the_same_segment_again_is_a_success_that_changes_nothing(
    later: str, repository: Repository, pg_wal: Path, compression: str
) -> None:
    path = write_segment(pg_wal)
    assert_done(push(repository, path, compression))
    archived = repository.archived(NAME, compression)
    before, files = identity(archived), repository.files()
    assert_done(push(repository, path, later))
    assert identity(archived) == before
    assert repository.files() == files


@pytest.mark.parametrize("later", COMPRESSIONS)
def test_another_segment_under_the_same_name_is_refused_and_the_archived_one_untouched(
    later: str, repository: Repository, pg_wal: Path, compression: str
) -> None:
    assert_done(push(repository, write_segment(pg_wal), compression))
    archived = repository.archived(NAME, compression)
    before, files = identity(archived), repository.files()
    other = segment()[:-1] + b"x"
    assert_failed(push(repository, write_segment(pg_wal, content=other), later), 1, archived.name, "HINT")
    assert identity(archived) == before
    assert repository.files() == files


def test_a_timeline_that_is_left_twice_leaves_two_partial_segments_side_by_side(
    repository: Repository, pg_wal: Path, compression: str
) -> None:
    name = f"{NAME}.partial"
    contents = [segment(), segment(seed=1), segment(seed=2)]
    assert_done(push(repository, write_segment(pg_wal, name, contents[0]), compression))
    first = repository.archived(name, compression)
    before = identity(first)
    for content in [*contents[1:], *contents]:
        assert_done(push(repository, write_segment(pg_wal, name, content), compression))
    assert identity(first) == before
    suffix = COMPRESSIONS[compression]
    expected = {name, *(f"{name}.{hashlib.sha256(content).hexdigest()[:12]}" for content in contents[1:])}
    beside = {f"{one}.sha256" for one in expected} if compression == "none" else set()
    assert repository.files() == {one + suffix for one in expected} | beside
    for one in beside:
        subprocess.run(["sha256sum", "--check", one], cwd=first.parent, check=True, capture_output=True)
    assert_done(push(repository, write_segment(pg_wal, "000000010000000000000004"), compression))


def test_an_archived_partial_segment_that_is_damaged_stops_nothing(repository: Repository, pg_wal: Path) -> None:
    name = f"{NAME}.partial"
    path = write_segment(pg_wal, name, segment())
    assert_done(push(repository, path, "gzip"))
    archived = repository.archived(name, "gzip")
    archived.write_bytes(archived.read_bytes()[:-4])
    assert_done(push(repository, path, "gzip"))
    assert len(repository.files()) == 2


@pytest.mark.parametrize("name", UNCOMPRESSED)
def test_another_history_file_under_the_same_name_is_refused(name: str, repository: Repository, pg_wal: Path) -> None:
    first, other = UNCOMPRESSED[name]
    assert_done(push(repository, write_segment(pg_wal, name, first)))
    assert_done(push(repository, pg_wal / name))
    before = identity(repository.archived(name))
    for content in (other, first[:-1], first + b"\n"):
        assert_failed(push(repository, write_segment(pg_wal, name, content)), 1, name, "HINT")
    assert identity(repository.archived(name)) == before
    assert repository.files() == {name}


def test_a_corrupt_archived_segment_is_not_taken_for_the_same(
    repository: Repository, pg_wal: Path, compression: str
) -> None:
    path = write_segment(pg_wal)
    assert_done(push(repository, path, compression))
    archived = repository.archived(NAME, compression)
    os.truncate(archived, archived.stat().st_size // 2)
    assert_failed(push(repository, path, compression), 1, NAME)


def test_a_lost_checksum_of_a_plain_segment_is_restored_by_the_next_push(repository: Repository, pg_wal: Path) -> None:
    path = write_segment(pg_wal)
    assert_done(push(repository, path))
    sidecar = repository.archived().with_suffix(".sha256")
    for damage in (sidecar.unlink, lambda: sidecar.write_text("nonsense")):
        damage()
        assert_done(push(repository, path))
        assert sidecar.read_text() == sha256_line(NAME, path.read_bytes())


def test_a_checksum_without_its_segment_is_replaced(repository: Repository, pg_wal: Path, compression: str) -> None:
    sidecar = repository.archived().with_suffix(".sha256")
    sidecar.parent.mkdir(mode=0o750)
    sidecar.write_text(sha256_line(NAME, b"other bytes"))
    path = write_segment(pg_wal)
    assert_done(push(repository, path, compression))
    if compression == "none":
        assert sidecar.read_text() == sha256_line(NAME, path.read_bytes())
    else:
        assert not sidecar.exists()


@pytest.mark.parametrize(("mode", "file_mode"), [(0o750, 0o640), (0o700, 0o600), (0o2770, 0o640)])
def test_modes_follow_the_repository_whatever_the_umask(
    mode: int, file_mode: int, repository: Repository, pg_wal: Path
) -> None:
    repository.wal.chmod(mode)
    path = write_segment(pg_wal)
    assert_done(push(repository, path, preexec_fn=lambda: os.umask(0o077)))
    archived = repository.archived()
    assert archived.parent.stat().st_mode & 0o7777 == mode
    for file in (archived, archived.with_suffix(".sha256")):
        assert file.stat().st_mode & 0o7777 == file_mode


def test_the_wal_directory_is_made_when_it_is_missing(repository: Repository, pg_wal: Path) -> None:
    repository.wal.rmdir()
    assert_done(push(repository, write_segment(pg_wal), preexec_fn=lambda: os.umask(0o077)))
    assert repository.wal.stat().st_mode & 0o7777 == 0o750
    assert NAME in repository.files()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (shutil.rmtree, "HINT: is it mounted?"),
        (lambda path: (path / "repository.json").unlink(), "HINT: is it mounted?"),
        (lambda path: (path / "repository.json").write_text('{"format": 2, "id": "5e7b"}'), "expected format 1"),
        (lambda path: (path / "repository.json").write_text('{"format": 1}'), "expected format 1"),
        (lambda path: (path / "main/cluster.json").unlink(), "cluster.json"),
        (lambda path: shutil.rmtree(path / "main"), "main"),
        (lambda path: path.chmod(0o777), "mode 0777"),
        (lambda path: (path / "main").chmod(0o752), "mode 0752"),
        (lambda path: (path / "main/wal").chmod(0o1777), "mode 1777"),
    ],
)
def test_nothing_is_written_below_what_is_not_a_proper_repository(
    damage: Callable[[Path], object], words: str, repository: Repository, pg_wal: Path
) -> None:
    damage(repository.path)
    before = sorted(repository.path.rglob("*"))
    assert_failed(push(repository, write_segment(pg_wal)), 1, str(repository.path), words)
    assert sorted(repository.path.rglob("*")) == before


@pytest.mark.parametrize("where", ["wal", "directory"])
def test_the_place_that_may_not_be_written_is_named(where: str, repository: Repository, pg_wal: Path) -> None:
    assert_done(push(repository, write_segment(pg_wal)))
    path, missing = {
        "wal": (repository.wal, "000000020000000000000003"),
        "directory": (repository.wal / NAME[:16], "000000010000000000000004"),
    }[where]
    path.chmod(0o550)
    done = push(repository, write_segment(pg_wal, missing), prefix=without_power_over_files())
    path.chmod(0o750)
    assert_failed(done, 1, f"{missing} is not archived", f"Permission denied: {path}/")


def test_an_empty_mount_point_stays_empty(tmp_path: Path, pg_wal: Path) -> None:
    repository = Repository(tmp_path / "mount point")
    repository.path.mkdir()
    assert_failed(push(repository, write_segment(pg_wal)), 1, "HINT: is it mounted?")
    assert not any(repository.path.iterdir())


@pytest.mark.parametrize(
    "place",
    [
        "main",
        "main/wal",
        f"main/wal/{NAME[:16]}",
        "repository.json",
        "main/cluster.json",
        "main/wal/.lock",
        f"main/wal/{NAME[:16]}/{NAME}.gz",
        f"main/wal/{NAME[:16]}/.{NAME}.0123.tmp",
    ],
)
def test_a_planted_symlink_is_not_followed(place: str, repository: Repository, pg_wal: Path, tmp_path: Path) -> None:
    assert_done(push(repository, write_segment(pg_wal, "0000000100000000000000FF")))
    path = repository.path / place
    elsewhere = tmp_path / "elsewhere"
    if path.exists():
        path.rename(elsewhere)
    else:
        elsewhere.write_bytes(segment())
    path.symlink_to(elsewhere)
    before = sorted(tmp_path.rglob("*"))
    done = push(repository, write_segment(pg_wal))
    assert_failed(done, 1)
    assert "symbolic link" in done.stderr or place == "main/wal/.lock"
    assert [entry for entry in sorted(tmp_path.rglob("*")) if entry.name not in (NAME, ".lock")] == [
        entry for entry in before if entry.name != ".lock"
    ]


def test_a_repository_is_reached_through_a_symlink_above_it(
    repository: Repository, pg_wal: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(repository.path)
    assert_done(push(Repository(tmp_path / "link"), write_segment(pg_wal)))
    assert NAME in repository.files()


def test_a_data_directory_with_pg_wal_elsewhere_is_archived(repository: Repository, tmp_path: Path) -> None:
    write_segment(tmp_path / "other disk")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/pg_wal").symlink_to(tmp_path / "other disk")
    assert_done(push(repository, Path("pg_wal") / NAME, cwd=tmp_path / "data"))
    assert NAME in repository.files()


@pytest.mark.parametrize("kind", ["missing", "directory", "FIFO"])
def test_a_source_that_is_no_file_is_refused(kind: str, repository: Repository, pg_wal: Path) -> None:
    path = pg_wal / NAME
    {"missing": lambda: None, "directory": path.mkdir, "FIFO": lambda: os.mkfifo(path)}[kind]()
    assert_failed(push(repository, path), 1, NAME)


def test_every_repository_gets_the_segment(repository: Repository, pg_wal: Path, tmp_path: Path) -> None:
    second = Repository.create(tmp_path / "second", "main")
    path = write_segment(pg_wal)
    assert_done(run("push", *repository.options(), "--repository", second.path, path))
    assert repository.files() == second.files() == {NAME, f"{NAME}.sha256"}


def test_one_failing_repository_is_named_and_the_others_served(
    repository: Repository, pg_wal: Path, tmp_path: Path
) -> None:
    lost, third = tmp_path / "lost", Repository.create(tmp_path / "third", "main")
    path = write_segment(pg_wal)
    done = run("push", "--repository", lost, *repository.options(), "--repository", third.path, path)
    assert_failed(done, 1, f"{lost}: ")
    assert f"{repository.path}: " not in done.stderr
    assert NAME in repository.files()
    assert NAME in third.files()


def test_a_compressor_that_fails_is_quoted(repository: Repository, pg_wal: Path, tmp_path: Path) -> None:
    program = tmp_path / "bin/zstd"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'zstd: cannot go on'; echo 'zstd: cannot\n go on' >&2; exit 3\n")
    program.chmod(0o755)
    done = push(repository, write_segment(pg_wal), "zstd", env={"PATH": str(program.parent)})
    assert_failed(done, 1, "zstd failed: zstd: cannot go on")
    assert repository.files() == set()


def test_a_program_in_the_data_directory_is_never_run(repository: Repository, pg_wal: Path) -> None:
    program = pg_wal / "zstd"
    program.write_text("#!/bin/sh\ntouch was-run\n")
    program.chmod(0o755)
    write_segment(pg_wal)
    assert_done(push(repository, Path(NAME), "zstd", cwd=pg_wal, env={"PATH": ":.:pg_wal"}))
    assert not (pg_wal / "was-run").exists()


def test_a_large_segment_goes_through_the_pipe_of_a_compressor(
    repository: Repository, pg_wal: Path, compression: str
) -> None:
    name = "000000010000000000000001"
    repository.holding(16 * MB)
    assert_done(push(repository, write_segment(pg_wal, name, segment(name, size=16 * MB)), compression))
    assert_done(push(repository, pg_wal / name, "none"))
