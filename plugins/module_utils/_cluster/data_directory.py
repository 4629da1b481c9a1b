# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is at PGDATA: the data now in place, what is staged beside it, and which restore made them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._errors import Error
from .._host.holders import check_unused
from .._values.space import FreeSpace
from .._values.target import Target
from .subscription import Subscription

_STAMPED = re.compile(r"(\.restored-|/pgark-)\d{8}T\d{6}Z(-[0-9a-f]+)?$")


def unstamped(path: str) -> str:
    r"""Give the path that a directory of a restore stands for: the one beside which, or in which, it was made.

    >>> unstamped("/srv/fast.restored-20261121T120000Z"), unstamped("/srv/fast/pgark-20261121T120000Z-1f2e3d4c")
    ('/srv/fast', '/srv/fast')
    """
    return _STAMPED.sub("", path)


@dataclass(frozen=True)
class Place:
    """A directory outside PGDATA, and where a restore makes a new one: beside it, or in the directory ``inside``.

    That is one which was named for it, or a mount point, beside which is another file system. In ``confined`` places
    there is nowhere to make one.
    """

    path: str
    inside: str | None = None
    confined: bool = False
    room: FreeSpace = field(default_factory=FreeSpace, compare=False)

    @property
    def provided(self) -> str:
        """The directory that root can make for new ones, where the owner cannot make one beside it."""
        return f"{unstamped(self.path)}.restored"

    def renewed(self, stamp: str, run: str) -> str:
        """Name the directory that a restore fills instead: its own, which nobody else makes."""
        base, name = unstamped(self.path), f"pgark-{stamp}-{run}"
        if self.inside is not None:
            return f"{self.inside}/{name}"
        return f"{base}/{name}" if self.path.startswith(f"{base}/") else f"{base}.restored-{stamp}-{run}"


@dataclass(frozen=True)
class Reservation:
    """The run that has begun a staging: for which data directory, with which repository, in which process, and when.

    ``started`` is when the process began, by the kernel's clock; it tells it from a later one of its number.
    """

    data_directory: str
    repository_id: str
    repository: str
    run: str
    host: str
    pid: int
    started: str
    at: str

    @property
    def text(self) -> str:
        """Name the run for a person."""
        return f"process {self.pid} on {self.host} ({self.at}, from {self.repository})"

    def same_repository(self, other: Reservation | None) -> bool:
        """Tell whether another run works with the same repository, at the same path."""
        return other is not None and (other.repository_id, other.repository) == (self.repository_id, self.repository)


