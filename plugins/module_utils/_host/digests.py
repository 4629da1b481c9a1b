# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checksums of what is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import IO

from .._values.file_entry import FileEntry

_CHUNK = 1024 * 1024


def sha256_of(stream: IO[bytes]) -> FileEntry:
    """Read a stream to its end and give its size and SHA-256."""
    return hashed(iter(lambda: stream.read(_CHUNK), b""))


def hashed(pieces: Iterable[bytes | memoryview]) -> FileEntry:
    """Give the size and the SHA-256 of what comes in pieces."""
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    return FileEntry(size, digest.hexdigest())
