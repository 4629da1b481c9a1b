# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept ready for a recovery, and for how long."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from tests.unit.wal_program.harness import MB
from tests.unit.wal_program.pgdata import FIVE, OURS, install, names
from tests.unit.wal_program.recovering import HISTORY_OF_2, Recovery, archive, assert_delivered


@pytest.mark.parametrize("jobs", [1, 3])
def test_the_shell_delivers_what_a_helper_keeps_ready_until_there_is_no_more(
    jobs: int, recovery: Recovery, program: str, compression: str
) -> None:
    recovery.jobs = jobs
    archive(recovery.repositories[0], FIVE, compression)
    assert_delivered(recovery, FIVE[:1], program)
    recovery.wait_for(FIVE[1:])
    assert_delivered(recovery, FIVE[1:])
    recovery.assert_all_is_over()
    assert recovery.ask(names(8, 1)[0], program) == 1
    assert recovery.is_over()


def test_no_more_is_kept_ready_than_the_limit(recovery: Recovery, tmp_path: Path) -> None:
    twelve = names(3, 12)
    archive(recovery.repositories[0], twelve)
    assert recovery.ask(twelve[0], install(tmp_path / "pgark-wal", SPOOL_BYTES=3 * MB)) == 0
    seen = []
    for number, name in enumerate(twelve[1:], 1):
        expected = twelve[number : number + 3]
        wait_until(lambda wanted=expected: seen.append(files(recovery)) or recovery.ready() == wanted, message=name)
        assert_delivered(recovery, [name])
    assert max(map(len, seen)) <= 3


def files(recovery: Recovery) -> set[str]:
    """Name the segments that take room."""
    return {name.removeprefix(".").removesuffix(".tmp") for name in os.listdir(recovery.place)} - {"position"}


def test_nobody_has_to_wait_for_the_end_of_the_helper(recovery: Recovery, tmp_path: Path) -> None:
    """Whoever reads what restore_command writes, as PostgreSQL's logger does, sees its end when the command ends."""
    archive(recovery.repositories[0], FIVE)
    program = install(tmp_path / "pgark-wal", SPOOL_BYTES=8 * MB, SPOOL_IDLE_SECONDS=5.0)
    assert recovery.tell(f"{recovery.line(FIVE[0], program)} 2>&1 | cat >/dev/null; echo ended") == "ended"
    assert len(recovery.processes()) == 1


@pytest.mark.parametrize("reaped", [True, False])
def test_the_helper_ends_with_the_recovery(reaped: bool, recovery: Recovery, program: str) -> None:
    archive(recovery.repositories[0], FIVE)
    assert recovery.ask(FIVE[0], program) == 0
    recovery.wait_for(FIVE[1:])
    assert len(recovery.processes()) == 1
    recovery.process.kill()
    if reaped:
        recovery.process.wait()
    recovery.assert_all_is_over()


