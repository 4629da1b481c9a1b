# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a recovery is given of an archive: told by pgark-wal's own code, so that no plan can count on anything else.

The program is imported where it is needed: whoever does not ask for WAL does without it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from typing import NamedTuple

from .._errors import Error, printable
from .._host.files import read_small, room_of
from .layout import Layout


def require_archive(layout: Layout) -> None:
    """Refuse an archive of which pgark-wal would give nothing."""
    from .._program import pgark_wal  # noqa: PLC0415 -- see above

    try:
        pgark_wal.Archive(layout.repository, layout.cluster).close()
    except pgark_wal.Refused as refused:
        raise Error(f"a recovery gets nothing from {layout.wal}: {_words(str(refused))}") from None


class Delivery(NamedTuple):
    """Whether there is a file now, and what is wrong with the archived forms that were passed over."""

    done: bool
    words: str


def deliver(path: str, target: str, size: int) -> Delivery:
    """Put a segment under the name ``target`` if ``pgark-wal get`` would, from one repository.

    ``path`` is that of any archived form of it: all are tried, in the order of the program. Raises OSError where there
    was no room for ``size`` bytes, which says nothing of the segment.
    """
    from .._program import pgark_wal  # noqa: PLC0415 -- see above

    name, wal = os.path.basename(path)[: pgark_wal.SEGMENT_NAME], os.path.dirname(os.path.dirname(path))
    repository, cluster = os.path.split(os.path.dirname(wal))
    problems: list[str] = []
    done = False
    try:
        archive = pgark_wal.Archive(repository, cluster)
        try:
            done = pgark_wal.get_from(archive, name, target, f"{target}.pgark-tmp", problems)
        finally:
            archive.close()
    except (pgark_wal.Refused, OSError) as error:
        problems.append(f"{wal}: {pgark_wal.reason(error)}")
    if not done and room_of(os.path.dirname(target)).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)
    return Delivery(done, _words("; ".join(problems)) or ("" if done else f"{path} has gone meanwhile"))


def content_of(path: str) -> Generator[bytes | memoryview, None, None]:
    """Give an archived form of a file piece by piece; a piece is overwritten by the next.

    Raises Error at the end, at the latest, where its own checksum does not hold, or there is none.
    """
    from .._program import pgark_wal  # noqa: PLC0415 -- see above

    suffix = os.path.splitext(path)[1]
    try:
        fd = pgark_wal.open_regular(path, pgark_wal.READ)
        try:
            yield from pgark_wal.decompress(fd, suffix if suffix in pgark_wal.SUFFIXES.values() else "")
        finally:
            os.close(fd)
    except pgark_wal.Refused as refused:
        raise Error(_words(str(refused))) from None


def has_checksum(path: str, digest: str) -> bool:
    """Tell whether a plain segment has a checksum beside it, and that is the one with which it is delivered."""
    from .._program import pgark_wal  # noqa: PLC0415 -- see above

    try:
        found = read_small(pgark_wal.sidecar_of(path))
    except (Error, FileNotFoundError):
        return False
    return found == pgark_wal.sidecar_line(os.path.basename(path), digest)


def _words(text: str) -> str:
    """Have what is to be done about it go on in the sentence."""
    return printable(text.replace(". HINT: ", "; "))
