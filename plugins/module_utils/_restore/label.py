# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``backup_label``, ``tablespace_map`` and ``global/pg_control`` of a backup say.

A server takes from the first where recovery begins, and ends where that does not go with the third:
``read_backup_label`` and ``InitWalRecovery`` in ``src/backend/access/transam/xlogrecovery.c``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .._errors import shown
from .._repository.facts import refuse_different, unfit
from .._wal.names import Lsn, SegmentName
from .steps import CheckLabel

_POSITION = "[0-9A-F]{1,8}/[0-9A-F]{1,8}"
# What PostgreSQL 13 to 18 write, build_backup_content() in src/backend/access/transam/xlogbackup.c.
_LABEL = re.compile(
    rf"START WAL LOCATION: (?P<start>{_POSITION}) \(file (?P<file>[0-9A-F]{{24}})\)\n"
    rf"CHECKPOINT LOCATION: (?P<checkpoint>{_POSITION})\n"
    r"BACKUP METHOD: (?P<method>[^\n]*)\nBACKUP FROM: (?P<origin>[^\n]*)\nSTART TIME: [^\n]*\nLABEL: [^\n]*\n"
    r"START TIMELINE: (?P<timeline>[0-9]{1,10})\n(?P<more>[\s\S]*)"
)
# By what a backup is from; 13 says master where later ones say primary.
_STATES = {"primary": "in production", "master": "in production", "standby": "in archive recovery"}
# CATALOG_VERSION_NO in src/include/catalog/catversion.h of those who cannot be asked whether they take a control file.
_CATALOGS = {13: "202007201", 14: "202107181"}
_CHECKPOINT = re.compile(rf"lsn: ({_POSITION}), .* desc: CHECKPOINT_(?:ONLINE|SHUTDOWN) redo ({_POSITION});")


@dataclass(frozen=True)
class Label:
    """Where recovery begins, and which kind of server the backup is of, in PostgreSQL's words."""

    start: Lsn
    checkpoint: Lsn
    timeline: int
    origin: str


def check_label(step: CheckLabel, label: str, tablespace_map: str) -> Label:
    """Refuse a backup whose ``backup_label`` and ``tablespace_map`` are those of another one, or no full one."""
    found = _LABEL.fullmatch(label)
    if found is None:
        raise unfit(step.label, "backup_label", f"{shown(label)}, not what PostgreSQL writes")
    # One that is in the data directory has no line (CREATE TABLESPACE with allow_in_place_tablespaces).
    outside = {oid: path for oid, path in step.tablespaces.items() if path.startswith("/")}
    start, timeline = Lsn.parse(step.start_lsn), step.timelines[0]
    segment = SegmentName.containing(timeline, start, step.identity.wal_segment_size)
    said = {
        "start": (found["start"], step.start_lsn),
        "segment": (found["file"], str(segment)),
        "checkpoint": _within(step, found["checkpoint"]),
        "method": (found["method"], "streamed"),
        "origin": (found["origin"], found["origin"] if found["origin"] in _STATES else "primary or standby"),
        "timeline": (int(found["timeline"]), timeline),
        "more": (found["more"], ""),  # as of an incremental backup
        "tablespaces": (parse_tablespace_map(tablespace_map), outside),
    }
    refuse_different(step.label, "backup_label or tablespace_map", said)
    return Label(start, Lsn.parse(found["checkpoint"]), timeline, found["origin"])


def _within(step: CheckLabel, position: str) -> tuple[str, str]:
    """Give a position, and what was expected: itself, if it lies in the backup."""
    inside = Lsn.parse(step.start_lsn) <= Lsn.parse(position) <= Lsn.parse(step.stop_lsn)
    return position, position if inside else f"one from {step.start_lsn} to {step.stop_lsn}"


def check_control(step: CheckLabel, label: Label, version: str, control: Mapping[str, str]) -> None:
    """Refuse a backup whose control file, as pg_controldata prints it, is not of its cluster and its time.

    It is copied last, so it may know of a later checkpoint than the label. ``version`` is what ``PG_VERSION`` says.
    """
    timeline, (first, last) = int(control["Latest checkpoint's TimeLineID"]), step.timelines
    catalog = control["Catalog version number"]
    said = {
        "major version": (version.rstrip("\n"), str(step.identity.major)),
        "system identifier": (control["Database system identifier"], step.identity.system_identifier),
        "catalog version": (catalog, _CATALOGS.get(step.identity.major, catalog)),
        "state": (control["Database cluster state"], _STATES[label.origin]),
        "timeline": (timeline, timeline if first <= timeline <= last else f"one from {first} to {last}"),
        "checkpoint": _within(step, control["Latest checkpoint location"]),
        "redo": _within(step, control["Latest checkpoint's REDO location"]),
    }
    refuse_different(step.label, "PG_VERSION or global/pg_control", said)


def check_checkpoint(step: CheckLabel, label: Label, record: str) -> None:
    """Refuse a backup without the checkpoint of its label; ``record`` is what pg_waldump has printed of that place."""
    found = _CHECKPOINT.search(record)
    there = None if found is None else tuple(map(Lsn.parse, found.groups()))
    if there != (label.checkpoint, label.start):
        what = f"{' '.join(record.split())[:200] or 'nothing'} at {label.checkpoint}"
        raise unfit(step.label, "WAL", f"{what}, not a checkpoint from which recovery begins at {label.start}")


def parse_tablespace_map(text: str) -> dict[str, str]:
    r"""Read the lines of oid and path, in which a backslash escapes itself and line breaks.

    Source of the facts: ``read_tablespace_map`` in ``src/backend/access/transam/xlogrecovery.c``.

    >>> parse_tablespace_map("16385 /srv/a\\\\b\n16386 /srv/c d\n")
    {'16385': '/srv/a\\b', '16386': '/srv/c d'}
    """
    found = {}
    for line in re.findall(r"(?:[^\\\n\r]|\\[\s\S])+", text):
        oid, _space, path = line.partition(" ")
        found[oid] = re.sub(r"\\([\s\S])", r"\1", path)
    return found