@dataclass(frozen=True)
class RestoreRecord:
    """What ``pgark_restore.json`` in a restored or staged directory says.

    ``places`` are the directories outside PGDATA that belong to it, ``entries`` its top-level names, ``inode`` that
    of the data directory it was made for: a copy that came along in a later base backup proves nothing. A clone has a
    ``source``, the cluster it was restored from; ``identity`` is the system identifier it is given in place of that
    one's, noted before anything is changed.

    ``size`` are the bytes to be staged; ``start_lsn`` and ``end_lsn`` are between which positions WAL is replayed, as
    far as that is known, and ``timeline`` is the one that recovery follows. ``stop_lsn`` and ``last_time`` are where,
    by the WAL, it stops: the position of the first record that is not replayed, and when the last transaction before
    that ended. ``overrides`` are settings that hold during recovery only, each with the value that ALTER
    SYSTEM had given it before (None: none). ``undo_directory`` is the data that a rollback puts back, and ``undo_mark``
    tells it whatever its name is by then; None when there was no data. ``aside`` are the tablespaces that move aside
    with the data that is replaced, because recovery makes them anew: where to, by path.

    ``needed`` is what the WAL asks of settings at least, ``raised`` which of them were smaller in the configuration,
    with what they were there; they are as large as needed from then on.

    ``own`` is the inode of the staging directory: one that somebody has copied there is not ours. ``reservation`` is
    the run that has begun it. ``proved``: since the promotion, a segment has been archived and read back. ``to_do`` are
    lines about those who depend on the server that is replaced, for whoever keeps the result; ``subscriptions`` are
    those that were disabled in it. ``given`` is a digest of the settings, options and places that were staged.
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
    timeline: int | None = None
    stop_lsn: str | None = None
    last_time: str | None = None
    overrides: Mapping[str, str | None] = field(default_factory=dict)
    undo_directory: str | None = None
    undo_mark: str | None = None
    aside: Mapping[str, str] = field(default_factory=dict)
    needed: Mapping[str, int] = field(default_factory=dict)
    raised: Mapping[str, int] = field(default_factory=dict)
    own: int = 0
    reservation: Reservation | None = None
    proved: bool = False
    automatic_link: str | None = None
    to_do: tuple[str, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    given: str = ""

    @property
    def run(self) -> str:
        """The run that has begun it, whose mark its places carry."""
        return "" if self.reservation is None else self.reservation.run


@dataclass(frozen=True)
class RestoreRequest:
    """What is asked for; ``label`` None lets any backup serve. With a ``source`` it is a clone of that cluster.

    ``reservation`` is that of the run which asks (None: with any repository). ``to_do`` is noted for afterwards.
    """

    target: Target
    cluster: str
    system_identifier: str
    label: str | None = None
    source: str | None = None
    reservation: Reservation | None = None
    to_do: tuple[str, ...] = ()

    def met_by(self, record: RestoreRecord | None) -> bool:
        """Tell whether a record describes this very restore."""
        return (
            record is not None
            and record.target == self.target.as_dict()
            and (record.cluster, record.system_identifier) == (self.cluster, self.system_identifier)
            and record.source == self.source
            and self.label in (None, record.backup)
        )

    def continues(self, directory: DataDirectory) -> bool:
        """Tell whether WAL in the data directory is of the cluster that is restored; that of a clone is its own."""
        return self.source is None and directory.system_identifier in (None, self.system_identifier)

    def in_place(self, directory: DataDirectory) -> bool:
        """Tell whether the data directory is the result of this restore, whatever was written to it since."""
        return directory.kind in ("cluster", "unfinished") and self.met_by(directory.record)

    def begun_by(self, record: RestoreRecord) -> bool:
        """Tell whether this very restore, from the same repository, has made a record."""
        same = self.reservation is None or self.reservation.same_repository(record.reservation)
        return same and self.met_by(record)

    def staged(self, directory: DataDirectory) -> bool:
        """Tell whether this restore is staged completely."""
        staged = directory.staged
        return staged is not None and staged.complete and self.begun_by(staged)


@dataclass(frozen=True)
class Damaged:
    """A file of ours that tells what was done with the data, and why it cannot be read."""

    path: str
    why: str


@dataclass(frozen=True)
class DataDirectory:
    """What is at PGDATA now.

    ``kind``: ``missing``, ``empty``, ``cluster``, ``unfinished`` (a switch was interrupted) or ``unknown``.
    ``postmaster`` is the process id of the server that works in it, found among the processes, not in a file;
    ``orphans`` are processes of a server that has gone without them.
    ``mark`` tells this data from any other, under whatever name. ``freed`` are the bytes that go with what is staged,
    by device. ``recovering`` tells that a server which starts in
    it goes on with a recovery to a target: nobody has promoted it. ``exchanging``: in a mount point, entries have been
    moved already. ``started_with`` are the words of the command line of the server, or of the last one that ran there.
    ``inner_mounts`` are mount points inside of it; ``writable`` tells whether a directory can be made where it would be
    staged. ``used`` says what shows that somebody has written to it since initdb has made it; that is only looked for
    where it matters (None: it was not). ``aside_taken``: something has the name that the data in place would get
    when what is staged takes its place. ``damaged`` are records that are there and cannot be read.
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
    room: FreeSpace = field(default_factory=FreeSpace)
    freed: Mapping[int, int] = field(default_factory=dict)
    mark: str = ""
    recovering: bool = False
    exchanging: bool = False
    orphans: tuple[int, ...] = ()
    segment_size: int | None = None
    started_with: tuple[str, ...] = ()
    inner_mounts: tuple[str, ...] = ()
    writable: bool = True
    used: tuple[str, ...] | None = None
    aside_taken: bool = False
    damaged: tuple[Damaged, ...] = ()

    @property
    def startable(self) -> bool:
        """Tell whether a server can start in it, or could once its control file is in place."""
        return self.kind in ("cluster", "unfinished")

    @property
    def set_aside(self) -> bool:
        """Tell whether a switch that was interrupted has renamed the data away.

        Somebody may have made an empty directory in its place since, as a start script or tmpfiles.d does.
        """
        gone = self.kind == "missing" or (self.kind == "empty" and not self.mount_point)
        return gone and self.staged is not None and self.staged.undo_directory is not None

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


