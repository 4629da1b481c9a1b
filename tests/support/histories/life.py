# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Live through a history on a real server, and write down what its client sees."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg

from tests.support.clock import Clock
from tests.support.histories import damage
from tests.support.histories.ledger import SPACE, Changes, Event, Ledger, Row, State, state
from tests.support.history import SEGMENT_MEGABYTES
from tests.support.ledger import parse_lsn
from tests.support.recoverable import Recoverable

TABLE = "entry"
WRITE = "INSERT INTO {0} VALUES (%s, %s) ON CONFLICT (n) DO UPDATE SET t = excluded.t"
DELETE = "DELETE FROM {0} WHERE n = %s"
SEEN = "SELECT pg_current_wal_insert_lsn()::text, clock_timestamp()"
NEXT = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
COMMITTED = """
SELECT n, pg_xact_commit_timestamp(n::text::xid)
FROM generate_series(%s, pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) AS n
WHERE pg_xact_status(n::text::xid8) = 'committed' ORDER BY n
"""
FLUSH = "SELECT pg_logical_emit_message(false, 'flush', '', true)"
TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"


class Life:
    """A server, its ledger, and a method for each verb of what happens."""

    def __init__(self, subject: Recoverable, clock: Clock, ledger: Ledger) -> None:
        self.subject, self.cluster, self.ledger = subject, subject.cluster, ledger
        self._clock = clock
        self._numbers = sum(len(event.changes) for event in ledger.path()) + 1
        self._names = 0
        self._next = 0
        self.archived = 0
        self.damaged: set[tuple[int, int]] = set()
        self.look_up()

    def commit(self, at: float = 0.0, rows: int = 1, changes: str | None = None) -> None:
        """Commit new rows, and perhaps one that is changed or deleted."""
        with self._transaction(self._drawn(rows, at, changes)) as written:
            written.end("COMMIT")

    def abort(self) -> None:
        """Write a row and take it back."""
        with self._transaction(self._drawn(1)) as written:
            written.end("ROLLBACK")

    def savepoint(self, more: bool) -> None:
        """Commit with a savepoint that is taken back, which ends a transaction of its own."""
        kept, taken_back, last = self._drawn(1), self._drawn(1), self._drawn(1)
        with self._transaction(kept) as written:
            written.connection.execute("SAVEPOINT here")
            written.write(taken_back)
            written.end("ROLLBACK TO here", kind="abort", named=False, changes={})
            if more:
                written.write(last)
            written.end("COMMIT", alone=not more, changes=kept | last if more else kept)

    def across(self) -> None:
        """Commit a transaction that another one began and ended inside."""
        with self._transaction(self._drawn(1)) as outer:
            self.commit()
            outer.end("COMMIT", alone=True)

    def prepare(self) -> None:
        """Prepare a transaction, which waits until it is finished."""
        self._names += 1
        gid = f"{self.ledger.current}'s {self._names}"
        with self._transaction(self._drawn(1)) as written:
            written.end(f"PREPARE TRANSACTION {_literal(gid)}", kind="prepare", name=gid)

    def finish(self, at: float, commit: bool) -> None:
        """End one that waits, if one does."""
        path = self.ledger.path()
        if waiting := sorted(state(path, len(path)).prepared):
            gid = waiting[int(at * len(waiting))]
            prepared = next(event for event in reversed(path) if event.kind == "prepare" and event.name == gid)
            with self.cluster.connect() as connection:
                verb, kind = ("COMMIT", "commit") if commit else ("ROLLBACK", "abort")
                written = Written(self, connection, prepared.changes, prepared.xid)
                written.end(f"{verb} PREPARED {_literal(gid)}", kind=kind, name=gid, alone=True)

    def define(self, statement: str, changes: Changes, name: str | None = None) -> None:
        """Run a statement that is a transaction of its own."""
        with self.cluster.connect() as connection:
            Written(self, connection, changes, None).end(statement, kind="commit", name=name)

    def point(self, name: str) -> None:
        """Write a restore point."""
        with self.cluster.connect() as connection:
            written = Written(self, connection, {}, None)
            written.end(f"SELECT pg_create_restore_point({_literal(name)})", kind="point", name=name, alone=True)
            # Nothing waits for it to be on disk, and a server that is idle does not write it soon.
            connection.execute(FLUSH if int(self.cluster.version) >= 17 else "CHECKPOINT")

    def switch(self) -> None:
        """Have everything archived that was written so far."""
        with self.others():
            self.subject.switch()
        self.archived = len(self.ledger.path())

    def backup(self) -> None:
        """Take a base backup."""
        label = f"backup-{self.ledger.current}-{len(self.ledger.path())}"
        with self.others() as connection:
            begin, earliest = seen(connection)
            self.subject.run("base_backup", label=label, compression="none")
            after, latest = seen(connection)
        self.ledger.add(Event("backup", begin, begin, after, earliest, latest, name=label))
        self.archived = len(self.ledger.path())

    def clock(self, ahead: int) -> None:
        """Set the clock of the host, and see that the server has it."""
        self._clock.set(timedelta(seconds=ahead))
        earliest = time.time()
        told = self.cluster.value("SELECT extract(epoch FROM clock_timestamp())::float8") - ahead
        assert earliest <= told <= time.time(), f"the server's clock is {told - earliest} s off"

    def crash(self, how: str) -> None:
        """End the server while a transaction is open, as a power failure would or an immediate stop does."""
        with self._transaction(self._drawn(1)):
            self.commit()
            if how == "kill":
                self.cluster.kill()
            else:
                self.cluster.stop(how)
        self.cluster.start()
        self.look_up()

    def setting(self, line: str) -> None:
        """Leave a setting of a recovery in postgresql.conf, where it means nothing to a server that is none."""
        file = self.cluster.data_directory / "postgresql.conf"
        lines = [one for one in file.read_text(encoding="utf-8").splitlines() if not one.startswith("recovery_")]
        file.write_text("\n".join([*lines, line, ""]), encoding="utf-8")

    def damage(self, at: float, how: str, which: float) -> None:
        """Damage an archived segment; one is removed only where others of its timeline tell that it is missing."""
        files = damage.segments(self.subject.wal)
        likely = [one for one, later in pairwise(files) if one.name[:8] == later.name[:8]] if how == "remove" else files
        if not likely:
            return
        chosen = likely[int(which * len(likely))]
        damage.damage(chosen, how, at, files)
        self.damaged.add(damage.number(chosen, SEGMENT_MEGABYTES << 20))

    def copy(self, backwards: bool) -> None:
        """Have a copy of the repository in its place, which does not know when its files were written."""
        damage.copy_without_times(self.subject, backwards)

    def space(self) -> None:
        """Create a tablespace, and a table in it."""
        self._names += 1
        name, place = f"space_{self._names}", self._free_place()
        self.define(f"CREATE TABLESPACE {name} LOCATION '{place}'", {}, SPACE)
        self.define(f"CREATE TABLE {name} (n int PRIMARY KEY, t text) TABLESPACE {name}", {(name, 0): ""})
        with self._transaction({(name, self._number()): "new"}) as written:
            written.end("COMMIT")

    def _free_place(self) -> Path:
        """Give the first place for a tablespace in which nothing is, so that one comes back where another was."""
        places = (self.cluster.home / "spaces" / str(number) for number in itertools.count())
        return next(self.subject.sandbox.directory(place) for place in places if not _has_something(place))

    def drop(self, at: float) -> None:
        """Drop a tablespace with its table, if there is one."""
        path = self.ledger.path()
        rows = state(path, len(path)).rows
        if names := sorted({table for table, _number in rows if table != TABLE}):
            name = names[int(at * len(names))]
            self.define(f"DROP TABLE {name}", {row: None for row in rows if row[0] == name})
            self.define(f"DROP TABLESPACE {name}", {})

    def look_up(self, connection: psycopg.Connection[Any] | None = None) -> None:
        """Find out which number the next transaction gets: those before it are known, parts of others included."""
        self._next = self.cluster.value(NEXT) if connection is None else connection.execute(NEXT).fetchall()[0][0]

    @contextmanager
    def others(self) -> Iterator[psycopg.Connection[Any]]:
        """Note the transactions that a module commits meanwhile, which change nothing that is counted."""
        with self.cluster.connect() as connection:
            begin = seen(connection)[0]
            yield connection
            after = seen(connection)[0]
            found = connection.execute(COMMITTED, (self._next,)).fetchall()
        for xid, moment in found:
            self.ledger.add(Event("commit", begin, begin, after, moment, moment, xid, alone=True))
            self._next = xid + 1

    def observe(self) -> State:
        """Read all that the server has."""
        return observe(self.cluster.conninfo)

    @contextmanager
    def _transaction(self, changes: Changes) -> Iterator[Written]:
        """Begin to write; what is not ended inside ends with the connection."""
        connection = self.cluster.connect()
        try:
            written = Written(self, connection, changes, None)
            connection.execute("BEGIN")
            written.write(changes)
            written.xid = connection.execute("SELECT pg_current_xact_id()::xid::text::bigint").fetchall()[0][0]
            yield written
        finally:
            connection.close()

    def _drawn(self, rows: int, at: float = 0.0, changes: str | None = None) -> dict[Row, str | None]:
        """Make new rows, and change or delete one of those that are there."""
        path = self.ledger.path()
        there = sorted(row for row in state(path, len(path)).rows if row[0] == TABLE and row[1])
        new: dict[Row, str | None] = {(TABLE, self._number()): "new" for _turn in range(rows)}
        if changes and there:
            new[there[int(at * len(there))]] = None if changes == "delete" else f"changed by {self._numbers}"
        return new

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers


