# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the client of a server knows of its history, and what a restore to a target has to give by that.

Events stand in the order of the WAL, for there is one client. A timeline inherits the first events of its parent. A
restore gives a number of events from the beginning of a path; all that there is to know is how many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

Row = tuple[str, int]
"""A table and a row's number in it; number 0 stands for the table itself."""
Changes = Mapping[Row, str | None]
SPACE = "a tablespace"
"""The name of an event that makes one."""


class Unclear(Exception):
    """What the client knows does not decide what is right: another target has to be taken."""


@dataclass(frozen=True)
class Event:
    """Something that recovery can stop at, or that a restore can begin with.

    `kind` is commit, abort, prepare, point or backup. It happened between two readings of the server's clock, which
    are the same for a commit, and its last record begins between the positions `before` and `after`. The first one
    begins at `begin` or later; `alone` says that there is only one.
    """

    kind: str
    begin: int
    before: int
    after: int
    earliest: datetime
    latest: datetime
    xid: int | None = None
    name: str | None = None
    changes: Changes = field(default_factory=dict)
    alone: bool = False

    @property
    def ends(self) -> bool:
        """Tell whether a transaction ends here, be it a part of one that had a savepoint."""
        return self.kind in ("commit", "abort")


@dataclass(frozen=True)
class State:
    """What a server has to show: all rows, and the transactions that wait to be committed."""

    rows: Mapping[Row, str]
    prepared: frozenset[str]


@dataclass(frozen=True)
class Target:
    """Where a restore is to stop: `value` is a datetime, xid, name, position, or None for latest and immediate.

    `timeline` is None for what is assumed, which is the latest; `label` names the backup to begin with, if one does.
    """

    kind: str
    value: datetime | int | str | None = None
    inclusive: bool = True
    timeline: int | None = None
    label: str | None = None


@dataclass
class Branch:
    """A timeline: whose child it is, how many events of its parent's path it kept, and its own."""

    parent: int | None = None
    kept: int = 0
    events: list[Event] = field(default_factory=list)


class Ledger:
    """All timelines, and which of them the server is on."""

    def __init__(self) -> None:
        self.branches: dict[int, Branch] = {1: Branch()}
        self.current = 1

    def add(self, event: Event) -> None:
        """Note what happened on the current timeline."""
        self.branches[self.current].events.append(event)

    def path(self, timeline: int | None = None) -> list[Event]:
        """Give the events from the beginning to the end of a timeline, or of the current one."""
        branch = self.branches[self.current if timeline is None else timeline]
        return ([] if branch.parent is None else self.path(branch.parent)[: branch.kept]) + branch.events

    def fork(self, timeline: int, parent: int, kept: int) -> None:
        """Go on with a new timeline, which keeps so many events of the path to its parent."""
        self.branches[timeline] = Branch(parent, kept)
        self.current = timeline

    @property
    def highest(self) -> int:
        """The timeline with the highest number, which is what `latest` means."""
        return max(self.branches)

    def leaves_something(self, timeline: int) -> bool:
        """Tell whether anything ever happened that is not on the way to a timeline."""
        known = {id(event) for event in self.path(timeline)}
        return any(id(event) not in known for branch in self.branches.values() for event in branch.events)


def state(path: Sequence[Event], kept: int) -> State:
    """Add up the first events."""
    rows: dict[Row, str] = {}
    prepared: set[str] = set()
    for event in path[:kept]:
        if event.kind == "prepare":
            prepared.add(str(event.name))
        elif event.ends:
            prepared.discard(str(event.name))
        if event.kind == "commit":
            rows.update({row: text for row, text in event.changes.items() if text is not None})
            for row in [row for row, text in event.changes.items() if text is None]:
                rows.pop(row, None)
    return State(rows, frozenset(prepared))


def kept(path: Sequence[Event], target: Target) -> int | None:
    """Count the events that a restore to the target keeps; None where nothing on the path is that target.

    Raises Unclear. A moment or a position behind everything keeps everything: PostgreSQL then needs more WAL to stop.
    """
    if target.kind == "latest":
        return len(path)
    if target.kind == "immediate":
        found = [at for at, event in enumerate(path) if event.kind == "backup" and target.label in (None, event.name)]
        return found[-1] + 1 if found else None
    if target.kind == "time":
        return _kept_at_time(path, target)
    if target.kind == "lsn":
        return _kept_at_position(path, target)
    named = [at for at, event in enumerate(path) if _is_named(event, target)]
    if not named:
        return None
    return named[-1] + (target.kind == "name" or target.inclusive)


def _is_named(event: Event, target: Target) -> bool:
    if target.kind == "name":
        return event.kind == "point" and event.name == target.value
    return event.ends and event.xid == target.value


def _kept_at_time(path: Sequence[Event], target: Target) -> int:
    """Recovery stops before the first end of a transaction that is later, wherever the clock went after that."""
    moment = target.value
    assert isinstance(moment, datetime)
    for at, event in enumerate(path):
        if not event.ends:
            continue
        if event.earliest > moment or (event.earliest == moment and not target.inclusive):
            return at
        if event.latest > moment or (event.latest == moment and event.earliest != moment):
            raise Unclear(f"whether {event} was after {moment}")
    return len(path)


def _kept_at_position(path: Sequence[Event], target: Target) -> int:
    """Recovery stops at the first record that begins at the position or later, and may take that one, too."""
    position = target.value
    assert isinstance(position, int)
    for at, event in enumerate(path):
        if event.after <= position:
            continue
        if event.kind == "backup":
            return at
        if position > (event.begin if target.inclusive else event.before) or (event.alone and target.inclusive):
            raise Unclear(f"whether {event} begins before {position:X}")
        return at
    return len(path)


def backups(path: Sequence[Event], count: int, label: str | None = None) -> list[int]:
    """Tell where on the path the backups are that a restore of so many events can begin with, oldest first."""
    return [at for at, event in enumerate(path[:count]) if event.kind == "backup" and label in (None, event.name)]