def test_a_decompressor_ends_with_the_recovery(
    recovery: Recovery, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin/zstd"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\nmkdir "$0.1" && exec {shutil.which("zstd")} "$@"\nexec sleep 600\n')
    slow.chmod(0o755)
    archive(recovery.repositories[0], FIVE, "zstd")
    recovery.tell(f"export PATH={slow.parent}:$PATH; echo")
    assert recovery.ask(FIVE[0], program) == 0
    wait_until(lambda: len(recovery.processes()) == 3, message="two decompressors to be started")
    assert recovery.ready() == []


def test_the_helper_ends_when_nothing_is_taken(recovery: Recovery, tmp_path: Path) -> None:
    archive(recovery.repositories[0], FIVE)
    program = install(tmp_path / "pgark-wal", SPOOL_BYTES=2 * MB, SPOOL_IDLE_SECONDS=0.3)
    for name in FIVE[:2]:
        assert_delivered(recovery, [name], program)
        recovery.assert_all_is_over()


def test_the_helper_goes_on_where_recovery_asks_next(recovery: Recovery, program: str) -> None:
    archive(recovery.repositories[0], [*FIVE, *names(40, 3)])
    assert_delivered(recovery, [FIVE[0]], program)
    recovery.wait_for(FIVE[1:])
    assert_delivered(recovery, names(40, 1), program)
    recovery.wait_for(names(41, 2))
    assert_delivered(recovery, [FIVE[2]], program)
    recovery.wait_for(FIVE[3:])
    assert_delivered(recovery, FIVE[3:])


def test_what_appears_in_the_archive_later_is_delivered(recovery: Recovery, program: str) -> None:
    archive(recovery.repositories[0], FIVE[:2])
    assert_delivered(recovery, FIVE[:2], program)
    assert recovery.ask(FIVE[2], program) == 1
    recovery.assert_all_is_over()
    archive(recovery.repositories[0], FIVE[2:])
    assert_delivered(recovery, [FIVE[2]], program)
    recovery.wait_for(FIVE[3:])


def test_the_helper_follows_the_timeline_history(recovery: Recovery, program: str) -> None:
    following = [FIVE[1], *names(5, 3, timeline=2)]
    archive(recovery.repositories[0], ["00000002.history", FIVE[0], *following, *FIVE[2:]])
    assert recovery.ask("00000002.history", program) == 0
    assert recovery.got() == HISTORY_OF_2
    assert len(recovery.processes()) == 1, "the helper, which waits to hear where the recovery is"
    assert_delivered(recovery, [FIVE[0]], program)
    recovery.wait_for(following)
    assert_delivered(recovery, following)


def test_a_history_file_that_comes_later_does_not_send_the_helper_back(recovery: Recovery, tmp_path: Path) -> None:
    following = names(5, 4, timeline=2)
    archive(recovery.repositories[0], ["00000002.history", *FIVE, *following])
    program = install(tmp_path / "pgark-wal", SPOOL_BYTES=2 * MB)
    assert_delivered(recovery, [FIVE[0]], program)
    recovery.wait_for(FIVE[1:3])
    assert_delivered(recovery, [FIVE[1]])
    recovery.wait_for(FIVE[2:4])
    assert recovery.ask("00000002.history", program) == 0
    recovery.wait_for(following[:2])
    assert_delivered(recovery, following[:2])


def test_a_history_file_that_comes_last_leaves_nothing_behind_the_recovery(recovery: Recovery, program: str) -> None:
    """PostgreSQL reads it once more before it ends a recovery; the fixture looks at what is left after that."""
    archive(recovery.repositories[0], ["00000002.history", *FIVE])
    for name in FIVE:
        assert_delivered(recovery, [name], program)
    wait_until(recovery.is_over, message="the helper to end with the archive")
    assert recovery.ask("00000002.history", program) == 0
    assert recovery.place.exists()


@pytest.mark.parametrize("name", [FIVE[0], f"{FIVE[0]}.partial", "00000002.history"])
def test_a_probe_for_what_is_not_there_leaves_nothing(name: str, recovery: Recovery, program: str) -> None:
    assert recovery.ask(name, program) == 1
    assert recovery.processes() == []
    assert not (recovery.data / OURS).exists()


def test_an_orphan_of_a_killed_recovery_does_not_fetch_ahead_for_init(recovery: Recovery, program: str) -> None:
    """The shell is given another parent when the server is killed before it has asked for the number of its own."""
    archive(recovery.repositories[0], FIVE)
    orphan = f"while [ -d /proc/$$ ]; do :; done; exec {recovery.line(FIVE[0], program)}"
    subprocess.run(["sh", "-c", f"({orphan}) >/dev/null 2>&1 &"], check=True)
    wait_until(recovery.path.exists, message="the segment")
    wait_until(lambda: not recovery.processes(), message="everything to end")
    assert not (recovery.data / OURS).exists()


def test_outside_of_a_data_directory_a_get_delivers_and_leaves_nothing(recovery: Recovery, program: str) -> None:
    archive(recovery.repositories[0], FIVE)
    (recovery.data / "pg_wal").rename(recovery.data / "other")
    command = recovery.command(FIVE[0], program).replace("pg_wal/RECOVERYXLOG", "RECOVERYXLOG")
    subprocess.run(["sh", "-c", command], cwd=recovery.data, check=True)
    assert sorted(os.listdir(recovery.data)) == ["RECOVERYXLOG", "other"]
    assert recovery.processes() == []


def test_nothing_is_kept_ready_behind_the_last_segment_that_is_wanted(recovery: Recovery, program: str) -> None:
    recovery.through = FIVE[2]
    archive(recovery.repositories[0], FIVE)
    assert_delivered(recovery, FIVE[:1], program)
    recovery.wait_for(FIVE[1:3])
    assert_delivered(recovery, FIVE[1:3])
    recovery.assert_all_is_over()
    assert recovery.ask(FIVE[3], program) == 1
