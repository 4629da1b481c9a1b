# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Server settings: what a server has, and what is wanted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .._errors import InvalidValue

COMPRESSIONS = ("zstd", "lz4", "gzip", "none")
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)\s*([A-Za-z]*)")
# docs: "Parameter Names and Values" (section 19.1.1 of PostgreSQL's manual)
_MEMORY = {"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
_TIME = {"us": 1, "ms": 1000, "s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}
_BOOLEANS = {"on": "on", "true": "on", "yes": "on", "1": "on", "off": "off", "false": "off", "no": "off", "0": "off"}
COMMAND_LINE = "command line"  # PGC_S_ARGV, as GucSource_Names in src/backend/utils/misc/guc_tables.c calls it
_AUTOMATIC = "/postgresql.auto.conf"


@dataclass(frozen=True)
class ConfigurationLine:
    """A line of a configuration file, as ``pg_file_settings`` shows it; without a name it could not be read."""

    file: str
    line: int
    name: str | None
    value: str | None
    error: str | None = None

    @property
    def automatic(self) -> bool:
        """Tell whether ALTER SYSTEM wrote it."""
        return self.file.endswith(_AUTOMATIC)

    @property
    def place(self) -> str:
        """Where it is."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Setting:
    """A setting in force, as ``pg_settings`` shows it; ``value`` and ``default`` are in multiples of ``unit``.

    ``automatic`` is what ALTER SYSTEM wrote about it, and outranks ``by_hand``, the last line of any other file.
    """

    name: str
    value: str
    unit: str = ""
    kind: str = "string"
    context: str = "sighup"
    pending_restart: bool = False
    source: str = "default"
    source_file: str | None = None
    source_line: int | None = None
    default: str = ""
    automatic: ConfigurationLine | None = None
    by_hand: ConfigurationLine | None = None

    @property
    def needs_restart(self) -> bool:
        """Tell whether only a restart changes it."""
        return self.context == "postmaster"

    @property
    def without_alter_system(self) -> str:
        """The value that it would have if ALTER SYSTEM had never changed it."""
        if self.source == COMMAND_LINE:
            return self.value
        return self.default if self.by_hand is None else self.normalise(self.by_hand.value or "")

    @property
    def outlives_its_line(self) -> bool:
        """Tell whether it is still as ALTER SYSTEM set it, although that is no longer written: nobody has reloaded."""
        was_automatic = (self.source_file or "").endswith(_AUTOMATIC) and self.automatic is None
        return was_automatic and not self.pending_restart and self.value != self.without_alter_system

    @property
    def coming(self) -> str:
        """The value that counts: the one in force, or the one that a restart brings which is due already."""
        if not self.pending_restart or self.source == COMMAND_LINE:
            return self.value
        return self.without_alter_system if self.automatic is None else self.normalise(self.automatic.value or "")

    @property
    def place(self) -> str | None:
        """Where the value that counts is written; None when nobody wrote it."""
        if self.source == COMMAND_LINE:
            return f"the server's {COMMAND_LINE}"
        entry = self.automatic or self.by_hand
        if self.pending_restart:
            return None if entry is None else entry.place
        return None if self.source_file is None else f"{self.source_file}:{self.source_line}"

    def normalise(self, wanted: str) -> str:
        """Write a wanted value in the form in which ``pg_settings`` would show it.

        >>> Setting("archive_timeout", "0", unit="s", kind="integer").normalise("5min")
        '300'
        """
        if self.kind == "bool":
            return _BOOLEANS.get(wanted.lower(), wanted)
        if self.kind == "enum":  # those with on and off take the other words for them as well
            return _BOOLEANS.get(wanted.lower(), wanted.lower())
        match = _NUMBER.fullmatch(wanted.strip()) if self.kind in ("integer", "real") else None
        return wanted if match is None else self._in_base_units(match)

    def _in_base_units(self, match: re.Match[str]) -> str:
        own = _NUMBER.fullmatch(self.unit if self.unit[:1].isdigit() else "1" + self.unit)
        scale = _MEMORY if own is not None and own[2] in _MEMORY else _TIME
        if own is None or own[2] not in scale or not match[2]:
            return match[1]
        if match[2] not in scale:
            raise InvalidValue(f"setting {self.name}: unit '{match[2]}' is not one of {', '.join(scale)}")
        value = float(match[1]) * scale[match[2]] / (float(own[1]) * scale[own[2]])
        return str(round(value)) if self.kind == "integer" else f"{value:g}"


@dataclass(frozen=True)
class Change:
    """A setting to be changed; ``after`` None means: back to what the other sources say. ``place`` wrote ``before``."""

    name: str
    before: str
    after: str | None
    needs_restart: bool
    place: str | None = None


def changes(current: Mapping[str, Setting], wanted: Mapping[str, str | None]) -> tuple[Change, ...]:
    """Compare; a setting that is in force, or will be after a restart that is due already, is left alone."""
    return tuple(
        _change(_known(current, name), value) for name, value in wanted.items() if _differs(current, name, value)
    )


def _known(current: Mapping[str, Setting], name: str) -> Setting:
    if name not in current:
        raise InvalidValue(f"the server knows no setting '{name}'", "check its spelling against pg_settings")
    return current[name]


def _differs(current: Mapping[str, Setting], name: str, wanted: str | None) -> bool:
    setting = _known(current, name)
    if wanted is None:
        return setting.automatic is not None or setting.outlives_its_line
    return setting.normalise(wanted) != setting.coming


def _change(setting: Setting, wanted: str | None) -> Change:
    after = setting.without_alter_system if wanted is None else setting.normalise(wanted)
    needs_restart = setting.needs_restart and after != setting.value
    return Change(setting.name, setting.coming, wanted, needs_restart, setting.place)


def choose_compression(wanted: str, available: frozenset[str]) -> str:
    """Settle ``auto`` on the best that is available, and refuse a compression that is not.

    zstd comes first: it compresses better than lz4 at nearly its speed; gzip needs no program.
    """
    usable = available | {"none"}
    if wanted == "auto":
        return next(name for name in COMPRESSIONS if name in usable)
    if wanted not in usable:
        raise InvalidValue(
            f"compression {wanted} is not available here; found: {', '.join(sorted(usable))}",
            f"it takes the program {wanted}, and for a backup a server built with it; or choose another compression",
        )
    return wanted
