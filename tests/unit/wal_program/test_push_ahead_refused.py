# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A push that can archive only a part of what waits, or nothing but its own segment."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.wal_program.harness import (
    COMPRESSIONS,
    HISTORY,
    MB,
    Repository,
    assert_done,
    assert_failed,
    segment,
    without_power_over_files,
)
from tests.unit.wal_program.pgdata import FIVE, Archiver, content_of, expand, install, names

UNFIT: dict[str, Callable[[str], bytes]] = {
    "of another cluster": lambda name: segment(name, system_identifier=1),
    "of another version": lambda name: segment(name, version=16),
    "of another position": lambda name: segment(FIVE[0]),
    "too short": lambda name: content_of(name)[:-1],
    "of another size": lambda name: segment(name, size=2 * MB, address=0x500000),
    "empty": lambda name: b"",
    "zeros": lambda name: bytes(MB),
}


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("unfit", UNFIT)
def test_nothing_behind_an_unfit_segment_is_published(unfit: str, jobs: int, server: Archiver) -> None:
    server.jobs = jobs
    server.has_file(FIVE[2], UNFIT[unfit](FIVE[2]))
    assert server.push(FIVE[0]) == 0
    assert server.archived() == FIVE[:2]
    assert server.acknowledged(*FIVE) == [FIVE[1]]
    assert server.push(FIVE[2]) == 1
    assert server.archived() == FIVE[:2]
    assert server.acknowledged(*FIVE[2:]) == []
    assert not server.leftovers()


@pytest.mark.parametrize("unfit", UNFIT)
def test_an_unfit_segment_is_refused_with_others_behind_it(unfit: str, server: Archiver, tmp_path: Path) -> None:
    server.has_file(FIVE[0], UNFIT[unfit](FIVE[0]) if unfit != "of another position" else segment(FIVE[1]))
    assert_failed(server.shell(FIVE[0], install(tmp_path / "pgark-wal")), 1, FIVE[0], "expected")
    assert server.archived() == []
    assert server.acknowledged(*FIVE) == []


@pytest.mark.parametrize("written", range(3))
def test_a_segment_that_is_written_to_while_it_is_read_is_refused_with_all_behind_it(
    written: int, server: Archiver, compression: str
) -> None:
    server.compression = compression
    path = server.wal / FIVE[written]

    def write(_number: int, call: str, file: str) -> None:
        if call == "open" and file.startswith(f".{path.name}."):
            with path.open("r+b") as wal:
                wal.write(path.read_bytes())

    assert server.push_tampered(FIVE[0], write) == (0 if written else 1)
    assert server.archived() == FIVE[:written]
    assert server.acknowledged(*FIVE) == FIVE[1:written]
    server.archive_all()
    assert server.archived() == FIVE


def test_a_second_push_at_the_same_time_archives_its_own_only(server: Archiver) -> None:
    assert server.push(FIVE[0], AHEAD_FILES=2) == 0
    before = sorted(path.name for path in server.place().iterdir())
    holder = os.open(server.place(), os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    assert server.push(FIVE[2]) == 0
    assert server.archived() == FIVE[:3]
    assert server.acknowledged(*FIVE) == [FIVE[1]]
    assert sorted(path.name for path in server.place().iterdir()) == before
    os.close(holder)
    assert server.push(FIVE[2]) == 0
    assert server.acknowledged(*FIVE) == FIVE[3:]


@pytest.mark.parametrize("obstacle", ["pg_wal is read-only", "a file in the place", "a symbolic link in the place"])
def test_where_nothing_can_be_done_ahead_its_own_segment_is_archived(
    obstacle: str, server: Archiver, tmp_path: Path
) -> None:
    place = server.place()
    if obstacle == "a file in the place":
        place.parent.write_bytes(b"")
    elif obstacle == "a symbolic link in the place":
        place.parent.mkdir()
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere/file").touch()
        place.symlink_to(tmp_path / "elsewhere")
    else:
        server.wal.chmod(0o550)
    done = server.shell(FIVE[0], install(tmp_path / "pgark-wal"), prefix=without_power_over_files())
    server.wal.chmod(0o750)
    assert_done(done)
    assert server.archived() == FIVE[:1]
    assert server.acknowledged(*FIVE) == []
    assert obstacle != "a symbolic link in the place" or os.listdir(tmp_path / "elsewhere") == ["file"]


def test_a_clone_s_segments_are_refused_and_none_is_acknowledged(server: Archiver) -> None:
    (server.data / "global").mkdir()
    (server.data / "global/pg_control").write_bytes(bytes(8192))
    assert server.push(FIVE[0]) == 1
    assert server.archived() == []
    assert server.acknowledged(*FIVE) == []


@pytest.mark.parametrize("fits", [True, False])
def test_a_timeline_s_first_segment_is_held_against_its_history_file_in_pg_wal(fits: bool, server: Archiver) -> None:
    (server.wal / "00000002.history").write_bytes(HISTORY.replace(b"0/3000028", b"0/400028" if fits else b"0/F00028"))
    first, second = names(3, 2, timeline=2)
    server.has_file(first, segment(first))
    server.has_file(second, segment(second, timeline=1))
    assert server.push(first) == 0
    assert server.acknowledged(first, second) == ([second] if fits else [])


FULL_DISK = """
    mount -t tmpfs -o size={size},mode=0750 tmpfs "$MOUNT" && cp -a "$REPOSITORY/." "$MOUNT" || exit 9
    {push}; echo $?
    cd "$MOUNT/main/wal"; find . -type f -name ".*.tmp"; find . -type f -name "0*" -printf "%f\\n" | sort
"""


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
@pytest.mark.parametrize(("size", "room", "fit"), [(MB, 2.5 * MB, 2), (MB, 1.1 * MB, 1), (16 * MB, 16.5 * MB, 1)])
def test_on_a_nearly_full_disk_the_first_gets_through(
    size: int, room: float, fit: int, compression: str, repository: Repository, tmp_path: Path
) -> None:
    mount = tmp_path / "mount point"
    mount.mkdir()
    repository.holding(size)
    server = Archiver(tmp_path / "data", Repository(mount), compression=compression, jobs=4)
    for name in FIVE:
        server.has_file(name, segment(name, size=size)[:40] + os.urandom(size - 40))
    push = expand(server.command(FIVE[0], install(tmp_path / "pgark-wal")), "", "")
    script = FULL_DISK.format(size=int(room) + 40960, push=f"(cd {shlex.quote(str(server.data))}; {push})")
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    places = {"MOUNT": str(mount), "REPOSITORY": str(repository.path)}
    done = subprocess.run(
        [*namespace, "sh", "-c", script], env=os.environ | places, capture_output=True, text=True, check=False
    )
    status, *found = done.stdout.splitlines()
    assert (status, done.stderr) == ("0", "")
    archived = [name for name in found if not name.endswith(".sha256")]
    assert archived == [name + COMPRESSIONS[compression] for name in FIVE[: len(archived)]]
    assert 1 <= len(archived) <= fit


def test_what_fails_together_is_tried_alone(server: Archiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a nearly full disk, when one compressor has given back its room before the other's failure is looked at."""
    program = tmp_path / "bin/zstd"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nmkdir "$0.1" || mkdir "$0.2" || exec {shutil.which("zstd")} "$@"\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    server.compression, server.jobs = "zstd", 2
    assert server.push(FIVE[0]) == 0
    assert server.archived() == FIVE[:1]
    assert server.acknowledged(*FIVE) == []
