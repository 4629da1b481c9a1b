# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands survive a real shell and the server's own expansion, and end a recovery only where the program says so."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._archiving.commands import (
    Push,
    archiving_program,
    following,
    get_command,
    parse_push,
    push_command,
    quote_word,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import InvalidValue
from ansible_collections.pgark.postgres.plugins.module_utils._task.arguments import check_jobs

SEGMENT = "000000010000000000000003"
HOSTILE_PATHS = [
    "/srv/pgark",
    "/srv/with space",
    "/srv/two  spaces ",
    "/srv/it's",
    '/srv/"quoted"',
    "/srv/$HOME/`id`/$(id)",
    "/srv/a;b&c|d>e<f",
    "/srv/back\\slash\\",
    "/srv/100%",
    "/srv/%p%f%%r%",
    "/srv/*?[a]{b,c}~!#",
    "/srv/grün/日本",
    "/srv/-dash",
]


def expand(command: str, **values: str) -> str:
    """Expand a command as the server does: BuildRestoreCommand and shell_archive.c know ``%%`` and their letters."""
    return re.sub("%(.)", lambda found: "%" if found[1] == "%" else values[found[1]], command)


def words_of_shell(command: str, program: str) -> list[str]:
    """Let a real shell run a command: what it calls is there, and prints what it was called as, and its arguments."""
    Path(program).parent.mkdir(parents=True)
    Path(program).write_text('#!/bin/sh\nprintf \'%s\\0\' "$0" "$@"\n')
    Path(program).chmod(0o755)
    environment = {"HOME": "/not/quoted", "PATH": os.environ["PATH"]}
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=True, env=environment)
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_commands_survive_the_server_and_the_shell(path: str, tmp_path: Path) -> None:
    program = f"{tmp_path}{path}/pgark-wal"
    push = expand(push_command(program, [path, "/b"], "main", "zstd", 2), p=SEGMENT, f=SEGMENT)
    [ahead] = re.findall(r"a=(pg_wal/pgsql_tmp\.pgark/push-[0-9a-f]{12});", push)
    assert words_of_shell(push, program) == [
        *(program, "push", "--repository", path, "--repository", "/b", "--cluster", "main", "--compression", "zstd"),
        *("--jobs", "2", "--ahead", ahead, SEGMENT),
    ]
    get = expand(get_command(program, [path, "/b"], "main", 3), f="00000002.history", p="pg_wal/RECOVERY HISTORY")
    shutil.rmtree(os.path.dirname(program))
    *words, spool, name, place = words_of_shell(get, program)
    assert words == [
        *(program, "get", "--repository", path, "--repository", "/b", "--cluster", "main", "--absent-status", "44"),
        *("--jobs", "3", "--spool"),
    ]
    assert re.fullmatch(rf"pg_wal/pgsql_tmp\.pgark/get-[0-9a-f-]{{36}}-{os.getpid()}-\d+", spool)
    assert (name, place) == ("00000002.history", "pg_wal/RECOVERY HISTORY")


def test_a_command_is_told_which_timeline_is_followed() -> None:
    plain = get_command("/opt/pgark-wal", ["/b"], "main", 3)
    assert following(plain, 7) == plain.replace(" --jobs 3 --spool ", " --jobs 3 --timeline 7 --spool ")
    assert following(plain, 7) != plain
    odd = '/opt/--spool "$s"/pgark-wal'
    assert following(get_command(odd, ["/b"], "main", 3), 7) == following(plain, 7).replace(
        quote_word("/opt/pgark-wal"), quote_word(odd)
    )


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ("exit 0", 0),
        ("exit 44", 1),
        ("exit 1", 200),  # Python itself, not the program
        ("exit 2", 200),
        ("exit 125", 200),
        ("exit 200", 200),
        ("exit 143", 143),
        ("kill -KILL $$", 200),
        ("kill -TERM $$", 143),
    ],
)
def test_nothing_but_the_program_itself_can_end_a_recovery(tmp_path: Path, said: str, understood: int) -> None:
    program = tmp_path / "pgark-wal"
    program.write_text(f"#!/bin/sh\n{said}\n")
    program.chmod(0o755)
    command = expand(get_command(str(program), ["/srv"], "main", 2), f="x", p="y")
    assert subprocess.run(["/bin/sh", "-c", command], check=False).returncode == understood
    program.chmod(0o644)
    assert subprocess.run(["/bin/sh", "-c", command], check=False, capture_output=True).returncode == 126
    program.unlink()
    assert subprocess.run(["/bin/sh", "-c", command], check=False, capture_output=True).returncode == 127


