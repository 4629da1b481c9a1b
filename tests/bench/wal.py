# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archiving WAL and fetching it back: pgark-wal beside cp, basic_archive and pgBackRest, and beside the machine."""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.bench import machine
from tests.bench.report import Report, Table
from tests.bench.wal_backlog import SETTINGS, Backlog
from tests.bench.wal_calls import Calls
from tests.bench.wal_drain import Drain
from tests.bench.wal_recover import Recover
from tests.bench.wal_ways import (
    CODECS,
    JOBS,
    QUEUE,
    BasicArchive,
    Copy,
    Link,
    PgarkWal,
    PgBackRest,
    PgBackRestAhead,
    Way,
)
from tests.support.postgres import PACKAGES
from tests.support.sandbox import Sandbox

NAME = "wal"
TITLE = "Archiving WAL, and fetching it back"
PARTS = ("drain", "recover", "calls")
# That of Debian 12, which pgBackRest of the same release knows, and the one of the wheels that takes its place.
PACKAGED, WHEEL = "15", "17"
# A recovery from an archive that gzip has compressed is the same for all who do it with zlib.
RECOVERED_CODECS = ("none", "lz4", "zstd")
ARCHIVING = (PgarkWal, BasicArchive, Copy, PgBackRest, PgBackRestAhead)
FETCHING = (PgarkWal, Copy, PgBackRestAhead, Link)
PROGRAMS = {"pgbackrest": "version", "lz4": "--version", "zstd": "--version", "gzip": "--version", "cp": "--version"}
EXPLANATION = f"""\
All ways do the same with the same segments, one after the other in each of {{turns}} turns, each of which begins with
another way; a figure is the median, with the lowest and the highest behind it. Everything is on one machine and one
file system, and what is read is in the page cache. Compression is at level 1 everywhere, and whatever can work on
several segments at once works on {JOBS}.

*Draining* is from the moment when the server, and with it the archiver, is up until the last segment of the backlog is
marked as archived. Each time the backlog is put back as it was, the archive is empty, and nothing is left to write to
disk. pgark-wal, basic_archive and pgBackRest return when a segment is durable; `cp` returns before that. *The program
alone* is what the machine can do without PostgreSQL: the compressor, or `cp`, over the same files, in {JOBS} processes.

*Recovering* is from a base backup; the rows are counted afterwards. Who fetches ahead keeps {QUEUE} ready. With `ln` as
restore_command there is nothing to fetch, and replaying is all that is left.

*Calls* are made as PostgreSQL makes them, by a shell, and on segments that are all but empty: what is left is what a
call costs by itself. A call for a segment that others wait behind archives some of those, too."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this benchmark."""
    parser.add_argument("--parts", type=_words_of(PARTS), default=PARTS, help=f"of {','.join(PARTS)} (default: all)")
    parser.add_argument("--codecs", type=_words_of(CODECS), default=CODECS, help=f"of {','.join(CODECS)}")
    parser.add_argument("--turns", type=int, default=3, help="times to measure each (default: %(default)s)")
    parser.add_argument("--segments", type=int, default=64, help="segments to drain (default: %(default)s)")
    parser.add_argument("--recover", type=int, default=104, help="segments to recover (default: %(default)s)")


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> Report:
    """Measure the parts one after the other on one server."""
    load = _load()
    with Sandbox() as sandbox:
        with sandbox.cluster(_version(say), settings=SETTINGS) as cluster:
            facts = machine.describe(sandbox, cluster)
            del facts["ansible-core"]
            backlog = Backlog(sandbox, cluster, say)
            tables = list(_on_server(backlog, options, facts))
        if "calls" in options.parts:
            calls = Calls(sandbox, say)
            tables.append(calls.measure())
            facts["archived by a call"] = calls.archived()
    facts |= {"kernel": platform.release(), "programs": ", ".join(map(_program_version, PROGRAMS))}
    facts["load average"] = f"{load} at the start, {_load()} at the end; more than 1 at the start means other work"
    return Report(TITLE, EXPLANATION.format(turns=options.turns), facts, tables)


def _on_server(backlog: Backlog, options: argparse.Namespace, facts: dict[str, str]) -> Iterator[Table]:
    wanted = {"drain": options.segments, "recover": options.recover}
    counts = [count for part, count in wanted.items() if part in options.parts]
    if counts:
        backlog.fill(max(counts))
    if "drain" in options.parts:
        with _ways(backlog, ARCHIVING) as ways:
            drain = Drain(backlog, ways, options.codecs, backlog.full[: options.segments])
            for number in range(options.turns):
                drain.turn(number)
        facts["segments shrink to"] = drain.shrunk()
        yield drain.table()
    if "recover" in options.parts:
        codecs = [codec for codec in options.codecs if codec in RECOVERED_CODECS]
        with _ways(backlog, FETCHING) as ways:
            recover = Recover(backlog, ways, codecs)
            recover.archive()
            for number in range(options.turns):
                recover.turn(number)
        yield from recover.tables()


@contextmanager
def _ways(backlog: Backlog, kinds: tuple[type[Way], ...]) -> Iterator[list[Way]]:
    """Give each way a directory, for as long as it is measured."""
    home = backlog.sandbox.directory(backlog.sandbox.home / "ways")
    yield [kind(backlog, home / f"{number}") for number, kind in enumerate(kinds)]
    shutil.rmtree(home)


def _version(say: Callable[[str], None]) -> str:
    if (PACKAGES / PACKAGED / "bin" / "postgres").exists():
        return PACKAGED
    say(f"PostgreSQL {PACKAGED} is not installed (postgresql-{PACKAGED}): measuring with {WHEEL}, without pgBackRest")
    return WHEEL


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def _program_version(program: str) -> str:
    """Return a program's name and version, as the first line that it says about itself has them."""
    if shutil.which(program) is None:
        return f"{program} not installed"
    said = subprocess.run([program, PROGRAMS[program]], check=True, capture_output=True, text=True).stdout
    found = re.search(r"\d+(\.\d+)+", said)
    return f"{program} {found[0] if found else said.strip()}"


def _words_of(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """Return what reads words with commas between them, in the order in which they are known."""

    def words(text: str) -> tuple[str, ...]:
        wanted = text.split(",")
        if unknown := set(wanted) - set(known):
            raise argparse.ArgumentTypeError(f"found {', '.join(sorted(unknown))}, expected of {', '.join(known)}")
        return tuple(word for word in known if word in wanted)

    return words
