# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan the settings of WAL archiving: only what differs is changed, and what cannot take effect is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .._errors import Error
from .._plan.plan import AlterSystem, Plan, ReloadServer, Step
from .._server.configuration import Configuration
from .._server.settings import Change, Setting, changes
from .commands import parse_push
from .takeover import Kept

_LIBRARY_SINCE = 15
# Until PostgreSQL 15 the command is built in a buffer of MAXPGPATH bytes, and the rest is dropped without a word:
# pgarch_archiveXlog() in src/backend/postmaster/pgarch.c, in 15 shell_archive_file() in src/backend/postmaster/
# shell_archive.c. 16 has no limit.
_UNLIMITED_SINCE = 16
_LONGEST_COMMAND = 1023
_LONGEST_FILE = f"{'0' * 24}.00000028.backup"
# What is not enough for archiving, and for backups with it, and what enabling puts in its place.
_RAISED = {"archive_mode": ("off", "on"), "wal_level": ("minimal", "replica"), "max_wal_senders": ("0", "10")}


def wanted_when_enabled(
    current: Mapping[str, Setting], command: str, library: str, timeout: int, extra: Mapping[str, str]
) -> dict[str, str | None]:
    """Name the settings of an archiving server; exactly one of ``command`` and ``library`` is not empty.

    What is already sufficient (``archive_mode = always``, ``wal_level = logical``) is not touched.
    """
    wanted: dict[str, str | None] = {}
    for name, (too_little, enough) in _RAISED.items():
        values = (current[name].value, current[name].coming)
        if too_little in values:
            wanted[name] = next((value for value in values if value != too_little), enough)
    if "archive_library" in current:
        wanted["archive_library"] = library
    elif library:
        raise Error(f"archive_library needs PostgreSQL {_LIBRARY_SINCE} or newer", "give a command instead")
    return {**wanted, "archive_command": command, "archive_timeout": str(timeout), **extra}


def check_command_length(command: str, version: int) -> None:
    """Refuse an ``archive_command`` that the server would cut off, once it has put in the longest name of a file."""
    values = {"%p": f"pg_wal/{_LONGEST_FILE}", "%f": _LONGEST_FILE, "%%": "%"}
    expanded = re.sub("%[pf%]", lambda found: values[found[0]], command)
    length = len(expanded.encode(errors="surrogateescape"))
    if version // 10000 < _UNLIMITED_SINCE and length > _LONGEST_COMMAND:
        raise Error(
            f"archive_command has up to {length} bytes once a file's name is in it, expected at most"
            f" {_LONGEST_COMMAND}: PostgreSQL {version // 10000} cuts off what is longer",
            "choose shorter paths for the program and the repositories",
        )


@dataclass(frozen=True)
class DrainArchive(Step):
    """Switch WAL, and wait until all that waits is archived: the server would drop it."""

    timeout: int

    @property
    def text(self) -> str:
        return f"switch WAL, and wait up to {self.timeout} s until nothing waits to be archived"


def ends_archiving(current: Mapping[str, Setting], found: Sequence[Change]) -> bool:
    """Tell whether a server that archives would archive no more, or something else, after some changes."""
    archives = ("archive_command", "archive_library")
    works = current["archive_mode"].value != "off" and any(current[name].value for name in archives if name in current)
    return works and any(change.name in (*archives, "archive_mode") for change in found)


def wanted_when_disabled(
    current: Mapping[str, Setting], extra: Mapping[str, str], in_use: bool, kept: Kept | None = None
) -> dict[str, str | None]:
    """Name what brings a server back to where enabling found it; ``in_use`` when standbys or slots need its WAL.

    What ALTER SYSTEM set is reset, of the ``extra`` settings only those that have these values. Where the server would
    then keep its WAL for an archiving that nobody has set up, ``archive_mode`` is set to off. What was ``kept`` of
    somebody else's is set again, and what stands in other files of that needs nothing.
    """
    goes_on = current["archive_mode"].without_alter_system != "off" and not _is_foreign_by_hand(current)
    mode = "off" if goes_on else None
    names = ("archive_command", "archive_library", "archive_timeout")
    lowered = () if in_use else _no_longer_needed(current)
    further = [name for name, value in extra.items() if name not in current or _is_set_to(current[name], value)]
    reset = ["archive_mode", *(name for name in (*names, *lowered) if name in current), *further]
    wanted: dict[str, str | None] = {**dict.fromkeys(reset), "archive_mode": mode}
    if kept is None:
        return wanted
    return {**wanted, **{name: value for name, value in kept.automatic.items() if name in current}}


