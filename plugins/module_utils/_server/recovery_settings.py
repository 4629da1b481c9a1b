# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings that a restore writes, and what stands in the files that it writes them to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .._errors import InvalidValue
from .._values.secrets import masked

RECOVERY_SETTINGS = (
    "restore_command",
    "archive_cleanup_command",
    "recovery_end_command",
    *(
        f"recovery_target{suffix}"
        for suffix in ("", "_name", "_time", "_xid", "_lsn", "_inclusive", "_timeline", "_action")
    ),
)
# What holds for the time of a recovery only: a server pauses at the target, where it can be looked at, replays what it
# has without waiting for anything, and says in English what is in its way. Nothing is fetched by a subscription, also
# when it has been promoted, before that was disabled.
_MEANWHILE = {
    "hot_standby": "on",
    "recovery_min_apply_delay": "0",
    "lc_messages": "C",
    "max_logical_replication_workers": "0",
}
# Triggers at login write, and nothing can be written in a recovery: there are some from 17 on.
_LOGIN_TRIGGERS_SINCE = 17
# A recovery in which one can look around fetches slots from a primary that its configuration names, no standby only:
# src/backend/replication/logical/slotsync.c
_SLOTS_FETCHED_SINCE = 17
_READS_AHEAD_SINCE = 15
# A file that ends a recovery when it appears; there is no such setting any more in PostgreSQL 16.
_TRIGGER_UNTIL = 15
# The quotation marks of PostgreSQL's translations.
_QUOTED = re.compile(r"[\"\u201c\u201e\u00ab\u00bb]([^\"\u201c\u201d\u201e\u00ab\u00bb]+)[\"\u201c\u201d\u00ab\u00bb]")
_NAME = re.compile(r"[ \t]*([\w.$]+)[ \t]*=?", re.ASCII)
_SETTING = re.compile(r"^[ \t]*(\w+)[ \t]*(?:=|[ \t])[ \t]*'?([^'#\n]*)", re.MULTILINE)
_WORDS = re.compile(r"[\s,]+")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def recovery_overrides(local_only: bool, host: str | None, major: int) -> dict[str, str]:
    """Give the settings that hold during recovery only; ``host`` is where the modules connect to.

    Without hot_standby a pause at the target would be a shutdown: ``recovery_target_action`` in section 19.5.6 of
    PostgreSQL 17's manual.
    """
    of_version = {"promote_trigger_file": ""} if major <= _TRIGGER_UNTIL else {}
    triggers = {"event_triggers": "off"} if major >= _LOGIN_TRIGGERS_SINCE else {}
    slots = {"sync_replication_slots": "off"} if major >= _SLOTS_FETCHED_SINCE else {}
    meanwhile = {**_MEANWHILE, **of_version, **triggers, **slots}
    if not local_only:
        return meanwhile
    if host is None or host.startswith("/"):
        return {**meanwhile, "listen_addresses": ""}
    if host not in _LOOPBACK:
        raise InvalidValue(
            f"during recovery only local connections are to be possible, and login_host {host} is not a local one",
            "leave login_host out to connect over the Unix socket, or set local_only: false",
        )
    return {**meanwhile, "listen_addresses": host}


def without_reading_ahead(overrides: Mapping[str, str], major: int) -> dict[str, str]:
    """Keep a recovery from asking for WAL behind its target: one that is not given a segment ends at once.

    Source: ``XLogPrefetcherNextBlock`` in ``src/backend/access/transam/xlogprefetcher.c``, since PostgreSQL 15.
    """
    return {**overrides, **({"recovery_prefetch": "off"} if major >= _READS_AHEAD_SINCE else {})}


def with_tablespaces_in_place(overrides: Mapping[str, str], present: bool) -> dict[str, str]:
    """Tell a recovery of tablespaces in place, which it takes for a mistake otherwise.

    Source: ``CheckTablespaceDirectory`` in ``src/backend/access/transam/xlogrecovery.c``.
    """
    return {**overrides, **({"allow_in_place_tablespaces": "on"} if present else {})}


def recovery_configuration(text: str, settings: Mapping[str, str]) -> str:
    r"""Write settings into the text of a ``postgresql.auto.conf``, in place of their lines and all recovery settings.

    >>> recovery_configuration("work_mem = '4MB'\nrecovery_target_name = 'old'\n", {"restore_command": "get '%f'"})
    "work_mem = '4MB'\nrestore_command = 'get ''%f'''\n"
    """
    unused = {name: None for name in RECOVERY_SETTINGS if name not in settings}
    return changed_configuration(text, {**unused, **settings})


def changed_configuration(text: str, settings: Mapping[str, str | None]) -> str:
    r"""Write settings into the text of a ``postgresql.auto.conf`` in place of their lines; None leaves them out.

    >>> changed_configuration("work_mem = '4MB'\nport = 1\n", {"port": "it's", "work_mem": None})
    "port = 'it''s'\n"
    """
    kept = [line + "\n" for line in _lines(text) if _name(line) not in settings]
    added = [
        "{} = '{}'\n".format(name, value.replace("\\", "\\\\").replace("'", "''"))
        for name, value in settings.items()
        if value is not None
    ]
    return "".join(kept + added)


def has_settings(text: str) -> bool:
    """Tell whether anything but comments is in the text of a ``postgresql.auto.conf``."""
    return any(line.strip() and not line.lstrip().startswith("#") for line in _lines(text))


def automatic_value(text: str, name: str) -> str | None:
    r"""Read a setting from the text of a ``postgresql.auto.conf``, of which the last line counts; None: it has none.

    >>> automatic_value("work_mem = '4MB'\nlisten_addresses = 'a''b\\\\c'\n", "listen_addresses")
    "a'b\\c"
    """
    found = [_value(line) for line in _lines(text) if _name(line) == name]
    if not found:
        return None
    quoted = len(found[-1]) > 1 and found[-1].startswith("'") and found[-1].endswith("'")
    return found[-1][1:-1].replace("''", "'").replace("\\\\", "\\") if quoted else found[-1]


def quoted_settings(log: str, configurations: Sequence[str]) -> dict[str, str]:
    r"""Find the settings whose value a server's last words quote, which do not always name the setting.

    A server that fails before it has read lc_messages speaks the language of its environment. Where none of its lines
    is the end by an English word, or by one that is the same in German, any of them may be.

    >>> quoted_settings('FATAL:  could not access file "nosuch"', ["port = 5432\narchive_library = 'nosuch'\n"])
    {'archive_library': 'nosuch'}
    """
    lines = log.splitlines()
    fatal = [line for line in lines if "FATAL:" in line or "PANIC:" in line] or lines
    words = {word.strip() for line in fatal for word in _QUOTED.findall(line)} - {""}
    values = {match[1].lower(): match[2] for text in configurations for match in _SETTING.finditer(text)}
    return {name: masked(value) for name, value in values.items() if any(word in _WORDS.split(value) for word in words)}


def _lines(text: str) -> list[str]:
    # not splitlines: a value may hold what Python, unlike the server, breaks at
    return [line for line in text.split("\n") if line]


def _name(line: str) -> str:
    found = _NAME.match(line)
    return "" if found is None else found[1].lower()


def _value(line: str) -> str:
    return _NAME.sub("", line, count=1).strip()
