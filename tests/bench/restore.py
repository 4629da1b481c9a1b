# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For how long a server is down while its cluster is restored, by size; beside doing the same by hand."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from tests.bench import machine, profile
from tests.bench.report import Report, Table
from tests.support.playbooks import Playbooks
from tests.support.postgres import Cluster
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_until

NAME = "restore"
TITLE = "pitr_restore.yml"
# That one of the two has a server with zstd in it, which is what a backup is compressed with if it can be.
VERSION = "17"
SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "4GB"}
GIB, MB = 2**30, 2**20
# Rows that barely compress, as a program writes them faster than a query would. A row is a line.
ROWS = "COPY ledger FROM PROGRAM 'head -c {bytes} /dev/urandom | base64 -w 1300'"
STAGE = "pitr_restore : restore | Unpack and verify the backup while the server runs"
STAMP = r"^(\S+ \S+) \S+ \[\d+\] LOG:  "
EXPLANATION = """\
How long a restore keeps a server down, for clusters of different sizes, and how that compares to restoring by hand:
stop, remove the data directory, unpack the backup in its place, start. Both restore the same backup with all of the WAL
that was archived after it, {wal} MB, on the same machine in one run; `pitr_restore.yml` first. The backup is
compressed with zstd, which is all that the way by hand calls; it verifies nothing and syncs nothing to disk.

The times are those in the server's log. *Stopping* is from the request to shut down to the end of the old server, which
writes its last checkpoint; *stopped* from there until the new server starts: what the way of restoring decides.
*Replay* is from the new server's start to the end of recovery, as any restore needs it. Files are in the page cache."""


class Times(NamedTuple):
    """The seconds that a server took to stop, for which it was stopped, and that it took to recover."""

    stopping: float
    stopped: float
    replay: float


