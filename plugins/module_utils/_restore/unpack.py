# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpack a base backup, so that nothing in it can reach anything but the directories that are filled.

Each member is judged before it is written. It is written below a directory that is held open, by names of which none
is followed if it is a link, as something that was not there before; and all links are made here, from the plan. Why
nobody reads the whole archive first: docs/decisions/0070-backups-are-unpacked-by-our-own-code.md.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

from .._backup.members import (
    BASE,
    WAL,
    check_directories,
    check_size,
    check_wal_size,
    directory_mode,
    file_mode,
    grants_group,
    largest_archive,
    place_of,
)
from .._backup.tarheader import Member
from .._backup.tarstream import Content, members, tar_files
from .._errors import CommandFailed, Error, InvalidValue
from .._host.runner import CommandRunner
from .._host.tree import BLOCK, Tree
from .._repository.manifest import Manifest
from .._values.space import reserve

_FULL = (errno.ENOSPC, errno.EDQUOT)
# How much is written between two looks at what is left for the server that still runs.
_LOOK_BYTES = 8 << 20
_LOOK_ENTRIES = 100
_SPARE_INODES = 10_000


class _Guarded(Tree):
    """A directory on a file system of which a server needs a part."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._unseen = _LOOK_BYTES

    def _take(self, size: int) -> None:
        """Stop before the room that a server on the same file system needs is used up."""
        self._unseen += _LOOK_BYTES // _LOOK_ENTRIES if size == BLOCK else size
        if self._unseen < _LOOK_BYTES:
            return
        self._unseen = 0
        found = os.fstatvfs(self._root)
        inodes = min(_SPARE_INODES, found.f_files // 20)  # of which some file systems have no number
        if found.f_bavail * found.f_frsize < reserve(found.f_blocks * found.f_frsize) or found.f_favail < inodes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)


class Unpacker:
    """Unpack the archives of one backup into the directories of one restore."""

    def __init__(self, backup: str, manifest: Manifest, segment_size: int, runner: CommandRunner) -> None:
        self._archives = tar_files(backup)
        self._backup = backup
        self._manifest = manifest
        self._segment_size = segment_size
        self._largest = largest_archive(manifest, segment_size)
        self._runner = runner
        self._group = False
        self._directories = 0

    def run(self, staging: str, tablespaces: Mapping[str, str], in_place: Sequence[str], wal: str | None) -> None:
        """Unpack all; ``tablespaces`` maps oid to directory, ``wal`` is one outside (None: inside).

        The directories are there, and have nothing in them but their marks.
        """
        self._check_archives({BASE, WAL, *tablespaces, *in_place})
        with _Guarded(staging) as data:
            self._fill(data, BASE)
            for oid, place in tablespaces.items():
                self._fill_outside(place, oid)
                data.link(f"pg_tblspc/{oid}", place)
            for oid in in_place:
                data.directory(f"pg_tblspc/{oid}", self._mode)
                with _Guarded(f"{staging}/pg_tblspc/{oid}") as tree:
                    self._fill(tree, oid)
            if wal is None:
                with _Guarded(f"{staging}/pg_wal") as tree:
                    self._fill(tree, WAL)
            else:
                self._fill_outside(wal, WAL, data.replace("pg_wal", wal))
        os.chmod(staging, self._mode)

    @property
    def _mode(self) -> int:
        return directory_mode(0o750, self._group)

    def _check_archives(self, wanted: set[str]) -> None:
        for archive in sorted(wanted ^ set(self._archives)):
            what = "is not there" if archive in wanted else "is there, and backup.json does not name it"
            raise Error(f"{self._backup}: the archive {archive}.tar {what}", "restore from another backup")

    def _fill_outside(self, directory: str, archive: str, inside: Sequence[str] = ()) -> None:
        """Fill a directory that was made when staging began, with directories ``inside``, and from an archive."""
        with _Guarded(directory) as tree:
            for name in inside:
                tree.directory(name, self._mode)
            self._fill(tree, archive)
        os.chmod(directory, self._mode)

    def _fill(self, tree: Tree, archive: str) -> None:
        path = self._archives[archive]
        with _explained(path, tree.path), closing(members(path, self._runner, self._largest)) as found:
            for member, content in found:
                place = place_of(member, archive)
                if member.kind == "file":
                    self._check_size(archive, member)  # also of what stays packed, which has to be read over
                if archive == BASE:
                    self._group = self._group or grants_group(member)
                if place is not None:
                    self._write(tree, archive, member, place, content)

    def _write(self, tree: Tree, archive: str, member: Member, place: str, content: Content) -> None:
        try:
            if member.kind == "directory":
                self._directories += 1
                check_directories(self._directories, len(self._manifest.files))
                tree.directory(place, directory_mode(member.mode, self._group))
                return
            # pg_basebackup writes the WAL, and knows nothing of the server's modes.
            mode = 0o640 if archive == WAL else member.mode
            tree.file(place, file_mode(mode, self._group), content)
        except FileExistsError:
            raise InvalidValue(f"{member.name!r} is in it twice") from None
        except (FileNotFoundError, NotADirectoryError):
            raise InvalidValue(f"{member.name!r} comes without the directory that it is in") from None

    def _check_size(self, archive: str, member: Member) -> None:
        """A manifest lists every file but the WAL; so nothing takes more room than was looked for."""
        if archive == WAL:
            check_wal_size(member, self._segment_size)
        else:
            path = member.name if archive == BASE else f"pg_tblspc/{archive}/{member.name}"
            entry = self._manifest.files.get(path)
            check_size(path, member.size, None if entry is None else entry.size)


@contextmanager
def _explained(archive: str, directory: str) -> Iterator[None]:
    """Say which archive it is that cannot be unpacked."""
    try:
        yield
    except (CommandFailed, InvalidValue) as error:
        raise Error(
            f"{archive} cannot be unpacked: {error.message}", error.hint or "restore from another backup"
        ) from None
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise Error(
            f"{archive} cannot be unpacked: the file system of {directory} is full, or nearly so, while it is unpacked",
            "make room, and run the restore again",
        ) from None
