# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan the settings of WAL archiving: only what differs is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .._errors import Error
from .plan import AlterSystem, Plan, ReloadServer, Step
from .settings import Setting, changes

_LIBRARY_SINCE = 15


def wanted_when_enabled(
    current: Mapping[str, Setting], command: str, library: str, timeout: int, extra: Mapping[str, str]
) -> dict[str, str | None]:
    """Name the settings of an archiving server; exactly one of ``command`` and ``library`` is not empty.

    What is already sufficient (``archive_mode = always``, ``wal_level = logical``) is not touched.
    """
    wanted: dict[str, str | None] = {}
    if current["archive_mode"].value == "off":
        wanted["archive_mode"] = "on"
    if current["wal_level"].value == "minimal":
        wanted["wal_level"] = "replica"
    if current["max_wal_senders"].value == "0":
        wanted["max_wal_senders"] = "10"
    if "archive_library" in current:
        wanted["archive_library"] = library
    elif library:
        raise Error(f"archive_library needs PostgreSQL {_LIBRARY_SINCE} or newer", "give a command instead")
    return {**wanted, "archive_command": command, "archive_timeout": str(timeout), **extra}


def wanted_when_disabled(current: Mapping[str, Setting]) -> dict[str, str | None]:
    """Name the settings of a server that does not archive."""
    names = ("archive_command", "archive_library", "archive_timeout")
    return {"archive_mode": "off", **{name: None for name in names if name in current}}


def plan_archiving(current: Mapping[str, Setting], wanted: Mapping[str, str | None]) -> Plan:
    """Plan the way from the settings in force to the wanted ones."""
    found = changes(current, wanted)
    steps: tuple[Step, ...] = tuple(AlterSystem(change.name, change.after) for change in found)
    before = {change.name: change.before for change in found}
    after = {change.name: "(reset)" if change.after is None else change.after for change in found}
    return Plan((*steps, ReloadServer()) if steps else (), before, after)


def restart_reasons(current: Mapping[str, Setting], wanted: Mapping[str, str | None]) -> list[str]:
    """Name the settings that only a restart brings into force: those that differ, and those changed but waiting."""
    found = changes(current, wanted)
    waiting = {name for name in wanted if current[name].pending_restart} - {change.name for change in found}
    return sorted(waiting | {change.name for change in found if change.needs_restart})


def unverified_reason(check_mode: bool, in_recovery: bool, restart: Sequence[str]) -> str | None:
    """Say why a proof that archiving works is not possible now; None when it is.

    >>> unverified_reason(False, False, ["archive_mode", "wal_level"])
    'a restart has to bring archive_mode, wal_level into force first'
    """
    if check_mode:
        return "check mode archives nothing"
    if in_recovery:
        return "the server is in recovery; a standby is proved to archive once it is promoted"
    return f"a restart has to bring {', '.join(restart)} into force first" if restart else None


def check_in_force(current: Mapping[str, Setting], wanted: Mapping[str, str | None]) -> None:
    """Refuse to call a setting changed that a source of higher rank overrides."""
    for change in changes(current, wanted):
        setting = current[change.name]
        if change.after is not None and not setting.pending_restart and not change.needs_restart:
            source = setting.source_file or f"source '{setting.source}'"
            raise Error(
                f"{change.name} was set to '{change.after}' and stays at '{change.before}', which comes from {source}",
                f"remove {change.name} there; it outranks what ALTER SYSTEM sets",
            )
