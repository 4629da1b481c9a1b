# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A password goes to the server of the data directory and to nobody else, and nothing that is said quotes one."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.support.certificates import self_signed
from tests.support.marks import every_version, on
from tests.support.modules import Modules
from tests.support.playbooks import Playbooks
from tests.support.postgres import Cluster
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox

PASSWORD = "Pa55 w'ord"
# The tests themselves get in by the first line; who logs in as admin has to have a password.
RULES = """\
local app all trust
local all admin scram-sha-256
local replication admin scram-sha-256
hostssl all admin 127.0.0.1/32 scram-sha-256
hostssl replication admin 127.0.0.1/32 scram-sha-256
"""
with_tls = on(["17"])  # the newest one here is built without OpenSSL
SESSION = ("statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout")


@contextmanager
def stranger(address: str, port: int) -> Iterator[list[str]]:
    """Listen where a server is expected, as anybody may on a port above 1023, and note each connection."""
    seen: list[str] = []
    with socket.create_server((address, port)) as listening:

        def note() -> None:
            while True:
                try:
                    connection, source = listening.accept()
                except OSError:
                    return
                seen.append(str(source))
                connection.close()

        thread = threading.Thread(target=note)
        thread.start()
        try:
            yield seen
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def calls(subject: Recoverable) -> dict[str, dict[str, Any]]:
    """Give a call of each module that may ask a server, so that it gets as far as that."""
    program = {"program": subject.program}
    return {
        "backup_info": {},
        "backup_repository": {"separate_filesystem": "ignore"},
        "base_backup": {},
        "cluster_info": {},
        "pitr_restore": {"state": "staged", "target": "latest", **program},
        "postgres_server": {"state": "available", "timeout": 0},
        "recovery": {"state": "at_target"},
        "recovery_info": {},
        "restore_point": {"name": "x"},
        "wal_archiving": program,
    }


def test_nobody_is_sent_anything_while_the_server_is_down(recoverable: Recoverable) -> None:
    cluster = recoverable.cluster
    cluster.stop()
    login = {"login_host": "127.0.0.1", "login_unix_socket": None, "login_password": PASSWORD}
    with stranger("127.0.0.1", cluster.port) as seen:
        for module, options in calls(recoverable).items():
            done = recoverable.modules.start(module, {**recoverable.options, **login, **options})
            assert "Traceback" not in done.stdout + done.stderr, module
            assert seen == [], module


def test_nobody_else_is_sent_anything_while_the_server_runs(recoverable: Recoverable) -> None:
    cluster = recoverable.cluster
    with stranger("127.0.0.2", cluster.port) as seen:
        login = {"login_host": "127.0.0.2", "login_unix_socket": None, "login_password": PASSWORD}
        message = recoverable.fail("restore_point", name="x", **login)
        assert f"listens on port {cluster.port} of 127.0.0.2; nothing was sent there" in message
        assert seen == []
    assert recoverable.run("restore_point", name="x", **{**login, "login_host": "127.0.0.1"})["changed"]


def test_a_server_that_is_elsewhere_than_expected_says_where(recoverable: Recoverable) -> None:
    cluster = recoverable.cluster
    message = recoverable.fail("restore_point", name="x", login_port=1)
    assert f"has port {cluster.port}, as its postmaster.pid says, and login_port is 1\nHINT: set login_port" in message
    for directory in (None, cluster.home):
        assert recoverable.run("restore_point", name="x", login_unix_socket=directory)["changed"]
    with (cluster.data_directory / "postgresql.conf").open("a") as configuration:
        configuration.write("unix_socket_directories = ''\n")
    cluster.restart()
    message = recoverable.fail("restore_point", name="x")
    assert f"there is no Unix socket .s.PGSQL.{cluster.port} in {cluster.socket_directory}\nHINT: " in message


@every_version
def test_short_timeouts_of_sessions_are_not_ours(recoverable: Recoverable) -> None:
    cluster = recoverable.cluster
    there = [name for name in SESSION if cluster.sql("SELECT FROM pg_settings WHERE name = %s", (name,))]
    for name in (*there, "lock_timeout"):
        cluster.sql(f"ALTER ROLE \"{cluster.owner}\" SET {name} = '50min'")
    checks = [{"query": f"SHOW {name}", "expect": "0"} for name in there]
    checks.append({"query": "SHOW lock_timeout", "expect": "5s"})
    assert recoverable.run("recovery", state="at_target", checks=checks)["reached"]


