# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lay out a configuration as it will be once a backup's files are put back, for PostgreSQL to be asked about it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .._errors import Error
from .._host.files import read_small
from .._host.tree import Tree
from .files import KeptFile, is_below, resolved
from .includes import with_includes
from .observe import LARGEST, content_of
from .steps import PutBack

_MOST = 4 * LARGEST


@contextmanager
def laid_out(put_back: PutBack, staging: str) -> Iterator[str]:
    """Make a private directory with all files at their paths below it, and give that.

    Absolute paths in include directives and links lead to what is laid out, or in the data directory to what is staged.
    """
    with tempfile.TemporaryDirectory(prefix="pgark-") as made:
        layout = _Layout(put_back, os.path.realpath(made), staging)
        layout.fill()
        yield layout.root


class _Layout:
    """The files of a configuration below a directory that stands for the root of the file system."""

    def __init__(self, put_back: PutBack, root: str, staging: str) -> None:
        self.root = root
        self._put_back = put_back
        self._staging = staging
        self._known = {file.path for file in put_back.files}
        self._size = 0

    def fill(self) -> None:
        """Make directories before links, and nothing through a link."""
        files = {file: self._kind(file) for file in self._put_back.files}
        with Tree(self.root) as tree:
            for file, kind in files.items():
                if kind == "directory":
                    self._directory(tree, file.path)
            for file, kind in files.items():
                if kind in ("file", "link"):
                    self._directory(tree, os.path.dirname(file.path))
            for wanted, make in (("link", self._link), ("file", self._write)):
                for file, kind in files.items():
                    if kind == wanted:
                        make(tree, file)

    def _kind(self, file: KeptFile) -> str:
        """Tell what is laid out: what is put back, and of the rest what this host has, whatever the backup says."""
        if file.path in self._put_back.chosen:
            return file.kind
        if os.path.islink(file.path) and file.kind != "file":
            return "link"
        return "directory" if os.path.isdir(file.path) else "file" if os.path.isfile(file.path) else "missing"

    def _directory(self, tree: Tree, path: str) -> None:
        """Make a directory, and those above it."""
        parts = path.strip("/").split("/")
        for count in range(1, len(parts) + 1 if parts[0] else 0):
            with suppress(FileExistsError):
                tree.directory("/".join(parts[:count]))

    def _link(self, tree: Tree, file: KeptFile) -> None:
        target = str(file.target) if file.path in self._put_back.chosen else os.readlink(file.path)
        with suppress(FileExistsError):  # there is something behind it, which is laid out already
            tree.link(file.path[1:], self._there(resolved(target, file.path)))

    def _write(self, tree: Tree, file: KeptFile) -> None:
        """Write a file of the backup, or the one that this host has and keeps."""
        chosen = file.path in self._put_back.chosen
        content = content_of(self._put_back.backup, file) if chosen else read_small(file.path, LARGEST, follow=True)
        self._size += len(content)
        if self._size > _MOST:
            raise Error(f"the configuration has more than {_MOST} bytes", "look at what its include directives name")
        text = with_includes(os.fsdecode(content), self._there)
        try:
            tree.file(file.path[1:], 0o600, [os.fsencode(text)])
        except FileExistsError:
            raise Error(
                f"the configuration in the backup names {file.path} as a file, and something behind it",
                "this backup cannot be trusted; restore from another one with backup_label",
            ) from None

    def _there(self, path: str) -> str:
        """Give the path at which a file lies for the time of the rehearsal."""
        path = os.path.normpath(path)
        if is_below(path, self._put_back.data_directory):
            return self._staging + path[len(self._put_back.data_directory) :]
        laid_out = path in self._known or os.path.exists(self.root + path)
        return self.root + path if laid_out or not os.path.exists(path) else path
