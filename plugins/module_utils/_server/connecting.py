# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where a connection is opened: after a look at the server, and to nobody but that server."""

from __future__ import annotations

import os
import pwd
from dataclasses import replace
from typing import Any

from .._errors import ServerRefuses, ServerUnavailable
from .._host.files import read_small
from .._host.processes import find_postmaster
from .._host.tools import Connection
from .._values.secrets import masked
from .listening import listens
from .postmaster import PidFile, parse_pid_file

_REQUIRE_AUTH_SINCE = 160000  # libpq
# Zero is off: a session waits, without a word, for as long as the program that it is there for works. What waits for a
# lock says so after a while. By name, the version from which on a server has it.
_SESSION = {
    "statement_timeout": ("0", 0),
    "idle_in_transaction_session_timeout": ("0", 0),
    "lock_timeout": ("30s", 0),
    "idle_session_timeout": ("0", 140000),
    "transaction_timeout": ("0", 170000),
}
# By which our own sessions are told from others.
APPLICATION = "pgark"
# Every cluster has it: initdb makes it, and nobody may drop it while it is a template.
_ALWAYS_THERE = "template1"
_LOGIN = (
    "the server is up, so this is about the login: see pg_hba.conf, and set login_user, login_db and login_password "
    "(postgres_cluster_login_user and so on in an inventory), or give the owner a file ~/.pgpass; a restored server "
    "has the roles and passwords of its backup"
)


def located(connection: Connection, data_directory: str) -> Connection:
    """Settle where the server of a data directory is to be reached, from what it says of itself.

    Raises ServerUnavailable when none is running, or it has not said where it is; and ServerRefuses when it is not
    where the connection goes, and when somebody else is.
    """
    real = os.path.realpath(data_directory)
    pid = find_postmaster(real)
    if pid is None:
        raise ServerUnavailable(f"no server is running on {real}", "start the server first")
    owner = os.stat(f"/proc/{pid}").st_uid
    if owner != os.geteuid():
        raise ServerRefuses(
            f"process {pid}, which works in {real}, runs as {_user(owner) or owner}, expected {_user(os.geteuid())}",
            "run the module as the user that owns the cluster",
        )
    found = _own_words(real, pid)
    if found.port != connection.port:
        raise ServerRefuses(
            f"the server of {real} has port {found.port}, as its postmaster.pid says, and login_port is"
            f" {connection.port}",
            "set login_port (postgres_cluster_port in an inventory) to the server's port, or correct port in its "
            "configuration and restart it: a restored one is that of the backup",
        )
    if connection.local:
        place = _socket_directory(connection, found, real)
        return replace(connection, host=place, peer=None if place.startswith("@") else _user(owner))
    _check_listener(connection, pid, found)
    return connection


def _own_words(real: str, pid: int) -> PidFile:
    path = f"{real}/postmaster.pid"
    try:
        found = parse_pid_file(read_small(path).decode(errors="replace"))
    except FileNotFoundError:
        found = None
    if found is None or found.pid != pid:
        raise ServerUnavailable(
            f"{path} does not say where process {pid}, which works there, is to be reached",
            "the server is starting, or the file was removed or replaced under it; then restart the server",
        )
    return found


def _socket_directory(connection: Connection, found: PidFile, real: str) -> str:
    """Choose the directory that was named, else the first one that the server has."""
    own = found.socket_directory
    named = [connection.host] if connection.host else []
    places = [*named, *([own if own.startswith("@") else os.path.join(real, own)] if own else [])]
    for place in places:
        if place.startswith("@") or os.path.exists(f"{place}/.s.PGSQL.{connection.port}"):
            return place
    where = " nor in ".join(places) or f"the directories of {real}'s server, which has none"
    raise _unless_starting(
        found,
        f"there is no Unix socket .s.PGSQL.{connection.port} in {where}",
        "set login_unix_socket (postgres_cluster_socket_directory in an inventory) to one of the server's "
        "unix_socket_directories, or login_host to reach it over TCP",
    )


