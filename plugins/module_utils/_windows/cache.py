# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remember what archived segments hold, so that they are not decompressed and read again each time.

A cache only: it lies in the home of the user that runs the modules, and where it cannot be read or written, everything
works without it.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress

from .._errors import Error
from .._host.caches import cache_directory
from .._host.files import read_json, write_json
from .._wal.summary import Summary

_FORMAT = 5
_KEPT = 100_000
_LARGEST = 64 << 20


def cache_file(repository_id: str, cluster: str) -> str:
    """Name the cache of one cluster of one repository."""
    digest = hashlib.sha256(f"{repository_id}/{cluster}".encode()).hexdigest()[:32]
    return f"{cache_directory()}/wal-{digest}.json"


class WalCache:
    """Summaries of segments, by what tells that a file is still the one that was read."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._entries: dict[str, object] = _read(path)
        self._changed = False

    def get(self, key: str) -> Summary | None:
        """Give what is known of a segment."""
        document = self._entries.pop(key, None)
        if not isinstance(document, list):
            return None
        self._entries[key] = document  # at the end, where what was used last is
        try:
            return Summary.from_document(document)
        except (IndexError, TypeError, ValueError):
            return None

    def put(self, key: str, summary: Summary) -> None:
        """Remember a segment."""
        self._entries[key] = summary.as_document()
        self._changed = True

    def save(self) -> None:
        """Write what was learnt, and leave out what was not used for longest."""
        if not self._changed:
            return
        kept = dict(list(self._entries.items())[-_KEPT:])
        with suppress(OSError):
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            write_json(self._path, {"format": _FORMAT, "segments": list(kept.items())}, 0o600)


def _read(path: str) -> dict[str, object]:
    try:
        document = read_json(path, _LARGEST)
    except (Error, OSError):
        return {}
    segments = document.get("segments") if document is not None and document.get("format") == _FORMAT else None
    try:
        return {str(key): entry for key, entry in segments or ()}
    except (TypeError, ValueError):
        return {}
