# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a running server, and change its settings, over one psycopg connection."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from .._configuration.files import Origin
from .._errors import Error, Refused, ServerRefuses, ServerUnavailable
from .._host.files import read_small
from .._host.tools import Connection
from .._wal.names import Lsn, SegmentName
from .configuration import Configuration
from .connecting import located, opened
from .driver import psycopg_driver
from .settings import ConfigurationLine, Setting

_RELOAD_SECONDS = 10


@dataclass(frozen=True)
class Archiver:
    """What ``pg_stat_archiver`` counts; ``failing`` when the last thing that happened was a failure."""

    last_segment: str | None
    last_time: datetime | None
    failed_segment: str | None
    failed_time: datetime | None
    failed_count: int

    @property
    def failing(self) -> bool:
        """Tell whether the last attempt to archive failed."""
        if self.failed_time is None:
            return False
        return self.last_time is None or self.failed_time > self.last_time


@dataclass(frozen=True)
class RecoveryState:
    """Where a server is in its recovery; positions and times are None while nothing has been replayed."""

    in_recovery: bool
    paused: bool
    replay_lsn: Lsn | None
    replay_time: datetime | None
    timeline: int
    target_time: str
    now: datetime


class Server:
    """A connection to the server of one data directory, as a context manager."""

    def __init__(self, connection: Any, driver: Any, where: Connection, data_directory: str) -> None:
        self._connection = connection
        self._driver = driver
        self.where = where
        self._data_directory = data_directory

    @classmethod
    def connect(cls, connection: Connection, data_directory: str) -> Server:
        """Connect to the server that works in ``data_directory``, and to no other one; raises ServerUnavailable."""
        where = located(connection, data_directory)
        driver = psycopg_driver(connection.python_directory)
        server = cls(opened(where, driver), driver, where, data_directory)
        server._check_directory()
        return server

    def elsewhere(self, database: str) -> Server:
        """Connect to another database of the same server, and to that one only."""
        return Server.connect(replace(self.where, database=database), self._data_directory)

    def _check_directory(self) -> None:
        found, wanted = self.show("data_directory"), self._data_directory
        if os.path.realpath(found) != os.path.realpath(wanted):
            self.close()
            raise ServerRefuses(
                f"the server at port {self.where.port} of {self.where.host} works in {found}, expected {wanted}",
                "check login_port and login_unix_socket; another cluster answers there",
            )

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def rows(self, query: Any, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and give its rows; what the server says is the error."""
        try:
            cursor = self._connection.execute(query, tuple(values) or None)
            return cursor.fetchall() if cursor.description else []
        except self._driver.Error as error:
            if self._connection.closed:
                raise ServerUnavailable(f"the server broke off: {str(error).strip()}") from None
            raise Refused(f"the server refused: {str(error).strip()}", error.sqlstate) from None

    def value(self, query: Any, values: Sequence[Any] = ()) -> Any:
        """Run a query and give the first column of its first row."""
        return self.rows(query, values)[0][0]

    def show(self, name: str) -> str:
        """Give the value in force of a setting, with its unit."""
        return str(self.value("SELECT current_setting(%s)", [name]))

    @property
    def version(self) -> int:
        """The version as a number, such as 170010."""
        return int(self.show("server_version_num"))

    @property
    def data_directory(self) -> str:
        """The directory that the server works in, with symbolic links resolved."""
        return os.path.realpath(self.show("data_directory"))

    def now(self) -> datetime:
        """Give the time of the server's clock."""
        moment: datetime = self.value("SELECT clock_timestamp()")
        return moment

    def configure_options(self) -> str:
        """Give the options that the server was built with."""
        return str(self.value("SELECT setting FROM pg_config WHERE name = 'CONFIGURE'"))

    def settings(self) -> dict[str, Setting]:
        """Give all settings in force.

        While ``archive_mode`` is off, the server shows ``(disabled)`` for ``archive_command``: ``show_archive_command``
        in ``src/backend/access/transam/xlog.c``. Its reset value is the real one.
        """
        found = self.rows(
            "SELECT name, CASE name WHEN 'archive_command' THEN coalesce(reset_val, '') ELSE setting END,"
            " coalesce(unit, ''), vartype, context, pending_restart, source, sourcefile, sourceline,"
            " coalesce(boot_val, '') FROM pg_settings"
        )
        return {row[0]: Setting(*row) for row in found}

    def configuration(self) -> Configuration:
        """Give all settings, and where they come from; takes a superuser."""
        entries = self.rows(
            "SELECT sourcefile, sourceline, lower(name), setting, error FROM pg_file_settings"
            " WHERE sourcefile IS NOT NULL ORDER BY seqno"
        )
        options = _text(os.path.join(self.show("data_directory"), "postmaster.opts"))
        return Configuration.of(self.settings(), (ConfigurationLine(*row) for row in entries), options)

    def archiver(self) -> Archiver:
        """Read ``pg_stat_archiver``."""
        columns = "last_archived_wal, last_archived_time, last_failed_wal, last_failed_time, failed_count"
        return Archiver(*self.rows(f"SELECT {columns} FROM pg_stat_archiver")[0])

    def configuration_files(self) -> list[str]:
        """List the files that the server reads its configuration from."""
        files = [self.show(name) for name in ("config_file", "hba_file", "ident_file")]
        included = self.rows("SELECT DISTINCT sourcefile FROM pg_file_settings WHERE sourcefile IS NOT NULL")
        return sorted({*files, *(row[0] for row in included)})

    def size(self) -> int:
        """Give the bytes of all that the cluster's tablespaces have."""
        return int(self.value("SELECT coalesce(sum(pg_tablespace_size(oid)), 0)::bigint FROM pg_tablespace"))

    def configuration_sources(self) -> tuple[list[str], list[str]]:
        """Give the files of settings, and those of authentication, from which the others are found."""
        read = self.rows("SELECT DISTINCT sourcefile FROM pg_file_settings WHERE sourcefile IS NOT NULL")
        settings = [self.show("config_file"), *sorted(row[0] for row in read)]
        return settings, [self.show("hba_file"), self.show("ident_file")]

    def origin(self) -> Origin:
        """Tell where the cluster is."""
        configuration = os.path.dirname(self.show("config_file"))
        data_directory, port = os.path.realpath(self.show("data_directory")), int(self.show("port"))
        return Origin(data_directory, os.path.realpath(configuration), port)

    def tablespaces(self) -> dict[str, str]:
        """Give the directories of tablespaces outside PGDATA, by oid."""
        query = (
            "SELECT oid::text, pg_tablespace_location(oid) FROM pg_tablespace WHERE pg_tablespace_location(oid) <> ''"
        )
        return {row[0]: row[1] for row in self.rows(query)}

    def in_recovery(self) -> bool:
        """Tell whether the server is recovering."""
        return bool(self.value("SELECT pg_is_in_recovery()"))

    def replicates(self) -> bool:
        """Tell whether a standby, or anything else that streams WAL, depends on this server, or it on another."""
        return bool(
            self.value(
                "SELECT pg_is_in_recovery() OR EXISTS (SELECT FROM pg_replication_slots)"
                " OR EXISTS (SELECT FROM pg_stat_replication)"
            )
        )

    def require_library(self, name: str) -> None:
        """Make sure that a library can be loaded: an archiver that cannot load its own is started over and over."""
        try:
            self.rows(self._driver.sql.SQL("LOAD {}").format(self._driver.sql.Literal(name)))
        except ServerUnavailable:
            raise
        except Error as error:
            raise Error(
                f"archive_library '{name}' cannot be loaded: {error.message}",
                "install the package that brings it, for this server's version",
            ) from None

    def alters_system(self) -> bool:
        """Tell whether ALTER SYSTEM is allowed, which can be forbidden from PostgreSQL 17 on."""
        return bool(self.value("SELECT coalesce(current_setting('allow_alter_system', true), 'on') = 'on'"))

    def alter_system(self, name: str, value: str | None) -> None:
        """Change a setting in ``postgresql.auto.conf``; None removes it from there."""
        sql = self._driver.sql
        if value is None:
            self.rows(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(name)))
        else:
            self.rows(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))

    def reload(self) -> None:
        """Make the server read its configuration files, and wait until this session has done so."""
        before, deadline = self.value("SELECT pg_conf_load_time()"), time.monotonic() + _RELOAD_SECONDS
        self.rows("SELECT pg_reload_conf()")
        while self.value("SELECT pg_conf_load_time()") == before:
            if time.monotonic() > deadline:
                raise Error(f"the server has not read its configuration within {_RELOAD_SECONDS} s", "look at its log")
            time.sleep(0.02)

    def wake(self) -> None:
        """Connect once more and hang up: the postmaster starts what it misses, such as an archiver that has ended.

        It sleeps up to 60 s otherwise: ``DetermineSleepTime`` in ``src/backend/postmaster/postmaster.c``.
        """
        with contextlib.suppress(ServerUnavailable):  # whoever waits goes on waiting, and says what came of it
            opened(located(self.where, self._data_directory), self._driver).close()

    def restore_point(self, name: str) -> Lsn:
        """Write a named restore point and give its position."""
        return Lsn.parse(self.value("SELECT pg_create_restore_point(%s)::text", [name]))

    def segment_ending_at(self, lsn: Lsn) -> SegmentName:
        """Name the segment of the timeline being written that holds the last byte before a position.

        Computed here because ``pg_walfile_name`` answers differently at a segment's boundary since PostgreSQL 17.
        """
        timeline = self.value("SELECT substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)")
        size = self.value("SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'")
        return SegmentName.ending_at(int(timeline, 16), lsn, int(size))

    def switch_wal(self) -> tuple[SegmentName, Lsn]:
        """Close the current segment, even an empty one, and give its name and the position of the switch.

        A commit goes before the switch: pg_switch_wal does nothing when nothing was written since the last one, and a
        recovery with a target time fails when it finds no commit after that time.
        """
        self.rows("SELECT txid_current()")
        lsn = Lsn.parse(self.value("SELECT pg_switch_wal()::text"))
        return self.segment_ending_at(lsn), lsn

    def recovery_state(self) -> RecoveryState:
        """Read where recovery is; the pause is that of ``pg_wal_replay_pause`` or of a reached target.

        After a promotion the control file keeps the old timeline until a checkpoint has ended in the background.
        """
        row = self.rows(
            "SELECT r, CASE WHEN r THEN pg_is_wal_replay_paused() ELSE false END,"
            " pg_last_wal_replay_lsn()::text, pg_last_xact_replay_timestamp(),"
            " CASE WHEN r THEN (SELECT timeline_id FROM pg_control_checkpoint())"
            " ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END,"
            " current_setting('recovery_target_time'), clock_timestamp()"
            " FROM pg_is_in_recovery() AS r"
        )[0]
        lsn = None if row[2] is None else Lsn.parse(row[2])
        return RecoveryState(row[0], row[1], lsn, row[3], row[4], row[5], row[6])

    def locked_by_recovery(self) -> list[str]:
        """Name the relations of this database that the recovering process has locked."""
        return [
            row[0]
            for row in self.rows(
                "SELECT l.relation::regclass::text FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
                " JOIN pg_database d ON d.oid = l.database WHERE a.backend_type = 'startup'"
                " AND l.locktype = 'relation' AND l.granted AND d.datname = current_database() ORDER BY 1"
            )
        ]

    def promote(self, timeout: int) -> bool:
        """End recovery, and wait up to ``timeout`` seconds until it has ended."""
        return bool(self.value("SELECT pg_promote(true, %s)", [timeout]))


def _text(path: str) -> str:
    """Read a file that is only quoted; nothing when it is not there."""
    try:
        return read_small(path, follow=True).decode(errors="replace")
    except FileNotFoundError:
        return ""
