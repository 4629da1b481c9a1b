# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the settings of an archiving that was replaced are kept: beside pgark-wal, for each data directory."""

from __future__ import annotations

import hashlib
import os

from .._host.files import make_directory, read_json, write_json
from .takeover import KeepReplaced, Kept


def kept_place(program: str | None, system_identifier: str, data_directory: str) -> str:
    """Name the file; without a program, it lies where the role installs one."""
    directory = os.path.dirname(program) if program else os.path.expanduser("~/pgark")
    which = hashlib.sha256(os.fsencode(data_directory)).hexdigest()[:8]  # a host may have a standby of it, too
    return f"{directory}/replaced-{system_identifier}-{which}.json"


def read_kept(path: str) -> Kept | None:
    """Read what was kept; None when there is nothing."""
    document = read_json(path)
    return None if document is None else Kept.from_document(path, document)


def keep(step: KeepReplaced) -> None:
    """Keep it durably, for its owner only."""
    directory = os.path.dirname(step.path)
    if not os.path.isdir(directory):
        make_directory(directory, 0o750)
    write_json(step.path, step.content, 0o600)
