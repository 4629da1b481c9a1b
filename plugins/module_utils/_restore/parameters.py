# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings that WAL asks for: those that must not be smaller in a recovery than where the WAL was written.

With smaller ones a server does not start, or from PostgreSQL 14 on pauses before its target:
``CheckRequiredParameterValues`` in ``src/backend/access/transam/xlog.c``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._errors import Error
from .._server.options import parse_options
from .._values.progress import size_text

# What pg_waldump calls them; pg_controldata adds a word.
_NAMES = {
    "max_connections": "max_connections",
    "max_worker_processes": "max_worker_processes",
    "max_wal_senders": "max_wal_senders",
    "max_prepared_xacts": "max_prepared_transactions",
    "max_locks_per_xact": "max_locks_per_transaction",
}

# Settings, by the version since which there are such.
RESERVED = {"superuser_reserved_connections": 0, "reserved_connections": 16}
MORE_THAN_MINIMAL = {"archive_mode": 0, "max_wal_senders": 0, "summarize_wal": 17}
_MOST_PROCESSES = 0x3FFFF  # MAX_BACKENDS


def asked_by_control(control: Mapping[str, str]) -> dict[str, int]:
    """Give what a control file asks for, as pg_controldata prints it.

    >>> asked_by_control({"max_connections setting": "200", "max_locks_per_xact setting": "64"})
    {'max_connections': 200, 'max_locks_per_transaction': 64}
    """
    found = {name: control.get(f"{short} setting") for short, name in _NAMES.items()}
    return {name: int(value) for name, value in found.items() if value is not None}


def asked_by_wal(changes: Iterable[str]) -> dict[str, int]:
    """Give the most that the changes in the WAL ask for.

    >>> asked_by_wal(["max_connections=60 max_prepared_xacts=0", "max_connections=20"])
    {'max_connections': 60, 'max_prepared_transactions': 0}
    """
    return highest(*(dict(_read(change)) for change in changes))


def _read(text: str) -> Iterable[tuple[str, int]]:
    for word in text.split():
        name, _sign, value = word.partition("=")
        if name in _NAMES and value.isdigit():
            yield _NAMES[name], int(value)


def highest(*asked: Mapping[str, int]) -> dict[str, int]:
    """Put together what is asked for; of several values of one setting the highest counts."""
    found: dict[str, int] = {}
    for each in asked:
        found.update({name: max(value, found.get(name, value)) for name, value in each.items()})
    return found


def too_small(has: Mapping[str, int], needed: Mapping[str, int]) -> dict[str, int]:
    """Give the settings that are smaller than what is needed, with the value that they have.

    >>> too_small({"max_connections": 100, "max_wal_senders": 10}, {"max_connections": 200, "max_wal_senders": 5})
    {'max_connections': 100}
    """
    return {name: has[name] for name, value in needed.items() if name in has and has[name] < value}


def check_not_given(small: Mapping[str, int], needed: Mapping[str, int], words: Sequence[str], place: str) -> None:
    """Refuse what is too small on the server's command line: no file outranks that; ``place`` has its ``words``."""
    last = {option.name: option for option in parse_options(words)}
    given = [f"{last[name].text} (expected {name} >= {needed[name]})" for name in small if name in last]
    if given:
        raise Error(
            f"the server is started with options that are too small for the WAL to be replayed: {', '.join(given)}, "
            f"found in {place}",
            "remove them where the server is started (options in the systemd unit, pg_ctl.conf of Debian's clusters, "
            "pg_ctl -o), with the settings in postgresql.conf instead, and restart it; where nothing starts it like "
            "that any more, remove postmaster.opts",
        )


def raised(found: Mapping[str, int], needed: Mapping[str, int]) -> list[dict[str, Any]]:
    """List what was raised, in the form that is reported."""
    return [
        {"name": name, "found": value, "needed": needed[name], "text": raised_text(name, value, needed[name])}
        for name, value in sorted(found.items())
        if name in needed
    ]


