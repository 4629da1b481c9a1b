# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stopped server with a base backup and WAL that waits to be archived, which can be put back after each way."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench.wal_figures import READY, SEGMENT_NAME, moment
from tests.support import postgres, processes
from tests.support.postgres import Cluster
from tests.support.sandbox import MARK, Sandbox
from tests.support.waiting import wait_until

SETTINGS = {
    "log_timezone": "UTC",
    "shared_buffers": "1GB",
    "autovacuum": "off",
    "synchronous_commit": "off",
    # Without a command, segments wait; and they stay where they are, under their names, once they are archived.
    "archive_mode": "on",
    "checkpoint_timeout": "1h",
    "max_wal_size": "64GB",
    "wal_keep_size": "64GB",
    "wal_recycle": "off",
}
# pgbench's columns, and a document as programs write them: the same keys and few words, and what looks random. Rows of
# some hundred bytes, and more memory than usual, keep replaying light enough for fetching to matter.
TABLE = """CREATE TABLE history (tid integer, bid integer, aid integer, delta integer, mtime timestamptz,
    document text, filler char(22))"""
ROWS = """COPY (SELECT i % 10 + 1, i % 7 + 1, (random() * 100000)::integer, (random() * 10000)::integer - 5000,
    timestamptz '2026-01-01 00:00+00' + i * interval '37 ms', json_build_object('reference', md5(random()::text),
    'customer', (random() * 5000)::integer, 'state', (ARRAY['open', 'paid', 'sent', 'returned'])[i % 4 + 1],
    'currency', 'EUR', 'amount', (random() * 100000)::integer, 'delivery', json_build_object('carrier', 'post',
    'parcel', md5(random()::text), 'weight', (random() * 30)::integer), 'note', md5((i / 100)::text))::text,
    '' FROM generate_series(1, 40000) AS i) TO '{file}'"""
POLL_SECONDS = 0.005
PATIENCE_SECONDS = 900
# Where pgark-wal keeps its acknowledgements: below pg_wal, so putting back includes removing them.
OURS = "pgsql_tmp.pgark"


