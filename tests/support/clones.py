# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster with a backup to clone, and the clones that are made of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.modules import Modules
from tests.support.postgres import SETTINGS, Cluster
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox
from tests.support.snapshots import Entry, tree

SUM = "SELECT count(*) || ':' || md5(string_agg(n || t, ',' ORDER BY n)) FROM ledger"
FILL = "INSERT INTO ledger SELECT n, 'entry ' || n FROM generate_series(%s::int, %s) AS n"
SUBSCRIBE = (
    "CREATE SUBSCRIPTION feed CONNECTION 'host=/nowhere' PUBLICATION p"
    " WITH (connect = false, slot_name = of_the_original)"
)
NOW = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.USZ')"


class Source(Recoverable):
    """A running cluster with a base backup, a tablespace, and rows before and after the moment to restore to."""

    def write_history(self) -> None:
        """Fill a table in a tablespace, back it up, and go on writing."""
        self.tablespace = self.sandbox.directory(self.cluster.home / "fast space")
        self.cluster.sql(f"CREATE TABLESPACE fast LOCATION '{self.tablespace}'")
        self.cluster.sql("CREATE TABLE ledger (n int PRIMARY KEY, t text) TABLESPACE fast")
        self.cluster.sql("CREATE EXTENSION amcheck")
        self.cluster.sql(SUBSCRIBE)
        self.cluster.sql("ALTER SUBSCRIPTION feed ENABLE")
        self.cluster.sql(FILL, (1, 2000))
        self.run("base_backup")
        self.cluster.sql(FILL, (2001, 3000))
        self.moment: str = self.cluster.value(NOW)
        self.expected: str = self.cluster.value(SUM)
        self.cluster.sql(FILL, (3001, 3500))
        self.switch()

    @property
    def identifier(self) -> str:
        """Return the system identifier."""
        return identifier(self.cluster)


class Clone(Recoverable):
    """A clone of a source: a place, a port and a name of its own, and the source's repository."""

    def __init__(self, source: Source, cluster: Cluster, modules: Modules) -> None:
        super().__init__(source.sandbox, cluster, modules)
        self.source = source
        self.repository = source.repository
        self.spaces = source.sandbox.directory(cluster.home / "spaces")
        self.options["repository"] = source.repository
        self.wanted: dict[str, Any] = {
            "source_cluster": source.cluster.name,
            "target_time": source.moment,
            "tablespace_mapping": {str(source.tablespace): str(self.spaces / "fast")},
            "program": self.program,
        }

    def clone(self, **options: Any) -> dict[str, Any]:
        """Restore the source's backup here, and promote it."""
        self.lay_out(**options)
        self.run("postgres_server", state="started")
        self.wait_for_target()
        if self.run("recovery", state="promoted")["restart_required"]:
            self.run("postgres_server", state="restarted")
        return self.run("cluster_info")

    def lay_out(self, **options: Any) -> dict[str, Any]:
        """Stage the source's backup, and put it in place."""
        staged = self.run("pitr_restore", state="staged", **self.wanted | options)
        self.run("pitr_restore", state="restored", **self.wanted | options)
        return staged

    def detach(self, **options: Any) -> dict[str, Any]:
        """Give the clone, which is stopped, a system identifier of its own."""
        return self.run("pitr_restore", state="detached", **options)

    def become_a_cluster(self, **options: Any) -> dict[str, Any]:
        """Do all that makes a clone a cluster of its own, which is running."""
        self.clone(**options)
        self.run("postgres_server", state="stopped")
        detached = self.detach()
        self.run("postgres_server", state="started")
        return detached

    def refused(self, **options: Any) -> str:
        """Stage a clone that has to be refused, and return what is said."""
        return self.fail("pitr_restore", state="staged", **self.wanted | options)


@contextmanager
def source_of_clones(sandbox: Sandbox, version: str, modules: Modules, name: str = "source") -> Iterator[Source]:
    """Provide a cluster to clone; its port, log and socket directory are in the configuration that clones get."""
    reached_for = {
        "synchronous_standby_names": "a_standby_that_is_gone",
        "synchronous_commit": "local",
        "external_pid_file": "source.pid",
        "log_directory": "/nowhere/log",
    }
    if int(version) < 15:
        reached_for["stats_temp_directory"] = str(sandbox.directory(sandbox.home / "statistics"))
    with sandbox.cluster(version, name, settings=SETTINGS | reached_for) as cluster:
        source = Source(sandbox, cluster, modules)
        source.enable()
        source.write_history()
        yield source


@contextmanager
def clone_of(source: Source, modules: Modules, name: str = "copy") -> Iterator[Clone]:
    """Provide the place for a clone, where nothing is yet."""
    with Cluster(source.sandbox, source.cluster.version, name) as cluster:
        source.sandbox.directory(cluster.socket_directory)
        yield Clone(source, cluster, modules)


def identifier(cluster: Cluster) -> str:
    """Return a running server's system identifier."""
    return str(cluster.value("SELECT system_identifier FROM pg_control_system()"))


def settings_of_a_clone(cluster: Cluster) -> dict[str, str]:
    """Return a running server's settings by which it could reach for something that is not its own."""
    names = (
        *("archive_mode", "archive_command", "archive_library", "external_pid_file", "listen_addresses"),
        *("max_logical_replication_workers", "port", "primary_conninfo", "restore_command"),
        *("log_directory", "stats_temp_directory", "synchronous_standby_names"),
    )
    return dict(cluster.sql("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", (list(names),)))


def pending(cluster: Cluster) -> set[str]:
    """Name the WAL files that wait for the archive."""
    return {path.stem for path in (cluster.data_directory / "pg_wal" / "archive_status").glob("*.ready")}


def archived(source: Source) -> dict[str, Entry]:
    """Return all that is in a source's part of the repository, but for the lock, which names its last holder."""
    found = tree(source.repository / source.cluster.name)
    return {name: entry for name, entry in found.items() if name != "lock"}
