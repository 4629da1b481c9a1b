# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several pushes at once, and a disk that is full."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.wal_program.harness import (
    COMPRESSIONS,
    MB,
    NAME,
    PROGRAM,
    Repository,
    assert_done,
    assert_failed,
    get,
    push,
    run_tampered,
    segment,
    sha256_line,
    write_segment,
)

WRITERS = 8


def push_at_once(repository: Repository, pushes: Sequence[tuple[Path, str]]) -> list[int]:
    """Start all pushes, then wait for their exit statuses."""
    command = [sys.executable, "-IS", str(PROGRAM), "push", *repository.options(), "--compression"]
    running = [
        subprocess.Popen([*command, compression, str(path)], stderr=subprocess.PIPE) for path, compression in pushes
    ]
    for process in running:
        process.communicate(timeout=60)
    return [process.returncode for process in running]


@pytest.mark.parametrize("compressions", [[name] for name in COMPRESSIONS] + [list(COMPRESSIONS)], ids="+".join)
def test_of_many_pushes_of_the_same_segment_one_publishes_and_all_succeed(
    compressions: list[str], repository: Repository, pg_wal: Path
) -> None:
    path = write_segment(pg_wal)
    pushes = [(path, compressions[number % len(compressions)]) for number in range(WRITERS)]
    assert push_at_once(repository, pushes) == [0] * WRITERS
    forms = repository.files() - {f"{NAME}.sha256"}
    assert len(forms) == 1
    assert (f"{NAME}.sha256" in repository.files()) == (forms == {NAME})
    assert_done(get(repository, NAME, pg_wal / "restored"))
    assert (pg_wal / "restored").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("compressions", [[name] for name in COMPRESSIONS] + [list(COMPRESSIONS)], ids="+".join)
def test_of_many_pushes_of_different_segments_under_one_name_one_succeeds(
    compressions: list[str], repository: Repository, tmp_path: Path
) -> None:
    paths = [write_segment(tmp_path / str(n), content=segment(seed=n)) for n in range(WRITERS)]
    pushes = [(path, compressions[number % len(compressions)]) for number, path in enumerate(paths)]
    statuses = push_at_once(repository, pushes)
    assert sorted(statuses) == [0] + [1] * (WRITERS - 1)
    winner = paths[statuses.index(0)]
    assert_done(get(repository, NAME, tmp_path / "restored"))
    assert (tmp_path / "restored").read_bytes() == winner.read_bytes()
    assert len(repository.files() - {f"{NAME}.sha256"}) == 1
    if NAME in repository.files():
        assert repository.archived().with_suffix(".sha256").read_text() == sha256_line(NAME, winner.read_bytes())


def test_the_file_of_a_living_writer_is_not_taken_for_a_leftover(
    repository: Repository, pg_wal: Path, compression: str
) -> None:
    """Every time the first push is about to do something, a second one runs from beginning to end."""
    first, second = write_segment(pg_wal), write_segment(pg_wal, "000000010000000000000004")

    def run_the_second(_number: int, call: str, _file: str) -> None:
        if call in ("open", "write", "fsync", "link", "rename"):
            assert_done(push(repository, second, compression))

    argv = ["push", *repository.options(), "--compression", compression, str(first)]
    assert run_tampered(argv, run_the_second) == 0
    archived = {path.name + COMPRESSIONS[compression] for path in (first, second)}
    plain = {f"{path.name}.sha256" for path in (first, second) if compression == "none"}
    assert repository.files() == archived | plain


def test_a_full_disk_fails_the_push_and_leaves_nothing(repository: Repository, pg_wal: Path, compression: str) -> None:
    repository.holding(2 * MB)
    path = write_segment(pg_wal, content=segment(size=2 * MB, name=NAME))
    (pg_wal / "00000002.history").write_bytes(b"1\t0/3000028\treason\n")
    mount = repository.path.with_name("mount point")
    mount.mkdir()
    program = shlex.join([sys.executable, "-IS", str(PROGRAM), "push", "--repository", str(mount), "--cluster", "main"])
    script = f"""
        mount -t tmpfs -o size=4m,mode=0750 tmpfs "$MOUNT" && cp -a "$REPOSITORY/." "$MOUNT" || exit 9
        head -c 3200k /dev/zero > "$MOUNT/ballast"
        {program} --compression {compression} "$SEGMENT"; echo $?
        find "$MOUNT/main/wal" -type f ! -name .lock
        rm "$MOUNT/ballast"
        {program} --compression {compression} "$SEGMENT"; echo $?
        find "$MOUNT/main/wal" -type f -name "0*" ! -name "*.sha256" -printf '%f\\n'
    """
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    places = {"MOUNT": str(mount), "REPOSITORY": str(repository.path), "SEGMENT": str(path)}
    done = subprocess.run(
        [*namespace, "sh", "-c", script], env=os.environ | places, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["1", "0", NAME + COMPRESSIONS[compression]], done.stderr
    assert done.stderr.startswith("pgark-wal: ")
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("lost", [1, 4, 8, 9, 100, 10**6])
def test_what_lz4_could_not_write_is_noticed_though_it_did_not_notice(
    lost: int, repository: Repository, pg_wal: Path
) -> None:
    """It exits 0 when the last of what it writes finds no room: it does not look at what its last flush says."""
    programs = pg_wal.with_name("programs")
    programs.mkdir()
    (programs / "lz4").write_text(f'#!/bin/sh\n{shutil.which("lz4")} "$@" | head -c -{lost}\n')
    (programs / "lz4").chmod(0o755)
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
    assert_failed(push(repository, write_segment(pg_wal), "lz4", env=environment), 1, "lz4 failed: wrote ")
    assert not repository.files()


def test_two_servers_under_one_name_are_noticed(repository: Repository, tmp_path: Path) -> None:
    one, other = write_segment(tmp_path / "one"), write_segment(tmp_path / "other", content=segment(seed=9))
    assert_done(push(repository, one))
    assert_failed(push(repository, other), 1, "HINT: does another server use this archive?")
