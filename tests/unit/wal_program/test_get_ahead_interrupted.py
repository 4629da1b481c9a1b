# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A get and its helper, killed or failed by the operating system at every system call."""

from __future__ import annotations

import errno
import functools
import itertools
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.soak import Share
from tests.support.waiting import wait_until
from tests.unit.wal_program.harness import ALL_CALLS, MB, WRITING, Repository
from tests.unit.wal_program.pgdata import NOT_FOUND, OURS, content_of, names
from tests.unit.wal_program.recovering import Recovery, archive

THREE, MISSING = names(3, 3), names(6, 1)[0]
ABSENT, ABORT = 44, 200
SMALL = {"SPOOL_BYTES": 8 * MB, "SPOOL_RETRY_SECONDS": 0.02}
# Before a call that changes nothing, there is the same to be found as before the next one that does.
CHANGING = tuple(call for call in WRITING if call not in ("close", "waitpid"))
FALLIBLE = tuple(call for call in ALL_CALLS if call not in ("close", "fstat"))
OF_COMPRESSORS = ("posix_spawn", "waitpid", "read")
# What the helper's main thread does only once, or seldom; the rest is to look again and again.
SELDOM = ("setsid", "unlink", "listdir", "rmdir")
soaked = functools.partial(pytest.param, marks=pytest.mark.soak)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


class Tampering:
    """Strikes once, at the call with this number among those that one of the three makes; afterwards it can be told."""

    def __init__(self, point: int, whom: str, strike: Callable[[], None], mark: Path) -> None:
        self.left, self.whom, self.strike, self.mark = point, whom, strike, mark
        self.get = 0
        mark.write_bytes(b"not yet")

    def __call__(self, _number: int, _call: str, _file: str) -> None:
        self.get = self.get or os.getpid()
        in_thread = threading.current_thread() is not threading.main_thread()
        if self.whom == ("get" if os.getpid() == self.get else "thread" if in_thread else "helper"):
            self.left -= 1
            if self.left == 0:
                os.truncate(self.mark, 0)  # not among the calls that are tampered with
                self.strike()

    def has_struck(self) -> bool:
        return not self.mark.stat().st_size


def begun(recovery: Recovery, tampering: Tampering, calls: tuple[str, ...], wanted: list[str]) -> int:
    """Get the first segment, wait until its helper has been struck or has done its work, and return get's status."""
    status = recovery.get_tampered(wanted[0], tampering, calls, **SMALL)
    if tampering.whom != "get":
        wait_until(lambda: tampering.has_struck() or recovery.ready() == wanted[1:], message="the helper to go on")
    return status


def assert_all_are_delivered(recovery: Recovery, wanted: list[str]) -> None:
    """Check that recovery, going on as if nothing had happened, gets the right bytes, and the end where that is."""
    for name in wanted:
        by_shell = recovery.ask(name)
        assert by_shell in (0, NOT_FOUND)
        assert by_shell == 0 or recovery.get(name, **SMALL) == 0
        assert recovery.got() == content_of(name)
    assert recovery.get(MISSING, **SMALL) == ABSENT
    assert not recovery.path.exists()
    wait_until(lambda: not recovery.processes(), message="the helper to end")


def assert_nothing_is_left_by_the_next(data: Path, repository: Repository) -> None:
    """Check that the next recovery removes what a killed one has left."""
    with Recovery(data, repository) as following:
        assert following.get(THREE[1], **SMALL) == 0
    assert os.listdir(data / OURS) == []
    assert [name for name in os.listdir(data / "pg_wal") if name != "RECOVERYXLOG"] == ["pgsql_tmp.pgark"]


