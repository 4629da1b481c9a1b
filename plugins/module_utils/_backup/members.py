# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be in the archives of a base backup, where it goes, and with which mode.

A backup comes from a repository, and who can write there must not reach anything outside of the directories that a
restore fills. So a name is taken literally or not at all, an archive makes no links, and gives no rights to others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from .._errors import Error, InvalidValue
from .._repository.manifest import Manifest
from .._values.markers import CONTROL, HELD_CONTROL, RECORD
from .._wal.names import classify
from .tarheader import BLOCK, Member

BASE, WAL = "base", "pg_wal"
_MORE = 4 << 30  # directories, and WAL that came after the backup's end
_MORE_DIRECTORIES = 1000
_SMALL = 1 << 20  # all history files are smaller
_ARCHIVE = re.compile(r"(base|pg_wal|[1-9][0-9]{0,9})\.tar(?:\.gz|\.lz4|\.zst)?")
_OID = re.compile(r"[1-9][0-9]{0,9}")
_TABLESPACE_LINK = re.compile(r"pg_tblspc/[1-9][0-9]{0,9}")
# TABLESPACE_VERSION_DIRECTORY in src/include/common/relpath.h
_VERSION_DIRECTORY = re.compile(r"PG_[0-9]+_[0-9]+")
# The server names the directories in pg_wal, whose content it leaves out, by itself, and so: sendDir in basebackup.c.
_IN_WAL = "./pg_wal/"
_DONE = re.compile(r"archive_status/([^/]+)\.done")


def archives(names: Iterable[str]) -> dict[str, str]:
    """Give the archives among the names in a backup's directory: ``base``, ``pg_wal`` or the oid of a tablespace.

    >>> archives(["backup.json", "base.tar.zst", "16384.tar.zst", "pg_wal.tar"])
    {'16384': '16384.tar.zst', 'base': 'base.tar.zst', 'pg_wal': 'pg_wal.tar'}
    """
    found: dict[str, str] = {}
    for name in sorted(names):
        match = _ARCHIVE.fullmatch(name)
        if match is None:
            if ".tar" in name:
                raise InvalidValue(f"{name!r} is not the name of an archive that pg_basebackup makes")
            continue
        if match[1] in found:
            raise InvalidValue(f"there are two archives of one content: {found[match[1]]} and {name}")
        found[match[1]] = name
    return found


def place_of(member: Member, archive: str) -> str | None:
    """Give the path of a member below the directory that its archive fills; None for what stays in the archive.

    Raises InvalidValue for what no backup has.
    """
    if archive == BASE and member.name.startswith(_IN_WAL) and member.kind == "directory":
        member = replace(member, name=member.name[2:])
    if any(part in ("", ".", "..") for part in member.name.split("/")):
        raise _unfit(member, "is not a plain relative path")
    if archive == BASE:
        return _place_in_base(member)
    if archive == WAL:
        return _place_in_wal(member)
    if member.kind == "link" or not _VERSION_DIRECTORY.fullmatch(member.name.split("/")[0]):
        raise _unfit(member, "does not belong into a tablespace")
    return member.name


def _place_in_base(member: Member) -> str | None:
    name, (top, *below) = member.name, member.name.split("/")
    if member.kind == "link" and not _TABLESPACE_LINK.fullmatch(name):
        raise _unfit(member, "is a link; only those in pg_tblspc may be, which are made anew")
    if top in ("pg_tblspc", "pg_wal"):
        return _empty_directory(member, below)
    if name == CONTROL and member.kind == "file":
        return HELD_CONTROL
    if name in (CONTROL, HELD_CONTROL):
        raise _unfit(member, "is not the control file, or has the name that a restore gives to it")
    return None if is_ours(name) else name


