# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a repository holds for one cluster: its identity, its backups and its WAL."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

from .._configuration.files import ORIGIN, Kept, KeptFile, Origin, kept_file
from .._errors import InvalidValue
from .._values import documents
from .._values.times import format_time
from .._wal.identity import Identity
from .._wal.names import Lsn, SegmentName, TimelinePath, is_span
from .cluster_document import IDENTIFIER, VERSION, check_format
from .layout import FORMAT, NAME, SUFFIXES


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
    origin: Origin
    tablespaces: Mapping[str, str] = field(default_factory=dict)
    parent: str | None = None
    configuration: tuple[KeptFile, ...] = ()
    latest_end: datetime | None = None

    @property
    def kept(self) -> Kept:
        """The configuration that is kept beside the data."""
        return Kept(self.configuration, self.origin)

    def untrue(self, files: int, wal: int, segment_size: int) -> str | None:
        """Say what it describes that its archives do not hold: of files and of WAL, so many bytes at most."""
        whole = (self.stop_lsn.value - 1) // segment_size - self.start_lsn.value // segment_size
        for what, said, most in (
            ("files", self.size, files),
            (f"WAL from {self.start_lsn} to {self.stop_lsn}", whole * segment_size, wal),
        ):
            if said > most:
                return f"backup.json tells of {said} bytes of {what}, expected {most} at most, by its archives"
        return None

    def sealed(self) -> dict[str, Any]:
        """Give the content of ``backup.json``, which has a checksum over all of it."""
        return documents.seal(self.as_document())

    @property
    def outside(self) -> dict[str, str]:
        """The tablespaces with a place of their own, by oid."""
        return {oid: path for oid, path in self.tablespaces.items() if not in_place(oid, path)}

    @property
    def in_place(self) -> tuple[str, ...]:
        """The oids of those that lie in the data directory (``allow_in_place_tablespaces``)."""
        return tuple(oid for oid in self.tablespaces if oid not in self.outside)

    def as_document(self) -> dict[str, Any]:
        """Give all facts in a form that JSON can hold."""
        document = asdict(self)
        for name in ("start_lsn", "stop_lsn"):
            document[name] = str(getattr(self, name))
        for name in ("start_time", "stop_time"):
            document[name] = format_time(getattr(self, name))
        document["latest_end"] = None if self.latest_end is None else format_time(self.latest_end)
        return {"format": FORMAT, **document, "configuration": list(document["configuration"])}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Backup:
        """Read the content of ``backup.json``."""
        check_format("backup.json", document)
        documents.check_seal("backup.json", document)
        backup = documents.read_fields(cls, "backup.json", document, **_BACKUP_FIELDS)
        if not is_span(backup.start_lsn, backup.stop_lsn):
            raise InvalidValue(
                f"backup.json has start_lsn {backup.start_lsn} and stop_lsn {backup.stop_lsn}, expected the second "
                "shortly behind the first",
                "it was changed by hand, or damaged",
            )
        return backup


_LOCATIONS = documents.mapping(documents.path, documents.matching(r"[1-9]\d{0,9}", "the oid of a tablespace"))


def _tablespaces(value: Any) -> Mapping[str, str]:
    """Read where tablespaces are; only one that is in place has a relative path."""
    inside = {oid: path for oid, path in value.items() if in_place(oid, path)} if isinstance(value, dict) else {}
    found = _LOCATIONS({oid: path for oid, path in value.items() if oid not in inside} if inside else value)
    return {**found, **inside}


_BACKUP_FIELDS: Mapping[str, documents.Reader] = {
    "label": documents.matching(NAME, "a name fit for a directory"),
    "type": documents.one_of("full", "incremental"),
    "system_identifier": IDENTIFIER,
    "version": VERSION,
    "timeline": documents.TIMELINE,
    "compression": documents.one_of(*SUFFIXES),
    "manifest_sha256": documents.matching("[0-9a-f]{64}", "64 hexadecimal digits"),
    "tablespaces": _tablespaces,
    "origin": ORIGIN,
    "configuration": documents.sequence(kept_file),
    "latest_end": documents.optional(documents.moment),
    "parent": documents.optional(documents.matching(NAME, "a name fit for a directory")),
}


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


# The years 1000 to 9999, but for its last day.
_MTIMES = (-30610224000, 253402214399)


