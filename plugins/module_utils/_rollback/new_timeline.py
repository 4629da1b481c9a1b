# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have data that was put back go on on a timeline of its own, where its standbys could not follow it on the old one.

A restore that was promoted has a timeline of its own, and a history file in the archive. Once it is undone, a standby
that has a ``restore_command`` follows that history all the same, because it is the newest: it ends with "requested
timeline is not a child of this server's history". So does one that is made anew. On a timeline above all that are
archived, which comes from the data that was put back, it can follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .._archiving.commands import following
from .._errors import Error
from .._plan.plan import Step
from .._values.target import Target

CHOICES = ("auto", "always", "never")
HINT = "a standby that reads the archive follows that one; with new_timeline: always this data goes on above it"
_RECOVERING = "the data that is put back is in recovery: it is a standby, or a restore that was not finished"


@dataclass(frozen=True)
class Lineage:
    """Where data stands: its timeline, its replication slots, and whether a recovery is to begin or go on in it."""

    timeline: int
    slots: tuple[str, ...] = ()
    recovering: bool = False


@dataclass(frozen=True)
class Anew:
    """What is asked for (of ``CHOICES``), the highest timeline that is archived, and what it takes to go on above it.

    ``restore_command`` is empty where there is no program to fetch with, and ``archived`` None where no repository
    could be read.
    """

    wanted: str = "never"
    archived: int | None = None
    restore_command: str = ""
    config_file: str | None = None

    def needed(self, lineage: Lineage | None) -> bool:
        """Tell whether data is to go on on a new timeline; raises Error when that is asked for, and cannot be."""
        if self.wanted == "never" or lineage is None:
            return False
        behind = self.archived is not None and self.archived > lineage.timeline
        if self.wanted == "auto":
            return behind and bool(lineage.slots) and not lineage.recovering and self._obstacle is None
        why = _RECOVERING if lineage.recovering else self._obstacle
        if why is not None:
            raise Error(f"a new timeline was asked for, and {why}", "leave new_timeline out")
        return behind

    def warning(self, lineage: Lineage | None) -> str | None:
        """Say what a standby will run into where the data stays on a timeline that the archive has left."""
        if lineage is None or self.archived is None or self.archived <= lineage.timeline or self.needed(lineage):
            return None
        if lineage.recovering:
            return None
        return f"the data goes on on timeline {lineage.timeline}, and the archive has timeline {self.archived}: {HINT}"

    @property
    def _obstacle(self) -> str | None:
        if self.archived is None:
            return "no repository could be read, which tells the timelines that there are"
        return None if self.restore_command else "program, which fetches from the archive, is not set or not there"

    def step(self, path: str, timeline: int) -> Step:
        """Plan it, or what an attempt at it is undone with where it is not wanted any more."""
        if self.wanted == "never":
            return StayOnTimeline(path)
        if self._obstacle is not None or self.archived is None:
            raise Error(
                f"the data in {path} is to leave timeline {timeline}, as planned by the rollback that was interrupted, "
                f"and {self._obstacle}",
                "with new_timeline: never the data stays on its timeline",
            )
        return NewTimeline(path, timeline, max(timeline, self.archived), self.restore_command, self.config_file)


@dataclass(frozen=True)
class NewTimeline(Step):
    """Have the data leave ``timeline`` for the first one that the archive has no history of, which is ``above`` some.

    Where it is above that already, nothing is done.
    """

    path: str
    timeline: int
    above: int
    restore_command: str
    config_file: str | None = None

    @property
    def starts_server(self) -> bool:
        return True

    @property
    def text(self) -> str:
        return (
            f"have the data in {self.path} leave timeline {self.timeline} for a new one above all that are archived, so"
            " that standbys can follow it"
        )

    def settings(self, timeline: int) -> Mapping[str, str]:
        """Give the settings for a server in single-user mode, which recovers to the end of all WAL of a timeline.

        It takes no connections, and cannot be a hot standby: ``InitRecoveryTransactionEnvironment`` in
        ``src/backend/storage/ipc/standby.c`` would enter a second process for the one that there is.
        """
        return {
            **Target("latest").settings(timeline),
            "recovery_target_action": "promote",
            "recovery_min_apply_delay": "0",
            "recovery_end_command": "",
            "archive_cleanup_command": "",
            "primary_conninfo": "",
            "primary_slot_name": "",
            "restore_command": following(self.restore_command, timeline),
            "hot_standby": "off",
            **SINGLE,
        }


@dataclass(frozen=True)
class StayOnTimeline(Step):
    """Undo what an attempt to leave the timeline has left in the data, which was in no recovery before."""

    path: str

    @property
    def text(self) -> str:
        return f"leave the data in {self.path} on its timeline"


# What it says is ours to read, whatever the server's configuration makes of its log.
SINGLE: Mapping[str, str] = {"logging_collector": "off", "log_destination": "stderr"}