def _empty_directory(member: Member, below: Sequence[str]) -> str | None:
    """Place a directory whose content has an archive of its own: that of the WAL, of a tablespace that is in place."""
    if member.kind == "link":
        return None
    if member.kind != "directory" or len(below) > 1:
        raise _unfit(member, "does not belong into the archive of the data directory")
    if not below or member.name.startswith("pg_wal/"):
        return member.name
    if not _TABLESPACE_LINK.fullmatch(member.name):
        raise _unfit(member, "is not the directory of a tablespace")
    return None


def _place_in_wal(member: Member) -> str:
    done = _DONE.fullmatch(member.name)
    if member.kind != "file" or classify(member.name if done is None else done[1]) is None:
        raise _unfit(member, "is not a file of WAL")
    return member.name


def is_ours(path: str) -> bool:
    """Tell whether a path in a data directory is what a restore has left there, which is no part of the cluster.

    >>> is_ours("pgark.before-20261121T011500Z/PG_VERSION"), is_ours("base/pgark_restore.json")
    (True, False)
    """
    return path == RECORD or path.startswith("pgark.")


def left_out(paths: Iterable[str]) -> list[str]:
    """Name the entries of a data directory that are ours, a restore's record apart, and stay in the backup."""
    return sorted({path.split("/")[0] for path in paths if is_ours(path) and path != RECORD})


def check_size(path: str, size: int, listed: int | None) -> None:
    """Refuse a file that the manifest does not list (None), or lists with another size, before it takes any room."""
    if listed is None:
        raise InvalidValue(f"'{path}' is in the backup but not in its manifest")
    if size != listed:
        raise InvalidValue(f"'{path}' has {size} bytes, the manifest says {listed}")


def check_directories(count: int, files: int) -> None:
    """Refuse more directories than a backup with some number of files has: no manifest lists them.

    Nearly all of a server's have a file: those of databases have many. What has none is made by initdb, or by people.
    """
    if count > files + _MORE_DIRECTORIES:
        raise InvalidValue(
            f"it has more than {files + _MORE_DIRECTORIES} directories, for the {files} files that it has"
        )


def largest_archive(manifest: Manifest, segment_size: int) -> int:
    """Give more bytes than an archive of a backup has, in whichever form: a hole behind its end takes no room."""
    files = sum(entry.size + 2 * BLOCK for entry in manifest.files.values())
    wal = segment_size * sum(len(need.numbers(segment_size)) for need in manifest.wal)
    return 2 * (files + wal) + _MORE


def check_wal_size(member: Member, segment_size: int) -> None:
    """Refuse a file of WAL that is larger than those of its kind; no manifest lists them."""
    most = segment_size if classify(member.name) == "segment" else _SMALL
    if member.size > most:
        raise InvalidValue(f"'{member.name}' has {member.size} bytes, expected {most} at most")


def file_mode(mode: int, group: bool) -> int:
    """Give the mode of a restored file: that of the member, as far as it is about the owner, and a group that reads.

    The right to run it stays with the owner: a setting may name a script that lies in the data directory.

    >>> [oct(file_mode(mode, group=False)) for mode in (0o400, 0o640, 0o6777)]
    ['0o600', '0o600', '0o700']
    >>> [oct(file_mode(mode, group=True)) for mode in (0o600, 0o640, 0o6777)]
    ['0o600', '0o640', '0o740']
    """
    return 0o600 | mode & (0o140 if group else 0o100)


def directory_mode(mode: int, group: bool) -> int:
    """Give the mode of a restored directory.

    >>> [oct(directory_mode(mode, group=True)) for mode in (0o700, 0o750, 0o2777)]
    ['0o700', '0o750', '0o750']
    """
    return 0o700 | mode & (0o050 if group else 0)


def grants_group(member: Member) -> bool:
    """Tell whether a member shows that a group may read the cluster (``initdb --allow-group-access``).

    The server writes this file into the archive itself, first of all, with the mode that it gives to its files:
    ``sendFileWithContent`` in ``src/backend/backup/basebackup.c``.
    """
    return member.name == "backup_label" and member.mode & 0o040 != 0


def _unfit(member: Member, why: str) -> Error:
    return InvalidValue(f"{member.name!r} {why}")
