# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores to a moment: what was committed before it is back, and nothing that was committed after it."""

from __future__ import annotations

import shutil
import socket

from tests.support.killing import run_and_kill
from tests.support.recoverable import Recoverable
from tests.support.snapshots import tree

FILL = "INSERT INTO ledger SELECT n, 'entry ' || n FROM generate_series(%s::int, %s) AS n"
SUM = "SELECT count(*) || ':' || md5(string_agg(n || t, ',' ORDER BY n)) FROM ledger"


def write_history(subject: Recoverable) -> tuple[str, str]:
    """Commit rows before and after a backup, and after a moment; return it and what a restore to it must give."""
    cluster = subject.cluster
    cluster.sql("CREATE TABLE ledger (n int PRIMARY KEY, t text)")
    cluster.sql(FILL, (1, 1000))
    subject.run("base_backup")
    cluster.sql(FILL, (1001, 3000))
    with cluster.connect() as open_across:
        open_across.autocommit = False
        open_across.execute("INSERT INTO ledger VALUES (0, 'begun before the moment, committed after it')")
        expected = cluster.value(SUM)
        moment = cluster.value("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.USZ')")
        cluster.sql(FILL, (3001, 3500))
        open_across.commit()
    return moment, expected


def test_a_dropped_table_comes_back_as_it_was(recoverable: Recoverable) -> None:
    moment, expected = write_history(recoverable)
    recoverable.cluster.sql("DROP TABLE ledger")
    recoverable.switch()
    restored = recoverable.restore(target_time=moment)
    assert recoverable.cluster.value(SUM) == expected
    assert tree(recoverable.cluster.data_directory.parent / restored["previous_directory"])
    assert not recoverable.cluster.sql("SELECT 1 FROM pg_file_settings WHERE name ~ 'recovery_target|restore_command'")
    recoverable.cluster.sql(FILL, (9001, 9100))
    assert recoverable.switch()["segment"].startswith("00000002")
    again = recoverable.restore(target_time=moment)
    assert again["in_place"]
    assert not again["changed"]


def test_a_deleted_data_directory_comes_back(recoverable: Recoverable) -> None:
    moment, expected = write_history(recoverable)
    recoverable.switch()
    recoverable.cluster.kill()
    shutil.rmtree(recoverable.cluster.data_directory)
    recoverable.restore(target_time=moment)
    assert recoverable.cluster.value(SUM) == expected


def test_configuration_outside_the_data_directory_comes_back_when_it_is_missing(recoverable: Recoverable) -> None:
    cluster = recoverable.cluster
    elsewhere = recoverable.sandbox.directory(cluster.home / "etc" / "main")
    cluster.stop()
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        (cluster.data_directory / name).rename(elsewhere / name)
    with (elsewhere / "postgresql.conf").open("a") as configuration:
        configuration.write(f"hba_file = '{elsewhere}/pg_hba.conf'\nident_file = '{elsewhere}/pg_ident.conf'\n")
    outside = {"config_file": elsewhere / "postgresql.conf"}
    recoverable.run("postgres_server", state="started", **outside)
    moment, expected = write_history(recoverable)
    recoverable.switch()
    cluster.kill()
    shutil.rmtree(cluster.data_directory)
    before = tree(elsewhere)
    shutil.rmtree(elsewhere)
    target = {"target_time": moment, "program": recoverable.program, "config_directory": elsewhere}
    recoverable.run("pitr_restore", state="staged", **target)
    recoverable.run("pitr_restore", state="restored", **target)
    assert {name: entry.content for name, entry in tree(elsewhere).items()} == {
        name: entry.content for name, entry in before.items()
    }
    recoverable.run("postgres_server", state="started", **outside)
    recoverable.wait_for_target()
    assert cluster.value(SUM) == expected


