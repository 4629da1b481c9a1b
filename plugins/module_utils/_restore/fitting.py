# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that fit a staged configuration to the WAL that is to be replayed, and hold it against this host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._configuration.steps import PutBack
from .._plan.plan import Step


@dataclass(frozen=True)
class RaiseSettings(Step):
    """Raise settings that are too small for the WAL to be replayed, in the staged ``postgresql.auto.conf``.

    ``needed`` is what the changes in the WAL ask for; the control file of the backup, which is unpacked by then, asks
    for more. ``config_file`` is outside of the ``directory`` (None: inside), which will be ``place``.
    """

    directory: str
    config_file: str | None
    place: str
    needed: Mapping[str, int]
    put_back: PutBack | None = None

    @property
    def text(self) -> str:
        wal = ", ".join(f"{name} = {value}" for name, value in sorted(self.needed.items()) if value)
        asked = f", where it asks for {wal}" if wal else ""
        return f"raise settings that are too small for the WAL to be replayed{asked}"

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "put_back": _shown(self.put_back)}


@dataclass(frozen=True)
class CheckStartable(Step):
    """Refuse a configuration with which no server would start here, such as one with libraries that are missing."""

    directory: str
    config_file: str | None
    place: str
    major: int
    put_back: PutBack | None = None

    @property
    def text(self) -> str:
        return "check that a server can start with the configuration, and that its libraries are here"

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "put_back": _shown(self.put_back)}


def _shown(put_back: PutBack | None) -> list[str]:
    return [] if put_back is None else list(put_back.chosen)
