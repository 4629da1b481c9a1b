# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is to roll back: the data now in place, what is kept beside it, and which of them belong together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

from .._cluster.data_directory import DataDirectory, RestoreRecord
from .._errors import Error
from .._repository.layout import utc_stamp
from .new_timeline import Lineage


@dataclass(frozen=True)
class Kept:
    """A directory of data that was set aside, or is to be put back; ``kind`` as that of a data directory.

    ``mark`` tells it from any other, as that of a data directory does. ``record`` is that of the restore that made it.
    ``signs`` are files in it with which a server that starts there begins a recovery.
    """

    path: str
    kind: str
    mark: str = ""
    record: RestoreRecord | None = None
    system_identifier: str | None = None
    postmaster: int | None = None
    device: int = 0
    lineage: Lineage | None = None
    signs: tuple[str, ...] = ()

    @property
    def warning(self) -> str | None:
        """Say what a server would do there that nobody may expect; of a restore that is not finished it is known."""
        if not self.signs or self.record is not None:
            return None
        return (
            f"the data that is put back has {' and '.join(self.signs)}, as it had when it was set aside: a server that "
            "starts in it begins a recovery, or follows a primary"
        )

    @property
    def startable(self) -> bool:
        """Tell whether a server can start in it, or could once its control file is in place."""
        return self.kind in ("cluster", "unfinished")


@dataclass(frozen=True)
class Journal:
    """A rollback under way: ``source`` becomes the data directory, whose data goes to ``aside`` (None: there is none).

    ``mark`` and ``kind`` are those of the data in ``source``, ``entries`` its names, which tell old from new in a mount
    point. ``timeline`` is the one that the data then leaves for a new one (None: it stays there).
    """

    source: str
    aside: str | None
    mark: str
    kind: str
    entries: tuple[str, ...] = ()
    timeline: int | None = None


@dataclass(frozen=True)
class Situation:
    """The data directory, what is kept beside it, and the journal of an earlier attempt.

    ``identifier`` is the system identifier that the repository knows, if it can be asked.
    """

    directory: DataDirectory
    kept: Sequence[Kept] = ()
    journal: Journal | None = None
    identifier: str | None = None

    def find(self, path: str) -> Kept | None:
        """Give what is at a path."""
        return next((kept for kept in self.kept if kept.path == path and kept.kind != "missing"), None)

    @property
    def under_way(self) -> bool:
        """Tell whether the last rollback was interrupted before what it puts back was in place."""
        return self.journal is not None and self.find(self.journal.source) is not None

    @property
    def holds_data(self) -> bool:
        """Tell whether there is anything in the data directory to be set aside."""
        return self.directory.kind not in ("missing", "empty")

    @property
    def half_exchanged(self) -> bool:
        """Tell whether a switch in a mount point was interrupted among its entries."""
        return self.directory.exchanging and self.directory.kind == "unfinished"

    @property
    def undone(self) -> Kept | None:
        """The restore, set aside, that replaced the very data now in place: it has been rolled back."""
        if not self.holds_data or self.half_exchanged:
            return None
        found = [kept for kept in self.kept if kept.record and kept.record.undo_mark == self.directory.mark]
        return max(found, key=lambda kept: kept.path, default=None)

    @property
    def restore(self) -> RestoreRecord | None:
        """The restore that is to be undone: the one in place, or one whose switch was interrupted half-way."""
        staged = self.directory.staged
        if staged is not None and staged.undo_directory is not None and (not self.holds_data or self.half_exchanged):
            return staged
        return self.directory.record

    @property
    def names(self) -> str:
        """Name what is kept, for a person to choose from."""
        found = ", ".join(sorted(kept.path for kept in self.kept if kept.kind not in ("missing", "empty")))
        return f"what is kept: {found}" if found else "nothing is kept beside it"


def free_stamp(directory: DataDirectory, taken: Collection[str], now: datetime) -> str:
    """Give the first moment from now on that no kept directory is named after, in the form used in names."""
    moments = (now + timedelta(seconds=later) for later in count())
    return next(stamp for stamp in map(utc_stamp, moments) if directory.previous(stamp) not in taken)


