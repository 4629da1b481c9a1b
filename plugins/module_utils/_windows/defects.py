# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a cluster's backups and WAL, as far as listing them and reading their ends shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .._repository.catalog import Backup, Catalog
from .._wal.names import SegmentName, TimelinePath
from .spans import on_path, stretches
from .windows import Window

_OWN_WAL = "pg_wal.tar"


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong.

    ``kind`` is ``gap`` (segments are missing), ``history`` (the history file of a timeline is), ``chain`` (a backup
    that another one needs is, or one is incremental), ``incomplete`` (files of a backup are missing), ``broken`` (what
    describes a backup cannot be believed), ``wal`` (WAL of a backup is missing, or a segment is damaged) or ``fork`` (a
    data directory has other WAL under the same name). ``subject`` is the name of the file or the label of the backup.
    """

    kind: str
    subject: str
    text: str


def problems(catalog: Catalog) -> dict[str, Defect]:
    """Give what makes a backup unusable, by label."""
    known = {backup.label: backup for backup in catalog.backups}
    broken: dict[str, Defect | None] = {
        label: Defect("broken", label, f"backup '{label}' is broken: {why}") for label, why in catalog.broken.items()
    }
    found = {**broken, **{backup.label: _own_problem(catalog, backup) for backup in catalog.backups}}
    chained = ((label, defect or _chain_problem(known[label], known, found)) for label, defect in found.items())
    return {label: defect for label, defect in chained if defect is not None}


def _own_problem(catalog: Catalog, backup: Backup) -> Defect | None:
    missing = catalog.incomplete.get(backup.label, ())
    if missing:
        kind = "wal" if set(missing) == {_OWN_WAL} else "incomplete"
        return Defect(kind, backup.label, f"{', '.join(missing)} of backup '{backup.label}' is missing")
    if backup.type != "full":
        text = f"backup '{backup.label}' is {backup.type}, and this version restores full ones"
        return Defect("chain", backup.label, text)
    if catalog.path_through(backup) is None:
        state = "cannot be used" if backup.timeline in catalog.broken_histories else "is missing"
        text = f"backup '{backup.label}' is of timeline {backup.timeline}, whose history file {state}"
        return Defect("history", backup.label, text)
    return None


def _chain_problem(backup: Backup, known: Mapping[str, Backup], found: Mapping[str, Defect | None]) -> Defect | None:
    """Follow the parents of an incremental backup to its full one; a chain that bites its tail is broken, too."""
    seen, link = {backup.label}, backup
    while link.parent is not None:
        parent = known.get(link.parent)
        need = f"backup '{backup.label}' needs '{link.parent}'"
        defect = found.get(link.parent)
        if defect is not None:
            return Defect("chain", backup.label, f"{need}, which cannot be used: {defect.text}")
        if parent is None:
            return Defect("chain", backup.label, f"{need}, which is missing")
        if parent.label in seen:
            return Defect("chain", backup.label, f"{need}, which needs it in turn")
        seen.add(parent.label)
        link = parent
    return None


def defects(catalog: Catalog, unusable: Mapping[str, Defect], windows: Iterable[Window]) -> list[Defect]:
    """List everything that is wrong, each thing once."""
    found = [
        *_missing_histories(catalog),
        *_gaps(catalog),
        *unusable.values(),
        *_unfinished(catalog),
        *_borrowed_wal(catalog, unusable),
        *(Defect("wal", str(window.damaged), window.ends) for window in windows if window.damaged is not None),
    ]
    return list(dict.fromkeys(found))


def _missing_histories(catalog: Catalog) -> Iterator[Defect]:
    for timeline in catalog.timelines:
        if timeline != 1 and timeline not in catalog.paths:
            name = f"{timeline:08X}.history"
            segments = sum(run.count for run in catalog.runs.get(timeline, ()))
            why = catalog.broken_histories.get(timeline)
            what = "is missing" if why is None else f"cannot be used ({why})"
            yield Defect(
                "history",
                name,
                f"the history file {name} {what}, so the {segments} segments of timeline {timeline} are of no use",
            )


def _gaps(catalog: Catalog) -> Iterator[Defect]:
    """Find what is missing behind the oldest backup of each path; what lies before it nobody needs."""
    size = catalog.identity.wal_segment_size
    gaps: dict[str, Defect] = {}  # several paths may lead through one: what the last of them says counts
    for path in catalog.known_paths:
        backups = on_path(catalog.backups, path)
        found = stretches(catalog, path) if backups else []
        ends = [(backup.stop_lsn.value - 1) // size for backup in backups]
        for before, after in zip(found, found[1:]):
            if after.first > ends[0]:
                lost = path.timeline == catalog.latest_timeline and ends[-1] < after.first
                gap = _gap(path, max(before.last + 1, ends[0]), after.first - 1, size, lost)
                gaps[gap.subject] = gap
    yield from gaps.values()


def _gap(path: TimelinePath, first: int, last: int, size: int, lost: bool) -> Defect:
    """Describe what is missing; ``lost`` tells that no backup leads to what was archived after it."""
    name, end = (SegmentName.numbered(path.timeline_at(number, size), number, size) for number in (first, last))
    what = f"segment {name} is" if first == last else f"{last - first + 1} segments from {name} to {end} are"
    then = "; what was archived after that can be restored once there is a new backup: run base_backup.yml"
    return Defect("gap", str(name), f"{what} missing from the archive{then if lost else ''}")


def _unfinished(catalog: Catalog) -> Iterator[Defect]:
    known = {backup.label for backup in catalog.backups}
    for name, missing in catalog.incomplete.items():
        if name not in known:
            text = f"a backup was begun in {name} and is not finished: it has no {', '.join(missing)}"
            yield Defect("incomplete", name, text)


def _borrowed_wal(catalog: Catalog, unusable: Mapping[str, Defect]) -> Iterator[Defect]:
    """Name the backups between whose start and end the archive has a gap: only their own copy of it is left."""
    size = catalog.identity.wal_segment_size
    for backup in catalog.backups:
        path = catalog.path_through(backup)
        if path is None or backup.label in unusable:
            continue
        first, last = backup.start_lsn.value // size, (backup.stop_lsn.value - 1) // size
        lost = _lost(catalog, path, range(first, last))
        if lost:
            what = f"{len(lost)} segments from {lost[0]} on are" if len(lost) > 1 else f"segment {lost[0]} is"
            where = f"between start and end of backup '{backup.label}'"
            yield Defect("wal", backup.label, f"{what} missing from the archive {where}; only its own copy is left")


def _lost(catalog: Catalog, path: TimelinePath, numbers: Iterable[int]) -> Sequence[SegmentName]:
    size = catalog.identity.wal_segment_size
    needed = ((path.timeline_at(number, size), number) for number in numbers)
    return [SegmentName.numbered(*place, size) for place in needed if place not in catalog.files]
