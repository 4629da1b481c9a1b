# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fill a directory so that nothing gets out of it: names are opened one by one, and links among them are refused."""

from __future__ import annotations

import os
from collections.abc import Iterable

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
BLOCK = 4096  # what an entry without content is taken to need


class Tree:
    """A directory that is filled: everything in it is new, and nothing leads out of it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._root = os.open(path, _DIRECTORY)
        self._parent, self._at = self._root, ""

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()
        os.close(self._root)

    def directory(self, path: str, mode: int = 0o700) -> None:
        """Make a directory."""
        parent, name = self._opened(path)
        self._take(BLOCK)
        os.mkdir(name, 0o700, dir_fd=parent)
        if mode != 0o700:
            os.chmod(name, mode, dir_fd=parent)  # the process has a umask

    def file(self, path: str, mode: int, content: Iterable[bytes | memoryview]) -> None:
        """Write a file."""
        parent, name = self._opened(path)
        self._take(BLOCK)
        descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
        try:
            for piece in content:
                self._take(len(piece))
                written = 0
                while written < len(piece):
                    written += os.write(descriptor, piece[written:])
            if mode != 0o600:
                os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link, which nothing that comes later goes through."""
        parent, name = self._opened(path)
        os.symlink(target, name, dir_fd=parent)

    def replace(self, path: str, target: str) -> list[str]:
        """Put a link in the place of a directory that has nothing but empty directories, whose names are returned."""
        parent, name = self._opened(path)
        descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            names = os.listdir(descriptor)
            for below in names:
                os.rmdir(below, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        os.rmdir(name, dir_fd=parent)
        self.link(path, target)
        return names

    def _opened(self, path: str) -> tuple[int, str]:
        """Open the directory that a path is in; members of one directory follow each other."""
        at, _slash, name = path.rpartition("/")
        if at != self._at:
            self._leave()
            for part in at.split("/") if at else ():
                below = os.open(part, _DIRECTORY, dir_fd=self._parent)
                self._leave()
                self._parent = below
            self._at = at
        return self._parent, name

    def _leave(self) -> None:
        if self._parent != self._root:
            os.close(self._parent)
        self._parent, self._at = self._root, ""

    def _take(self, size: int) -> None:
        """Be told how much is about to be written."""