@pytest.mark.parametrize(
    ("said", "understood"), [("exit 0", 0), ("exit 1", 1), ("exit 200", 200), ("kill -TERM $$", 143)]
)
def test_a_program_that_cannot_be_started_is_a_failure_that_postgresql_counts(
    tmp_path: Path, said: str, understood: int
) -> None:
    """On a status above 125 it ends its archiver, and pg_stat_archiver shows nothing."""
    program = tmp_path / "pgark-wal"
    program.write_text(f"#!/bin/sh\n{said}\n")
    program.chmod(0o755)
    command = expand(push_command(str(program), ["/srv"], "main", "none", 2), f="x", p="y")
    assert subprocess.run(["/bin/sh", "-c", command], check=False).returncode == understood
    program.write_text("#!/nowhere/python3\n")
    damages: list[Callable[[], object]] = [lambda: None, lambda: program.chmod(0o644), program.unlink]
    for damage in damages:
        damage()
        done = subprocess.run(["/bin/sh", "-c", command], check=False, capture_output=True)
        assert (done.returncode, b"pgark-wal" in done.stderr) == (1, True), "the shell says why, in the server's log"


@pytest.mark.parametrize("word", ["a\nb", "\x00", "a\tb", "\x1b[0m", "\udcff"])
def test_a_word_with_control_characters_goes_into_no_command(word: str) -> None:
    with pytest.raises(InvalidValue, match="has control characters"):
        quote_word(word)
    with pytest.raises(InvalidValue, match="has control characters"):
        push_command("/usr/bin/pgark-wal", [f"/srv/{word}"], "main", "none", 1)


@pytest.mark.parametrize("path", HOSTILE_PATHS)
@pytest.mark.parametrize("earlier", [False, True])
def test_the_program_is_found_in_its_own_command(path: str, earlier: bool) -> None:
    program = f"{path}/pgark-wal"
    command = push_command(program, ["/first", path], "main", "auto", 2)
    if earlier:  # as versions before this one wrote it
        command = command.replace("|| { ", "|| exec ").partition("; case $?")[0]
    assert parse_push(command) == Push(program, ("/first", path), "main")
    assert archiving_program(command, path, "main") == archiving_program(command, "/first", "main") == program


@pytest.mark.parametrize(
    "command",
    [
        "",
        "(disabled)",
        "true",
        "cp %p /srv/%f",
        "/bin/pgark-wal",
        '/bin/pgark-wal push --repository /elsewhere --cluster main "%p"',
        '/bin/pgark-wal push --repository /srv --cluster other "%p"',
        '/bin/pgark-wal get --repository /srv --cluster main "%f" "%p"',
        '/bin/other push --repository /srv --cluster main "%p"',
        '/bin/not-pgark-wal push --repository /srv --cluster main "%p"',
        '/bin/pgark-wal push --repository main --cluster /srv "%p"',
        "/bin/pgark-wal push --repository '/srv --cluster main",
    ],
)
def test_any_other_command_is_not_ours(command: str) -> None:
    assert archiving_program(command, "/srv", "main") is None


def test_jobs_are_a_sensible_number() -> None:
    assert [check_jobs(jobs) for jobs in (1, 2, 64)] == [1, 2, 64]
    for jobs in (0, -1, 65):
        with pytest.raises(InvalidValue, match=f"found {jobs} jobs, expected 1 to 64"):
            check_jobs(jobs)
