# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archiving that somebody else has set up: it is not taken over unasked, it is kept, and it is put back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import Error
from .._plan.plan import Step
from .._repository.layout import FORMAT
from .._server.settings import Setting
from .._values.secrets import masked
from .commands import parse_push

_KEPT = ("archive_command", "archive_library", "archive_timeout", "archive_mode")


@dataclass(frozen=True)
class KeepReplaced(Step):
    """Keep the settings of somebody else's archiving, before they are changed."""

    path: str
    content: Mapping[str, Any]

    @property
    def text(self) -> str:
        return f"keep the settings of the archiving that is replaced in {self.path}"

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "content": None}  # there may be secrets in it


@dataclass(frozen=True)
class ForgetReplaced(Step):
    """Remove what was kept, once it is put back."""

    path: str

    @property
    def text(self) -> str:
        return f"remove {self.path}, whose settings are put back"


@dataclass(frozen=True)
class Kept:
    """What was kept: by setting, what ALTER SYSTEM had said about it (None: nothing), and what was in force."""

    automatic: Mapping[str, str | None]
    in_force: Mapping[str, str]

    @classmethod
    def of(cls, current: Mapping[str, Setting]) -> Kept:
        """Keep what is to be replaced."""
        settings = [current[name] for name in _KEPT if name in current]
        written = {setting.name: setting.automatic for setting in settings}
        return cls(
            {name: None if entry is None else entry.value for name, entry in written.items()},
            {setting.name: setting.value for setting in settings},
        )

    def as_document(self, system_identifier: str, data_directory: str) -> dict[str, Any]:
        """Give the content of its file."""
        whose = {"system_identifier": system_identifier, "data_directory": data_directory}
        return {"format": FORMAT, **whose, "automatic": dict(self.automatic), "in_force": dict(self.in_force)}

    @classmethod
    def from_document(cls, path: str, document: Mapping[str, Any]) -> Kept:
        """Read the content of its file."""
        automatic, in_force = document.get("automatic"), document.get("in_force")
        if document.get("format") != FORMAT or not _are_settings(automatic) or not _are_settings(in_force):
            raise Error(
                f"{path} has not the form in which replaced settings are kept",
                "it was changed by hand, or damaged; set what it says by hand, and remove it",
            )
        return cls(automatic or {}, in_force or {})


def _are_settings(found: object) -> bool:
    return isinstance(found, dict) and all(
        name in _KEPT and (value is None or isinstance(value, str)) for name, value in found.items()
    )


def foreign(current: Mapping[str, Setting], own: Collection[str] = ()) -> Setting | None:
    """Give the setting by which something else than pgark-wal archives; ``own`` are values that were asked for here."""
    for name in ("archive_library", "archive_command"):
        setting = current.get(name)
        if setting is None or not setting.value.strip() or setting.value in own:
            continue
        if name == "archive_library" or parse_push(setting.value) is None:
            return setting
    return None


def foreign_text(setting: Setting) -> str:
    """Quote it, with the place that it comes from."""
    place = "" if setting.place is None else f" (from {setting.place})"
    return f"{setting.name} is '{masked(setting.value)}'{place}, which is not pgark-wal's"


def refuse_replacing(setting: Setting) -> Error:
    """Refuse to end what somebody has set up."""
    return Error(
        f"{foreign_text(setting)}: something else archives the WAL of this server, and would get no more of it."
        " Nothing was changed",
        "to take over, set wal_archiving_replace (replace of the module wal_archiving) to true: what stands there is"
        " kept, and the state disabled puts it back",
    )


def others_archiving(current: Mapping[str, Setting], own: Collection[str], kept: Kept | None) -> Setting | None:
    """Give what somebody else archives with, unless it is what was kept here and is being put back."""
    found = foreign(current, own)
    if found is None or (kept is not None and kept.in_force.get(found.name) == found.value):
        return None
    return found