class SegmentFile(NamedTuple):
    """Where a segment is stored, in how many bytes, and when it was written there, in nanoseconds since 1970.

    ``state`` tells whether it is still the file that was read before: device, inode and time of change, which nobody
    can set. ``own`` ones lie in a data directory, where the last may still be written. Nothing is decided by
    ``mtime_ns``, which copies do not keep.
    """

    path: str
    size: int
    mtime_ns: int
    state: str = ""
    own: bool = False

    @property
    def written(self) -> datetime:
        """When the file was written, for a person to read; a time that nobody can name becomes the nearest one."""
        return datetime.fromtimestamp(min(max(self.mtime_ns / 1e9, _MTIMES[0]), _MTIMES[1]), timezone.utc)


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
            max((files[place] for place in run), key=lambda file: file.mtime_ns).written,
        )
        for run in runs
    )


@dataclass(frozen=True)
class Catalog:
    """The content of a cluster's directory: backups oldest first, WAL by timeline, and the paths of its timelines.

    ``files`` has every segment by timeline and number; ``incomplete`` has the files that are missing in directories of
    backups, by their name, published or not. What cannot be believed is named in ``broken``, by the label of a backup,
    and ``broken_histories``, by timeline. ``spares`` are the files of segments in further repositories, which give what
    the first one has damaged.
    """

    identity: Identity
    backups: tuple[Backup, ...]
    wal: tuple[WalRange, ...]
    paths: Mapping[int, TimelinePath]
    files: Mapping[tuple[int, int], SegmentFile] = field(default_factory=dict)
    incomplete: Mapping[str, Sequence[str]] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    broken_histories: Mapping[int, str] = field(default_factory=dict)
    spares: Mapping[tuple[int, int], tuple[SegmentFile, ...]] = field(default_factory=dict)

    def find(self, label: str) -> Backup | None:
        """Give the backup with a label."""
        return next((backup for backup in self.backups if backup.label == label), None)

    @property
    def taken_labels(self) -> list[str]:
        """The labels that no new backup can have, whatever is there under them."""
        return sorted({*(backup.label for backup in self.backups), *self.broken, *self.incomplete})

    @cached_property
    def timelines(self) -> list[int]:
        """All timelines of which anything is there, the lowest first (1 in an empty archive)."""
        wal, backups = (run.timeline for run in self.wal), (backup.timeline for backup in self.backups)
        ancestors = (branch.timeline for path in self.paths.values() for branch in path.branches)
        return sorted({*ancestors, *wal, *backups, *self.broken_histories} or {1})

    @property
    def latest_timeline(self) -> int:
        """The highest timeline of which anything is archived (1 in an empty archive)."""
        return self.timelines[-1]

    @cached_property
    def runs(self) -> Mapping[int, Sequence[WalRange]]:
        """The unbroken runs of each timeline, in their order."""
        return {timeline: tuple(runs) for timeline, runs in groupby(self.wal, key=lambda run: run.timeline)}

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
        why = self.broken_histories.get(timeline)
        raise InvalidValue(
            f"the history file {timeline:08X}.history of timeline {timeline} "
            + ("is not in the repository" if why is None else f"cannot be used: {why}"),
            f"choose a timeline whose history is archived: {known}",
        )

    def without(self, untrue: Mapping[str, str]) -> Catalog:
        """Give the catalog without backups that are not what they are described as, by label with reasons."""
        kept = tuple(backup for backup in self.backups if backup.label not in untrue)
        return replace(self, backups=kept, broken={**self.broken, **untrue})

    def extended(self, files: Mapping[tuple[int, int], SegmentFile], histories: Mapping[int, TimelinePath]) -> Catalog:
        """Give the catalog with WAL and histories from elsewhere added; what is archived stands before it."""
        size = self.identity.wal_segment_size
        every = {**files, **self.files}
        return replace(self, files=every, wal=wal_ranges(every, size), paths={**histories, **self.paths})

    def backed_by(self, other: Catalog) -> Catalog:
        """Give the catalog with the WAL of a further repository added, from which recovery reads what it lacks."""
        both = self.files.keys() & other.files.keys()
        spares = {place: (*self.spares.get(place, ()), other.files[place]) for place in both}
        return replace(self.extended(other.files, other.paths), spares={**self.spares, **spares})


def in_place(oid: str, path: object) -> bool:
    """Tell whether a tablespace has no place of its own (``allow_in_place_tablespaces``, from PostgreSQL 15 on).

    >>> in_place("16384", "pg_tblspc/16384"), in_place("../x", "pg_tblspc/../x")
    (True, False)
    """
    return re.fullmatch(r"[1-9][0-9]{0,9}", oid) is not None and path == f"pg_tblspc/{oid}"
