# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the subscriptions of what was restored from running until somebody says so.

Their publishers have gone on: what they sent after the moment that was restored they do not send again, so one that
simply ran would leave a gap without a word. Until this has been done, the server runs without logical replication:
with ``max_logical_replication_workers = 0`` it does not start the launcher, ``ApplyLauncherRegister`` in
``src/backend/replication/logical/launcher.c``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .._cluster.data_directory import RestoreRecord
from .._cluster.observe import write_record
from .._cluster.subscription import Subscription
from .._errors import Error
from .._server.server import Server
from .observe import text_of
from .report import printable

# The slot at the publisher belongs to the original: a clone that dropped such a subscription would drop the slot.
_DETACH = "EXECUTE format('ALTER SUBSCRIPTION %I SET (slot_name = NONE)', subscription);"
# Names never leave the server, whatever they hold. Nothing waits for a standby, which cannot follow yet.
_DISABLE = """
DO $$
DECLARE subscription name;
BEGIN
    SET LOCAL synchronous_commit = local;
    SET LOCAL search_path = pg_catalog;
    FOR subscription IN SELECT s.subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
        WHERE d.datname = current_database() AND {condition}
    LOOP
        EXECUTE format('ALTER SUBSCRIPTION %I DISABLE', subscription);
        {detach}
    END LOOP;
END
$$
"""


def running(server: Server, clone: bool) -> tuple[Subscription, ...]:
    """List the subscriptions that would run, or in a clone have the slot of the original."""
    return tuple(Subscription(*row) for row in _named(server, _condition(clone)))


def _named(server: Server, condition: str) -> list[tuple[str, str]]:
    rows = server.rows(
        "SELECT textsend(s.subname::text), textsend(d.datname::text) FROM pg_subscription s"
        f" JOIN pg_database d ON d.oid = s.subdbid WHERE {condition} ORDER BY 2, 1"
    )
    return [(text_of(name), text_of(database)) for name, database in rows]


def _condition(clone: bool) -> str:
    return "(s.subenabled OR s.subslotname IS NOT NULL)" if clone else "s.subenabled"


def kept_off(server: Server, record: RestoreRecord) -> tuple[Subscription, ...]:
    """List the subscriptions that will not run, or do not, because of a restore, until somebody says so."""
    return running(server, record.source is not None) if record.overrides else still_disabled(server, record)


def check_reachable(server: Server, record: RestoreRecord) -> None:
    """Refuse to promote a server while we could not disable its subscriptions afterwards."""
    for database in _databases(running(server, record.source is not None)):
        _entered(server, database).close()


def disable(server: Server, data_directory: str, record: RestoreRecord) -> RestoreRecord:
    """Disable what would run, all of it or nothing in each database; its names are noted before, and stay noted."""
    clone = record.source is not None
    found = running(server, clone)
    off = (replace(each, enabled=False) for each in found)
    noted = replace(record, subscriptions=tuple(dict.fromkeys((*record.subscriptions, *off))))
    if found:
        write_record(data_directory, noted)
    detach = _DETACH if clone else ""
    for database in _databases(found):
        with _entered(server, database) as other:
            other.rows(_DISABLE.format(condition=_condition(clone), detach=detach))
    return noted


def still_disabled(server: Server, record: RestoreRecord) -> tuple[Subscription, ...]:
    """Give the subscriptions that a restore has disabled, and nobody has enabled or dropped since."""
    noted = record.subscriptions
    if not noted:
        return ()
    present = _named(server, "NOT s.subenabled")
    return tuple(each for each in noted if (each.name, each.database) in present)


def _databases(subscriptions: Iterable[Subscription]) -> list[str]:
    return sorted({each.database for each in subscriptions})


def _entered(server: Server, database: str) -> Server:
    try:
        return server.elsewhere(database)
    except Error as error:
        raise Error(
            f"database {printable(database)} has subscriptions, which are not to run until somebody says so, and they "
            f"cannot be disabled: {error.message}",
            "let the login of the modules into that database (pg_hba.conf, ALLOW_CONNECTIONS), and run this again; "
            "nothing of the recovery's settings is put back before",
        ) from None
