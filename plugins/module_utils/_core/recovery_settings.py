# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings that a restore writes, and what stands in the files that it writes them to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .._errors import InvalidValue

RECOVERY_SETTINGS = (
    "restore_command",
    "archive_cleanup_command",
    "recovery_end_command",
    *(
        f"recovery_target{suffix}"
        for suffix in ("", "_name", "_time", "_xid", "_lsn", "_inclusive", "_timeline", "_action")
    ),
)
_QUOTED = re.compile(r'"([^"]+)"')
_SETTING = re.compile(r"^[ \t]*(\w+)[ \t]*(?:=|[ \t])[ \t]*'?([^'#\n]*)", re.MULTILINE)
_WORDS = re.compile(r"[\s,]+")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def recovery_overrides(local_only: bool, host: str | None) -> dict[str, str]:
    """Give the settings that hold during recovery only; ``host`` is where the modules connect to.

    Without hot_standby a pause at the target would be a shutdown: ``recovery_target_action`` in section 19.5.6 of
    PostgreSQL 17's manual.
    """
    if not local_only:
        return {"hot_standby": "on"}
    if host is None or host.startswith("/"):
        return {"hot_standby": "on", "listen_addresses": ""}
    if host not in _LOOPBACK:
        raise InvalidValue(
            f"during recovery only local connections are to be possible, and login_host {host} is not a local one",
            "leave login_host out to connect over the Unix socket, or set local_only: false",
        )
    return {"hot_standby": "on", "listen_addresses": host}


def recovery_configuration(text: str, settings: Mapping[str, str]) -> str:
    r"""Write settings into the text of a ``postgresql.auto.conf``, in place of their lines and all recovery settings.

    >>> recovery_configuration("work_mem = '4MB'\nrecovery_target_name = 'old'\n", {"restore_command": "get '%f'"})
    "work_mem = '4MB'\nrestore_command = 'get ''%f'''\n"
    """
    replaced = {*RECOVERY_SETTINGS, *settings}
    kept = [line + "\n" for line in _lines(text) if _name(line) not in replaced]
    added = [
        "{} = '{}'\n".format(name, value.replace("\\", "\\\\").replace("'", "''")) for name, value in settings.items()
    ]
    return "".join(kept + added)


def automatic_value(text: str, name: str) -> str | None:
    r"""Read a setting from the text of a ``postgresql.auto.conf``, of which the last line counts; None: it has none.

    >>> automatic_value("work_mem = '4MB'\nlisten_addresses = 'a''b\\\\c'\n", "listen_addresses")
    "a'b\\c"
    """
    found = [line.partition("=")[2].strip() for line in _lines(text) if _name(line) == name]
    if not found:
        return None
    quoted = len(found[-1]) > 1 and found[-1].startswith("'") and found[-1].endswith("'")
    return found[-1][1:-1].replace("''", "'").replace("\\\\", "\\") if quoted else found[-1]


def quoted_settings(log: str, configurations: Sequence[str]) -> dict[str, str]:
    r"""Find the settings whose value a server's last words quote, which do not always name the setting.

    >>> quoted_settings('FATAL:  could not access file "nosuch"', ["port = 5432\narchive_library = 'nosuch'\n"])
    {'archive_library': 'nosuch'}
    """
    fatal = [line for line in log.splitlines() if "FATAL:" in line or "PANIC:" in line]
    words = {word for line in fatal for word in _QUOTED.findall(line)}
    values = {match[1].lower(): match[2] for text in configurations for match in _SETTING.finditer(text)}
    return {name: value for name, value in values.items() if any(word in _WORDS.split(value) for word in words)}


def _lines(text: str) -> list[str]:
    # not splitlines: a value may hold what Python, unlike the server, breaks at
    return [line for line in text.split("\n") if line]


def _name(line: str) -> str:
    return line.partition("=")[0].strip().lower()