def check_exchangeable(directory: DataDirectory) -> None:
    """Refuse data that cannot be exchanged by renames, or would lose what is mounted in it on the way.

    A mount moves along with the directory that it is in. So the data that takes its place would lie on another file
    system than was meant for it, and the next start of the machine would hide it.
    """
    if directory.inner_mounts:
        mounted = ", ".join(directory.inner_mounts)
        raise Error(
            f"{directory.real_path} cannot be exchanged as a whole, because file systems are mounted inside of it: "
            f"{mounted}",
            "mount them elsewhere, and put symbolic links in their places, as for pg_wal; the data directory itself "
            "may be a mount point",
        )
    if not directory.writable:
        place = directory.staging.rpartition("/")[0] or "/"
        raise Error(
            f"{directory.staging}, where the data is prepared, cannot be made: {place} is not there, or the cluster's "
            "owner may not write to it",
            f"make it, or let the owner of the cluster write to it, as root: chown or chmod {place}",
        )


def check_aside_free(directory: DataDirectory) -> None:
    """Refuse to go on with what is staged where data was set aside already, and something has come in its place."""
    staged = directory.staged
    if staged is None or not directory.aside_taken or directory.exchanging:
        return
    if directory.set_aside or directory.kind in ("missing", "unfinished"):
        return
    raise Error(
        f"{staged.previous_directory} is there, where the data in {directory.path} would be kept, and {directory.path} "
        f"is there, too ({directory.kind}): either a restore was interrupted after it had set the data aside, and "
        "something has come in its place since, or somebody has made what has that name",
        f"find out which of the two is the cluster's data; where it was set aside, move {directory.path} away, then "
        "run this again or go back with pitr_rollback.yml; where it was not, move the other one away",
    )


def check_records_readable(directory: DataDirectory, kept: Collection[str]) -> None:
    """Refuse to go on from what nobody knows: a record tells where data went, or a journal where it is going to.

    ``kept`` are the directories that restores and rollbacks have set aside.
    """
    if directory.damaged:
        found = directory.damaged[0]
        beside = f"what was set aside is in {', '.join(sorted(kept))}" if kept else "nothing was set aside"
        raise Error(
            f"{found.why}. It tells how far a restore or a rollback has come; no data is in it, and nothing has been "
            f"changed: {directory.path} ({directory.kind}) is as it was left, and {beside}",
            _way_on(directory, found.path, kept),
        )


def _way_on(directory: DataDirectory, path: str, kept: Collection[str]) -> str:
    """Say how one gets on without a file that cannot be read."""
    if directory.mount_point and (path == directory.journal or directory.kind != "cluster"):
        return (
            "without it nothing tells whose the entries are: move those of one data directory together by hand, then "
            f"move {path} away"
        )
    whole = directory.staging if path.startswith(f"{directory.staging}/") else path
    ways = [] if directory.kind == "missing" and kept else [f"move {whole} away, and run this again"]
    if kept:
        back = f"with previous_directory={max(kept)} that is put back without it"
        ways.append(f"pitr_rollback.yml, or pitr_restore with state: rolled_back, {back}")
    return "; or ".join(ways)


def check_stopped(directory: DataDirectory) -> None:
    """Refuse to change data under a server, or under what is left of one."""
    check_unused(directory.path, directory.postmaster, directory.orphans)