@dataclass(frozen=True)
class Measurement:
    """One restore of one size; `staging` is what was done before the server was stopped, None for the way by hand."""

    way: str
    size: int
    staging: float | None
    times: Times
    wal: int

    def row(self) -> list[str]:
        """Return the line of the table."""
        staged = ["", ""] if self.staging is None else [f"{self.staging:.1f}", f"{self.size / MB / self.staging:.0f}"]
        seconds = [f"{each:.1f}" for each in self.times]
        return [f"{self.way}, {self.size / GIB:.1f} GB", *staged, *seconds, f"{self.wal / MB / self.times.replay:.0f}"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this benchmark."""
    parser.add_argument("--sizes", default="1,5", help="sizes of the data in GB (default: %(default)s)")
    parser.add_argument("--wal", type=int, default=1024, help="MB of WAL to replay (default: %(default)s)")


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> Report:
    """Measure each size on a cluster of its own, one after the other."""
    with Sandbox() as sandbox:
        found = []
        for size in map(float, options.sizes.split(",")):
            with sandbox.cluster(VERSION, settings=SETTINGS) as cluster:
                facts = machine.describe(sandbox, cluster)
                found += _Subject(sandbox, cluster, say).measure(int(size * GIB), options.wal * MB)
    columns = ["restore", "staging, s", "MB/s", "stopping, s", "stopped, s", "replay, s", "MB/s of WAL"]
    table = Table("Results", columns, [measurement.row() for measurement in found])
    return Report(TITLE, EXPLANATION.format(wal=options.wal), facts, [table])


class _Subject:
    """A cluster with archiving and a backup, which is restored in both ways."""

    def __init__(self, sandbox: Sandbox, cluster: Cluster, say: Callable[[str], None]) -> None:
        self._sandbox, self._cluster, self._say = sandbox, cluster, say
        self._playbooks = Playbooks(sandbox)
        variables = {"postgres_cluster_log_file": str(cluster.log_file)}
        self._inventory = self._playbooks.inventory(cluster, variables=variables)
        self._repository = cluster.home / "repository"

    def measure(self, size: int, wal: int) -> list[Measurement]:
        """Fill the cluster, back it up, write WAL, and restore."""
        self._say(f"filling {self._cluster.home} with {size / GIB:.1f} GB")
        self._cluster.sql("CREATE TABLE ledger (line text)")
        self._write(size)
        for playbook in ("setup_archiving", "base_backup"):
            self._say(playbook)
            self._playbooks.run(playbook, self._inventory, timeout=3600)
        size = int(self._cluster.value("SELECT sum(pg_database_size(oid)) FROM pg_database"))
        before = self._position()
        self._write(wal)
        wal = self._position() - before
        rows = self._rows()
        return [self._checked(restore(size, wal), rows) for restore in (self._restore, self._restore_by_hand)]

    def _restore(self, size: int, wal: int) -> Measurement:
        self._say("pitr_restore")
        seen, measured = len(self._cluster.log()), self._sandbox.controller / f"profile-{size}"
        environment = profile.environment(measured)
        variables = {"target": "latest"}
        self._playbooks.run("pitr_restore", self._inventory, variables=variables, environment=environment, timeout=3600)
        staging = profile.task_seconds(measured)[STAGE]
        return Measurement("pitr_restore.yml", size, staging, times(self._cluster.log()[seen:]), wal)

    def _restore_by_hand(self, size: int, wal: int) -> Measurement:
        self._say("by hand")
        seen, data = len(self._cluster.log()), self._cluster.data_directory
        [backup] = (self._repository / self._cluster.name / "backup").iterdir()
        self._cluster.stop()
        self._sandbox.run(["rm", "-rf", data], timeout=3600)
        self._sandbox.run(["mkdir", "-m", "0700", data])
        for archive, place in (("base", data), ("pg_wal", data / "pg_wal")):
            [packed] = backup.glob(f"{archive}.tar*")
            # With -f, zstd passes on what is not compressed, such as the WAL in a backup.
            unpack = ["sh", "-c", 'zstd -dcf "$1" | tar -x -C "$2"', "sh", str(packed), str(place)]
            self._sandbox.run(unpack, timeout=3600)
        self._sandbox.run(["touch", data / "recovery.signal"])
        self._cluster.configure({"restore_command": f'{self._program("get")} "%f" "%p"'})
        self._cluster.start()
        wait_until(lambda: "archive recovery complete" in self._cluster.log()[seen:], timeout=3600, message="recovery")
        wait_until(lambda: not self._cluster.value("SELECT pg_is_in_recovery()"), message="the end of recovery")
        return Measurement("by hand", size, None, times(self._cluster.log()[seen:]), wal)

    def _program(self, action: str) -> str:
        program, repository = self._cluster.home / "programs" / "pgark-wal", self._repository
        return f'"{program}" {action} --repository "{repository}" --cluster {self._cluster.name}'

    def _checked(self, measurement: Measurement, rows: int) -> Measurement:
        """Return the measurement, after a look that everything came back."""
        if self._rows() != rows:
            raise AssertionError(f"{self._rows()} rows came back instead of {rows}")
        self._say(f"{measurement.way}: {measurement.times}")
        return measurement

    def _write(self, size: int) -> None:
        """Write that many bytes of rows, a quarter of a GB at a time: each of four characters for three bytes."""
        for begun in range(0, size, GIB // 4):
            self._cluster.sql(ROWS.format(bytes=min(GIB // 4, size - begun) * 3 // 4))

    def _rows(self) -> int:
        return int(self._cluster.value("SELECT count(*) FROM ledger"))

    def _position(self) -> int:
        return int(self._cluster.value("SELECT pg_current_wal_lsn() - '0/0'"))


def times(log: str) -> Times:
    """Read from a server's log how long its first stop, what followed, and the recovery took."""
    events = ("received fast shutdown request", "database system is shut down", "starting PostgreSQL")
    requested, stopped, started = (_moment(log, event) for event in events)
    recovered = _moment(log, "archive recovery complete")
    return Times(*(span.total_seconds() for span in (stopped - requested, started - stopped, recovered - started)))


def _moment(log: str, event: str) -> datetime:
    """Return when something happened first."""
    found = re.search(STAMP + event, log, re.MULTILINE)
    if found is None:
        raise AssertionError(f"the server's log does not have {event!r}:\n{log}")
    return datetime.fromisoformat(found[1])
