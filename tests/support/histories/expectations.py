# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which target an aim is by now, what a restore to it has to give, and what may be a reason to refuse it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, TypeVar

from tests.support.histories.ledger import SPACE, Event, Ledger, State, Target, Unclear, backups, kept, state
from tests.support.ledger import format_lsn

MICROSECOND = timedelta(microseconds=1)
Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Expected:
    """How many events of a path a restore has to give, None for a target that is none.

    Without any reason in `pardons` it has to be given. `least` is less where it is not known what is archived.
    """

    path: Sequence[Event]
    kept: int | None
    pardons: tuple[str, ...]
    least: int | None = None

    @property
    def states(self) -> list[State]:
        """What the server may show then."""
        if self.kept is None:
            return []
        least = self.kept if self.least is None else self.least
        return [state(self.path, count) for count in range(self.kept, least - 1, -1)]


def settled(ledger: Ledger, aim: Mapping[str, Any]) -> Target:
    """Say which target an aim is."""
    target = Target(aim["kind"], None, aim["inclusive"], _timeline(ledger, aim["timeline"]), _label(ledger, aim))
    path = ledger.path(target.timeline or ledger.highest)
    if target.kind == "unknown":
        # One that is still to come, or one of another epoch: the lower half is there.
        known = _at(sorted({event.xid for event in path if event.xid}), aim["at"])
        return replace(target, kind="xid", value=known + (1 << (30 if aim["at"] < 0.5 else 32)))
    if target.kind in ("latest", "immediate"):
        return target
    candidates = [replace(target, value=value) for value in _values(target.kind, path, ledger)]
    clear = [candidate for candidate in candidates if _is_clear(path, candidate)]
    if not clear:
        return replace(target, kind="latest")
    # One in eight may be what no backup leads to.
    likely = [candidate for candidate in clear if _has_backup(path, candidate)] if aim["at"] * 8 % 1 < 7 / 8 else []
    return _at(likely or clear, aim["at"])


def _at(things: Sequence[Thing], at: float) -> Thing:
    return things[int(at * len(things))]


def _timeline(ledger: Ledger, drawn: str | float | None) -> int | None:
    if isinstance(drawn, float):
        return _at(sorted(ledger.branches), drawn)
    return ledger.current if drawn == "own" else None


def _label(ledger: Ledger, aim: Mapping[str, Any]) -> str | None:
    if aim["label"] is None:
        return None
    events = [event for branch in ledger.branches.values() for event in branch.events]
    return _at([str(event.name) for event in events if event.kind == "backup"], aim["label"])


def _is_clear(path: Sequence[Event], target: Target) -> bool:
    try:
        kept(path, target)
    except Unclear:
        return False
    return True


def _has_backup(path: Sequence[Event], target: Target) -> bool:
    count = kept(path, target)
    return count is not None and bool(backups(path, count, target.label))


def _values(kind: str, path: Sequence[Event], ledger: Ledger) -> list[Any]:
    everywhere = [event for branch in ledger.branches.values() for event in branch.events]
    if kind == "name":
        return sorted({event.name for event in path if event.kind == "point"})
    if kind == "xid":
        return sorted({event.xid for event in everywhere if event.ends and event.xid})
    if kind == "lsn":
        return sorted({position for event in everywhere for position in (event.before, event.after)})
    return _moments(everywhere)


def _moments(events: Sequence[Event]) -> list[datetime]:
    """The moments of all commits, those right beside them, and those half-way between two."""
    times = sorted({event.earliest for event in events if event.kind == "commit"})
    beside = [time + step for time in times for step in (-MICROSECOND, timedelta(), MICROSECOND)]
    return sorted({*beside, *(earlier + (later - earlier) / 2 for earlier, later in pairwise(times))})


@dataclass(frozen=True)
class Situation:
    """What else decides whether a target can be had.

    So many events of the current path are surely archived; the rest will be, but not for a restore `beside` the server.
    It is `now`. Of the archived segments, those that are `damaged` are given by timeline and number.
    """

    archived: int
    beside: bool
    now: datetime
    damaged: frozenset[tuple[int, int]] = frozenset()
    segment_bytes: int = 1 << 20


def expected(ledger: Ledger, target: Target, situation: Situation) -> Expected:
    """Say what a restore to a target has to give."""
    timeline = target.timeline or ledger.highest
    path = ledger.path(timeline)
    count = kept(path, target)
    if count is None:
        return Expected(path, None, ("no such thing",))
    fitting = backups(path, count, target.label)
    begins = _surely(path, fitting, target) if fitting else 0
    reasons = {
        "no backup": not fitting,
        "damage": bool(fitting) and _is_damaged(ledger, timeline, path[begins].begin, situation),
        "beyond": _is_beyond(path, count, target, situation, own=timeline == ledger.current),
        # Replay would make it in the place where the running server has it, or data that was kept by a restore.
        "tablespace": (situation.beside or len(ledger.branches) > 1)
        and any(event.name == SPACE for event in path[begins:]),
        "during a backup": isinstance(target.value, datetime) and all(path[at].latest > target.value for at in fitting),
        "timelines": target.timeline is None and ledger.leaves_something(timeline),
        "name twice": target.kind == "name" and sum(event.name == target.value for event in path) > 1,
        "clock": target.kind == "time" and _went_back(path),
        "future": isinstance(target.value, datetime) and target.value > situation.now,
    }
    partly = target.kind == "latest" and timeline == ledger.current and situation.beside
    least = min(situation.archived, count) if partly else None
    return Expected(path, count, tuple(reason for reason, applies in reasons.items() if applies), least)


def _surely(path: Sequence[Event], fitting: Sequence[int], target: Target) -> int:
    """Tell at which backup replay may begin: the newest one that ended before the target, by the clock, too."""
    moment = target.value
    certain = [at for at in fitting if not isinstance(moment, datetime) or path[at].latest <= moment]
    return certain[-1] if certain else fitting[0]


def _is_damaged(ledger: Ledger, timeline: int, position: int, situation: Situation) -> bool:
    """Tell whether a segment behind a position is damaged, on the way to the timeline or on the timelines it left."""
    way = {timeline}
    while (parent := ledger.branches[min(way)].parent) is not None:
        way.add(parent)
    first = position // situation.segment_bytes
    return any(on in way and number >= first for on, number in situation.damaged)


def _is_beyond(path: Sequence[Event], count: int, target: Target, situation: Situation, *, own: bool) -> bool:
    """Tell whether the WAL at which recovery would stop may be missing."""
    if target.kind in ("latest", "immediate"):
        return False
    if own and situation.beside:
        return count >= situation.archived
    return count >= len(path) and not (own and target.kind in ("time", "xid", "name"))


def _went_back(path: Sequence[Event]) -> bool:
    ends = [event for event in path if event.ends]
    return any(later.latest < earlier.earliest for earlier, later in pairwise(ends))


def options(target: Target) -> dict[str, Any]:
    """Give a target as a task writes it."""
    wanted: dict[str, Any] = {"target_inclusive": target.inclusive}
    if target.value is None:
        wanted["target"] = target.kind
    else:
        wanted[f"target_{target.kind}"] = _text(target)
    if target.timeline is not None:
        wanted["target_timeline"] = str(target.timeline)
    return wanted | ({} if target.label is None else {"backup_label": target.label})


def _text(target: Target) -> str:
    if isinstance(target.value, datetime):
        return target.value.isoformat(timespec="microseconds")
    return format_lsn(target.value) if target.kind == "lsn" and isinstance(target.value, int) else str(target.value)
