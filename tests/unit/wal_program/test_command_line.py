# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line, and that no way to get it wrong looks like success or like the end of WAL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.wal_program.harness import (
    NAME,
    PROGRAM,
    Repository,
    assert_done,
    assert_failed,
    get,
    load,
    push,
    run,
    write_segment,
)

WRONG_USAGE = [
    ["push"],
    ["push", "--repository", "/r", "--cluster", "main"],
    ["push", "--repository", "/r", "--cluster", "main", "a", "b"],
    ["push", "--repository", "/r", "pg_wal/" + NAME],
    ["push", "--cluster", "main", "pg_wal/" + NAME],
    ["push", "--repository", "relative", "--cluster", "main", "pg_wal/" + NAME],
    ["push", "--repository", "", "--cluster", "main", "pg_wal/" + NAME],
    ["push", "--repository", "/r", "--cluster", "", "pg_wal/" + NAME],
    ["push", "--repository", "/r", "--cluster", "..", "pg_wal/" + NAME],
    ["push", "--repository", "/r", "--cluster", "a/b", "pg_wal/" + NAME],
    ["push", "--repository", "/r", "--cluster", "main", "--compression", "bzip2", "pg_wal/" + NAME],
    ["push", "--repository", "/r", "--cluster", "main", "pg_wal/" + NAME, "--compression"],
    ["push", "--repository", "/r", "--cluster", "main", "--fast", "yes", "pg_wal/" + NAME],
    ["push", "--help"],
    ["get"],
    ["get", "--repository", "/r", "--cluster", "main", NAME],
    ["get", "--repository", "/r", "--cluster", "main", NAME, "a", "b"],
    ["get", "--repository", "/r", "--cluster", "main", "--compression", "zstd", NAME, "a"],
    *(["get", "--repository", "/r", "--cluster", "main", "--absent-status", wrong, NAME, "a"]
      for wrong in ("", "0", "126", "200", "044", "-1", "x", "\u0664")),
    ["push", "--repository", "/r", "--cluster", "main", "--absent-status", "44", "pg_wal/" + NAME],
    ["get", "--help"],
    ["gte", "--repository", "/r", "--cluster", "main", NAME, "a"],
    ["--repository", "/r", "get", "--cluster", "main", NAME, "a"],
    ["--version", "get"],
    ["-h"],
    [""],
    [],
]  # fmt: skip
SLOW = {"argparse", "collections", "contextlib", "enum", "hashlib", "json", "re", "subprocess", "typing", "zlib"}
HOSTILE = ["with space", "quote'd", 'double"d', "100%p", "semi;colon", "$(touch x)", "new\nline", "ünïcode", "*", "-x"]


@pytest.mark.parametrize("argv", WRONG_USAGE, ids=" ".join)
def test_wrong_usage_fails_in_the_way_that_its_caller_minds(argv: list[str]) -> None:
    assert_failed(run(*argv), 1 if argv[:1] == ["push"] else 200, "HINT: see pgark-wal --help")


def test_help_has_all_contracts() -> None:
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("push", "get", "status", "check", "--compression none|gzip|lz4|zstd", "200", "end of WAL"):
        assert words in done.stdout


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, "pgark-wal 0.1.0\n", "")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_path_is_a_path(name: str, tmp_path: Path) -> None:
    repository = Repository.create(tmp_path / name / "repository")
    path = write_segment(tmp_path / f"{name} wal")
    assert_done(push(repository, path, "zstd"))
    assert_done(get(repository, NAME, tmp_path / f"{name} restored"))
    assert (tmp_path / f"{name} restored").read_bytes() == path.read_bytes()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([name, f"{name} wal", f"{name} restored"])


@pytest.mark.parametrize("name", [*HOSTILE, b"\xff\xfe".decode(errors="surrogateescape")])
def test_a_failure_is_one_line_whatever_the_path(name: str, tmp_path: Path) -> None:
    lost = Repository(tmp_path / name)
    assert_failed(push(lost, write_segment(tmp_path / "wal")), 1, NAME)
    assert_failed(get(lost, NAME, tmp_path / "restored"), 200, NAME)


@pytest.mark.parametrize(("command", "status"), [("push", 1), ("get", 200)])
@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt(), RecursionError("deep"), SystemExit(0)])
def test_no_exception_chooses_the_exit_status(
    error: BaseException, command: str, status: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pgark_wal = load()

    def fail(_argv: list[str]) -> None:
        raise error

    monkeypatch.setattr(pgark_wal, "Options", fail)
    assert pgark_wal.main([command]) == status
    assert type(error).__name__ in capfd.readouterr().err


def test_a_closed_standard_error_changes_no_exit_status(tmp_path: Path) -> None:
    lost = Repository(tmp_path / "lost")
    path = write_segment(tmp_path / "wal")
    for argv, status in ((["push", *lost.options(), str(path)], 1), (["get", *lost.options(), NAME, "x"], 200)):
        done = subprocess.run(
            ["sh", "-c", 'exec "$0" "$@" 2>&-', sys.executable, "-IS", str(PROGRAM), *argv], check=False, cwd=tmp_path
        )
        assert done.returncode == status


def test_a_start_imports_nothing_slow(repository: Repository, pg_wal: Path) -> None:
    """A push starts for every segment: the standard library's bigger modules would take longer than its own work."""
    path = write_segment(pg_wal)
    code = (
        "import sys; program = sys.argv.pop(1); sys.argv[0] = program; before = set(sys.modules)\n"
        "try: exec(compile(open(program).read(), program, 'exec'), {'__name__': '__main__'})\n"
        "finally: print(*sorted(set(sys.modules) - before))"
    )
    argv = [sys.executable, "-IS", "-c", code, str(PROGRAM), "push", *repository.options(), "--compression", "lz4"]
    done = subprocess.run([*argv, str(path)], capture_output=True, text=True, check=True)
    assert "fcntl" in done.stdout.split()
    assert not SLOW & set(done.stdout.split())


def test_it_runs_without_an_environment(repository: Repository, pg_wal: Path, compression: str) -> None:
    path = write_segment(pg_wal)
    assert_done(push(repository, path, compression, env={}))
    assert_done(get(repository, NAME, pg_wal / "restored", env={}))


def test_standard_error_is_one_line_in_the_c_locale(tmp_path: Path) -> None:
    lost = Repository(tmp_path / "ünïcode")
    environment = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PATH": os.environ["PATH"]}
    assert_failed(push(lost, write_segment(tmp_path / "wal"), env=environment), 1, "ünïcode")
