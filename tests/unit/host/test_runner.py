# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs run without a shell, in a known locale, and their failure says what they said."""

import fcntl
import os
import sys
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import CommandFailed, Error
from ansible_collections.pgark.postgres.plugins.module_utils._host.runner import CommandRunner, Result, said

RUNNER = CommandRunner()
SHOW = "import os, sys; print(sys.argv[1:], os.getcwd(), sorted(n for n in os.environ if n.startswith('PG')))"


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-S", "-c", code, *arguments]


def test_arguments_reach_the_program_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere")
    monkeypatch.setenv("PGDATABASE", "other")
    hostile = "a b; $(id) 'x' \"%p\" *"
    found = RUNNER.run(python(SHOW, hostile), directory=str(tmp_path), environment={"PGPASSWORD": "x"}).stdout
    assert found.startswith(f"{[hostile]} {tmp_path} ['PGPASSWORD']")


def test_messages_are_in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    result = RUNNER.run(python("import os; print(os.environ['LC_ALL'], os.environ['LANGUAGE'])"))
    assert result.stdout == "C C\n"


def test_a_failure_quotes_the_program(tmp_path: Path) -> None:
    argv = python("import sys; print('out'); print('why', file=sys.stderr); sys.exit(3)")
    with pytest.raises(CommandFailed, match=r"^python[0-9.]* ended with status 3: why$"):
        RUNNER.run(argv)
    assert RUNNER.run(argv, check=False) == Result(3, "out\n", "why\n")


def test_what_takes_longer_than_it_may_is_ended_with_all_that_it_has_started(tmp_path: Path) -> None:
    """Its child holds a lock: when that is free, the child has ended, too."""
    os.mkfifo(tmp_path / "endless")
    code = "import os, sys; os.fork(); open(sys.argv[1])"
    with (tmp_path / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(
            CommandFailed, match=r"^python[0-9.]* has not ended after 0.5 seconds, and was killed\nHINT: "
        ):
            CommandRunner(keep_open=[held.fileno()]).run(python(code, str(tmp_path / "endless")), limit=0.5)
    with (tmp_path / "lock").open("w") as free:
        fcntl.flock(free, fcntl.LOCK_EX)


def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match=f"{tmp_path}/pg_ctl cannot be run: No such file or directory\nHINT: "):
        RUNNER.run([f"{tmp_path}/pg_ctl", "status"])


def test_standard_input_is_empty_unless_given(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"given")
    argv = python("import sys; print(repr(sys.stdin.read()))")
    assert RUNNER.run(argv).stdout == "''\n"
    with (tmp_path / "input").open("rb") as source:
        assert RUNNER.run(argv, source=source).stdout == "'given'\n"


def test_a_descriptor_is_inherited_only_when_asked_for(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as file:
        argv = python("import os, sys; os.fstat(int(sys.argv[1]))", str(file.fileno()))
        assert RUNNER.run(argv, check=False).status == 1
        assert CommandRunner([file.fileno()]).run(argv).status == 0


def test_a_filter_is_read_as_a_stream_and_its_failure_comes_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"abc")
    code = "import sys; sys.stdout.write(sys.stdin.read().upper()); print('oh', file=sys.stderr); sys.exit({})"
    with (tmp_path / "input").open("rb") as source, RUNNER.reading(python(code.format(0)), source) as stream:
        assert stream.read() == b"ABC"
    with (
        (tmp_path / "input").open("rb") as source,
        pytest.raises(CommandFailed, match="ended with status 1: oh"),
        RUNNER.reading(python(code.format(1)), source) as stream,
    ):
        assert stream.read() == b"ABC"


def test_a_program_that_is_watched_says_how_it_ended() -> None:
    RUNNER.watch(python("import os; assert os.environ['X'] == 'y'"), lambda: None, environment={"X": "y"})
    with pytest.raises(CommandFailed, match="ended with status 3: why"):
        RUNNER.watch(python("import sys; print('why', file=sys.stderr); sys.exit(3)"), lambda: None)


# A program with a child that would go on for ever, and that has its output: as pg_basebackup, which receives WAL so.
FORKING = """
import os, signal, sys, time
if os.fork() == 0:
    open(sys.argv[1], "w").close()
    while True:
        time.sleep(60)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL) if sys.argv[2] == "dies" else time.sleep(3600)
"""


def test_what_a_killed_program_has_started_ends_too(tmp_path: Path) -> None:
    """It would keep whoever waits for its output waiting, and the lock that it has inherited."""
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(CommandFailed, match="ended with status -9"):
            CommandRunner([file.fileno()]).watch(python(FORKING, f"{tmp_path}/begun", "dies"), lambda: None)
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_whoever_watches_can_end_it(tmp_path: Path) -> None:
    def look() -> None:
        if (tmp_path / "begun").exists():
            raise Error("enough")

    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Error, match="enough"):
            CommandRunner([file.fileno()]).watch(python(FORKING, f"{tmp_path}/begun", "stays"), look)
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (Result(1, "out", "err\n"), "err"),
        (Result(1, "out\n", " \n"), "out"),
        (Result(1, "", ""), "it printed nothing"),
        (Result(1, "", "\n".join(map(str, range(50)))), "\n".join(map(str, range(30, 50)))),
    ],
)
def test_what_a_program_said_is_the_end_of_its_errors_else_of_its_output(result: Result, text: str) -> None:
    assert said(result) == text


def test_the_environment_of_this_process_is_left_alone() -> None:
    before = dict(os.environ)
    RUNNER.run(python("pass"), environment={"PGPASSWORD": "x"})
    assert dict(os.environ) == before