def find_source(situation: Situation, wanted: str | None) -> Kept:
    """Find what is to be put back; by its mark, because it may have been given another name since."""
    restore = situation.restore
    if wanted is None and restore is None:
        raise Error(
            f"there is no restore to undo in {situation.directory.path}; {situation.names}",
            "to put one of these back, name it in previous_directory",
        )
    path = wanted or (restore and (restore.undo_directory or restore.previous_directory)) or ""
    mark = None if wanted is not None or restore is None else restore.undo_mark
    marked = [kept for kept in situation.kept if mark is not None and kept.mark == mark and kept.kind != "missing"]
    found = marked[0] if marked else situation.find(path)
    if found is None or (found.kind == "empty" and not situation.half_exchanged):
        raise Error(
            f"{path}, which is to be put back, {'is not there' if found is None else 'is empty'}; {situation.names}",
            "a restore that replaced nothing, or whose previous data was removed, cannot be undone; to put something "
            "else back, name it in previous_directory",
        )
    return found


def check_source(situation: Situation, source: Kept, force: bool) -> None:
    """Refuse to put back what is no cluster, or another one, or cannot be put there."""
    if source.postmaster is not None:
        raise Error(
            f"a server (process {source.postmaster}) is running on {source.path}, which is to be put back",
            "stop it first; nothing has been changed",
        )
    _check_place(situation.directory, source)
    if not source.startable and not force and not situation.half_exchanged:
        raise Error(
            f"{source.path}, which is to be put back, is no PostgreSQL data directory, or only what is left of one",
            "with force: true it is put back as it is",
        )
    expected = _identifier(situation)
    foreign = None not in (expected, source.system_identifier) and source.system_identifier != expected
    if foreign and not _related(situation, source):
        raise Error(
            f"{source.path} holds another cluster: its system identifier is {source.system_identifier}, that of "
            f"{situation.directory.path} is {expected}",
            "check previous_directory",
        )


def _check_place(directory: DataDirectory, source: Kept) -> None:
    """Refuse what cannot be renamed to the data directory."""
    real = directory.real_path
    inside = source.path.startswith(f"{real}/")
    if source.path == real or inside is not directory.mount_point or real.startswith(f"{source.path}/"):
        where = f"a directory {real}/pgark.before-..." if directory.mount_point else "a directory beside it"
        raise Error(f"{source.path} cannot become the data directory {real}", f"name {where} in previous_directory")
    if inside and ("/" in source.path[len(real) + 1 :] or not source.path.startswith(f"{real}/pgark.")):
        raise Error(
            f"{source.path} is among the data in {real}, not beside it", f"name a directory {real}/pgark.before-..."
        )
    if source.device != directory.room.device:
        raise Error(
            f"{source.path} is on another file system than {real}, so it cannot be renamed to that",
            "copy it beside the data directory, with all modes and owners, and name the copy in previous_directory",
        )


def _identifier(situation: Situation) -> str | None:
    """Give the system identifier that what is put back should have, as far as anything tells."""
    if situation.directory.system_identifier is not None:
        return situation.directory.system_identifier
    return situation.identifier if situation.restore is None else situation.restore.system_identifier


def _related(situation: Situation, source: Kept) -> bool:
    """Tell whether one is known to have replaced the other here, or both are clones of one cluster."""
    restore, other = situation.restore, source.record
    if restore is not None and source.mark == restore.undo_mark:
        return True
    if other is None:
        return False
    cloned = restore is not None and restore.source is not None and restore.source == other.source
    return cloned or other.undo_mark == situation.directory.mark


def check_no_rollback(directory: DataDirectory, under_way: Journal | None) -> None:
    """Refuse a restore while a rollback is half done."""
    if under_way is not None:
        raise Error(
            f"a rollback of {directory.path} was interrupted: {under_way.source} is to be put back",
            "finish it first with pitr_rollback.yml, or pitr_restore with state: rolled_back",
        )
