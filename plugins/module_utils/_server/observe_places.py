# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look which directories repositories and clusters really are."""

from __future__ import annotations

import os
from collections.abc import Iterable

from .places import Directory, check_apart, check_distinct


def check_repositories_apart(repositories: Iterable[str], data_directory: str, *more: str) -> None:
    """Refuse repositories that are one and the same, or lie in a cluster's directories, of which ``more`` may come."""
    found = [_directory(path) for path in repositories]
    check_distinct(found)
    real = os.path.realpath(data_directory)
    taken = {
        "the data directory": _directory(real),
        "the place where a restore is staged": _directory(f"{real}.restore"),
    }
    if os.path.islink(f"{real}/pg_wal"):
        taken["the directory of pg_wal"] = _directory(f"{real}/pg_wal")
    links = f"{real}/pg_tblspc"
    names = os.listdir(links) if os.path.isdir(links) else []
    taken |= {f"tablespace {name}": _directory(f"{links}/{name}") for name in names}
    taken |= {f"the place of a tablespace ({path})": _directory(path) for path in more}
    check_apart(found, taken)


def _directory(path: str) -> Directory:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return Directory(path, os.path.realpath(path))
    return Directory(path, os.path.realpath(path), (status.st_dev, status.st_ino))
