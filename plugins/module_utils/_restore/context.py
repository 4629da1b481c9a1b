# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the steps of a restore and of a rollback work with."""

from __future__ import annotations

from dataclasses import dataclass, field

from .._host.runner import CommandRunner
from .._repository.layout import Layout


@dataclass(frozen=True)
class RestoreContext:
    """What runs commands, and where PostgreSQL's programs and pgark-wal are; ``notes`` are for a person to read.

    ``layouts`` are the cluster's places in all repositories, beginning with the one that is restored from.
    """

    runner: CommandRunner
    bin_directory: str = ""
    wal_program: str = ""
    layouts: tuple[Layout, ...] = ()
    notes: list[str] = field(default_factory=list)