def _is_foreign_by_hand(current: Mapping[str, Setting]) -> bool:
    written = (current[name].by_hand for name in ("archive_command", "archive_library") if name in current)
    values = [entry.value or "" for entry in written if entry is not None]
    return any(value.strip() and parse_push(value) is None for value in values)


def _is_set_to(setting: Setting, value: str) -> bool:
    written = setting.automatic
    return written is not None and setting.normalise(written.value or "") == setting.normalise(value)


def _no_longer_needed(current: Mapping[str, Setting]) -> tuple[str, ...]:
    """Name what enabling raised, when it can be lowered again.

    A server whose ``wal_level`` is minimal does not start while it has WAL senders or summarizes WAL: PostmasterMain()
    in src/backend/postmaster/postmaster.c.
    """
    raised = [name for name in ("max_wal_senders", "wal_level") if _raised_by_us(current[name])]
    senders = current["max_wal_senders"]
    left = senders.without_alter_system if senders.name in raised else senders.coming
    summarizes = "summarize_wal" in current and current["summarize_wal"].coming == "on"
    return tuple(name for name in raised if name != "wal_level" or (left == "0" and not summarizes))


def _raised_by_us(setting: Setting) -> bool:
    """Tell whether ALTER SYSTEM put exactly what enabling puts, in place of exactly what is not enough.

    Or whether that has been reset, and waits for the restart.
    """
    too_little, enough = _RAISED[setting.name]
    automatic = setting.value if setting.automatic is None else setting.normalise(setting.automatic.value or "")
    return automatic == enough and setting.without_alter_system == too_little


def plan_archiving(found: Sequence[Change]) -> Plan:
    """Plan the way from the settings in force to the wanted ones; the diff shows where each came from."""
    steps: tuple[Step, ...] = tuple(AlterSystem(change.name, change.after) for change in found)
    before = {change.name: _with_place(change) for change in found}
    return Plan((*steps, ReloadServer()) if steps else (), before, values_after(found))


def _with_place(change: Change) -> str:
    return change.before if change.place is None else f"{change.before}  (from {change.place})"


def values_after(found: Sequence[Change]) -> dict[str, str]:
    """Give the values of changed settings as they are to be."""
    return {change.name: "(reset)" if change.after is None else change.after for change in found}


def check_changeable(configuration: Configuration, found: Sequence[Change], restart: Sequence[str]) -> list[str]:
    """Refuse changes that would not take effect; gives warnings about what is wrong but in the way of none."""
    configuration.check_command_line(found)
    faults = configuration.faults([change.name for change in found if change.after is not None], reloaded=False)
    if faults and (found or restart):
        raise Error(
            "the server's configuration has errors, which keep it from applying changes or from starting again:\n"
            + "\n".join(faults),
            "correct the lines, and run this again; nothing was changed",
        )
    return [f"the server's configuration has an error, with which it will not start again: {fault}" for fault in faults]


def restart_reasons(current: Mapping[str, Setting], wanted: Mapping[str, str | None]) -> list[str]:
    """Name the settings that only a restart brings into force: those that differ, and those changed but waiting."""
    found = changes(current, wanted)
    waiting = {name for name in wanted if _waits(current[name])} - {change.name for change in found}
    return sorted(waiting | {change.name for change in found if change.needs_restart})


def _waits(setting: Setting) -> bool:
    # pending_restart stays when what waited was taken back.
    return setting.pending_restart and setting.coming != setting.value


def unverified_reason(check_mode: bool, in_recovery: bool, restart: Sequence[str], standby: bool = True) -> str | None:
    """Say why a proof that archiving works is not possible now; None when it is.

    >>> unverified_reason(False, False, ["archive_mode", "wal_level"])
    'a restart has to bring archive_mode, wal_level into force first'
    """
    if check_mode:
        return "check mode archives nothing"
    if in_recovery and not standby:
        return "the server is in recovery: a restore is paused at its target, or on the way there; finish it first"
    if in_recovery:
        return "the server is in recovery; a standby is proved to archive once it is promoted"
    return f"a restart has to bring {', '.join(restart)} into force first" if restart else None


def check_in_force(configuration: Configuration, wanted: Mapping[str, str | None], reloaded: bool) -> None:
    """Refuse to call a setting changed that did not take effect, and to restart into a configuration with errors."""
    for change in changes(configuration.settings, wanted):
        raise Error(
            f"{change.name} was set to '{change.after or '(reset)'}' and stays at '{_with_place(change)}'",
            "look at the server's log, and at the view pg_file_settings",
        )
    faults = configuration.faults((), reloaded=True) if reloaded else []
    if faults:
        raise Error(
            "the settings were changed, but with these errors in its configuration the server will not start again:\n"
            + "\n".join(faults),
            "correct the lines before the next restart",
        )