class Everywhere:
    """Strikes at one call of a get, or of its helper, after the other."""

    def __init__(self, tmp_path: Path, share: Share) -> None:
        self.tmp_path, self.share = tmp_path, share

    def strike(self, compression: str, whom: str, strike: Callable[[], None], calls: tuple[str, ...]) -> dict[int, int]:
        """Return get's status by the number of the call that was struck; behind the last call nothing was."""
        repository = Repository.create(self.tmp_path / "repository")
        wanted = THREE if strike == kill else THREE[:2]  # one ahead says it all, and takes half as long
        archive(repository, wanted, compression)
        statuses = {}
        for point in self.share.points(5):
            data, tampering = self.tmp_path / str(point), Tampering(point, whom, strike, self.tmp_path / "mark")
            recovery = Recovery(data, repository, jobs=1)
            try:
                statuses[point] = begun(recovery, tampering, calls, wanted)
                assert_all_are_delivered(recovery, wanted)
            finally:
                recovery.end()
            assert_nothing_is_left_by_the_next(data, repository)
            if not tampering.has_struck():
                return statuses
            shutil.rmtree(data)
        raise AssertionError("there is always a next number")


@pytest.fixture
def everywhere(tmp_path: Path, share: Share) -> Everywhere:
    return Everywhere(tmp_path, share)


@pytest.mark.parametrize("compression", ["none", soaked("zstd")])
def test_a_get_killed_anywhere_leaves_the_next_to_deliver_the_right_bytes(
    compression: str, everywhere: Everywhere
) -> None:
    *struck, last = everywhere.strike(compression, "get", kill, CHANGING).items()
    assert {status for _point, status in struck} == {-signal.SIGKILL}
    assert last[0] > 15


@pytest.mark.parametrize(
    ("compression", "whom", "calls"),
    [soaked("none", "thread", CHANGING), soaked("zstd", "thread", CHANGING), ("none", "helper", SELDOM)],
)
def test_a_helper_killed_anywhere_leaves_the_next_get_to_deliver_the_right_bytes(
    compression: str, whom: str, calls: tuple[str, ...], everywhere: Everywhere
) -> None:
    statuses = everywhere.strike(compression, whom, kill, calls)
    assert set(statuses.values()) == {0}
    assert max(statuses) > (15 if whom == "thread" else 2)


@pytest.mark.parametrize(("compression", "calls"), [soaked("none", FALLIBLE), ("zstd", OF_COMPRESSORS)])
def test_a_get_failing_anywhere_delivers_or_aborts(
    compression: str, calls: tuple[str, ...], everywhere: Everywhere
) -> None:
    statuses = everywhere.strike(compression, "get", fail, calls)
    assert set(statuses.values()) <= {0, ABORT}
    assert max(statuses) > 2


@pytest.mark.parametrize(
    ("compression", "whom", "calls"),
    [soaked("none", "thread", FALLIBLE), ("zstd", "thread", OF_COMPRESSORS), ("none", "helper", SELDOM)],
)
def test_a_helper_failing_anywhere_leaves_the_next_get_to_deliver_the_right_bytes(
    compression: str, whom: str, calls: tuple[str, ...], everywhere: Everywhere
) -> None:
    assert set(everywhere.strike(compression, whom, fail, calls).values()) == {0}


def test_a_get_failing_anywhere_for_what_is_not_there_says_so_or_aborts(tmp_path: Path) -> None:
    repository = Repository.create(tmp_path / "repository")
    archive(repository, THREE)
    with Recovery(tmp_path / "data", repository) as recovery:
        statuses, tampering = [], None
        for point in itertools.count(1):
            tampering = Tampering(point, "get", fail, tmp_path / "mark")
            statuses.append(recovery.get_tampered(MISSING, tampering, FALLIBLE, **SMALL))
            if not tampering.has_struck():
                break
        assert statuses[-1] == ABSENT
        assert set(statuses) == {ABSENT, ABORT}


def test_a_recovery_that_ends_while_the_helper_looks_at_it_has_ended(repository: Repository, tmp_path: Path) -> None:
    archive(repository, THREE)
    with Recovery(tmp_path / "data", repository) as recovery:
        get: list[int] = []

        def end(_number: int, call: str, file: str) -> None:
            get[:] = get or [os.getpid()]
            if call == "read" and file == f"/proc/{recovery.process.pid}/stat" and os.getpid() not in get:
                raise ProcessLookupError(errno.ESRCH, "No such process")

        assert recovery.get_tampered(THREE[0], end, ALL_CALLS, **SMALL) == 0
        recovery.assert_all_is_over()
