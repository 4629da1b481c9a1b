# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""History files that are damaged: what is one is told by one rule, and a recovery goes past those that it only counts.

PostgreSQL asks for the histories above its own when it gives the next timeline a number, and looks only whether they
are there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import InvalidValue
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import TimelinePath
from tests.unit.wal_program.harness import (
    HISTORY,
    MB,
    SYSTEM_IDENTIFIER,
    Repository,
    assert_done,
    assert_failed,
    load,
    run,
    without_power_over_files,
)

CONTENTS = {
    b"1\t0/3000028\tno recovery target specified\n": True,
    b"1 0/3000028": True,
    b"# of no meaning\n\n \t\n1\t0/3000028\t\xff\x1b[2J # \xe2\x80\xa8\r\n": True,
    b"1\t0/3000028\tbefore\n2\tA/B\tafter": True,
    b"1\t0/3000028\t" + b"x" * 1011: True,
    b"1\t0/3000028\t" + b"x" * 1012: False,  # the rest would be another line to PostgreSQL
    b"": False,
    b"\n": False,
    b"# no more than that\n": False,
    b"\0" * 100: False,
    b"\x89PNG\r\n": False,
    b"#!/bin/sh\nexit 0\n": False,
    b"1": False,
    b"1\t0/3000028#": False,
    b"1\t0/300002800": False,
    b"1\t3000028\tx\n": False,
    b"1\t0/\n": False,
    b"+1\t0/3000028\n": False,
    b"1_0\t0/3000028\n": False,
    b"1\t0/+1\n": False,
    b"1\t0/0x1\n": False,
    "\u0661\t0/3000028\n".encode(): False,
    b"1\x1c0/3000028\n": False,
    b"0\t0/3000028\n": False,
    b"3\t0/3000028\n": False,
    b"12345678901\t0/3000028\n": False,
    b"2\t0/3000028\n1\t0/4000028\n": False,
    b"1\t0/3000028\n1\t0/4000028\n": False,
    b"x" * (MB - 1): False,
}
READING_3 = ("--timeline", "3")


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: repr(content[:30]))
def test_the_modules_take_the_histories_that_pgark_wal_delivers(content: bytes) -> None:
    def by_modules() -> bool:
        try:
            TimelinePath.parse(3, content.decode("ascii", "replace"))
        except InvalidValue:
            return False
        return True

    def by_program() -> bool:
        try:
            load().parse_history("00000003.history", content)
        except load().Refused:
            return False
        return True

    assert (by_modules(), by_program()) == (CONTENTS[content], CONTENTS[content])


def test_a_history_of_one_long_line_is_quoted_in_part() -> None:
    with pytest.raises(load().Refused) as refused:
        load().parse_history("00000003.history", b"\x1b[2J" * (MB // 8))
    assert len(str(refused.value)) < 400
    assert str(refused.value).isprintable()


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": Path.touch,
    "nonsense": lambda path: path.write_bytes(b"\x1b[2J\0" * 1000),
    "a comment": lambda path: path.write_text("# 1\t0/3000028\n"),
    "its own parent": lambda path: path.write_text("9\t0/3000028\n"),
    "a directory": Path.mkdir,
    "a FIFO": os.mkfifo,
    "a link": lambda path: path.symlink_to("/dev/zero"),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "huge": huge,
    "closed": lambda path: [path.write_bytes(HISTORY), path.chmod(0)],
}


def ask(repository: Repository, name: str, path: Path, *more: str, others: tuple[Repository, ...] = ()) -> object:
    places = [word for each in (repository, *others) for word in ("--repository", str(each.path))]
    argv = ("get", *places, "--cluster", "main", "--absent-status", "44", *more, name, path)
    return run(*argv, prefix=without_power_over_files())


@pytest.mark.parametrize("name", ["00000002.history", "00000004.history"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_of_another_timeline_s_damaged_history_it_is_said_that_it_is_there(
    damage: str, name: str, repository: Repository, tmp_path: Path
) -> None:
    DAMAGE[damage](repository.wal / name)
    path = tmp_path / "RECOVERYHISTORY"
    done = ask(repository, name, path, *READING_3)
    assert_failed(done, 0, name, f"Timeline {int(name[:8])} is passed over: its number is taken")
    assert_stands_in(path, name)


def assert_stands_in(path: Path, name: str) -> None:
    """Check that nobody can take it for a history: PostgreSQL ends at a line that begins with no number."""
    content = path.read_bytes()
    assert content.startswith(f"pgark-wal: {name} cannot be delivered: ".encode())
    assert content.count(b"\n") == 1
    assert content.endswith(b"\n")
    assert len(content) < 1023
    assert content[:-1].decode("ascii").isprintable()
    with pytest.raises(load().Refused):
        load().parse_history(name, content)
    assert [entry.name for entry in path.parent.iterdir() if entry.name.startswith("RECOVERY")] == [path.name]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("more", [READING_3, ()], ids=["of the timeline itself", "of a recovery to any timeline"])
def test_a_damaged_history_that_is_read_aborts_recovery(
    more: tuple[str, ...], damage: str, repository: Repository, tmp_path: Path
) -> None:
    """PostgreSQL copies what it reads of its own into the next history, without a look at it."""
    DAMAGE[damage](repository.wal / "00000003.history")
    path = tmp_path / "RECOVERYHISTORY"
    assert_failed(ask(repository, "00000003.history", path, *more), 200, "00000003.history cannot be delivered")
    assert not path.exists()


def test_a_further_repository_delivers_the_history_that_is_damaged_in_the_first(
    repository: Repository, tmp_path: Path
) -> None:
    other = Repository.create(tmp_path / "other", system_identifier=SYSTEM_IDENTIFIER)
    (repository.wal / "00000004.history").mkdir()
    (other.wal / "00000004.history").write_bytes(HISTORY)
    path = tmp_path / "RECOVERYHISTORY"
    assert_failed(ask(repository, "00000004.history", path, *READING_3, others=(other,)), 0, "is delivered from")
    assert path.read_bytes() == HISTORY
    path.unlink()
    (other.path / "repository.json").unlink()
    assert_failed(ask(repository, "00000004.history", path, *READING_3, others=(other,)), 0, "is passed over")
    assert_failed(ask(repository, "00000005.history", path, *READING_3, others=(other,)), 200, "cannot be delivered")


def test_what_is_no_damage_is_as_ever(repository: Repository, tmp_path: Path) -> None:
    path = tmp_path / "RECOVERYHISTORY"
    assert_failed(ask(repository, "00000004.history", path, *READING_3), 44, "is not in the archive")
    (repository.wal / "00000004.history").write_bytes(HISTORY)
    assert_done(ask(repository, "00000004.history", path, *READING_3))
    segment = repository.archived()
    segment.parent.mkdir()
    segment.mkdir()
    assert_failed(ask(repository, segment.name, path, *READING_3), 200, "cannot be delivered")


@pytest.mark.parametrize("value", ["", "-1", "x", "1_0", "12345678901"])
def test_a_timeline_is_a_number(value: str, repository: Repository, tmp_path: Path) -> None:
    assert_failed(ask(repository, "00000004.history", tmp_path / "x", "--timeline", value), 200, "found --timeline")
