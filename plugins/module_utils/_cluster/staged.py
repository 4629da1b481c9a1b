# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is staged beside a data directory, and how it is given up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from .._errors import Error
from .._host.files import is_full, read_small, remove_tree
from .._values.markers import RECORD
from .data_directory import RestoreRecord
from .marks import remove_marked
from .observe import read_record, write_record

# As `write_json` writes it, and the contrary in as many bytes.
_COMPLETE = b'"complete": true'
_INCOMPLETE = b'"complete":false'


def recorded(staging: str) -> RestoreRecord:
    """Read the record that a staging directory has to have."""
    record = read_record(staging)
    if record is None:
        raise Error(f"{staging} has no record of a restore any more", "run the restore again")
    return record


@contextmanager
def discarded_on_failure(staging: str) -> Iterator[None]:
    """Remove what was staged when it cannot be finished: it takes room from the server that still runs."""
    try:
        yield
    except (Error, OSError):
        with suppress(Error, OSError):  # the next run does it; what went wrong first is said
            discard(staging, recorded(staging).places)
        raise


def discard(staging: str, places: tuple[str, ...]) -> None:
    """Remove what is staged. Its record stays, and says from the beginning that nothing whole is there.

    From the record the places outside are known until they are gone, and it tells where the data is that a restore
    has set aside; the next staging replaces it.
    """
    record = recorded(staging)
    if record.complete:
        _note_incomplete(staging, record)
    for place in places:
        remove_marked(place, record.run)
    for name in os.listdir(staging):
        if name != RECORD:
            remove_tree(f"{staging}/{name}")


def _note_incomplete(staging: str, record: RestoreRecord) -> None:
    """Note that nothing whole is there any more; on a full file system over what stands there, in as many bytes.

    Whoever loses power while these few bytes are written has the old ones, the new ones, or no JSON, which is refused.
    """
    try:
        write_record(staging, replace(record, complete=False))
    except OSError as error:
        path = f"{staging}/{RECORD}"
        text = read_small(path)
        if not is_full(error) or text.count(_COMPLETE) != 1:
            raise
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, _INCOMPLETE, text.index(_COMPLETE))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
