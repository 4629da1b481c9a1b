# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transactions of every shape, written on one timeline, and noted outside the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from tests.support.ledger import Changes, Notes, Transaction
from tests.support.postgres import Cluster

TABLE = "CREATE TABLE entry (n int PRIMARY KEY, t text)"
WRITE = "INSERT INTO entry VALUES (%s, %s) ON CONFLICT (n) DO UPDATE SET t = excluded.t"
DELETE = "DELETE FROM entry WHERE n = %s"
COMMITTED_AT = "SELECT pg_xact_commit_timestamp(%s::text::xid)"
SHARED_NAME = "before the upgrade"
"""A restore point that every scene writes, so that its name is on all timelines, and several times on some paths."""


class Writer:
    """Writes transactions, and notes what they do."""

    def __init__(self, cluster: Cluster, notes: Notes) -> None:
        self._cluster = cluster
        self._notes = notes

    @contextmanager
    def open(
        self, label: str, changes: Changes, *, more: Changes | None = None, gid: str | None = None
    ) -> Iterator[psycopg.Connection[Any]]:
        """Write the rows in a transaction, to which the caller adds `more`, and which it ends, inside."""
        with self._cluster.connect() as connection:
            connection.execute("BEGIN")
            _apply(connection, changes)
            [(xid,)] = connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchall()
            yield connection
            self._note(xid, Transaction(label, {**changes, **(more or {})}, gid=gid))

    def commit(self, label: str, changes: Changes) -> None:
        """Commit the rows in one transaction."""
        with self.open(label, changes) as connection:
            connection.execute("COMMIT")

    def abort(self, label: str, changes: Changes) -> None:
        """Write the rows and take them back."""
        with self.open(label, changes) as connection:
            connection.execute("ROLLBACK")

    def commit_in_parts(self, label: str, main: Changes, released: Changes, taken_back: Changes) -> None:
        """Commit with two savepoints; the one that is taken back has an end of its own in the WAL."""
        with self.open(label, main, more=released) as connection:
            connection.execute("SAVEPOINT released")
            _apply(connection, released)
            connection.execute("RELEASE released")
            connection.execute("SAVEPOINT taken_back")
            _apply(connection, taken_back)
            rows = connection.execute("SELECT xmin::text::bigint FROM entry WHERE n = %s", [*taken_back]).fetchall()
            connection.execute("ROLLBACK TO taken_back")
            connection.execute("COMMIT")
        self._note(rows[0][0], Transaction(f"{label}, taken back", {}))

    def prepare(self, gid: str, label: str, changes: Changes) -> None:
        """Prepare a transaction, which waits until it is finished."""
        with self.open(label, changes, gid=gid) as connection:
            connection.execute(f"PREPARE TRANSACTION {_literal(gid)}".encode())

    def finish(self, gid: str, verb: str) -> None:
        """COMMIT or ROLLBACK what was prepared, perhaps on an earlier timeline."""
        [(xid,)] = self._cluster.sql("SELECT transaction::text::bigint FROM pg_prepared_xacts WHERE gid = %s", (gid,))
        self._cluster.sql(f"{verb} PREPARED {_literal(gid)}")
        self._note(xid, self._notes.transactions.get(xid, Transaction(f"{gid} inherited", {}, gid=gid)))

    def commit_at_once(self, labels: tuple[str, str], rows: tuple[int, int]) -> None:
        """Commit two transactions within microseconds."""
        with self._cluster.connect() as connection:
            connection.execute("SET synchronous_commit = off")
            inserts = " ".join(f"INSERT INTO entry VALUES ({row}, 'at once'); COMMIT;" for row in rows)
            connection.execute(f"DO $$ BEGIN {inserts} END $$".encode())
        for label, row in zip(labels, rows, strict=True):
            xid = self._cluster.value("SELECT xmin::text::bigint FROM entry WHERE n = %s", (row,))
            self._note(xid, Transaction(label, {row: "at once"}))

    def point(self, label: str, name: str) -> None:
        """Write a restore point."""
        self._cluster.sql("SELECT pg_create_restore_point(%s)", (name,))
        self._notes.points.append(label)

    def _note(self, xid: int, transaction: Transaction) -> None:
        """Note a transaction, with the time at which the server says that it was committed, if it was."""
        time = self._cluster.value(COMMITTED_AT, (xid,))
        self._notes.transactions[xid] = Transaction(transaction.label, transaction.changes, time, transaction.gid)


def scene(writer: Writer, tag: str, row: int) -> None:
    """Write the story that each timeline tells, with rows of its own from `row` on."""
    writer.commit(f"{tag} plain", {row: tag, row + 1: tag})
    writer.commit(f"{tag} changed", {1: tag, row: None})
    writer.point(f"{tag} point", f'{tag} it\'s a "point"')
    with writer.open(f"{tag} across", {row + 2: tag}) as across:
        writer.commit(f"{tag} between", {row + 3: tag})
        across.execute("COMMIT")
    writer.abort(f"{tag} aborted", {row + 4: tag})
    writer.commit_in_parts(f"{tag} in parts", {row + 5: tag}, {row + 6: tag}, {row + 7: tag})
    writer.prepare(f"{tag}'s", f"{tag} prepared", {row + 8: tag})
    writer.commit(f"{tag} while prepared", {row + 9: tag})
    writer.finish(f"{tag}'s", "COMMIT")
    writer.point(f"{tag} {SHARED_NAME}", SHARED_NAME)
    writer.commit_at_once((f"{tag} at once 1", f"{tag} at once 2"), (row + 10, row + 11))
    writer.commit(f"{tag} last", {row + 12: tag})


def _apply(connection: psycopg.Connection[Any], changes: Changes) -> None:
    for key, text in changes.items():
        connection.execute(*((DELETE, (key,)) if text is None else (WRITE, (key, text))))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
