# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that others depend on is restored: they are named, and no subscription runs before somebody says so.

The server has a synchronous standby, subscribes to what another one publishes, and publishes to it itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.support.clones import NOW
from tests.support.killing import run_and_kill
from tests.support.postgres import Cluster
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_until

FEED = "SELECT string_agg(n::text, ',' ORDER BY n) FROM feed"
RUNNING = "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'logical replication%'"
ENABLED = "SELECT string_agg(subname, ',' ORDER BY subname) FROM pg_subscription WHERE subenabled"
SYNCHRONOUS = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
SYNCED = "SELECT count(*) > 0 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel"
NOWHERE = "CONNECTION 'host=/nowhere' PUBLICATION p WITH (connect = false, slot_name = nowhere)"
AWAY = 'subscriptions a "b" (database app), from other (database postgres)'
SLOT = "slot mirror (logical, database postgres) is in no backup, so it is lost"
AHEAD = "may be ahead: make their subscriptions anew, with empty tables; a slot that is only made again skips changes"
LASTING = [
    "standby walreceiver (sync) goes on serving the old history: make it anew, or use pg_rewind",
    f"{SLOT}: a physical one is made anew with its standby",
    f"subscribers mirror of publication orders (database postgres) {AHEAD}",
]
WAITS = "synchronous_standby_names is 'walreceiver': commits wait until such a standby is made anew, or that is emptied"


@dataclass
class Scene:
    """The server, the one that it exchanges rows with, and the moment to restore to."""

    subject: Recoverable
    other: Cluster
    moment: str

    @property
    def server(self) -> Cluster:
        """The cluster that is restored."""
        return self.subject.cluster

    @property
    def wanted(self) -> dict[str, Any]:
        """The options of the restore."""
        return {"target_time": self.moment, "program": self.subject.program}

    def has(self, rows: str) -> None:
        """Wait until the subscription has brought these rows, and no others."""
        wait_until(lambda: self.server.value(FEED) == rows, message=f"the rows {rows}")

    def exchange_data(self, **options: Any) -> dict[str, Any]:
        """Roll back, with the server down meanwhile."""
        self.subject.run("postgres_server", state="stopped")
        done = self.subject.run("pitr_restore", state="rolled_back", **options)
        self.subject.run("postgres_server", state="started")
        return done


@pytest.fixture
def scene(recoverable: Recoverable, sandbox: Sandbox) -> Iterator[Scene]:
    """Provide a server whose backup knows of all that depend on it, with rows behind a moment."""
    subject, server = recoverable, recoverable.cluster
    server.configure({"wal_level": "logical", "wal_keep_size": "256MB"})
    server.restart()
    with ExitStack() as stack:
        other = stack.enter_context(sandbox.cluster(server.version, "other", settings={"wal_level": "logical"}))
        stack.enter_context(sandbox.standby(server, "standby"))
        exchange(server, other)
        server.sql("ALTER SYSTEM SET synchronous_standby_names = 'walreceiver'")
        server.sql("SELECT pg_reload_conf()")
        wait_until(lambda: server.value(SYNCHRONOUS), message="the standby to be waited for")
        subject.run("base_backup", compression="none")
        scene = Scene(subject, other, "")
        other.sql("INSERT INTO feed VALUES (1), (2)")
        scene.has("1,2")
        scene.moment = server.value(NOW)
        other.sql("INSERT INTO feed VALUES (3), (4)")
        scene.has("1,2,3,4")
        subject.switch()
        yield scene


def exchange(server: Cluster, other: Cluster) -> None:
    """Have each of two servers subscribe to a table of the other one, and one to what is out of reach."""
    for cluster in (server, other):
        cluster.sql("CREATE TABLE feed (n int PRIMARY KEY)")
        cluster.sql("CREATE TABLE orders (n int PRIMARY KEY)")
    subscribe(other, "feed", server, "from other")
    subscribe(server, "orders", other, "mirror")
    for cluster in (server, other):
        wait_until(lambda at=cluster: at.value(SYNCED), message="a subscription to be ready")
    server.sql("CREATE DATABASE app")
    with psycopg.connect(make_conninfo(server.conninfo, dbname="app"), autocommit=True) as session:
        session.execute(f'CREATE SUBSCRIPTION "a ""b""" {NOWHERE}')
        session.execute('ALTER SUBSCRIPTION "a ""b""" ENABLE')


def subscribe(publisher: Cluster, table: str, subscriber: Cluster, name: str) -> None:
    """Publish a table, and subscribe to it."""
    publisher.sql(f"CREATE PUBLICATION {table} FOR TABLE {table}")
    where, slot = publisher.conninfo.replace("'", "''"), name.replace(" ", "_")
    subscriber.sql(f"CREATE SUBSCRIPTION \"{name}\" CONNECTION '{where}' PUBLICATION {table} WITH (slot_name = {slot})")


def test_everybody_is_named_and_no_subscription_runs_before_somebody_says_so(scene: Scene) -> None:
    foresee(scene)
    be_kept_out(scene)
    promote_with_an_interruption(scene)
    roll_back_and_forth(scene)
    go_on(scene)


