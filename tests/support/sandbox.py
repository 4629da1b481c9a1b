# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory with all that throw-away PostgreSQL servers need, reachable for the user that runs them."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.gates.setup import UNPACKED
from tests.support import controller, interpreter, postgres, processes
from tests.support.accounts import Account
from tests.support.forking import ForkServer, ForkServers, run
from tests.support.postgres import Cluster

CHECKOUT = Path(__file__).parents[2]
PREFIX = "pgark-"
# In the environment of everything that is started in a sandbox; its value is the sandbox's directory.
MARK = "PGARK_SANDBOX"
MEMORY = Path("/dev/shm")
IMPORTED_BY_MODULES = ("ansible.module_utils.basic", "psycopg.rows", "runpy")
# What the clusters of a few processes with tests take at most; more of it than that has to be free.
MEMORY_BYTES = 6 << 30
# A socket's path is at most 107 bytes long: leave room for
# "/pgark-12345678/home/clusters/18 name/socket/.s.PGSQL.12345".
LONGEST_PARENT = 40


class Sandbox:
    """A context manager around one temporary directory.

    - `python` is an interpreter with psycopg for the managed side, its path free of spaces;
    - `library` holds `ansible` and `ansible_collections`, for modules that run outside of Ansible;
    - `home` belongs to the servers' user, its sub-directory `clusters` holds the clusters;
    - `controller` belongs to the caller: inventories, Ansible's own files;
    - `temporary` is what /tmp is elsewhere.

    What that user cannot reach (a checkout or an interpreter below /root) is copied in, the rest is linked.
    On leaving, every process that works inside is ended and the directory removed.
    """

    def __init__(self, in_memory: bool = False) -> None:
        """Create the directory: TMPDIR says where, or else it is in memory where that is wanted and there is room."""
        self.account = Account.for_servers()
        self.root = _create_root(self.account, in_memory)
        self.home = self.root / "home"
        self.controller = self.root / "controller"
        self.temporary = self.root / "tmp"
        self.library = self.root / "library"
        self._entrance: list[str] = []
        self.fork_servers = ForkServers()
        self.controller.mkdir()

    def __enter__(self) -> Sandbox:
        try:
            self._lay_out()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def user(self) -> str:
        """Return the name of the user that owns the clusters."""
        return self.account.user

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a program that runs as that user; nothing of the caller's gets in."""
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.home),
            "USER": self.user,
            "LOGNAME": self.user,
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.temporary),
            MARK: str(self.root),
        }

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        stdin: str = "",
        environment: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as the servers' user, in its home.

        Raises AssertionError with all that the program said when it fails and `check` is set.
        """
        done = subprocess.run(
            [*self._entrance, *(str(word) for word in argv)],
            input=stdin,
            env=self.environment | dict(environment or {}),
            cwd=self.home,
            text=True,
            capture_output=True,
            check=False,
            timeout=timeout,
            **self.account.as_process_options(),
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{argv} exited {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def fork(
        self, arguments: Sequence[str], *, program: str | None, stdin: str, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run a Python file, or a program with arguments, as `run` would, without its start: see `forking`."""
        chosen = self.environment | dict(environment)
        address = self.fork_server(chosen).address
        return run(
            address, arguments, program=program, stdin=stdin, environment=chosen, directory=self.home, timeout=120
        )

    def fork_server(self, environment: Mapping[str, str]) -> ForkServer:
        """Return one that runs as the servers' user, with what modules import."""
        # It has no mark, for it is no process that somebody has left behind.
        own = {name: value for name, value in environment.items() if name != MARK}
        key = (*self._entrance, *sorted(environment.items()))
        return self.fork_servers.get(
            key, lambda words: self._start([self.python, *words], own), self.home, IMPORTED_BY_MODULES
        )

    @contextmanager
    def through(self, entrance: Sequence[str]) -> Iterator[None]:
        """Put words before every command that `run` is given meanwhile, such as those that enter a namespace."""
        self._entrance = list(entrance)
        try:
            yield
        finally:
            self._entrance = []

    def cluster(
        self,
        version: str,
        name: str = "main",
        *,
        settings: Mapping[str, str] | None = None,
        wal_segment_size: int = 16,
    ) -> Cluster:
        """Create and start a cluster; settings go into postgresql.conf, the segment size is in MB."""
        cluster = Cluster(self, version, name)
        try:
            cluster.create(settings or {}, wal_segment_size)
            cluster.start()
        except BaseException:
            cluster.remove()
            raise
        return cluster

    def standby(self, primary: Cluster, name: str) -> Cluster:
        """Create and start a standby of the cluster."""
        standby = Cluster(self, primary.version, name)
        try:
            standby.copy(primary)
            standby.start()
        except BaseException:
            standby.remove()
            raise
        return standby

    def directory(self, path: Path) -> Path:
        """Create a directory, and its missing parents, that belong to the servers' user."""
        self.run(["mkdir", "-p", "-m", "0750", path])
        return path

    def reachable(self, path: Path) -> bool:
        """Tell whether the servers' user can read a file, or read and enter a directory."""
        enterable = "-x" if path.is_dir() else "-e"
        return self.run(["test", "-r", path, "-a", enterable, path], check=False).returncode == 0

    def provide(self, source: Path, destination: Path) -> Path:
        """Make the source reachable under the destination, by a link if that is enough, else by a copy."""
        destination.parent.mkdir(parents=True, exist_ok=True)
        if self.reachable(source):
            destination.symlink_to(source)
            return destination
        if source.is_dir():
            shutil.copytree(source, destination, symlinks=True)
        else:
            shutil.copy2(source, destination)
        self._open_to_readers(destination)
        return destination

    def bin_directory(self, version: str) -> Path:
        """Return where the servers' user finds PostgreSQL's programs."""
        if version not in postgres.VERSIONS:
            return postgres.PACKAGES / version / "bin"
        if version not in postgres.WHEELS:
            unpacked = self.root / "postgresql" / version
            return (unpacked if unpacked.exists() else self.provide(UNPACKED / version, unpacked)) / "bin"
        wheel = postgres.WHEELS[version]
        if not (self.root / wheel).exists():
            for source in controller.site_packages().glob(f"{wheel}*"):
                if not source.name.endswith(".dist-info"):
                    self.provide(source, self.root / source.name)
        return self.root / wheel / "pginstall" / "bin"

    def close(self) -> None:
        """End every process that works inside and remove the directory."""
        self.fork_servers.close()
        remove(self.root)

    def _start(self, argv: Sequence[str | Path], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start a program as the servers' user, with pipes to its standard input and output."""
        return subprocess.Popen(
            [*self._entrance, *(str(word) for word in argv)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=self.home,
            **self.account.as_process_options(),
        )

    def _lay_out(self) -> None:
        self.root.chmod(0o755)
        for directory in (self.home, self.library, self.temporary):
            directory.mkdir()
        self.temporary.chmod(0o1777)
        if not self.account.is_caller:
            os.chown(self.home, self.account.uid, self.account.gid)
        self.python = interpreter.create(self.root / "python", interpreter.chosen(), self.provide, self.reachable)
        self.provide(controller.ansible_package(), self.library / "ansible")
        self.provide(CHECKOUT / "plugins", self.library / "ansible_collections" / "pgark" / "postgres" / "plugins")
        self._open_to_readers(self.root / "python", self.library)

    def _open_to_readers(self, *directories: Path) -> None:
        """Grant everybody what the caller's umask, or the place that a copy came from, may have kept back."""
        subprocess.run(["chmod", "-R", "a+rX", *map(str, directories)], check=True)


def remove(root: Path) -> None:
    """End every process that works inside a sandbox's directory, and delete it."""
    if not (root / "controller").is_dir() or not root.name.startswith(PREFIX):
        raise ValueError(f"{root} is not the directory of a sandbox")
    processes.end_marked(f"{MARK}={root}")
    processes.end_below(root)
    shutil.rmtree(root)


def _create_root(account: Account, in_memory: bool) -> Path:
    """Create the sandbox's directory in the first place that suits."""
    preferred = [os.environ["TMPDIR"]] if "TMPDIR" in os.environ else [MEMORY] if in_memory and _has_memory() else []
    parents = map(Path, (*preferred, "/var/tmp", "/tmp"))
    suitable = next(parent for parent in parents if _is_suitable(parent, account))
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=suitable))


def _has_memory() -> bool:
    """Tell whether programs may be run from a file system in memory, and whether it has room."""
    if not MEMORY.is_dir():
        return False
    found = os.statvfs(MEMORY)
    return not found.f_flag & os.ST_NOEXEC and found.f_bavail * found.f_frsize > MEMORY_BYTES


def _is_suitable(parent: Path, account: Account) -> bool:
    open_to_all = all(directory.stat().st_mode & stat.S_IXOTH for directory in (parent, *parent.parents))
    enterable = account.is_caller or open_to_all
    return enterable and len(str(parent)) <= LONGEST_PARENT and " " not in str(parent) and os.access(parent, os.W_OK)
