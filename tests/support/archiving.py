# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that archives with pgark-wal and recovers with it, set up by hand: only the program is under test."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ansible_collections.pgark.postgres.plugins.module_utils._archiving.commands import get_command, push_command
from tests.support import processes
from tests.support.postgres import Cluster
from tests.support.waiting import wait_until
from tests.unit.wal_program.harness import PROGRAM, Repository

JOBS = 2
QUICKLY = ("--checkpoint=fast", "--no-sync")
PREFETCHED = "pgsql_tmp.pgark/get-*"
FINISH = "SELECT pg_walfile_name(pg_switch_wal()) FROM pg_logical_emit_message(false, '', md5(random()::text))"
READERS = {"": "cat", ".gz": "gzip -dc", ".lz4": "lz4 -dc", ".zst": "zstd -dc"}


class Archiving:
    """A cluster that archives with pgark-wal, and its first base backup."""

    def __init__(self, cluster: Cluster, compression: str = "none", program: str | None = None) -> None:
        self.cluster = cluster
        self.program = cluster.home / "pgark-wal"
        self.install(PROGRAM.read_text(encoding="utf-8") if program is None else program)
        self.repository = self.create_repository("the repository")
        self.backup = cluster.home / "backup"
        self.enable(compression)

    @property
    def wal(self) -> Path:
        """Where the server has its WAL."""
        return self.cluster.data_directory / "pg_wal"

    def install(self, program: str) -> None:
        self.program.write_text(f"#!{self.cluster.sandbox.python} -IS\n{program}")
        self.program.chmod(0o755)

    def create_repository(self, name: str) -> Repository:
        """Lay out a repository for the cluster; each has an id of its own."""
        cluster = self.cluster
        repository = Repository.create(
            cluster.home / name,
            version=int(cluster.value("SELECT current_setting('server_version_num')")),
            system_identifier=cluster.value("SELECT system_identifier FROM pg_control_system()"),
            segment_size=int(cluster.value("SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'")),
        )
        marker = repository.path / "repository.json"
        marker.write_text(marker.read_text().replace('"5e7b"', f'"{os.urandom(8).hex()}"'))
        self.give_to_owner(repository.path)
        return repository

    def give_to_owner(self, directory: Path) -> None:
        account = self.cluster.sandbox.account
        for path in (directory, *directory.rglob("*")):
            os.chown(path, account.uid, account.gid)

    def enable(self, compression: str) -> None:
        """Switch archiving on, and restoring for any later recovery, and take the base backup."""
        self.alter("archive_mode", "on")
        self.alter("restore_command", get_command(str(self.program), [str(self.repository.path)], "main", JOBS))
        self.compress(compression)
        self.cluster.restart()
        self.cluster.run("pg_basebackup", "-d", self.cluster.conninfo, "-D", self.backup, "-X", "none", *QUICKLY)

    def alter(self, name: str, value: str) -> None:
        quoted = value.replace("'", "''")
        self.cluster.sql(f"ALTER SYSTEM SET {name} = '{quoted}'")

    def reload(self) -> None:
        """Have the server read its settings; its archiver tries again at once, too, what it has failed to archive."""
        self.cluster.sql("SELECT pg_reload_conf()")

    def command(self, compression: str, *repositories: Repository) -> str:
        """Write the archive_command for the cluster's repository, or for these."""
        places = [str(repository.path) for repository in repositories or (self.repository,)]
        return push_command(str(self.program), places, "main", compression, JOBS)

    def compress(self, compression: str) -> None:
        self.archive_by(self.command(compression))

    def archive_by(self, command: str) -> None:
        self.alter("archive_command", command)
        self.reload()

    def write_rows(self, count: int) -> str:
        """Insert rows, finish their segment, wait until it is archived, and return its name."""
        self.cluster.sql("CREATE TABLE IF NOT EXISTS kept (id serial, payload text)")
        self.cluster.sql(f"INSERT INTO kept (payload) SELECT md5(random()::text) FROM generate_series(1, {count})")
        name = str(self.cluster.value("SELECT pg_walfile_name(pg_switch_wal())"))
        wait_until(lambda: self.forms(name), message=f"{name} to be archived")
        return name

    def finish_segments(self, count: int) -> list[str]:
        """Write something of its own into each of so many segments, finish them, and return their names."""
        with self.cluster.connect() as connection:
            return [str(connection.execute(FINISH).fetchall()[0][0]) for _number in range(count)]

    def forms(self, name: str) -> set[str]:
        return {file for file in self.repository.files() if file.startswith(name) and not file.endswith(".sha256")}

    def waiting(self) -> list[str]:
        """Name what PostgreSQL has to archive yet."""
        return sorted(path.stem for path in (self.wal / "archive_status").glob("*.ready"))

    def failures(self) -> int:
        """Count what PostgreSQL has failed to archive, once for each time that it tried."""
        return int(self.cluster.value("SELECT failed_count FROM pg_stat_archiver"))

    def wait_for_all(self, timeout: float = 30) -> None:
        """Wait until PostgreSQL takes everything for archived, and tell its archiver to try again until then."""

        def done() -> bool:
            if self.waiting():
                self.reload()
            return not self.waiting()

        wait_until(done, timeout=timeout, message="everything to be archived")

    def assert_archived(self, names: Iterable[str], repository: Repository | None = None) -> None:
        """Check that each segment is archived in one form, with the bytes that it has in pg_wal."""
        repository = repository or self.repository
        files = repository.files()
        for name in names:
            [suffix] = [suffix for suffix in READERS if name + suffix in files]
            [content] = contents([repository.wal / name[:16] / (name + suffix)], suffix)
            assert content == (self.wal / name).read_bytes(), name
        assert not [file for file in files if file.endswith(".tmp")]

    def lose_and_lay_out(self) -> None:
        """Lose the data directory with all its WAL, and put the base backup in its place, ready for recovery."""
        self.cluster.kill()
        self.lay_out()

    def lay_out(self) -> None:
        """Put the base backup in the place of what a server that is down has left, ready for recovery."""
        shutil.rmtree(self.cluster.data_directory)
        self.cluster.sandbox.run(["cp", "-a", self.backup, self.cluster.data_directory])
        self.cluster.sandbox.run(["touch", self.cluster.data_directory / "recovery.signal"])

    def recover(self) -> None:
        """Start the laid-out server and wait until it has replayed all that is archived, and takes writes."""
        self.cluster.start()
        self.wait_for_end_of_recovery()

    def wait_for_end_of_recovery(self) -> None:
        wait_until(lambda: not self.cluster.value("SELECT pg_is_in_recovery()"), message="the end of recovery")

    def has_restored(self, name: str) -> bool:
        return f'restored log file "{name}" from archive' in self.cluster.log()

    def recover_in_vain(self) -> str:
        """Start the laid-out server, check that it ends before its recovery does, and return what it wrote."""
        before = len(self.cluster.log())
        with contextlib.suppress(AssertionError):  # depends on whether it ends before it takes read-only connections
            self.cluster.start()
        wait_until(lambda: self.cluster.pid is None, message="the server to end")
        log = self.cluster.log()[before:]
        assert "archive recovery complete" not in log
        return log

    def helpers(self) -> list[int]:
        """Return the processes that fetch ahead: each leads a session of its own."""
        return [pid for pid in self.programs("get") if processes.leads_session(pid)]

    def programs(self, command: str) -> list[int]:
        """Return the processes that run pgark-wal for the server, and not the shell that is about to call it."""
        called = f" {self.program} {command} "
        working = processes.working_below(self.cluster.data_directory)
        found = [pid for pid in working if processes.name(pid) == self.program.name]
        return [pid for pid in found if called in processes.command_line(pid)]

    def assert_nothing_of_recovery_is_left(self) -> None:
        """Wait until the helper has ended, and check that it has left nothing in pg_wal."""
        wait_until(lambda: not self.programs("get"), message="the helper to end")
        left = [path for place in (PREFETCHED, f"{PREFETCHED}/*", "*.pgark-tmp") for path in self.wal.glob(place)]
        assert not left, left


def contents(paths: Sequence[Path], suffix: str, size: int = -1) -> Iterator[bytes]:
    """Yield what is in archived files, read by the programs that everybody has, in pieces of so many bytes or whole."""
    with (
        subprocess.Popen(["cat", *paths], stdout=subprocess.PIPE) as archived,
        subprocess.Popen(READERS[suffix].split(), stdin=archived.stdout, stdout=subprocess.PIPE) as reader,
    ):
        assert reader.stdout is not None
        while content := reader.stdout.read(size):
            yield content
    assert (archived.returncode, reader.returncode) == (0, 0)
