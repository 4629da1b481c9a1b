# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of a directory tree and of a server's settings, to compare before and after."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import stat
from pathlib import Path
from typing import NamedTuple

from tests.support.postgres import Cluster


class Entry(NamedTuple):
    """One file, directory or symbolic link; `content` is a SHA-256, or what a link says."""

    kind: str
    mode: str
    owner: str
    group: str
    size: int
    content: str


def tree(top: Path) -> dict[str, Entry]:
    """Return everything at and below the path, by relative name, "." being the path; nothing if it is not there."""
    if not os.path.lexists(top):
        return {}
    below = (Path(at, name) for at, directories, files in os.walk(top) for name in directories + files)
    return {os.path.relpath(path, top): _entry(path) for path in (top, *sorted(below))}


def settings(cluster: Cluster) -> dict[str, str]:
    """Return the server's settings, in effect or pending, and the lines of its configuration files."""
    effective = cluster.sql("SELECT 'setting ' || name, setting || ' pending=' || pending_restart FROM pg_settings")
    written = cluster.sql("SELECT format('%s:%s %s', sourcefile, sourceline, name), setting FROM pg_file_settings")
    return dict(effective) | dict(written)


def _entry(path: Path) -> Entry:
    status = path.lstat()
    mode = stat.filemode(status.st_mode)
    owner, group = pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid).gr_name
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return Entry(mode[0], mode[1:], owner, group, size, _content(path, status.st_mode))


def _content(path: Path, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return os.readlink(path)
    if stat.S_ISREG(mode):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return ""