def _unless_starting(found: PidFile, message: str, hint: str) -> ServerUnavailable:
    """Choose the error for what is no matter of time once a server has all its sockets."""
    return ServerRefuses(message, hint) if found.settled else ServerUnavailable(message, hint)


def _check_listener(connection: Connection, pid: int, found: PidFile) -> None:
    """Make sure that a password goes to the server: a certificate says so, or the process that has the socket."""
    if connection.certified or listens(pid, connection.host, connection.port):
        return
    raise _unless_starting(
        found,
        f"it is not the server's process {pid}, or not only that, which listens on port {connection.port} of"
        f" {connection.host}; nothing was sent there",
        "set login_host to an address of listen_addresses, or leave it out to connect over the Unix socket; a server "
        "behind another address is told by its certificate (ssl_mode: verify-full)",
    )


def opened(where: Connection, driver: Any) -> Any:
    """Open a connection to a place that `located` gave, in the first database that lets us in.

    Raises ServerUnavailable where a server starts or stops, by the SQLSTATE of its refusal, whatever its language; and
    ServerRefuses where it lets others in, which is so twice, because it may have opened after the first attempt.
    """
    database, last = where.database or "postgres", None
    for _attempt in range(2):
        try:
            return _session(where, database, driver)
        except driver.Error as error:
            last = f"no connection to port {where.port} at {where.host}: {masked(str(error).strip())}"
        if not _answers(where, driver):
            raise ServerUnavailable(last)
    try:
        other = None if where.database is not None else _other_database(where, database, driver)
        if other is not None:
            return _session(where, other, driver)
    except driver.Error:
        pass  # why the usual one let nobody in says more
    raise ServerRefuses(f"{last}", _LOGIN)


def _session(where: Connection, database: str, driver: Any) -> Any:
    session = driver.connect(
        dbname=database,
        autocommit=True,
        connect_timeout=10,
        client_encoding="utf8",  # initdb without a locale gives SQL_ASCII, and psycopg would give bytes
        options="-c TimeZone=UTC -c DateStyle=ISO",
        application_name=APPLICATION,
        **_parameters(where, driver),
    )
    known = {name: value for name, (value, since) in _SESSION.items() if session.info.server_version >= since}
    try:
        session.execute(
            "SELECT " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in known.items())
        )
    except driver.Error:
        session.close()
        raise
    return session


def try_replication(where: Connection, driver: Any) -> None:
    """Open a connection for replication, as a base backup does, and close it; the driver's error says why not."""
    parameters = _parameters(where, driver)
    driver.connect(
        replication="true", autocommit=True, connect_timeout=10, application_name=APPLICATION, **parameters
    ).close()


def _parameters(where: Connection, driver: Any) -> dict[str, Any]:
    """Give libpq's parameters; where nobody vouches for the server, a password in clear is not sent."""
    known = dict(where.parameters)
    if driver.pq.version() < _REQUIRE_AUTH_SINCE:
        known.pop("require_auth", None)
    return {"host": where.host, "port": where.port, "user": where.user, "password": where.password, **known}


def _answers(where: Connection, driver: Any) -> bool:
    """Tell whether the server lets clients in, whoever they are; nothing secret is sent.

    libpq gives the SQLSTATE of a refusal to nobody, and decides by it here: ``internal_ping`` in
    ``src/interfaces/libpq/fe-connect.c``.
    """
    text = driver.conninfo.make_conninfo(host=where.host, port=where.port, user=where.user, connect_timeout=10)
    return bool(driver.pq.PGconn.ping(text.encode()) == driver.pq.Ping.OK)


def _other_database(where: Connection, missing: str, driver: Any) -> str | None:
    """Name a database to work in where the usual one was dropped; None where it was not.

    The templates are the last choice: while somebody is in them, CREATE DATABASE waits.
    """
    with _session(where, _ALWAYS_THERE, driver) as session:
        rows = session.execute("SELECT datname FROM pg_database WHERE datallowconn ORDER BY datistemplate, oid")
        names = [row[0] for row in rows.fetchall()]
    return None if missing in names else names[0]


def _user(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
