# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings are compared as the server would show them; commands survive a real shell and the server's own expansion."""

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._core.settings import (
    Change,
    FileEntry,
    Setting,
    archiving_program,
    changes,
    check_jobs,
    choose_compression,
    get_command,
    push_command,
    quote_word,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import InvalidValue

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


@pytest.mark.parametrize(
    ("kind", "unit", "wanted", "shown"),
    [
        ("integer", "s", "60", "60"),
        ("integer", "s", "5min", "300"),
        ("integer", "s", "1 h", "3600"),
        ("integer", "s", "1d", "86400"),
        ("integer", "s", "1500ms", "2"),
        ("integer", "ms", "1min", "60000"),
        ("integer", "min", "2h", "120"),
        ("integer", "8kB", "128MB", "16384"),
        ("integer", "8kB", "8GB", "1048576"),
        ("integer", "kB", "1GB", "1048576"),
        ("integer", "MB", "3TB", "3145728"),
        ("integer", "kB", "1.5MB", "1536"),
        ("integer", "B", "16MB", "16777216"),
        ("integer", "8kB", "1048577", "1048577"),
        ("integer", "", "-1", "-1"),
        ("integer", "", "10", "10"),
        ("real", "", "0.9", "0.9"),
        ("real", "ms", "2ms", "2"),
        ("real", "ms", "500us", "0.5"),
        ("bool", "", "TRUE", "on"),
        ("bool", "", "yes", "on"),
        ("bool", "", "1", "on"),
        ("bool", "", "Off", "off"),
        ("bool", "", "no", "off"),
        ("enum", "", "REPLICA", "replica"),
        ("enum", "", "True", "on"),
        ("string", "", "5min", "5min"),
        ("string", "", "TRUE", "TRUE"),
        ("integer", "", "many", "many"),
    ],
)
def test_a_value_is_written_as_the_server_shows_it(kind: str, unit: str, wanted: str, shown: str) -> None:
    assert Setting("x", "", unit, kind).normalise(wanted) == shown


@pytest.mark.parametrize(("unit", "wanted"), [("kB", "5min"), ("s", "5MB"), ("ms", "5 Min"), ("8kB", "1mb")])
def test_a_unit_that_the_setting_does_not_have_is_refused(unit: str, wanted: str) -> None:
    with pytest.raises(InvalidValue, match=r"setting x: unit '.*' is not one of "):
        Setting("x", "", unit, "integer").normalise(wanted)


def test_a_reset_that_nobody_has_told_the_server_of_is_repeated() -> None:
    unwritten = replace(TIMEOUT, automatic=None)
    expected = (Change("archive_timeout", "60", None, False, "/data/postgresql.auto.conf:4"),)
    assert changes({"archive_timeout": unwritten}, {"archive_timeout": None}) == expected
    for done in (replace(unwritten, value="0"), replace(unwritten, pending_restart=True)):
        assert changes({"archive_timeout": done}, {"archive_timeout": None}) == ()


def written(name: str, value: str, file: str = "/data/postgresql.auto.conf", line: int = 3) -> FileEntry:
    return FileEntry(file, line, name, value)


MODE = Setting("archive_mode", "off", kind="enum", context="postmaster", default="off")
TIMEOUT = Setting(
    *("archive_timeout", "60", "s", "integer", "sighup", False, "configuration file"),
    *("/data/postgresql.auto.conf", 4, "0", written("archive_timeout", "1min", line=4)),
)
MEMORY = Setting("work_mem", "4096", "kB", "integer", source_file="/etc/postgresql.conf", source_line=7)
CURRENT = {setting.name: setting for setting in (MODE, TIMEOUT, MEMORY)}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ()),
        ({"archive_timeout": "1min", "work_mem": "4MB", "archive_mode": "OFF"}, ()),
        ({"archive_mode": "on"}, (Change("archive_mode", "off", "on", True),)),
        ({"work_mem": "8MB"}, (Change("work_mem", "4096", "8MB", False, "/etc/postgresql.conf:7"),)),
        (
            {"archive_timeout": None},
            (Change("archive_timeout", "60", None, False, "/data/postgresql.auto.conf:4"),),
        ),
        ({"work_mem": None, "archive_mode": None}, ()),
    ],
)
def test_only_what_differs_is_changed(wanted: dict[str, str | None], found: tuple[Change, ...]) -> None:
    assert changes(CURRENT, wanted) == found


