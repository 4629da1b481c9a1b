# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restored server that cannot be asked is told with the true reason, at once, or is asked in another way."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.support.clones import NOW
from tests.support.marks import since
from tests.support.postgres import Cluster, free_port
from tests.support.recoverable import Recoverable

COUNT = "SELECT count(*) FROM ledger"


def restore(subject: Recoverable, moment: str) -> None:
    """Put a restore in place, and start the server."""
    wanted = {"program": subject.program, "target_time": moment}
    subject.run("pitr_restore", state="staged", **wanted)
    subject.run("postgres_server", state="stopped")
    subject.run("pitr_restore", state="restored", **wanted)
    subject.run("postgres_server", state="started")


def look(subject: Recoverable) -> dict[str, Any]:
    """Wait for the target, as the action plugin does, or for the failure."""
    while True:
        done = subject.modules.start("recovery", {**subject.options, "state": "at_target"})
        seen: dict[str, Any] = json.loads(done.stdout)
        if seen.get("failed") or seen["reached"]:
            return seen


def listen_elsewhere(cluster: Cluster) -> None:
    """Have the configuration in the data directory name another port; the server goes on with the one it has."""
    cluster.configure({})
    with (cluster.data_directory / "postgresql.conf").open("a") as file:
        file.write(f"port = {free_port()}\n")


def refuse_everybody(cluster: Cluster) -> None:
    (cluster.data_directory / "pg_hba.conf").write_text("local all all reject\n")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (listen_elsewhere, ["as its postmaster.pid says, and login_port is", "a restored one is that of the backup"]),
        (refuse_everybody, ["pg_hba.conf rejects connection", "this is about the login"]),
    ],
)
def test_the_reason_is_told_at_once(
    recoverable: Recoverable, spoil: Callable[[Cluster], None], words: list[str]
) -> None:
    subject, cluster = recoverable, recoverable.cluster
    cluster.sql("CREATE TABLE ledger AS SELECT 1 AS n")
    original = (cluster.data_directory / "pg_hba.conf").read_text()
    spoil(cluster)
    subject.run("base_backup", compression="none")
    (cluster.data_directory / "pg_hba.conf").write_text(original)
    moment = cluster.value(NOW)
    cluster.sql("INSERT INTO ledger VALUES (2)")
    subject.switch()
    restore(subject, moment)
    seen = look(subject)
    assert seen.get("failed")
    assert all(word in seen["msg"] for word in words), seen["msg"]


@since(17)
def test_a_trigger_at_login_is_not_in_the_way(recoverable: Recoverable) -> None:
    """It writes, which no recovering server does; after the promotion it runs again."""
    subject, cluster = recoverable, recoverable.cluster
    cluster.sql("CREATE TABLE ledger AS SELECT 1 AS n")
    cluster.sql(
        "CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO ledger VALUES (0); END $$"
    )
    subject.run("base_backup", compression="none")
    cluster.sql("CREATE EVENT TRIGGER note ON login EXECUTE FUNCTION note()")
    moment = cluster.value(NOW)
    cluster.sql("INSERT INTO ledger VALUES (2)")
    subject.switch()
    restore(subject, moment)
    assert look(subject)["paused"]
    subject.promote()
    assert cluster.value("SHOW event_triggers") == "on"
    assert cluster.value(COUNT) > 2


def test_another_database_is_looked_through_where_the_one_to_log_in_to_is_not_there(recoverable: Recoverable) -> None:
    subject, cluster = recoverable, recoverable.cluster
    cluster.sql("CREATE DATABASE shop")
    subject.run("base_backup", compression="none")
    with psycopg.connect(make_conninfo(cluster.conninfo, dbname="shop"), autocommit=True) as shop:
        shop.execute("DROP DATABASE postgres")
        shop.execute("CREATE TABLE ledger AS SELECT 1 AS n")
        [(moment,)] = shop.execute(NOW.encode()).fetchall()
        shop.execute("CREATE DATABASE postgres")
    subject.switch()
    restore(subject, moment)
    subject.options["login_db"] = "postgres"
    assert look(subject)["paused"]
    told = subject.fail("recovery", state="promoted", checks=[{"query": "SELECT 1", "expect": 1}])
    assert 'database "postgres" does not exist' in told
    assert "set login_user, login_db" in told
    assert subject.run("recovery", state="promoted")["changed"]
    subject.run("postgres_server", state="restarted")
    assert subject.run("postgres_server", state="available")["pid"]


def test_a_check_does_not_wait_for_a_lock_that_recovery_holds(recoverable: Recoverable) -> None:
    subject, cluster = recoverable, recoverable.cluster
    cluster.sql("CREATE TABLE ledger AS SELECT 1 AS n")
    subject.run("base_backup", compression="none")
    cluster.sql("INSERT INTO ledger VALUES (2)")
    moment = cluster.value(NOW)
    cluster.sql("DROP TABLE ledger")
    subject.switch()
    restore(subject, moment)
    assert look(subject)["paused"]
    told = subject.fail("recovery", state="promoted", checks=[{"query": COUNT, "expect": 2}])
    assert f"{COUNT} cannot be answered: recovery itself holds the lock on ledger" in told
    assert "target_time before 20" in told
    assert "pitr_finalize.yml" in told
    subject.promote()
    assert cluster.value(COUNT) == 2


@since(17)
def test_a_recovery_ends_where_alter_system_is_forbidden(recoverable: Recoverable) -> None:
    subject, cluster = recoverable, recoverable.cluster
    cluster.sql("CREATE TABLE ledger AS SELECT 1 AS n")
    cluster.sql("ALTER SYSTEM SET lc_messages = 'POSIX'")
    with (cluster.data_directory / "postgresql.conf").open("a") as file:
        file.write("allow_alter_system = off\n")
    cluster.restart()
    listens = cluster.value("SHOW listen_addresses")
    subject.run("base_backup", compression="none")
    moment = cluster.value(NOW)
    cluster.sql("INSERT INTO ledger VALUES (2)")
    subject.switch()
    restore(subject, moment)
    assert look(subject)["paused"]
    subject.promote()
    assert cluster.value("SHOW listen_addresses") == listens
    assert cluster.value("SHOW lc_messages") == "POSIX"
    assert not cluster.sql("SELECT 1 FROM pg_file_settings WHERE name ~ 'recovery_target|restore_command'")
    assert not subject.run("recovery", state="promoted")["changed"]
