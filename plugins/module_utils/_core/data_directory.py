# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is at PGDATA: the data now in place, what is staged beside it, and which restore made them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._errors import Error
from .target import Target

RECORD = "pgark_restore.json"
HELD_CONTROL = "global/pg_control.pgark"
_STAMPED = re.compile(r"\.restored-\d{8}T\d{6}Z$")


def unstamped(path: str) -> str:
    """Give the name that a directory had before a restore added the time to it."""
    return _STAMPED.sub("", path)


@dataclass(frozen=True)
class Room:
    """The bytes that are free on a file system, which ``device`` tells from others."""

    device: int = 0
    free: int = 0


@dataclass(frozen=True)
class Place:
    """A directory outside PGDATA; ``beside`` tells whether a new one can be made beside it, else it is made inside.

    Where nothing is yet (``free``), the very path can be filled.
    """

    path: str
    beside: bool
    free: bool = False
    room: Room = field(default=Room(), compare=False)

    def renewed(self, stamp: str) -> str:
        """Name the directory that a restore fills instead."""
        if self.free:
            return self.path
        base = unstamped(self.path)
        return f"{base}.restored-{stamp}" if self.beside else f"{base}/data.restored-{stamp}"


@dataclass(frozen=True)
class RestoreRecord:
    """What ``pgark_restore.json`` in a restored or staged directory says.

    ``places`` are the directories outside PGDATA that belong to it, ``entries`` its top-level names, ``inode`` that
    of the data directory it was made for: a copy that came along in a later base backup proves nothing. A clone has a
    ``source``, the cluster it was restored from; ``identity`` is the system identifier it is given in place of that
    one's, noted before anything is changed.

    ``size`` are the bytes to be staged; ``start_lsn`` and ``end_lsn`` are between which positions WAL is replayed, as
    far as that is known. ``overrides`` are settings that hold during recovery only, each with the value that ALTER
    SYSTEM had given it before (None: none). ``undo_directory`` is the data that a rollback puts back, and ``undo_mark``
    tells it whatever its name is by then; None when there was no data.
    """

    target: Mapping[str, Any]
    backup: str
    cluster: str
    system_identifier: str
    previous_directory: str
    complete: bool = False
    inode: int = 0
    places: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    source: str | None = None
    identity: str | None = None
    size: int = 0
    start_lsn: str | None = None
    end_lsn: str | None = None
    overrides: Mapping[str, str | None] = field(default_factory=dict)
    undo_directory: str | None = None
    undo_mark: str | None = None


@dataclass(frozen=True)
class RestoreRequest:
    """What is asked for; ``label`` None lets any backup serve. With a ``source`` it is a clone of that cluster."""

    target: Target
    cluster: str
    system_identifier: str
    label: str | None = None
    source: str | None = None

    def met_by(self, record: RestoreRecord | None) -> bool:
        """Tell whether a record describes this very restore."""
        return (
            record is not None
            and record.target == self.target.as_dict()
            and (record.cluster, record.system_identifier) == (self.cluster, self.system_identifier)
            and record.source == self.source
            and self.label in (None, record.backup)
        )

    def in_place(self, directory: DataDirectory) -> bool:
        """Tell whether the data directory is the result of this restore, whatever was written to it since."""
        return directory.kind in ("cluster", "unfinished") and self.met_by(directory.record)

    def staged(self, directory: DataDirectory) -> bool:
        """Tell whether this restore is staged completely."""
        return directory.staged is not None and directory.staged.complete and self.met_by(directory.staged)


@dataclass(frozen=True)
class DataDirectory:
    """What is at PGDATA now.

    ``kind``: ``missing``, ``empty``, ``cluster``, ``unfinished`` (a switch was interrupted) or ``unknown``.
    ``postmaster`` is the process id of the server that works in it, found among the processes, not in a file.
    ``mark`` tells this data from any other, under whatever name. ``freed`` are the bytes that go with what is staged,
    by device. ``recovering`` tells that a server which starts in
    it goes on with a recovery to a target: nobody has promoted it. ``exchanging``: in a mount point, entries have been
    moved already.
    """

    path: str
    real_path: str
    kind: str
    mount_point: bool = False
    system_identifier: str | None = None
    postmaster: int | None = None
    record: RestoreRecord | None = None
    staged: RestoreRecord | None = None
    wal: Place | None = None
    tablespaces: Mapping[str, Place] = field(default_factory=dict)
    room: Room = Room()
    freed: Mapping[int, int] = field(default_factory=dict)
    mark: str = ""
    recovering: bool = False
    exchanging: bool = False

    @property
    def startable(self) -> bool:
        """Tell whether a server can start in it, or could once its control file is in place."""
        return self.kind in ("cluster", "unfinished")

    @property
    def journal(self) -> str:
        """The file that tells of a rollback under way."""
        return f"{self.real_path}/pgark.rollback.json" if self.mount_point else f"{self.real_path}.rollback.json"

    @property
    def staging(self) -> str:
        """The staging directory, on the same file system."""
        return f"{self.real_path}/pgark.restore" if self.mount_point else f"{self.real_path}.restore"

    def previous(self, stamp: str) -> str:
        """The name that the data now in place will get."""
        return f"{self.real_path}/pgark.before-{stamp}" if self.mount_point else f"{self.real_path}.before-{stamp}"


def check_stopped(directory: DataDirectory) -> None:
    """Refuse to change data under a server."""
    if directory.postmaster is not None:
        raise Error(
            f"a server (process {directory.postmaster}) is running on {directory.path}",
            "stop it first; nothing has been changed",
        )