class Backlog:
    """`names` are all segments since the start of the base backup, `full` those of them without room left in them."""

    def __init__(self, sandbox: Sandbox, cluster: Cluster, say: Callable[[str], None]) -> None:
        self.sandbox, self.cluster, self.say = sandbox, cluster, say
        self.backup = cluster.home / "backup"
        self.wal = cluster.data_directory / "pg_wal"
        self.status = self.wal / "archive_status"
        self.version = int(cluster.value("SELECT current_setting('server_version_num')"))
        self.system_identifier = int(cluster.value("SELECT system_identifier FROM pg_control_system()"))
        self.names: list[str] = []
        self.full: list[str] = []
        self.rows = 0

    def fill(self, segments: int) -> None:
        """Take the base backup, write at least so many full segments, and stop the server."""
        cluster, file = self.cluster, self.cluster.home / "rows"
        self.say(f"writing {segments} segments in {cluster.home}")
        with cluster.connect() as connection:
            connection.execute(TABLE.encode())
            connection.execute(b"SELECT setseed(0.5)")
            connection.execute(ROWS.format(file=file).encode())
        where = [f"--host={cluster.socket_directory}", f"--port={cluster.port}", f"--username={cluster.owner}"]
        cluster.run("pg_basebackup", *where, "-D", self.backup, "-c", "fast", "-X", "fetch", "--no-sync")
        first = self._first_of_backup()
        while len(self._waiting(first)) < segments + 1:
            cluster.sql(f"COPY history FROM '{file}'")
        cluster.sql("SELECT pg_switch_wal()")
        self.rows = int(cluster.value("SELECT count(*) FROM history"))
        cluster.stop()
        self.names = self._waiting(first)
        self.full = self.names[1 : segments + 1]

    def drain(self, names: Sequence[str], settings: Mapping[str, str]) -> float:
        """Start the server with these settings, and return the seconds from when it is up to the last one's archiving.

        The archiver begins when the server is ready. Another end of the server than its death would begin a segment.
        """
        self._put_back(names)
        self.configure(settings)
        seen = len(self.cluster.log())
        self.start()
        ended = self._archived(names)
        log = self.cluster.log()[seen:]
        self.stop()
        return ended - moment(log, READY).timestamp()

    def configure(self, settings: Mapping[str, str]) -> None:
        """Set what differs from one way to the other, and nothing else."""
        lines = [f"{name} = {postgres.quoted(value)}\n" for name, value in settings.items()]
        automatic = self.cluster.data_directory / "postgresql.auto.conf"
        automatic.write_text("".join(lines), encoding="utf-8")

    def start(self) -> None:
        """Start the server when nothing is left to write to disk, and wait for nothing."""
        self.sandbox.run(["sync"], timeout=PATIENCE_SECONDS)
        data, log = self.cluster.data_directory, self.cluster.log_file
        self.cluster.run("pg_ctl", "start", "-D", data, "--no-wait", "-l", log)

    def stop(self) -> None:
        """End the server at once, and wait for what a way of archiving left behind."""
        self.cluster.stop("immediate")
        mark = f"{MARK}={self.sandbox.root}"
        wait_until(lambda: not processes.marked(mark), timeout=60, message="the processes of archiving to end")

    def empty(self, directory: Path) -> Path:
        """Make a directory of the servers' user, instead of what is there."""
        shutil.rmtree(directory, ignore_errors=True)
        return self.sandbox.directory(directory)

    def cache(self, directory: Path) -> None:
        """Have all files below a directory in the page cache: ways of archiving differ in what they leave there."""
        for path in directory.rglob("*"):
            if path.is_file():
                with path.open("rb", buffering=0) as file:
                    while file.read(1 << 20):
                        pass

    @contextmanager
    def base_backup_in_place(self) -> Iterator[None]:
        """Have the base backup where the data directory is, ready for recovery."""
        data, aside = self.cluster.data_directory, self.cluster.home / "aside"
        data.rename(aside)
        try:
            self.sandbox.run(["cp", "-a", self.backup, data])
            self.sandbox.run(["touch", data / "recovery.signal"])
            yield
        finally:
            shutil.rmtree(data)
            aside.rename(data)

    def _put_back(self, names: Sequence[str]) -> None:
        """Have these segments wait, as if nothing had ever been archived, and no others."""
        shutil.rmtree(self.wal / OURS, ignore_errors=True)
        for path in self.status.iterdir():
            path.rename(path.with_suffix(".ready" if path.stem in names else ".done"))

    def _archived(self, names: Sequence[str]) -> float:
        """Return when the last one was archived: they are archived in their order, so looking for one is enough."""
        pending, deadline = list(names), time.monotonic() + PATIENCE_SECONDS
        while pending:
            if (self.status / f"{pending[-1]}.done").exists():
                pending.pop()
            elif time.monotonic() > deadline:
                raise AssertionError(f"{pending[-1]} is not archived:\n{self.cluster.log()[-5000:]}")
            else:
                time.sleep(POLL_SECONDS)
        return time.time()

    def _waiting(self, first: str) -> list[str]:
        waiting = (path.stem for path in self.status.glob("*.ready"))
        return sorted(name for name in waiting if SEGMENT_NAME.fullmatch(name) and name >= first)

    def _first_of_backup(self) -> str:
        """Return the segment that the base backup begins in, as its label says on the first line."""
        label = (self.backup / "backup_label").read_text(encoding="utf-8")
        return label.partition("(file ")[2].partition(")")[0]


def give(sandbox: Sandbox, directory: Path) -> None:
    """Make the servers' user the owner of a directory and all that is in it."""
    owner = f"{sandbox.account.uid}:{sandbox.account.gid}"
    subprocess.run(["chown", "-R", owner, str(directory)], check=True)