def test_a_server_that_recovers_is_closed_to_the_network_and_clean_afterwards(recoverable: Recoverable) -> None:
    """Although hot_standby is off in its configuration, it pauses at the target, where it can be looked at."""
    subject, cluster = recoverable, recoverable.cluster
    cluster.sql("ALTER SYSTEM SET listen_addresses = 'localhost'")
    with (cluster.data_directory / "postgresql.conf").open("a") as configuration:
        configuration.write("hot_standby = off\narchive_cleanup_command = 'touch called'\n")
    cluster.restart()
    moment, expected = write_history(subject)
    subject.switch()
    target = {"target_time": moment, "program": subject.program}
    subject.run("pitr_restore", state="staged", **target)
    subject.run("postgres_server", state="stopped")
    subject.run("pitr_restore", state="restored", **target)
    subject.run("postgres_server", state="started")
    assert subject.wait_for_target()["paused"]
    assert cluster.value(SUM) == expected
    assert not listens(cluster.port)
    for check_mode in (True, False):
        promoted = subject.modules.run("recovery", check_mode=check_mode, state="promoted", **subject.options)
        assert (promoted["changed"], promoted["restart_required"]) == (True, True)
    again = subject.run("recovery", state="promoted")
    assert (again["changed"], again["restart_required"]) == (False, True)
    subject.run("postgres_server", state="restarted")
    assert listens(cluster.port)
    check_clean(subject)


def check_clean(subject: Recoverable) -> None:
    """Nothing of the recovery is left in a server that was restarted, and what is changed from now on stays."""
    cluster = subject.cluster
    again = subject.run("recovery", state="promoted")
    assert (again["changed"], again["restart_required"]) == (False, False)
    assert cluster.value("SHOW hot_standby") == "off"
    assert not cluster.sql("SELECT name FROM pg_settings WHERE pending_restart")
    written = cluster.sql("SELECT name, setting FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf'")
    assert ("listen_addresses", "localhost") in written
    assert not {
        name for name, _value in written if name.startswith(("recovery_", "restore_", "hot_", "archive_cleanup"))
    }
    assert not (cluster.data_directory / "called").exists()
    cluster.sql("ALTER SYSTEM SET listen_addresses = ''")
    assert not subject.run("recovery", state="promoted")["changed"], "what somebody writes later is left alone"


def test_a_promotion_that_is_killed_before_its_settings_are_in_force_is_gone_on_with(recoverable: Recoverable) -> None:
    """All is written to the file by then: nothing there tells that the server still works with the recovery's."""
    subject, cluster = recoverable, recoverable.cluster
    moment, expected = write_history(subject)
    subject.switch()
    target = {"target_time": moment, "program": subject.program}
    subject.run("pitr_restore", state="staged", **target)
    subject.run("postgres_server", state="stopped")
    subject.run("pitr_restore", state="restored", **target)
    subject.run("postgres_server", state="started")
    subject.wait_for_target()
    assert run_and_kill(subject.modules, "recovery", 1, "reload", state="promoted", **subject.options) is None
    assert not cluster.value("SELECT pg_is_in_recovery()")
    again = subject.run("recovery", state="promoted")
    assert (again["changed"], again["restart_required"]) == (True, True)
    subject.run("postgres_server", state="restarted")
    assert listens(cluster.port)
    assert not subject.run("recovery", state="promoted")["changed"]
    assert cluster.value(SUM) == expected


def listens(port: int) -> bool:
    """Tell whether anybody takes connections on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_latest_restores_all_that_was_archived(recoverable: Recoverable) -> None:
    write_history(recoverable)
    everything = recoverable.cluster.value(SUM)
    recoverable.switch()
    recoverable.cluster.kill()
    shutil.rmtree(recoverable.cluster.data_directory)
    recoverable.restore(target="latest")
    assert recoverable.cluster.value(SUM) == everything


def test_wal_that_only_a_crashed_server_holds_is_used(recoverable: Recoverable) -> None:
    """The last segment of a server that was killed is not archived; a restore to the end needs it all the same."""
    write_history(recoverable)
    everything = recoverable.cluster.value(SUM)
    recoverable.cluster.kill()
    recoverable.restore(target="latest")
    assert recoverable.cluster.value(SUM) == everything
