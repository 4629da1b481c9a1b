# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are in a repository (format 1), and which names may become a part of a path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from .._errors import InvalidValue
from .._values.markers import MARKER
from .._wal.names import classify

FORMAT = 1
SUFFIXES = {"none": "", "zstd": ".zst", "lz4": ".lz4", "gzip": ".gz"}

# So many bytes come out of one at most, by suffix: DEFLATE, the block of LZ4, and a block of zstd of one byte repeated.
MOST_PACKED = {"": 1, ".gz": 1032, ".lz4": 255, ".zst": 32768}

NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}"
_MODE = re.compile(r"0?[0-7]{3,4}")


def check_name(what: str, name: str) -> str:
    """Return ``name`` if it is fit to be a directory's name; ``what`` says in the error what it names."""
    if not re.fullmatch(NAME, name):
        raise InvalidValue(
            f"{what} {name!r} cannot be used as a directory name",
            "use 1 to 63 letters, digits, '_', '-' and '.', beginning with a letter, a digit or '_'",
        )
    return name


def check_path(what: str, path: str) -> str:
    """Return ``path`` without a trailing slash if it is absolute and of printable characters."""
    if not path.startswith("/") or not path.isprintable() or ".." in path.split("/"):
        raise InvalidValue(
            f"{what} {path!r} is not usable; expected an absolute path without '..' or control characters"
        )
    return path.rstrip("/") or "/"


def check_repositories(first: str, further: Sequence[str]) -> tuple[str, ...]:
    """Return the paths of all repositories, in their order; one that is named twice would not be a second copy.

    >>> check_repositories("/srv/pgark", ["/mnt/second/"])
    ('/srv/pgark', '/mnt/second')
    """
    paths = tuple(check_path("repository", path) for path in (first, *further))
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise InvalidValue(f"repository {twice} is given twice, expected another one", "look at further_repositories")
    return paths


def parse_mode(text: str) -> int:
    """Read an octal mode; anything that gives rights to everybody is refused.

    >>> oct(parse_mode("0750"))
    '0o750'
    """
    if not _MODE.fullmatch(text) or int(text, 8) & 0o007 or int(text, 8) & 0o700 != 0o700:
        raise InvalidValue(
            f"mode {text!r} is not fit for a repository",
            "give an octal number in quotes with all rights for the owner and none for others, such as '0750'",
        )
    return int(text, 8)


def utc_stamp(moment: datetime) -> str:
    """Write a moment in the form used in names.

    >>> utc_stamp(datetime(2026, 11, 21, 1, 15, tzinfo=timezone.utc))
    '20261121T011500Z'
    """
    return moment.astimezone(timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def default_label(moment: datetime, kind: str) -> str:
    """Name a backup that was given no label."""
    return f"{utc_stamp(moment)}-{'full' if kind == 'full' else 'incr'}"


@dataclass(frozen=True)
class Layout:
    """The places of one cluster in a repository; all paths are absolute strings."""

    repository: str
    cluster: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "repository", check_path("repository", self.repository))
        if check_name("cluster", self.cluster) == MARKER:
            raise InvalidValue(f"a cluster cannot be called {MARKER}", "that is the repository's own file")

    @property
    def marker(self) -> str:
        """The file that makes a directory a repository."""
        return f"{self.repository}/{MARKER}"

    @property
    def directory(self) -> str:
        """The cluster's own directory."""
        return f"{self.repository}/{self.cluster}"

    @property
    def identity(self) -> str:
        """The file that says which cluster the directory belongs to."""
        return f"{self.directory}/cluster.json"

    @property
    def lock(self) -> str:
        """The file that is locked while an operation is under way."""
        return f"{self.directory}/lock"

    @property
    def backups(self) -> str:
        """The directory of all backups."""
        return f"{self.directory}/backup"

    @property
    def wal(self) -> str:
        """The directory of all archived WAL."""
        return f"{self.directory}/wal"

    def backup(self, label: str) -> str:
        """The directory of one published backup."""
        return f"{self.backups}/{check_name('backup label', label)}"

    def partial(self, label: str) -> str:
        """The directory of a backup that is being taken."""
        return f"{self.backups}/.{check_name('backup label', label)}.partial"

    def wal_file(self, name: str) -> str:
        """The place of a WAL file, without the suffix of its compression."""
        kind = classify(name)
        if kind is None:
            raise InvalidValue(f"{name!r} is not the name of a file that PostgreSQL archives")
        return f"{self.wal}/{name}" if kind == "history" else f"{self.wal}/{name[:16]}/{name}"
