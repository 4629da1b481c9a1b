# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows that the demo wrote, and whether exactly those came back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from tests.support.postgres import Cluster

CREATE = """
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    item text NOT NULL,
    placed timestamptz NOT NULL DEFAULT clock_timestamp()
)"""
PLACE = "INSERT INTO orders (item) SELECT md5(random()::text) FROM generate_series(1, %s)"
ISO_8601 = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'

Rows = frozenset[tuple[Any, ...]]


@dataclass(frozen=True)
class Comparison:
    """What was there at the target, and what is there after the restore."""

    expected: Rows
    found: Rows

    @property
    def missing(self) -> int:
        """Return how many rows did not come back."""
        return len(self.expected - self.found)

    @property
    def surplus(self) -> int:
        """Return how many rows are there that should not be; a changed row is both missing and surplus."""
        return len(self.found - self.expected)

    @property
    def is_exact(self) -> bool:
        """Tell whether the same rows are there, no fewer and no more."""
        return self.expected == self.found


def rows(cluster: Cluster) -> Rows:
    """Return all rows of the table."""
    return frozenset(cluster.sql("SELECT id, item, placed FROM orders"))


def checksum(content: Rows) -> str:
    """Return the start of a SHA-256 over all values of all rows, in order."""
    return hashlib.sha256(repr(sorted(content)).encode()).hexdigest()[:16]


def now(cluster: Cluster) -> str:
    """Return the server's time, as `target_time` wants it: with the offset, to the microsecond."""
    return str(cluster.value(f"SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', '{ISO_8601}')"))
