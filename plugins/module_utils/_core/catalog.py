# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a repository holds for one cluster: its identity, its backups and its WAL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

from .._errors import InvalidValue
from .layout import FORMAT
from .target import format_time, parse_time
from .wal import Lsn, SegmentName, TimelinePath


@dataclass(frozen=True)
class Identity:
    """Which cluster a directory of the repository belongs to; ``version`` is the major one times 10000."""

    system_identifier: str
    version: int
    wal_segment_size: int

    @property
    def major(self) -> int:
        """The major version, such as 17."""
        return self.version // 10000

    def as_document(self) -> dict[str, Any]:
        """Give the content of ``cluster.json``."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Identity:
        """Read the content of ``cluster.json``."""
        check_format("cluster.json", document)
        try:
            return cls(str(document["system_identifier"]), int(document["version"]), int(document["wal_segment_size"]))
        except (KeyError, TypeError, ValueError) as error:
            raise _unreadable("cluster.json", error) from None


def _unreadable(name: str, error: Exception) -> InvalidValue:
    return InvalidValue(f"{name} cannot be read: {error!r}", "it was changed by hand, or damaged")


def check_format(name: str, document: Mapping[str, Any]) -> None:
    """Refuse a file that a newer version of the collection wrote."""
    if document.get("format") != FORMAT:
        raise InvalidValue(
            f"{name} has format {document.get('format')!r}, expected {FORMAT}",
            "use the version of pgark.postgres that wrote it",
        )


@dataclass(frozen=True)
class Backup:
    """All facts about one base backup; sizes are in bytes, ``size`` is that of the restored files."""

    label: str
    type: str
    system_identifier: str
    version: int
    timeline: int
    start_lsn: Lsn
    stop_lsn: Lsn
    start_time: datetime
    stop_time: datetime
    compression: str
    size: int
    stored_size: int
    manifest_sha256: str
    tablespaces: Mapping[str, str] = field(default_factory=dict)
    parent: str | None = None

    def as_document(self) -> dict[str, Any]:
        """Give the content of ``backup.json``."""
        document = asdict(self)
        for name in ("start_lsn", "stop_lsn"):
            document[name] = str(getattr(self, name))
        for name in ("start_time", "stop_time"):
            document[name] = format_time(getattr(self, name))
        return {"format": FORMAT, **document}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Backup:
        """Read the content of ``backup.json``."""
        check_format("backup.json", document)
        try:
            values = {name: document[name] for name in cls.__dataclass_fields__}
            for name in ("start_lsn", "stop_lsn"):
                values[name] = Lsn.parse(values[name])
            for name in ("start_time", "stop_time"):
                values[name] = parse_time(values[name])
        except (InvalidValue, KeyError, TypeError) as error:
            raise _unreadable("backup.json", error) from None
        return cls(**values)


@dataclass(frozen=True)
class WalRange:
    """An unbroken run of archived segments on one timeline; ``archived`` is when the last one arrived."""

    timeline: int
    first: SegmentName
    last: SegmentName
    count: int
    archived: datetime

    def as_dict(self) -> dict[str, Any]:
        """Give the range in the form that is reported."""
        return {
            "timeline": self.timeline,
            "first": str(self.first),
            "last": str(self.last),
            "count": self.count,
            "last_archived": format_time(self.archived),
        }


class SegmentFile(NamedTuple):
    """Where a segment is stored, in how many bytes, and when it arrived there, in nanoseconds since 1970."""

    path: str
    size: int
    mtime_ns: int

    @property
    def arrived(self) -> datetime:
        """When the file was written."""
        return datetime.fromtimestamp(self.mtime_ns / 1e9, timezone.utc)


def wal_ranges(files: Mapping[tuple[int, int], SegmentFile], segment_size: int) -> tuple[WalRange, ...]:
    """Join archived segments, given by timeline and number, into unbroken runs; between two runs lies a gap."""
    runs: list[list[tuple[int, int]]] = []
    for timeline, number in sorted(files):
        if runs and runs[-1][-1] == (timeline, number - 1):
            runs[-1].append((timeline, number))
        else:
            runs.append([(timeline, number)])
    return tuple(
        WalRange(
            run[0][0],
            SegmentName.numbered(*run[0], segment_size),
            SegmentName.numbered(*run[-1], segment_size),
            len(run),
            max((files[place] for place in run), key=lambda file: file.mtime_ns).arrived,
        )
        for run in runs
    )


@dataclass(frozen=True)
class Catalog:
    """The content of a cluster's directory: backups oldest first, WAL by timeline, and the paths of its timelines.

    ``files`` has every segment by timeline and number; ``histories`` when the history file of a timeline arrived;
    ``incomplete`` has the files that are missing in directories of backups, by their name, published or not.
    """

    identity: Identity
    backups: tuple[Backup, ...]
    wal: tuple[WalRange, ...]
    paths: Mapping[int, TimelinePath]
    files: Mapping[tuple[int, int], SegmentFile] = field(default_factory=dict)
    histories: Mapping[int, datetime] = field(default_factory=dict)
    incomplete: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @cached_property
    def timelines(self) -> list[int]:
        """All timelines of which anything is there, the lowest first (1 in an empty archive)."""
        wal, backups = (run.timeline for run in self.wal), (backup.timeline for backup in self.backups)
        ancestors = (branch.timeline for path in self.paths.values() for branch in path.branches)
        return sorted({*ancestors, *wal, *backups} or {1})

    @property
    def latest_timeline(self) -> int:
        """The highest timeline of which anything is archived (1 in an empty archive)."""
        return self.timelines[-1]

    @cached_property
    def runs(self) -> Mapping[int, Sequence[WalRange]]:
        """The unbroken runs of each timeline, in their order."""
        return {timeline: tuple(runs) for timeline, runs in groupby(self.wal, key=lambda run: run.timeline)}

    @property
    def arrivals(self) -> dict[int, datetime]:
        """When the last file of each timeline arrived, be it a segment or the history."""
        found = dict(self.histories)
        for run in self.wal:
            found[run.timeline] = max(run.archived, found.get(run.timeline, run.archived))
        return found

    @cached_property
    def known_paths(self) -> list[TimelinePath]:
        """List the paths to all timelines whose history is there, the lowest first."""
        return [self.path_to(timeline) for timeline in self.timelines if timeline == 1 or timeline in self.paths]

    def path_through(self, backup: Backup) -> TimelinePath | None:
        """Give the shortest known path that a backup lies on; None when the history of its timeline is missing."""
        leading = (p for p in self.known_paths if p.leads_through(backup.timeline, backup.stop_lsn))
        return min(leading, key=lambda path: len(path.branches), default=None)

    def path_to(self, timeline: int) -> TimelinePath:
        """Give the path that recovery takes to a timeline."""
        if timeline in self.paths:
            return self.paths[timeline]
        if timeline == 1:
            return TimelinePath.parse(1, "")
        known = ", ".join(str(path.timeline) for path in self.known_paths) or "none"
        if timeline not in self.timelines:
            raise InvalidValue(f"the repository has nothing of timeline {timeline}", f"it has the timelines {known}")
        raise InvalidValue(
            f"the history file {timeline:08X}.history of timeline {timeline} is not in the repository",
            f"choose a timeline whose history is archived: {known}",
        )

    def extended(self, files: Mapping[tuple[int, int], SegmentFile], histories: Mapping[int, TimelinePath]) -> Catalog:
        """Give the catalog with WAL and histories from elsewhere added; what is archived stands before it."""
        size = self.identity.wal_segment_size
        every = {**files, **self.files}
        return replace(self, files=every, wal=wal_ranges(every, size), paths={**histories, **self.paths})
