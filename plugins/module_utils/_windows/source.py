# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can read WAL, and what it says of a segment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from .._wal.names import Lsn
from .._wal.records import Record
from .._wal.summary import Summary
from .spans import WalSpan


@dataclass(frozen=True)
class SegmentContents:
    """What one segment holds; ``damage`` says why it cannot be replayed to its end although more should follow."""

    number: int
    summary: Summary
    damage: str | None = None


class WalSource(Protocol):
    """What can read WAL."""

    def backwards(self, stretch: WalSpan, first: int, last: int) -> Iterator[SegmentContents]:
        """Look into the segments from ``last`` down to ``first``; the caller may end it early."""

    def forwards(self, stretch: WalSpan, first: int, last: int) -> Iterator[SegmentContents]:
        """Look into the segments from ``first`` up to ``last``; the caller may end it early."""

    def records(self, stretch: WalSpan, number: int) -> list[Record]:
        """List the records that begin in one segment."""

    def has_record_from(self, stretch: WalSpan, position: Lsn) -> bool:
        """Tell whether any record begins at a position of the last segment, or later."""
