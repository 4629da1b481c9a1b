# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that put a configuration into its places, and check it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .._errors import Error
from .._plan.plan import Step
from .files import KeptFile


@dataclass(frozen=True)
class PlaceLinks(Step):
    """Make the links of configuration files in the data directory again, which no base backup has.

    For a clone, ``copies`` are files in their place, from the backup by their paths in the data directory: the links
    would lead to the configuration of its source.
    """

    path: str
    backup: str
    links: Mapping[str, str]
    copies: Mapping[str, KeptFile] = field(default_factory=dict)

    @property
    def text(self) -> str:
        copied = f"copy {', '.join(self.copies)} from {self.backup}" if self.copies else ""
        linked = f"make the links {', '.join(self.links)} in {self.path}" if self.links else ""
        return "; ".join(filter(None, [linked, copied]))


@dataclass(frozen=True)
class RestoreConfiguration(Step):
    """Put configuration files of the backup back where they were outside PGDATA.

    A file that is in the place of one of them is kept beside it, under the same name with ``suffix`` behind it.
    """

    backup: str
    files: tuple[KeptFile, ...]
    suffix: str

    @property
    def text(self) -> str:
        return f"put back from {self.backup}: {', '.join(file.path for file in self.files)}"


@dataclass(frozen=True)
class PutBack:
    """A configuration of which files are still to be put back from the ``backup``, those at the ``chosen`` paths.

    ``files`` are all that the server will read outside of its data directory, ``main`` is where it begins;
    ``data_directory`` is where that was when the files were kept.
    """

    backup: str
    files: tuple[KeptFile, ...]
    chosen: tuple[str, ...]
    main: str
    data_directory: str


@dataclass(frozen=True)
class CheckConfiguration(Step):
    """Refuse a configuration that cannot be read, or with which the server would work in another directory.

    ``directory`` holds the data now, ``config_file`` is outside of it (None: inside), ``accepted`` are the directories
    that the data is in, or will be. What is to be ``apart`` may not write where another server does.
    """

    directory: str
    config_file: str | None
    accepted: tuple[str, ...]
    apart: bool = True

    @property
    def text(self) -> str:
        return f"check that the configuration makes a server work in {self.accepted[-1]}"


def check_effective(effective: str, step: CheckConfiguration) -> None:
    """Refuse a configuration whose ``data_directory``, as the server would have it, is not the clone's."""
    if effective not in step.accepted:
        place = step.config_file or f"{step.directory}/postgresql.conf"
        raise Error(
            f"with {place}, a server started for {step.accepted[-1]} would work in {effective}",
            "correct that, or give the clone a configuration of its own with config_directory",
        )
