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

from .._core.catalog import SegmentFile
from .._core.walrecords import Summary
from .._errors import Error
from .files import read_json, write_json

_FORMAT = 1
_KEPT = 5000


def cache_file(repository_id: str, cluster: str) -> str:
    """Name the cache of one cluster of one repository."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    directory = base if os.path.isabs(base) else os.path.expanduser("~/.cache")
    digest = hashlib.sha256(f"{repository_id}/{cluster}".encode()).hexdigest()[:32]
    return f"{directory}/pgark/wal-{digest}.json"


class WalCache:
    """Summaries of segments, by what the segment and the one after it are: name, stored size and time of arrival.

    The next one counts because a record that begins in a segment may end in the next. Only what lies below ``archive``
    is remembered: a segment elsewhere may still be written.
    """

    def __init__(self, path: str, archive: str) -> None:
        self._path = path
        self._archive = archive
        self._entries: dict[str, object] = _read(path)
        self._changed = False

    def get(self, segment: SegmentFile, following: SegmentFile | None) -> Summary | None:
        """Give what is known of a segment."""
        key = _key(segment, following)
        document = self._entries.pop(key, None)
        if not isinstance(document, list):
            return None
        self._entries[key] = document  # at the end, where what was used last is
        try:
            return Summary.from_document(document)
        except (IndexError, TypeError, ValueError):
            return None

    def put(self, segment: SegmentFile, following: SegmentFile | None, summary: Summary) -> None:
        """Remember a segment."""
        if not all(file is None or file.path.startswith(self._archive) for file in (segment, following)):
            return
        self._entries[_key(segment, following)] = summary.as_document()
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
        document = read_json(path)
    except (Error, OSError):
        return {}
    segments = document.get("segments") if document is not None and document.get("format") == _FORMAT else None
    try:
        return {str(key): entry for key, entry in segments or ()}
    except (TypeError, ValueError):
        return {}


def _key(segment: SegmentFile, following: SegmentFile | None) -> str:
    files = [segment] if following is None else [segment, following]
    return " ".join(f"{os.path.basename(file.path)}:{file.size}:{file.mtime_ns}" for file in files)