@pytest.fixture
def guarded(cluster: Cluster) -> Cluster:
    """Provide a cluster whose superuser has another name and a password, and that has no database postgres."""
    certificate, key = self_signed()
    for name, content in (("server.crt", certificate), ("server.key", key)):
        path = cluster.data_directory / name
        path.write_bytes(content)
        path.chmod(0o600)
        account = cluster.sandbox.account
        os.chown(path, account.uid, account.gid)
    cluster.sql("CREATE DATABASE app")
    with psycopg.connect(make_conninfo(cluster.conninfo, dbname="app"), autocommit=True) as session:
        session.execute("SET password_encryption = 'scram-sha-256'")
        session.execute("CREATE ROLE admin SUPERUSER LOGIN PASSWORD " + "'" + PASSWORD.replace("'", "''") + "'")
        session.execute("DROP DATABASE postgres")
    (cluster.data_directory / "pg_hba.conf").write_text(RULES)
    cluster.configure({"ssl": "on"})
    cluster.restart()
    return cluster


def refusal(subject: Recoverable, **login: Any) -> str:
    return subject.fail("wal_archiving", program=subject.program, check_mode=True, **login)


@with_tls
def test_a_login_is_given_in_the_inventory(guarded: Cluster, playbooks: Playbooks) -> None:
    authority = str(guarded.data_directory / "server.crt")
    over_tcp = {
        "postgres_cluster_login_host": "127.0.0.1",
        "postgres_cluster_ssl_mode": "verify-full",
        "postgres_cluster_ca_cert": authority,
    }
    login = {"postgres_cluster_login_user": "admin", "postgres_cluster_login_password": PASSWORD}
    socket_only = playbooks.run("setup_archiving", playbooks.inventory(guarded, variables=login), "-vvv")
    backed_up = playbooks.run("base_backup", playbooks.inventory(guarded, variables=login | over_tcp), "-vvv", "--diff")
    for run in (socket_only, backed_up):
        assert run.changed
        assert PASSWORD not in run.output
        assert json.dumps(PASSWORD)[1:-1] not in run.output


@with_tls
def test_a_login_that_is_refused_says_what_to_set(guarded: Cluster, sandbox: Sandbox, modules: Modules) -> None:
    subject = Recoverable(sandbox, guarded, modules)
    hint = "\nHINT: the server is up, so this is about the login: see pg_hba.conf, and set login_user"
    assert hint in refusal(subject)
    assert hint in refusal(subject, login_user="admin")
    assert "~/.pgpass" in refusal(subject, login_user="admin", login_password="wrong")
    assert "wrong" not in refusal(subject, login_user="admin", login_password="wrong")
    passwords = sandbox.home / ".pgpass"
    try:
        passwords.write_text(f"*:{guarded.port}:*:admin:{PASSWORD}\n")
        passwords.chmod(0o600)
        subject.owned(passwords)
        assert subject.run("wal_archiving", program=subject.program, check_mode=True, login_user="admin")["changed"]
    finally:
        passwords.unlink()


def test_no_message_quotes_a_password(recoverable: Recoverable) -> None:
    cluster, secret = recoverable.cluster, "S3cr3tOfTheStandby"
    conninfo = f"host=10.0.0.7 user = postgres password = {secret}"
    cluster.sql(f"ALTER SYSTEM SET primary_conninfo = '{conninfo}'")
    cluster.sql(f"ALTER SYSTEM SET archive_command = 'PGPASSWORD={secret} ship %p'")
    cluster.sql("SELECT pg_reload_conf()")
    wanted = {**recoverable.options, "program": recoverable.program, "timeout": 0}
    refused = recoverable.modules.fail("wal_archiving", **wanted)["msg"]
    assert "archive_command is 'PGPASSWORD=******** ship %p'" in refused
    assert secret not in refused
    shown = recoverable.modules.run("wal_archiving", diff=True, check_mode=True, replace=True, **wanted)
    assert "PGPASSWORD=******** ship %p" in shown["settings_before"]["archive_command"]
    assert secret not in json.dumps(shown)
    assert secret not in recoverable.fail("restore_point", switch_wal=True, wait=True)
    cluster.configure({"shared_preload_libraries": "nosuchlib"})
    cluster.stop()
    with cluster.log_file.open("a") as log:
        log.write(f'FATAL:  could not connect with "{conninfo}" or "postgres"\n')
    message = recoverable.fail("postgres_server", state="started")
    assert "nosuchlib" in message
    assert secret not in message
