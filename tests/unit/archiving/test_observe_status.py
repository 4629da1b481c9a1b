# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pgark-wal says about itself reaches the caller, and so does that it cannot say anything."""

import json
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._archiving.observe_status import WalProgram
from ansible_collections.pgark.postgres.plugins.module_utils._errors import CommandFailed, Error
from ansible_collections.pgark.postgres.plugins.module_utils._host.runner import CommandRunner, Result
from tests.unit.fakes import OK, FakeRunner

PLACES = ["--repository", "/srv/a b", "--repository", "/srv/c", "--cluster", "main"]
CHECK = ["/opt/pgark-wal", "check", *PLACES, "--compression", "zstd", "/data"]
STATUS = ["/opt/pgark-wal", "status", *PLACES, "--json", "/data"]


def program(runner: CommandRunner, path: str = "/opt/pgark-wal") -> WalProgram:
    return WalProgram(path, ["/srv/a b", "/srv/c"], "main", "/data", runner)


def test_a_check_that_finds_nothing_says_nothing() -> None:
    program(FakeRunner((CHECK, OK))).check("zstd")


def test_what_a_check_finds_is_quoted() -> None:
    found = Result(1, "", "pgark-wal: archiving cannot work: /srv/c: found no repository.json. HINT: is it mounted?\n")
    with pytest.raises(Error) as caught:
        program(FakeRunner((CHECK, found))).check("zstd")
    assert str(caught.value) == f"no setting was changed: {found.stderr.strip()}"


@pytest.mark.parametrize(
    ("first_line", "mode", "words"),
    [
        ("#!/nowhere/bin/python3 -IS", 0o755, "names the interpreter /nowhere/bin/python3 in its first line, which is"),
        ("#!/bin/sh", 0o640, "is not executable"),
        (None, 0, "is not there"),
    ],
)
def test_a_program_that_cannot_be_started_is_explained(
    first_line: str | None, mode: int, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "pgark-wal"
    if first_line is not None:
        path.write_text(f"{first_line}\n")
        path.chmod(mode)
    with pytest.raises(Error) as caught:
        program(CommandRunner(), str(path)).check("none")
    assert caught.value.message.startswith(f"no setting was changed: {path} {words}")
    assert caught.value.hint is not None


@pytest.mark.parametrize("status", [0, 1, 2])
def test_the_status_is_returned_whatever_it_is(status: int) -> None:
    told = {"status": "?", "waiting": 3}
    assert program(FakeRunner((STATUS, Result(status, json.dumps(told), "")))).status() == told


@pytest.mark.parametrize("result", [Result(3, "", "pgark-wal: found no pg_wal"), Result(1, "", "No module named x")])
def test_no_status_is_an_error_with_its_reason(result: Result) -> None:
    with pytest.raises(CommandFailed, match=f"the status of archiving is unknown: {result.stderr}"):
        program(FakeRunner((STATUS, result))).status()
