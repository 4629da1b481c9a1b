# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tells one cluster from others, and what its WAL has to agree with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """Which cluster a directory of the repository belongs to; ``version`` is the major one times 10000."""

    system_identifier: str
    version: int
    wal_segment_size: int

    @property
    def major(self) -> int:
        """The major version, such as 17."""
        return self.version // 10000
