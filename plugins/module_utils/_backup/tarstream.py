# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the archives of a base backup, in one direction, member by member."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import IO

from .._errors import Error, InvalidValue
from .._host.decompressed import opened
from .._host.runner import CommandRunner
from .members import archives
from .tarheader import BLOCK, Member, parse_header

_CHUNK = 1024 * 1024
_RECORD = 20 * BLOCK  # tar writes no less at once, and fills what is left of it with zeros


def tar_files(directory: str) -> dict[str, str]:
    """Give the tar files of a backup by what they hold: ``base``, ``pg_wal`` or the oid of a tablespace."""
    try:
        found = archives(os.listdir(directory))
    except InvalidValue as error:
        raise Error(f"{directory}: {error.message}", "move what does not belong there away") from None
    return {archive: os.path.join(directory, name) for archive, name in found.items()}


class Content:
    """The content of one member; what is not read of it is skipped."""

    def __init__(self, stream: IO[bytes], size: int, buffer: memoryview) -> None:
        self._stream = stream
        self._left = size
        self._buffer = buffer
        self.cut_off = False

    def __iter__(self) -> Iterator[memoryview]:
        """Give the content piece by piece; a piece is overwritten by the next."""
        while self._left:
            wanted = self._buffer[: min(self._left, len(self._buffer))]
            count: int = self._stream.readinto(wanted)  # type: ignore[attr-defined]  # IO[bytes] does not declare it
            if not count:
                self.cut_off = True  # said by the reader of the archive, which knows why
                return
            self._left -= count
            yield self._buffer[:count]

    def skip(self) -> None:
        """Read what is left."""
        for _piece in self:
            pass


def members(
    path: str, runner: CommandRunner, largest: int | None = None
) -> Generator[tuple[Member, Content], None, None]:
    """Read an archive, decompressed by the program that its suffix asks for; each content before the next member.

    One that is stored in more than ``largest`` bytes is refused (None: none is).

    Raises InvalidValue for what is no archive of PostgreSQL's, CommandFailed with the words of a decompressor.
    """
    whole = False
    with ExitStack() as stack:
        stream, buffer = stack.enter_context(opened(path, runner, largest)), memoryview(bytearray(_CHUNK))
        whole = yield from _members(stream, buffer)
        if whole:
            whole = _ends(stream)
    if not whole:
        raise InvalidValue(f"{path} is cut off")


def _members(stream: IO[bytes], buffer: memoryview) -> Generator[tuple[Member, Content], None, bool]:
    """Read up to the first block of zeros; tells at the end whether it came to that."""
    while True:
        block = stream.read(BLOCK)
        if len(block) < BLOCK:
            return False
        member = parse_header(block)
        if member is None:
            return True
        content = Content(stream, member.size, buffer)
        yield member, content
        content.skip()
        if content.cut_off or len(stream.read(member.padding)) < member.padding:
            return False


def _ends(stream: IO[bytes]) -> bool:
    """Read to the end, where the checksum of a compressed stream is; a second block of zeros, and nothing else.

    That many zeros as fill a record may follow; a hole in a file has no end that anybody would wait for.
    """
    rest = stream.read(_RECORD + 1)
    if any(rest) or len(rest) > _RECORD:
        raise InvalidValue(f"there is something behind the end of the archive, or more than {_RECORD} bytes of zeros")
    return len(rest) >= BLOCK
