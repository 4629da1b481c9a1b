# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Try out whether a base backup could be sent, and ask the server that a standby follows."""

from __future__ import annotations

import os

from .._errors import Error
from .._host.processes import current_user
from .._repository.layout import Layout
from .._server.connecting import try_replication
from .._server.driver import psycopg_driver
from .._server.server import Server
from .._values.secrets import masked
from .replication import Senders, check_always, check_senders, hba_line

_SECONDS = 10


def require_replication(server: Server) -> None:
    """Refuse what pg_basebackup would fail at: no WAL sender is free, or the server lets nobody in for replication."""
    row = server.rows(
        "SELECT current_setting('max_wal_senders')::int,"
        " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'),"
        " current_setting('max_replication_slots')::int, (SELECT count(*) FROM pg_replication_slots)"
    )[0]
    check_senders(Senders(*row))
    driver = psycopg_driver(server.where.python_directory)
    try:
        try_replication(server.where, driver)
    except driver.Error as error:
        client = server.value("SELECT host(inet_client_addr())")
        line = hba_line(server.where.user, client, current_user())
        raise Error(
            f"the server takes no connection for replication, which a base backup needs: {masked(str(error).strip())}",
            f"let it in, by the line '{line}' in {server.show('hba_file')} and a reload, and by a role that has"
            " REPLICATION or is a superuser",
        ) from None


def require_place_of_its_own(server: Server, layout: Layout) -> None:
    """Refuse a standby with ``archive_mode = always`` whose place in the repository is that of its primary."""
    mode = server.settings()["archive_mode"]
    if server.in_recovery() and "always" in (mode.value, mode.coming):
        check_always(_command_of_primary(server), layout)


def _command_of_primary(server: Server) -> str | None:
    """Ask the server that a standby follows for its archive_command, over a connection like the standby's own."""
    driver = psycopg_driver(server.where.python_directory)
    try:
        given = driver.conninfo.conninfo_to_dict(server.show("primary_conninfo"))
        if not given:
            return None
        wanted = {**given, "replication": "true", "connect_timeout": _SECONDS, "application_name": "pgark"}
        wanted.pop("dbname", None)
        with driver.connect(**wanted, autocommit=True) as primary:
            found = primary.execute("SHOW archive_command").fetchone()[0]
            return os.fsdecode(found)  # of a connection without a database, psycopg gives bytes
    except driver.Error:
        return None