WAITING = replace(MODE, pending_restart=True, automatic=written("archive_mode", "On"))
LINE = "/data/postgresql.auto.conf:3"


@pytest.mark.parametrize(
    ("current", "wanted", "found"),
    [
        (WAITING, "ON", ()),
        (WAITING, "always", (Change("archive_mode", "on", "always", True, LINE),)),
        (WAITING, "off", (Change("archive_mode", "on", "off", False, LINE),)),
        (WAITING, None, (Change("archive_mode", "on", None, False, LINE),)),
        # reset already, so that the restart will bring the default
        (replace(MODE, value="on", pending_restart=True), "off", ()),
        (replace(MODE, value="on", pending_restart=True), "on", (Change("archive_mode", "off", "on", False),)),
        # another file than ALTER SYSTEM's
        (replace(WAITING, automatic=None, by_hand=written("archive_mode", "yes", "/etc/a.conf")), "on", ()),
        (
            replace(WAITING, automatic=None, by_hand=written("archive_mode", "always", "/etc/a.conf")),
            "on",
            (Change("archive_mode", "always", "on", True, "/etc/a.conf:3"),),
        ),
        # the command line wins again after the restart
        (replace(WAITING, source="command line"), "off", ()),
        (
            replace(WAITING, source="command line"),
            "on",
            (Change("archive_mode", "off", "on", True, "the server's command line"),),
        ),
    ],
)
def test_what_a_restart_will_bring_counts_as_there(
    current: Setting, wanted: str | None, found: tuple[Change, ...]
) -> None:
    assert changes({"archive_mode": current}, {"archive_mode": wanted}) == found


@pytest.mark.parametrize(
    ("value", "by_hand", "source", "needs_restart"),
    [
        ("on", None, "configuration file", True),
        ("off", None, "configuration file", False),
        ("on", "yes", "configuration file", False),
        ("on", "off", "configuration file", True),
        ("on", "off", "command line", False),
    ],
)
def test_a_reset_needs_a_restart_when_that_changes_the_value(
    value: str, by_hand: str | None, source: str, needs_restart: bool
) -> None:
    entry = None if by_hand is None else written("archive_mode", by_hand, "/etc/a.conf")
    setting = replace(MODE, value=value, source=source, automatic=written("archive_mode", "on"), by_hand=entry)
    [change] = changes({"archive_mode": setting}, {"archive_mode": None})
    assert change.needs_restart == needs_restart


@pytest.mark.parametrize("value", ["on", None])
def test_a_setting_that_the_server_does_not_have_is_refused(value: str | None) -> None:
    with pytest.raises(InvalidValue, match="the server knows no setting 'archiv_mode'"):
        changes(CURRENT, {"archiv_mode": value})


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


@pytest.mark.parametrize("word", ["a\nb", "\x00", "a\tb", "\x1b[0m", "\udcff"])
def test_a_word_with_control_characters_goes_into_no_command(word: str) -> None:
    with pytest.raises(InvalidValue, match="has control characters"):
        quote_word(word)
    with pytest.raises(InvalidValue, match="has control characters"):
        push_command("/usr/bin/pgark-wal", [f"/srv/{word}"], "main", "none", 1)


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_the_program_is_found_in_its_own_command(path: str) -> None:
    program = f"{path}/pgark-wal"
    command = push_command(program, ["/first", path], "main", "auto", 2)
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


@pytest.mark.parametrize(
    ("wanted", "available", "chosen"),
    [
        ("auto", {"zstd", "lz4", "gzip"}, "zstd"),
        ("auto", {"lz4", "gzip"}, "lz4"),
        ("auto", {"gzip"}, "gzip"),
        ("auto", set(), "none"),
        ("none", set(), "none"),
        ("lz4", {"zstd", "lz4"}, "lz4"),
    ],
)
def test_auto_takes_the_best_compression_there_is(wanted: str, available: set[str], chosen: str) -> None:
    assert choose_compression(wanted, frozenset(available)) == chosen


def test_a_compression_that_is_missing_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidValue, match=r"compression zstd is not available here; found: gzip, none\nHINT: "):
        choose_compression("zstd", frozenset({"gzip"}))


def test_jobs_are_a_sensible_number() -> None:
    assert [check_jobs(jobs) for jobs in (1, 2, 64)] == [1, 2, 64]
    for jobs in (0, -1, 65):
        with pytest.raises(InvalidValue, match=f"found {jobs} jobs, expected 1 to 64"):
            check_jobs(jobs)
