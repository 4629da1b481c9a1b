# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a server writes outside of its data directory, which is no place for two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .._errors import Error

_STATISTICS_UNTIL = 14  # the server writes them to memory from 15 on, and does not know the setting
# What has to be the same in two servers for one to write into what is the other's; a value that is empty is no place.
_SHARED = (
    ("log_directory", "log_filename", "logging_collector"),
    ("external_pid_file",),
    ("stats_temp_directory",),
    ("unix_socket_directories", "port"),
)
NAMES_OF_PLACES = tuple(name for names in _SHARED for name in names)


def places_of_its_own(major: int) -> dict[str, str]:
    """Give the settings with which a server writes nowhere but into its data directory, whatever its source had.

    >>> places_of_its_own(17)
    {'external_pid_file': '', 'log_directory': 'log'}
    """
    statistics = {"stats_temp_directory": "pg_stat_tmp"} if major <= _STATISTICS_UNTIL else {}
    return {"external_pid_file": "", "log_directory": "log", **statistics}


def check_not_shared(own: Mapping[str, str], others: Mapping[str, Mapping[str, str]], directory: str) -> None:
    """Refuse settings with which a server of ``directory`` would write where a running one does; by data directory."""
    for place, settings in others.items():
        found = next(_shared(own, settings), None)
        if found is not None:
            shown = ", ".join(f"{name} = '{own[name]}'" for name in found)
            raise Error(
                f"with its configuration, a server of {directory} would write where that of {place} does: {shown}",
                f"give it a place of its own: change {found[0]} in its configuration, or with pitr_restore_settings",
            )


def _shared(own: Mapping[str, str], other: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    for names in _SHARED:
        first, *more = names
        same = all(own.get(name) == other.get(name) for name in more)
        idle = first == "log_directory" and own.get("logging_collector") == "off"
        if same and not idle and _absolute(own.get(first, "")) & _absolute(other.get(first, "")):
            yield names


def _absolute(value: str) -> set[str]:
    """Give the absolute paths in a list; relative ones are in the data directory."""
    parts = (part.strip().strip('"') for part in value.split(","))
    return {part.rstrip("/") for part in parts if part.startswith("/")}
