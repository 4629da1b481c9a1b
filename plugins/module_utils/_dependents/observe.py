# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look who depends on a server: ask it while it runs, else see what its data directory has."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from .._cluster.subscription import Subscription
from .._errors import Error
from .._host.files import read_small
from .._server.connecting import APPLICATION
from .._server.server import Server
from .connected import MOST, Dependents, Publication, Receiver, Slot, slot_on_disk
from .report import listed, printable

_SECONDS = 5
# Each database takes a connection, and nobody waits for hundreds of them on the worst day.
_SECONDS_FOR_ALL = 15
_LONGEST_REASON = 200
# Names in shared catalogs are in the encodings of their databases, so they are read as they are: textsend() does not
# check them, and neither do we.
_RECEIVERS = (
    "SELECT coalesce(s.slot_type = 'logical', false), textsend(coalesce(r.application_name, '')), host(r.client_addr),"
    " coalesce(r.sync_state, 'async') FROM pg_stat_replication r"
    " LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid"
    f" WHERE r.state IS DISTINCT FROM 'backup' ORDER BY 1, 2, 3 LIMIT {MOST}"
)
_SLOTS = (
    "SELECT textsend(slot_name::text), slot_type, textsend(database::text), active FROM pg_replication_slots"
    f" WHERE NOT temporary ORDER BY 1 LIMIT {MOST}"
)
_SUBSCRIPTIONS = (
    "SELECT textsend(s.subname::text), textsend(d.datname::text), s.subenabled FROM pg_subscription s"
    f" JOIN pg_database d ON d.oid = s.subdbid ORDER BY 2, 1 LIMIT {MOST}"
)
_SESSIONS = (
    "SELECT textsend(datname::text), count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    f" AND application_name <> '{APPLICATION}' GROUP BY datname ORDER BY count(*) DESC, 1 LIMIT {MOST}"
)
_PUBLICATIONS = f"SELECT textsend(pubname::text) FROM pg_publication ORDER BY 1 LIMIT {MOST}"
# A database whose removal was interrupted, which has a limit of -2, lets nobody in.
_DATABASES = (
    "SELECT textsend(datname::text) FROM pg_database WHERE datallowconn AND NOT datistemplate AND datconnlimit <> -2"
    " ORDER BY oid"
)


def ask(server: Server) -> Dependents:
    """Ask a server who depends on it; what it does not tell is no reason to give up."""
    try:
        server.rows(f"SELECT set_config('statement_timeout', '{_SECONDS}s', false)")
        found = _asked(server)
    except Error as error:
        return not_seen(error)
    return found


def not_seen(error: Error) -> Dependents:
    """Say that somebody may depend on the server; a restore does without knowing it."""
    return Dependents(unseen=(f"who depends on the server was not seen: {printable(error.message, _LONGEST_REASON)}",))


def _asked(server: Server) -> Dependents:
    receivers = [(row[0], Receiver(text_of(row[1]), row[2], row[3])) for row in server.rows(_RECEIVERS)]
    publications, unseen = _publications(server)
    return Dependents(
        True,
        tuple(each for logical, each in receivers if not logical),
        tuple(each for logical, each in receivers if logical),
        tuple(Slot(text_of(row[0]), row[1], _optional(row[2]), row[3]) for row in server.rows(_SLOTS)),
        publications,
        tuple(Subscription(text_of(row[0]), text_of(row[1]), row[2]) for row in server.rows(_SUBSCRIPTIONS)),
        {text_of(row[0]): row[1] for row in server.rows(_SESSIONS)},
        waited_for(server),
        unseen,
    )


def waited_for(server: Server) -> str:
    """Give the standbys that commits wait for; nothing where the usual commit waits for none."""
    query = "SELECT current_setting('synchronous_commit') IN ('off', 'local')"
    names = "SELECT textsend(current_setting('synchronous_standby_names'))"
    return "" if server.value(query) else text_of(server.value(names))


def waiting(server: Server) -> str:
    """Give the standbys that commits wait for, as long as none of them is there."""
    query = "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))"
    return "" if server.value(query) else waited_for(server)


def _publications(server: Server) -> tuple[tuple[Publication, ...], tuple[str, ...]]:
    """Look in every database that lets us in; without logical WAL, a publication has no subscribers."""
    if server.show("wal_level") != "logical":
        return (), ()
    found: list[Publication] = []
    missed: list[str] = []
    deadline = time.monotonic() + _SECONDS_FOR_ALL
    for row in server.rows(_DATABASES):
        name = text_of(row[0])
        try:
            if time.monotonic() > deadline:
                raise Error(f"the others have taken {_SECONDS_FOR_ALL} s")
            found += _published(server, name)
        except Error:
            missed.append(name)
    unseen = f"publications were not looked for in {listed(map(printable, missed))}"
    return tuple(found[:MOST]), (unseen,) if missed else ()


def _published(server: Server, database: str) -> list[Publication]:
    with server.elsewhere(database) as other:
        other.rows(f"SELECT set_config('statement_timeout', '{_SECONDS}s', false)")
        return [Publication(text_of(row[0]), database) for row in other.rows(_PUBLICATIONS)]


def look(data_directory: str) -> Dependents:
    """See what a data directory whose server does not answer tells: its slots."""
    unseen = "no server answers, so nobody was asked for standbys, subscribers and sessions"
    return Dependents(slots=tuple(_slots(f"{data_directory}/pg_replslot")), unseen=(unseen,))


def _slots(directory: str) -> Iterator[Slot]:
    names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    for name in names[:MOST]:
        try:
            slot = slot_on_disk(read_small(f"{directory}/{name}/state"))
        except (Error, OSError):
            slot = None
        if slot is not None:
            yield slot


def text_of(value: Any) -> str:
    """Read what textsend() gave."""
    return "" if value is None else bytes(value).decode(errors="replace")


def _optional(value: Any) -> str | None:
    return None if value is None else text_of(value)