class Written:
    """A transaction that is under way."""

    def __init__(self, life: Life, connection: psycopg.Connection[Any], changes: Changes, xid: int | None) -> None:
        self.connection, self.xid = connection, xid
        self._life, self._changes = life, changes
        self._begin = seen(connection)[0]

    def write(self, changes: Changes) -> None:
        """Write rows."""
        for (table, number), text in changes.items():
            if text is None:
                self.connection.execute(DELETE.format(table).encode(), (number,))
            else:
                self.connection.execute(WRITE.format(table).encode(), (number, text))

    def end(
        self,
        statement: str,
        *,
        kind: str | None = None,
        name: str | None = None,
        named: bool = True,
        changes: Changes | None = None,
        alone: bool = False,
    ) -> None:
        """End it, or a part of it, and note that; `named` says that its end has its number."""
        kind = kind or {"COMMIT": "commit", "ROLLBACK": "abort"}[statement]
        before, earliest = seen(self.connection)
        self.connection.execute(statement.encode())
        if kind == "commit":
            xid, moment = self.connection.execute(
                "SELECT xid::text::bigint, timestamp FROM pg_last_committed_xact()"
            ).fetchall()[0]
            assert self.xid in (None, xid), f"transaction {self.xid} was committed, and {xid} is the last one"
            self.xid = xid
            earliest = latest = moment
        after, now = seen(self.connection)
        latest = earliest if kind == "commit" else now
        begin = before if alone else self._begin
        known = self._changes if changes is None else changes
        self._begin = after
        self._life.look_up(self.connection)
        event = Event(kind, begin, before, after, earliest, latest, self.xid if named else None, name, known, alone)
        self._life.ledger.add(event)


def seen(connection: psycopg.Connection[Any]) -> tuple[int, datetime]:
    """Read how far the server has written, and its clock."""
    [(position, moment)] = connection.execute(SEEN).fetchall()
    return parse_lsn(position), moment


def observe(conninfo: str) -> State:
    """Read all tables of a server, and the transactions that wait."""
    with psycopg.connect(conninfo) as connection:
        rows: dict[Row, str] = {}
        for (table,) in connection.execute(TABLES).fetchall():
            rows[table, 0] = ""
            found = connection.execute(f"SELECT n, t FROM {table}".encode()).fetchall()
            rows.update({(table, number): text for number, text in found})
        prepared = frozenset(row[0] for row in connection.execute("SELECT gid FROM pg_prepared_xacts"))
        return State(rows, prepared)


def _has_something(place: Path) -> bool:
    return place.exists() and any(place.iterdir())


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