@contextmanager
def only_session(server: Cluster) -> Iterator[None]:
    """Connect, and wait until those who have hung up before are gone."""
    with server.connect() as session:
        wait_until(lambda: session.execute(SESSIONS).fetchone() == (1,), message="all others to be gone")
        yield


def foresee(scene: Scene) -> None:
    """Ask what a restore means for those who depend on the server, and go to its target."""
    subject, server = scene.subject, scene.server
    with only_session(server):
        foreseen = subject.run("pitr_restore", state="staged", check_mode=True, **scene.wanted)
    off = f"{AWAY} will be off until somebody says otherwise: what came after the target never comes again"
    assert foreseen["consequences"] == ["1 session will be ended: 1 of database postgres", *LASTING, off, WAITS]
    [slot] = foreseen["dependents"]["slots"]
    assert slot == {"name": "mirror", "type": "logical", "database": "postgres", "active": True}
    assert subject.run("pitr_restore", state="staged", **scene.wanted)["to_do"] == LASTING
    subject.run("postgres_server", state="stopped")
    unseen = subject.run("pitr_restore", state="staged", check_mode=True, **scene.wanted)
    assert unseen["dependents"]["slots"] == [slot | {"database": None, "active": None}], "it is read from the disk"
    subject.run("pitr_restore", state="restored", **scene.wanted)
    subject.run("postgres_server", state="started")
    assert subject.wait_for_target()["to_do"] == [*LASTING, off, WAITS]


def be_kept_out(scene: Scene) -> None:
    """Promote where a database lets us not in, so that its subscriptions could not be disabled."""
    hba = scene.server.data_directory / "pg_hba.conf"
    before = hba.read_text(encoding="utf-8")
    for text, open_to_us in ((f"local app all reject\n{before}", False), (before, True)):
        hba.write_text(text, encoding="utf-8")
        scene.server.sql("SELECT pg_reload_conf()")
        wait_until(lambda wanted=open_to_us: lets_in(scene.server, "app") is wanted, message="pg_hba.conf to be read")
        if not open_to_us:
            message = scene.subject.fail("recovery", state="promoted")
    assert "database app has subscriptions, which are not to run until somebody says so, and they cannot be" in message
    assert scene.server.value("SELECT pg_is_in_recovery()"), "nothing is promoted"


def lets_in(server: Cluster, database: str) -> bool:
    """Tell whether the superuser can connect to a database."""
    try:
        psycopg.connect(make_conninfo(server.conninfo, dbname=database)).close()
    except psycopg.OperationalError:
        return False
    return True


def promote_with_an_interruption(scene: Scene) -> None:
    """Be killed when it is promoted and nothing is disabled yet, and have the machine started anew; then go on."""
    subject, server = scene.subject, scene.server
    assert run_and_kill(subject.modules, "recovery", 1, state="promoted", **subject.options) is None
    server.restart()
    assert not server.value("SELECT pg_is_in_recovery()")
    assert server.value(ENABLED) == 'a "b",from other', "they would run"
    assert server.value(RUNNING) == 0, "nothing starts them"
    promoted = subject.run("recovery", state="promoted")
    off = promoted["subscriptions_disabled"]
    assert [(each["name"], each["database"]) for each in off] == [('a "b"', "app"), ("from other", "postgres")]
    assert promoted["warnings"] == [WAITS]
    assert (promoted["to_do"][:3], promoted["to_do"][5]) == (LASTING, WAITS)
    assert promoted["to_do"][4].endswith('to have it go on: ALTER SUBSCRIPTION "from other" ENABLE')
    subject.run("postgres_server", state="restarted")
    wait_until(lambda: server.value(RUNNING) == 1, message="the launcher, which has nothing to start")
    assert server.value(ENABLED) is None
    again = subject.run("recovery", state="promoted")
    assert (again["changed"], again["subscriptions_disabled"]) == (False, off)


def roll_back_and_forth(scene: Scene) -> None:
    """What is put back goes on as it was; then restore again, by undoing that."""
    subject = scene.subject
    with only_session(scene.server):
        foreseen = subject.run("pitr_restore", state="rolled_back", check_mode=True)
    assert foreseen["consequences"] == ["1 session will be ended: 1 of database postgres"]
    aside = scene.exchange_data()["set_aside"]
    scene.other.sql("INSERT INTO feed VALUES (5)")
    scene.has("1,2,3,4,5")
    scene.exchange_data(previous_directory=aside)


def go_on(scene: Scene) -> None:
    """Do what was said: give up waiting for the standby, and enable the subscription."""
    subject, server = scene.subject, scene.server
    server.sql("ALTER SYSTEM SET synchronous_standby_names = ''")
    server.sql("SELECT pg_reload_conf()")
    away, here = subject.run("recovery", state="promoted")["subscriptions_disabled"]
    server.sql(here["enable"])
    scene.other.sql("INSERT INTO feed VALUES (6)")
    # How far its publisher has gone on meanwhile depends on what it was told was received.
    wait_until(lambda: scene.server.value("SELECT count(*) FROM feed WHERE n = 6") == 1, message="the row 6")
    last = subject.run("recovery", state="promoted")
    assert (last["changed"], last["subscriptions_disabled"]) == (False, [away])