def raised_text(name: str, found: int, needed: int) -> str:
    """Say what was raised, and what becomes of it.

    >>> raised_text("max_connections", 20, 60).partition("; ")[0]
    'max_connections is 20, and the WAL to be replayed needs 60, so the server is started with 60'
    """
    return (
        f"{name} is {found}, and the WAL to be replayed needs {needed}, so the server is started with {needed}; that "
        f"stays in postgresql.auto.conf, also after the promotion, until you take it back (ALTER SYSTEM RESET {name}, "
        "and a restart)"
    )


def check_reserved(settings: Mapping[str, str]) -> None:
    """Refuse to keep all connections for superusers and the like, as PostmasterMain() in postmaster.c does."""
    reserved = [name for name in RESERVED if name in settings]
    if sum(int(settings[name]) for name in reserved) >= int(settings["max_connections"]):
        raise _unfit(settings, [*reserved, "max_connections"], "no connection would be left for anybody else")


def of_processes(major: int) -> list[str]:
    """Name the settings by which a server has processes, and keeps tables of them in memory."""
    workers = "autovacuum_worker_slots" if major >= 18 else "autovacuum_max_workers"
    return [*_NAMES.values(), workers]


def check_processes(settings: Mapping[str, str], buffers: int, memory: int) -> None:
    """Refuse more processes than a server can have, or than there is memory for, beside that for ``buffers``.

    As ``InitializeMaxBackends`` does in ``src/backend/utils/init/postinit.c``. The least that each takes is that of the
    manual up to PostgreSQL 9.2, in "Managing Kernel Resources"; a server takes more than twice of it.
    """
    locks, prepared = (int(settings[name]) for name in ("max_locks_per_transaction", "max_prepared_transactions"))
    counted = [name for name in settings if name not in ("max_locks_per_transaction", "max_prepared_transactions")]
    processes = sum(int(settings[name]) for name in counted)
    if processes >= _MOST_PROCESSES:  # the launcher of autovacuum is one, too
        raise _unfit(settings, counted, f"a server has {_MOST_PROCESSES} processes at most")
    least = processes * (1800 + 270 * locks) + prepared * (770 + 270 * locks)
    if least > memory - buffers:
        why = f"that takes {size_text(least)} and more of the {size_text(memory)} of memory and swap of this host"
        raise _unfit(settings, list(settings), why)


def check_minimal(settings: Mapping[str, str]) -> None:
    """Refuse what PostmasterMain() does not start with where ``wal_level`` is minimal."""
    clashing = [name for name in MORE_THAN_MINIMAL if settings.get(name, "off") not in ("off", "0")]
    if clashing:
        raise _unfit({**settings, "wal_level": "minimal"}, ["wal_level", *clashing], "that takes replica or logical")


def check_memory(buffers: int, memory: int) -> None:
    """Refuse more shared_buffers than there is memory, swap included: no server gets them from the kernel.

    >>> check_memory(1 << 30, 2 << 30)
    """
    if buffers > memory:
        raise Error(
            f"with the configuration that it would get, no server starts: shared_buffers is {size_text(buffers)}, and "
            f"this host has {size_text(memory)} of memory and swap",
            "give what this machine needs in pitr_restore_settings, such as shared_buffers",
        )


def missing_file(setting: str, path: str, place: str) -> Error:
    """Say that a file is not there which a server needs for TLS; ``place`` is where the setting has it from."""
    return Error(
        f"{path}, which is {setting} ({place}), is not on this host, or its owner may not read it, and with ssl = on "
        "no server starts without it",
        "put it there (what was a link in the data directory is in no base backup), or give ssl, or another path as "
        f"{setting}, in pitr_restore_settings",
    )


def _unfit(settings: Mapping[str, str], names: Sequence[str], why: str) -> Error:
    shown = ", ".join(f"{name} = {settings[name]}" for name in names)
    return Error(
        f"with the configuration that it would get, no server starts: {shown}; {why}",
        "correct that where it is set, or give what this machine needs in pitr_restore_settings",
    )
