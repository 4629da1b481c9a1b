# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository is no second copy when it is the first one, and none at all when it goes with what it is a copy of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .._errors import InvalidValue


@dataclass(frozen=True)
class Directory:
    """A path as it was given, with symbolic links resolved, and the device and inode there; None: nothing is there."""

    path: str
    real: str
    inode: tuple[int, int] | None = None

    def holds(self, other: Directory) -> bool:
        """Tell whether another one is the same or lies below."""
        return self.same(other) or f"{other.real}/".startswith(f"{self.real.rstrip('/')}/")

    def same(self, other: Directory) -> bool:
        """Tell whether another one is the same directory, by its path or, as with a bind mount, by its inode."""
        return self.real == other.real or (self.inode is not None and self.inode == other.inode)


def check_distinct(repositories: Sequence[Directory]) -> None:
    """Refuse a repository that is another one of them by a link, a mount, or another way to write its path."""
    for number, repository in enumerate(repositories):
        for earlier in repositories[:number]:
            if repository.same(earlier):
                raise InvalidValue(
                    f"repository {repository.path} is the directory {earlier.path}, expected another one: it would not "
                    "be a second copy",
                    "look at further_repositories (backup_repository_further_paths)",
                )


def check_apart(repositories: Sequence[Directory], taken: Mapping[str, Directory]) -> None:
    """Refuse a repository that lies inside of a cluster's directories, or holds one of them.

    A backup would hold all earlier ones, a restore would move the repository away while it reads it.
    """
    for repository in repositories:
        for what, directory in taken.items():
            if directory.holds(repository) or repository.holds(directory):
                where = "lies in" if directory.holds(repository) else "holds"
                raise InvalidValue(
                    f"repository {repository.path} {where} {what}, {directory.real}; expected a place apart from it",
                    "choose another directory, best on another file system; one that is in use already can be moved as "
                    "a whole while nothing archives into it, and setup_archiving.yml takes the new path "
                    "(backup_repository_path)",
                )
