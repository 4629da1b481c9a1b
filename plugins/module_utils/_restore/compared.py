# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remember which files in pg_wal are the same as the archived ones, so that they are not read again while nothing runs.

A cache only: it lies in the home of the user that runs the modules, and where it cannot be read or written, everything
works without it.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress

from .._errors import Error
from .._host.caches import cache_directory
from .._host.files import read_json, write_json
from .._repository.layout import SUFFIXES, Layout
from .._windows.observe_forks import compare

_FORMAT = 2
_LARGEST = 64 << 20
# What was changed a moment ago may be changed again with the same time.
_SETTLED_NS = 2_000_000_000


class Compared:
    """The files of one data directory's pg_wal that were found archived, and have not been written to since.

    A file is told by its name, device, inode and size, and the time of its last change, which nobody can set: a copy
    has another. That holds for the archived one, too.
    """

    def __init__(self, data_directory: str) -> None:
        """Read what was remembered of a data directory."""
        digest = hashlib.sha256(os.path.realpath(data_directory).encode(errors="surrogateescape")).hexdigest()[:32]
        self._path = f"{cache_directory()}/compared-{digest}.json"
        self._remembered = _read(self._path)
        self._same: set[str] = set()

    def relation(self, own: str, name: str, layout: Layout) -> str:
        """Tell what :func:`forks.compare` does, without reading what was the same and has not changed."""
        before = _state(own, name, layout)
        known = before is not None and before in self._remembered
        found = "same" if known else compare(own, name, layout)
        if found == "same" and before is not None and before == _state(own, name, layout):
            self._same.add(before)
        return found

    def save(self) -> None:
        """Remember what was the same now, and nothing else."""
        with suppress(OSError):
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            write_json(self._path, {"format": _FORMAT, "same": sorted(self._same)}, 0o600)


def _state(own: str, name: str, layout: Layout) -> str | None:
    """Describe a file and all that is archived under its name; None where that may change without being seen."""
    archived = layout.wal_file(name)
    told = [name]
    for form in (own, *(archived + suffix for suffix in SUFFIXES.values()), f"{archived}.sha256"):
        try:
            entry = os.stat(form)
        except FileNotFoundError:
            told.append("-")
            continue
        except OSError:
            return None
        if abs(time.time_ns() - entry.st_ctime_ns) < _SETTLED_NS:
            return None
        told.append(f"{entry.st_dev}:{entry.st_ino}:{entry.st_size}:{entry.st_ctime_ns}")
    return " ".join(told)


def _read(path: str) -> frozenset[str]:
    try:
        document = read_json(path, _LARGEST)
    except (Error, OSError):
        return frozenset()
    same = document.get("same") if document is not None and document.get("format") == _FORMAT else None
    return frozenset(same) if isinstance(same, list) and all(isinstance(text, str) for text in same) else frozenset()
