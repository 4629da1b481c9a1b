# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that the tests of what is pure start from; each test replaces what it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from ansible_collections.pgark.postgres.plugins.module_utils._configuration.files import Origin
from ansible_collections.pgark.postgres.plugins.module_utils._repository.catalog import (
    Backup,
    Catalog,
    SegmentFile,
    wal_ranges,
)
from ansible_collections.pgark.postgres.plugins.module_utils._wal.identity import Identity
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn, SegmentName, TimelinePath

MB = 1024 * 1024
SIZE = 16 * MB
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
IDENTITY = Identity("7301234567890123456", 170000, SIZE)
BACKUP = Backup(
    label="monday",
    type="full",
    system_identifier=IDENTITY.system_identifier,
    version=170010,
    timeline=1,
    start_lsn=Lsn(3 * SIZE + 0x28),
    stop_lsn=Lsn(3 * SIZE + 0x158),
    start_time=NOON,
    stop_time=NOON + timedelta(minutes=1),
    compression="zstd",
    size=23_000_000,
    stored_size=3_000_000,
    manifest_sha256="ab" * 32,
    origin=Origin("/var/lib/postgresql/17/main", "/etc/postgresql/17/main", 5432),
)
MOMENTS = st.datetimes(
    NOON.replace(year=1970, tzinfo=None), NOON.replace(year=9000, tzinfo=None), timezones=st.just(UTC)
)


def minutes(count: float) -> datetime:
    """Give the moment some minutes after noon."""
    return NOON + timedelta(minutes=count)


def backup(label: str, stop: int, segment: int, **changes: Any) -> Backup:
    """Make a backup that stops some minutes after noon, in the middle of a segment."""
    begin, middle = Lsn(segment * SIZE + 0x28), Lsn(segment * SIZE + SIZE // 2)
    stops = {"label": label, "stop_time": minutes(stop), "start_lsn": begin, "stop_lsn": middle}
    return replace(BACKUP, **{**stops, **changes})


def catalog(
    backups: Iterable[Backup], segments: Mapping[tuple[int, int], int], histories: Mapping[int, str] | None = None
) -> Catalog:
    """Make a catalog of segments by timeline and number, each with the minute it arrived, and of history files."""
    files = {place: segment_file(place, arrived) for place, arrived in segments.items()}
    paths = {timeline: TimelinePath.parse(timeline, text) for timeline, text in (histories or {}).items()}
    return Catalog(IDENTITY, tuple(backups), wal_ranges(files, SIZE), paths, files)


def segment_file(place: tuple[int, int], arrived: float, directory: str = "/srv/pgark/main/wal") -> SegmentFile:
    """Describe the file of a segment, by its timeline and number, that arrived some minutes after noon."""
    name = SegmentName.numbered(*place, SIZE)
    return SegmentFile(f"{directory}/{name}.zst", 1000, int(minutes(arrived).timestamp()) * 10**9)


def fork(timeline: int, segment: float) -> str:
    """Write a line of a history file: ``timeline`` was left at this place, given in segments."""
    return f"{timeline}\t{Lsn(int(segment * SIZE))}\tat restore point\n"
