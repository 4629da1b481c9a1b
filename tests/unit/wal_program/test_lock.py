# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nobody but the owner can keep pushes from publishing, and whoever does is named."""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.wal_program.harness import NAME, Data, Repository, assert_done, load, push, run, write_segment


@contextmanager
def held(repository: Repository) -> Iterator[str]:
    """Hold the lock as another process would; gives how this one is described."""
    descriptor = os.open(repository.wal / ".lock", os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield f"process {os.getpid()} ("
    finally:
        os.close(descriptor)


def test_only_the_owner_can_open_the_lock(repository: Repository, pg_wal: Path) -> None:
    lock = repository.wal / ".lock"
    lock.touch()
    lock.chmod(0o640)
    assert_done(push(repository, write_segment(pg_wal)))
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    assert stat.S_IMODE(repository.archived().stat().st_mode) == 0o640


def test_a_push_that_finds_the_lock_held_for_long_fails_and_says_by_whom(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = load()
    monkeypatch.setattr(program, "LOCK_SECONDS", 0)
    archive = program.Archive(str(repository.path), "main")
    with held(repository) as who, pytest.raises(program.Refused) as failure:
        archive.lock()
    expected = f"found {repository.wal}/.lock held by {who}"
    assert str(failure.value).startswith(expected)
    assert re.search(rf"of user {os.getuid()}\), expected that for less than 0 s$", str(failure.value))
    os.close(archive.lock())
    archive.close()


def test_status_says_who_holds_it_when_something_waits(repository: Repository, tmp_path: Path) -> None:
    data = Data.create(tmp_path / "data")
    write_segment(data.pg_wal)
    argv = ["status", *repository.options(), "--json", data.path]
    data.mark(NAME, "ready", age=700)
    with held(repository) as who:
        found = json.loads(run(*argv).stdout)
        [[by]] = [place["locked_by"] for place in found["repositories"]]
        assert by.startswith(who)
        assert f"{repository.path}: wal/.lock is held by {by}" in found["critical"]
    assert json.loads(run(*argv).stdout)["repositories"][0]["locked_by"] == []
