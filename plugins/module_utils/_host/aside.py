# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""List what restores and rollbacks have set aside, and read the journal of a rollback."""

from __future__ import annotations

import os

from .._core.data_directory import DataDirectory
from .._core.documents import read_fields
from .._core.rollback import Journal
from .files import read_json


def read_journal(path: str) -> Journal | None:
    """Read what an interrupted rollback was about; None when there was none."""
    document = read_json(path)
    return None if document is None else read_fields(Journal, path, document)


def under_way(directory: DataDirectory) -> Journal | None:
    """Give the journal of a rollback that was interrupted before what it puts back was in place."""
    journal = read_journal(directory.journal)
    return journal if journal is not None and os.path.isdir(journal.source) else None
