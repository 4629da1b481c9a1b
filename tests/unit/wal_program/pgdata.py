# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A data directory whose WAL waits to be archived, and what PostgreSQL's archiver does with it."""

from __future__ import annotations

import functools
import gzip
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from ansible_collections.pgark.postgres.plugins.module_utils._archiving.commands import push_command
from tests.support.waiting import wait_until
from tests.unit.wal_program.harness import (
    ALL_CALLS,
    COMPRESSIONS,
    MB,
    PROGRAM,
    Repository,
    run_quickly,
    run_tampered,
    segment,
    sha256_line,
)

OURS = "pg_wal/pgsql_tmp.pgark"
# A shell that cannot find the program has not answered by itself. It ends with 127, of which archive_command makes 1.
NO_PROGRAM = "/there is no/pgark-wal"
NOT_FOUND = 127
NOT_STARTED = 1
content_of = functools.cache(segment)


def names(first: int, count: int, size: int = MB, timeline: int = 1) -> list[str]:
    """Name segments from a position on, given as a number of segments."""
    per_file = 2**32 // size
    return [f"{timeline:08X}{n // per_file:08X}{n % per_file:08X}" for n in range(first, first + count)]


FIVE = names(3, 5)


def expand(command: str, path: str, file: str) -> str:
    """Expand a command as replace_percent_placeholders() in src/common/percentrepl.c does."""
    known = {"%p": path, "%f": file, "%%": "%"}
    return re.sub("%[pf%]", lambda found: known[found[0]], command)


def install(path: Path, **constants: object) -> str:
    """Put the program there, as one that can be called, with other values for some of its constants."""
    source, main, end = PROGRAM.read_text().partition('\nif __name__ == "__main__":\n')
    values = "".join(f"{name} = {value!r}\n" for name, value in constants.items())
    interpreter = os.path.realpath(sys.executable)  # a first line cannot have spaces, as a checkout may
    path.write_text(f"#!{interpreter} -IS\n{source}\n{values}{main}{end}")
    path.chmod(0o755)
    return str(path)


class Archiver:
    """A server whose segments wait, and its archive_command."""

    def __init__(self, data: Path, *repositories: Repository, compression: str = "none", jobs: int = 1) -> None:
        self.data, self.wal, self.status = data, data / "pg_wal", data / "pg_wal/archive_status"
        self.status.mkdir(parents=True, exist_ok=True)
        self.repositories, self.compression, self.jobs = repositories, compression, jobs

    def has(self, names: Iterable[str], size: int = MB) -> None:
        """Have these segments wait."""
        for name in names:
            self.has_file(name, content_of(name, size=size))

    def has_file(self, name: str, content: bytes) -> None:
        """Have one file wait."""
        (self.wal / name).write_bytes(content)
        (self.status / f"{name}.ready").touch()

    def command(self, name: str, program: str = NO_PROGRAM) -> str:
        """Return what the archiver has the shell do."""
        paths = [str(repository.path) for repository in self.repositories]
        cluster = self.repositories[0].cluster
        command = push_command(program, paths, cluster, self.compression, self.jobs)
        return expand(command, f"pg_wal/{name}", name)

    def shell(
        self, name: str, program: str = NO_PROGRAM, prefix: tuple[str, ...] = (), **options: object
    ) -> subprocess.CompletedProcess[str]:
        """Have the shell do it."""
        command = [*prefix, "sh", "-c", self.command(name, program)]
        return subprocess.run(command, cwd=self.data, capture_output=True, text=True, check=False, **options)

    def acknowledged(self, *names: str) -> list[str]:
        """Return those that the shell takes for archived without calling the program."""
        script = "\n".join(f"( {self.command(name)} ); echo $?" for name in names)
        done = subprocess.run(["sh", "-c", script], cwd=self.data, capture_output=True, text=True, check=True)
        statuses = list(map(int, done.stdout.split()))
        assert set(statuses) <= {0, NOT_STARTED}
        return [name for name, status in zip(names, statuses, strict=True) if status == 0]

    def argv(self, name: str) -> list[str]:
        """Return what the program is called with."""
        words = shlex.split(self.command(name))
        place = words[0].removeprefix("a=").removesuffix(";")
        words = words[words.index("push") :]
        end = next(number for number, word in enumerate(words) if word.endswith(";"))  # behind it, the shell goes on
        return [place if word == "$a" else word.removesuffix(";") for word in words[: end + 1]]

    def push(self, name: str, **constants: object) -> int:
        """Call the program, in this process's child."""
        return run_quickly(self.argv(name), self.data, **constants)

    def push_tampered(
        self,
        name: str,
        tamper: Callable[[int, str, str], None],
        calls: tuple[str, ...] = ALL_CALLS,
        **constants: object,
    ) -> int:
        """Call the program with its system calls tampered with."""
        return run_tampered(self.argv(name), tamper, calls, self.data, **constants)

    def waiting(self) -> list[str]:
        """Name the files that wait, in the archiver's order: pgarch_readyXlog() in src/backend/postmaster/pgarch.c."""
        found = [entry.name.removesuffix(".ready") for entry in self.status.glob("*.ready")]
        return sorted(found, key=lambda name: (not name.endswith(".history"), name))

    def archive_all(self, **constants: object) -> list[str]:
        """Archive one waiting file after the other, and name those for which the program was called."""
        called = []
        for name in self.waiting():
            if not self.acknowledged(name):
                called.append(name)
                assert self.push(name, **constants) == 0
            (self.status / f"{name}.ready").rename(self.status / f"{name}.done")
        return called

    def place(self) -> Path:
        """Return the directory of the acknowledgements."""
        return self.data / self.argv(names(0, 1)[0])[-2]

    def archived(self) -> list[str]:
        """Name what every repository has, each byte-identical to what is in pg_wal, and once; fail for all else."""
        found = [archived_in(repository, self.wal) for repository in self.repositories]
        return sorted(set.intersection(*map(set, found)))

    def assert_nothing_is_left(self) -> None:
        """Check that an archive has nothing but files in their final form; a killed compressor's may take a moment."""
        wait_until(lambda: not self.leftovers() or self.push(self.last()), message="leftovers to be removed")
        assert not self.leftovers()

    def leftovers(self) -> list[str]:
        return [name for each in self.repositories for name in each.files() if name.startswith(".")]

    def last(self) -> str:
        return max(entry.name for entry in self.wal.iterdir() if len(entry.name) == 24)


def archived_in(repository: Repository, wal: Path) -> list[str]:
    """Name the files that are archived here, after comparing each with the one in pg_wal."""
    found = []
    for path in sorted(repository.wal.rglob("0*")):
        if path.is_dir() or path.suffix == ".sha256":
            continue
        name = path.name if path.suffix not in COMPRESSIONS.values() else path.stem
        content = read(path)
        assert content == (wal / name).read_bytes(), f"{path} is not what was to be archived"
        if path.name == name and not name.endswith((".history", ".backup")):
            assert path.with_name(f"{name}.sha256").read_text() == sha256_line(name, content)
        found.append(name)
    assert len(found) == len(set(found)), "archived more than once"
    return found


def read(path: Path) -> bytes:
    """Return what an archived file holds."""
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    program = {".zst": "zstd", ".lz4": "lz4"}.get(path.suffix)
    if not program:
        return path.read_bytes()
    return subprocess.run([program, "-d", "-q", "-c", str(path)], capture_output=True, check=True).stdout
