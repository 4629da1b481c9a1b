# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a repository holds for one cluster: its identity, its backups and its WAL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

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


def wal_ranges(segments: Iterable[tuple[SegmentName, datetime]], segment_size: int) -> tuple[WalRange, ...]:
    """Join archived segments, each with the time it arrived, into unbroken runs; between two runs lies a gap."""
    runs: list[list[tuple[SegmentName, datetime]]] = []
    for name, arrived in sorted(segments):
        if runs and runs[-1][-1][0].next(segment_size) == name:
            runs[-1].append((name, arrived))
        else:
            runs.append([(name, arrived)])
    return tuple(
        WalRange(run[0][0].timeline, run[0][0], run[-1][0], len(run), max(item[1] for item in run)) for run in runs
    )


@dataclass(frozen=True)
class Catalog:
    """The content of a cluster's directory: backups oldest first, WAL by timeline, and the paths of its timelines."""

    identity: Identity
    backups: tuple[Backup, ...]
    wal: tuple[WalRange, ...]
    paths: Mapping[int, TimelinePath]

    @property
    def latest_timeline(self) -> int:
        """The highest timeline of which anything is archived (1 in an empty archive)."""
        return max([1, *self.paths, *(run.timeline for run in self.wal), *(backup.timeline for backup in self.backups)])

    def path_to(self, timeline: int) -> TimelinePath:
        """Give the path that recovery takes to a timeline."""
        if timeline in self.paths:
            return self.paths[timeline]
        if timeline == 1:
            return TimelinePath.parse(1, "")
        raise InvalidValue(
            f"the history file {timeline:08X}.history of timeline {timeline} is not in the repository",
            f"choose a timeline whose history is archived: {', '.join(map(str, sorted({1, *self.paths})))}",
        )
