# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""List what restores and rollbacks have set aside, and read the journal of a rollback."""

from __future__ import annotations

import os
from dataclasses import replace

from .._cluster.data_directory import Damaged, DataDirectory, check_records_readable
from .._cluster.observe import mark_of, own_record
from .._errors import Error
from .._host.files import read_json
from .._previous_data.observe import kept_paths
from .._values.documents import read_fields
from .situation import Journal


def read_journal(path: str) -> Journal | None:
    """Read what an interrupted rollback was about; None when there was none."""
    document = read_json(path)
    return None if document is None else read_fields(Journal, path, document)


def journal_of(directory: DataDirectory) -> Journal | None:
    """Read the journal of a rollback, and say where all data is if it cannot be read."""
    try:
        return read_journal(directory.journal)
    except (Error, OSError) as error:
        why = error.message if isinstance(error, Error) else f"{directory.journal}: {error.strerror}"
        check_records_readable(replace(directory, damaged=(Damaged(directory.journal, why),)), kept_paths(directory))
        raise


def under_way(directory: DataDirectory) -> Journal | None:
    """Give the journal of a rollback that was interrupted before what it puts back was in place, and whole.

    Data that leaves its timeline may stand in the middle of that recovery: no server would start in it.
    """
    journal = journal_of(directory)
    if journal is None or os.path.isdir(journal.source):
        return journal
    return journal if journal.timeline is not None and journal.mark == _mark(directory.real_path) else None


def _mark(path: str) -> str | None:
    return mark_of(path, os.stat(path).st_ino, own_record(path)) if os.path.isdir(path) else None
