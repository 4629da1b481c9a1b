# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a repository, read in one direction, decompressed by the program that their suffix asks for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from .._errors import InvalidValue
from .files import open_regular
from .runner import CommandRunner
from .tools import decompress_cmd

_CHUNK = 1024 * 1024
_LONGEST_REST = 1 << 30  # of a compressed stream that is not read to its end: the largest segment
_SUFFIXES = {".zst": "zstd", ".lz4": "lz4", ".gz": "gzip"}


@contextmanager
def opened(path: str, runner: CommandRunner, largest: int | None = None) -> Iterator[IO[bytes]]:
    """Open a file of a repository for reading in one direction, decompressed by the program of its suffix.

    What is stored in more than ``largest`` bytes is refused (None: nothing is): gzip skips zeros, how many there are.
    """
    compression = _SUFFIXES.get(os.path.splitext(path)[1])
    with os.fdopen(open_regular(path), "rb") as source:
        size = os.fstat(source.fileno()).st_size
        if largest is not None and size > largest:
            raise InvalidValue(f"{path} has {size} bytes, expected {largest} at most")
        if compression is None:
            yield source
        else:
            with runner.reading(decompress_cmd(compression), source) as stream:
                yield stream
                # To the end, where the checksum of the compressed stream is.
                if not any(not stream.read(_CHUNK) for _chunk in range(_LONGEST_REST // _CHUNK + 1)):
                    raise InvalidValue(f"{path} goes on and on when it is decompressed")
