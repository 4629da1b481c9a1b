# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Synthetic WAL, repositories on disk, and ways to run pgark-wal: as it is, or with its system calls tampered with."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import os
import random
import shlex
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.support.sandbox import CHECKOUT

PROGRAM = CHECKOUT / "plugins/module_utils/_program/pgark_wal.py"
COMPRESSIONS = {"none": "", "gzip": ".gz", "lz4": ".lz4", "zstd": ".zst"}
SYSTEM_IDENTIFIER = 7710444717259544790
MAGIC = {13: 0xD106, 14: 0xD10D, 15: 0xD110, 16: 0xD113, 17: 0xD116, 18: 0xD118}
MB = 1 << 20
NAME = "000000010000000000000003"
HISTORY = b"1\t0/3000028\tno recovery target specified\n"
BACKUP_HISTORY = b"START WAL LOCATION: 0/3000028 (file 000000010000000000000003)\n"


def segment(
    name: str = NAME,
    *,
    version: int = 17,
    size: int = MB,
    seed: int = 0,
    magic: int | None = None,
    flags: int = 2,
    timeline: int | None = None,
    address: int | None = None,
    system_identifier: int = SYSTEM_IDENTIFIER,
    segment_size: int | None = None,
    block_size: int = 8192,
) -> bytes:
    """Return a segment that is right for its name, except for what is given; half of it cannot be compressed."""
    header = struct.pack(
        "=HHIQIIQII",
        MAGIC[version] if magic is None else magic,
        flags,
        int(name[:8], 16) if timeline is None else timeline,
        (int(name[8:16], 16) << 32) + int(name[16:24], 16) * size if address is None else address,
        0,
        0,
        system_identifier,
        size if segment_size is None else segment_size,
        block_size,
    )
    return (header + random.Random(seed).randbytes(size // 2)).ljust(size, b"\0")


@dataclass(frozen=True)
class Repository:
    """A repository with one cluster's archive in it."""

    path: Path
    cluster: str = "main"

    @classmethod
    def create(
        cls,
        path: Path,
        cluster: str = "main",
        *,
        version: int = 170010,
        system_identifier: int = SYSTEM_IDENTIFIER,
        segment_size: int = MB,
    ) -> Repository:
        """Lay out what the module backup_repository does."""
        repository = cls(path, cluster)
        repository.wal.mkdir(parents=True)
        for directory in (path, path / cluster, repository.wal):
            directory.chmod(0o750)
        (path / "repository.json").write_text(json.dumps({"format": 1, "id": "5e7b"}, indent=2))
        identity = {
            "format": 1,
            "system_identifier": str(system_identifier),
            "version": version,
            "wal_segment_size": segment_size,
        }
        (path / cluster / "cluster.json").write_text(json.dumps(identity))
        return repository

    def holding(self, segment_size: int) -> Repository:
        """Have it hold a cluster whose segments are of another size."""
        path = self.path / self.cluster / "cluster.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"wal_segment_size": segment_size}))
        return self

    @property
    def wal(self) -> Path:
        return self.path / self.cluster / "wal"

    def archived(self, name: str = NAME, compression: str = "none") -> Path:
        """Return where a file is, or would be."""
        directory = self.wal if name.endswith(".history") else self.wal / name[:16]
        return directory / (name + COMPRESSIONS[compression])

    def files(self) -> set[str]:
        """Name every file in the archive but the lock, hidden ones included."""
        return {entry.name for entry in self.wal.rglob("*") if not entry.is_dir()} - {".lock"}

    def options(self) -> list[str]:
        return ["--repository", str(self.path), "--cluster", self.cluster]


@dataclass(frozen=True)
class Data:
    """A data directory, as far as pgark-wal looks into one."""

    path: Path

    @classmethod
    def create(cls, path: Path, system_identifier: int = SYSTEM_IDENTIFIER) -> Data:
        """Make one without a segment."""
        for directory in (path, path / "global", path / "pg_wal", path / "pg_wal/archive_status"):
            directory.mkdir(mode=0o700)
        (path / "global/pg_control").write_bytes(struct.pack("=Q", system_identifier) + bytes(8184))
        return cls(path)

    @property
    def pg_wal(self) -> Path:
        return self.path / "pg_wal"

    def mark(self, name: str, state: str, age: float = 0) -> None:
        """Have a segment wait to be archived, "ready", or be archived, "done", since it was complete."""
        path = self.pg_wal / f"archive_status/{name}.{state}"
        path.touch()
        os.utime(path, (time.time() - age,) * 2)


def write_segment(directory: Path, name: str = NAME, content: bytes | None = None) -> Path:
    """Put a segment where PostgreSQL would have it."""
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_bytes(segment(name) if content is None else content)
    return path


def run(*argv: str | Path, prefix: tuple[str, ...] = (), **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the program as its first line would."""
    command = [*prefix, sys.executable, "-IS", str(PROGRAM), *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


def push(
    repository: Repository, path: Path, compression: str = "none", **options: Any
) -> subprocess.CompletedProcess[str]:
    return run("push", *repository.options(), "--compression", compression, path, **options)


def get(repository: Repository, name: str, path: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return run("get", *repository.options(), name, path, **options)


def in_namespace(script: str, repository: Repository, **places: str) -> subprocess.CompletedProcess[str]:
    """Run a script that may mount something, at best at its $MOUNT, which nobody else sees."""
    mount = repository.path.with_name("mount point")
    mount.mkdir()
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    known = {"MOUNT": str(mount), "REPOSITORY": str(repository.path)}
    defined = f'run() {{ {shlex.join([sys.executable, "-IS", str(PROGRAM)])} "$@"; }}\n'
    return subprocess.run(
        [*namespace, "sh", "-c", defined + script.replace("$PROGRAM", "run")],
        env=os.environ | known | places,
        capture_output=True,
        text=True,
        check=False,
    )


def without_power_over_files() -> tuple[str, ...]:
    """Return what makes root obey the modes of files, as PostgreSQL's user has to."""
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


def assert_done(done: subprocess.CompletedProcess[str]) -> None:
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def assert_failed(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """Check a failure's status, and that its one line on standard error has all these words."""
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("pgark-wal: ")
    assert done.stderr.endswith("\n")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


def sha256_line(name: str, content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()}  {name}\n"


@functools.cache
def load() -> ModuleType:
    """Import the program as a module."""
    specification = importlib.util.spec_from_file_location("pgark_wal", PROGRAM)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


CALLS = ("open", "write", "fsync", "link", "unlink", "rename", "mkdir", "close", "posix_spawn", "waitpid")
# What else can change something, and what else can fail.
WRITING = (*CALLS, "symlink", "rmdir", "fork")
ALL_CALLS = (*WRITING, "stat", "fstat", "listdir", "scandir", "statvfs", "read", "readv", "pread", "preadv", "setsid")


def run_tampered(
    argv: list[str],
    tamper: Callable[[int, str, str], None],
    calls: tuple[str, ...] = CALLS,
    cwd: Path | None = None,
    **constants: object,
) -> int:
    """Run the program in a child process with `tamper(number, call, file)` before each of these calls.

    Constants of the program may have other values there. Returns the exit status, or minus the signal that ended the
    child.
    """
    program = load()
    child = os.fork()
    if child == 0:
        status = 99
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            os.chdir(cwd or ".")
            vars(os)["fsync"] = os.fstat  # no power fails here: the disk's time is spared, wrong descriptors are not
            vars(program).update(constants)
            _tamper(tamper, calls)
            status = program.main(argv)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run_quickly(argv: list[str], cwd: Path | None = None, **constants: object) -> int:
    """Run the program without the time that starting an interpreter takes, and return its exit status."""
    return run_tampered(argv, lambda _number, _call, _file: None, (), cwd, **constants)


def _tamper(tamper: Callable[[int, str, str], None], calls: tuple[str, ...]) -> None:
    """Replace the calls in this process, which must be a child that ends soon."""
    number = 0

    def wrap(call: str, real: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*arguments: object, **options: object) -> object:
            nonlocal number
            number += 1
            first = arguments[1 if call in ("link", "rename", "symlink") else 0] if arguments else ""
            is_descriptor = isinstance(first, int) and call != "waitpid"
            tamper(number, call, os.readlink(f"/proc/self/fd/{first}") if is_descriptor else str(first))
            return real(*arguments, **options)

        return wrapped

    for call in calls:
        setattr(os, call, wrap(call, getattr(os, call)))


def kill_at(point: int) -> Callable[[int, str, str], None]:
    """Die without a word just before the call with this number."""

    def tamper(number: int, _call: str, _file: str) -> None:
        if number == point:
            os.kill(os.getpid(), signal.SIGKILL)

    return tamper


def fail_at(point: int, error: int) -> Callable[[int, str, str], None]:
    """Let the call with this number fail with an error, if that kind of call can."""

    def tamper(number: int, call: str, _file: str) -> None:
        if number == point and call != "close":
            raise OSError(error, os.strerror(error))

    return tamper
