# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``backup_label`` and ``tablespace_map`` of a backup say."""

from __future__ import annotations

import re

from .facts import refuse_different
from .restore_steps import CheckLabel

_START = re.compile(r"^START WAL LOCATION: ([0-9A-F]+/[0-9A-F]+) ", re.MULTILINE)


def check_label(step: CheckLabel, label: str, tablespace_map: str) -> None:
    """Refuse a backup whose ``backup_label`` and ``tablespace_map`` are those of another one."""
    start = _START.search(label)
    # One that is in the data directory has no line (CREATE TABLESPACE with allow_in_place_tablespaces).
    outside = {oid: path for oid, path in step.tablespaces.items() if path.startswith("/")}
    said = {
        "start": ("none" if start is None else start[1], step.start_lsn),
        "tablespaces": (parse_tablespace_map(tablespace_map), outside),
    }
    refuse_different(step.label, "backup_label or tablespace_map", said)


def parse_tablespace_map(text: str) -> dict[str, str]:
    r"""Read the lines of oid and path, in which a backslash escapes itself and line breaks.

    Source of the facts: ``read_tablespace_map`` in ``src/backend/access/transam/xlogrecovery.c``.

    >>> parse_tablespace_map("16385 /srv/a\\\\b\n16386 /srv/c d\n")
    {'16385': '/srv/a\\b', '16386': '/srv/c d'}
    """
    found = {}
    for line in re.findall(r"(?:[^\\\n\r]|\\[\s\S])+", text):
        oid, _space, path = line.partition(" ")
        found[oid] = re.sub(r"\\([\s\S])", r"\1", path)
    return found
