# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lay out a configuration as it will be once a backup's files are put back, for PostgreSQL to be asked about it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .._core.fitting import PutBack
from .._core.includes import with_includes
from .._core.kept_files import KeptFile, is_below
from .files import naming, read_small
from .kept_files import LARGEST, content_of


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

    def fill(self) -> None:
        """Make directories before links, so that none of these can lie on the way to what is written."""
        files = [file for file in self._put_back.files if file.kind == "file"]
        for file in self._put_back.files:
            if file.kind == "directory":
                os.makedirs(self.root + file.path, mode=0o700, exist_ok=True)
        for file in files:
            os.makedirs(os.path.dirname(self.root + file.path), mode=0o700, exist_ok=True)
        for file in self._put_back.files:
            if file.kind == "link":
                self._link(file)
        for file in files:
            self._write(file)

    def _link(self, file: KeptFile) -> None:
        target = str(file.target)
        if file.path not in self._put_back.chosen:
            with suppress(OSError):
                target = os.readlink(file.path)
        os.makedirs(os.path.dirname(self.root + file.path), mode=0o700, exist_ok=True)
        with suppress(FileExistsError):
            os.symlink(self._there(target) if target.startswith("/") else target, self.root + file.path)

    def _write(self, file: KeptFile) -> None:
        """Write a file of the backup, or the one that this host has and keeps."""
        path, chosen = self.root + file.path, file.path in self._put_back.chosen
        content = content_of(self._put_back.backup, file) if chosen else read_small(file.path, LARGEST, follow=True)
        text = with_includes(os.fsdecode(content), self._there)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with naming(path), os.fdopen(descriptor, "wb") as opened:
            opened.write(os.fsencode(text))

    def _there(self, path: str) -> str:
        """Give the path at which a file lies for the time of the rehearsal."""
        path = os.path.normpath(path)
        if is_below(path, self._put_back.data_directory):
            return self._staging + path[len(self._put_back.data_directory) :]
        laid_out = path in self._known or os.path.exists(self.root + path)
        return self.root + path if laid_out or not os.path.exists(path) else path
