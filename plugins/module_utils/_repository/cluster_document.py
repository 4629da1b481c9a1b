# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster's directory in the repository says of it: the content of ``cluster.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from .._errors import InvalidValue, shown
from .._values import documents
from .._wal.identity import Identity
from .._wal.names import SEGMENT_SIZES
from .layout import FORMAT

_NAME = "cluster.json"
IDENTIFIER = documents.matching(r"[1-9]\d{0,19}", "a system identifier in quotes")
VERSION = documents.number(100_000, 999_999)


def as_document(identity: Identity) -> dict[str, Any]:
    """Give the content of ``cluster.json``."""
    return {"format": FORMAT, **asdict(identity)}


def from_document(document: Mapping[str, Any]) -> Identity:
    """Read the content of ``cluster.json``."""
    check_format(_NAME, document)
    special = {
        "system_identifier": IDENTIFIER,
        "version": VERSION,
        "wal_segment_size": documents.one_of(*SEGMENT_SIZES),
    }
    return documents.read_fields(Identity, _NAME, document, **special)


def check_format(name: str, document: Mapping[str, Any]) -> None:
    """Refuse a file that a newer version of the collection wrote."""
    found = document.get("format")
    if isinstance(found, bool) or not isinstance(found, int) or found != FORMAT:
        raise InvalidValue(
            f"{name} has format {shown(found)}, expected {FORMAT}",
            "use the version of pgark.postgres that wrote it",
        )
