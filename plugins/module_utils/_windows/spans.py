# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unbroken WAL on a path of timelines: what recovery can read without meeting a gap."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from .._repository.catalog import Backup, Catalog
from .._wal.names import Branch, Lsn, SegmentName, TimelinePath


@dataclass(frozen=True)
class WalSpan:
    """The segments ``first`` to ``last``, by number, on a path; ``missing`` is the one at which a gap follows.

    ``missing`` None: nothing later is there, so it is not known whether anything is missing.
    """

    path: TimelinePath
    segment_size: int
    first: int
    last: int
    missing: SegmentName | None

    def name(self, number: int) -> SegmentName:
        """Name the segment that recovery reads for a number."""
        return SegmentName.numbered(self.path.timeline_at(number, self.segment_size), number, self.segment_size)


@dataclass(frozen=True)
class Break:
    """What a recovery does not get over although WAL follows: from ``lsn`` on, up to ``end``, nothing can be replayed.

    ``number`` is that of the segment, and ``words`` go on after its name.
    """

    number: int
    lsn: Lsn
    end: Lsn
    words: str

    @classmethod
    def of(cls, number: int, segment_size: int, damage: str) -> Break:
        """Give what a damaged segment is: it is not given to a server at all, wherever in it the damage lies."""
        return cls(number, Lsn(number * segment_size), Lsn((number + 1) * segment_size), f"is damaged: {damage}")

    def text(self, stretch: WalSpan) -> str:
        """Say it with the segment's name."""
        return f"segment {stretch.name(self.number)} {self.words}"

    def is_in(self, backup: Backup) -> bool:
        """Tell whether it keeps a restore of a backup from becoming consistent."""
        return backup.start_lsn < self.end and self.lsn < backup.stop_lsn

    def is_before(self, backup: Backup) -> bool:
        """Tell whether a backup begins behind it."""
        return self.end <= backup.start_lsn


def stretches(catalog: Catalog, path: TimelinePath) -> list[WalSpan]:
    """Join what recovery along a path reads into unbroken stretches, in their order."""
    size = catalog.identity.wal_segment_size
    joined: list[tuple[int, int]] = []
    for first, last in sorted(_clipped(catalog, path, size)):
        if joined and joined[-1][1] + 1 == first:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    gaps = [_needed(path, last + 1, size) for _first, last in joined[:-1]]
    return [WalSpan(path, size, first, last, gap) for (first, last), gap in zip(joined, [*gaps, None])]


def _clipped(catalog: Catalog, path: TimelinePath, size: int) -> list[tuple[int, int]]:
    clipped = (
        _clip(branch, run.first.number(size), run.last.number(size), size)
        for branch in path.branches
        for run in catalog.runs.get(branch.timeline, ())
    )
    return [(first, last) for first, last in clipped if first <= last]


def _clip(branch: Branch, first: int, last: int, size: int) -> tuple[int, int]:
    """Keep what recovery reads of a branch; the segment with the switch point is read from the new timeline."""
    end = last if branch.end is None else branch.end.value // size - 1
    return max(first, branch.begin.value // size), min(last, end)


def _needed(path: TimelinePath, number: int, size: int) -> SegmentName:
    return SegmentName.numbered(path.timeline_at(number, size), number, size)


@dataclass(frozen=True)
class CoveredBackups:
    """Backups of one path, oldest first, and the unbroken WAL that holds the end of each.

    ``stretch`` None: the segment in which the only backup ends is not there; ``missing`` names it if WAL goes on later.
    """

    path: TimelinePath
    backups: tuple[Backup, ...]
    stretch: WalSpan | None
    missing: SegmentName | None = None


def followings(catalog: Catalog, path: TimelinePath, backups: Sequence[Backup]) -> list[CoveredBackups]:
    """Gather the backups of a path, oldest first, by the stretch in which they end."""
    size, found = catalog.identity.wal_segment_size, stretches(catalog, path)
    starts = [stretch.first for stretch in found]
    gathered: list[CoveredBackups] = []
    for backup in backups:
        number = (backup.stop_lsn.value - 1) // size
        index = bisect_right(starts, number) - 1
        if index < 0 or found[index].last < number:
            missing = _needed(path, number, size) if index + 1 < len(found) else None
            gathered.append(CoveredBackups(path, (backup,), None, missing))
        elif gathered and gathered[-1].stretch is found[index]:
            gathered[-1] = CoveredBackups(path, (*gathered[-1].backups, backup), found[index])
        else:
            gathered.append(CoveredBackups(path, (backup,), found[index]))
    return gathered


def on_path(backups: Sequence[Backup], path: TimelinePath) -> list[Backup]:
    """List the backups that recovery along a path can start from, oldest first.

    Their order comes from the WAL, because a clock can be set back.
    """
    found = [backup for backup in backups if path.leads_through(backup.timeline, backup.stop_lsn)]
    return sorted(found, key=lambda backup: backup.stop_lsn.value)
