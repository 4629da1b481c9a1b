# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operating-system account that runs the servers, for PostgreSQL refuses to run as root."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Account:
    """A user, and the group that its files get."""

    user: str
    group: str
    uid: int
    gid: int

    @classmethod
    def for_servers(cls) -> Account:
        """Return the caller's own account, or for root the one in PGARK_TEST_USER (default: nobody)."""
        if os.getuid() == 0:
            entry = pwd.getpwnam(os.environ.get("PGARK_TEST_USER", "nobody"))
        else:
            entry = pwd.getpwuid(os.getuid())
        return cls(entry.pw_name, grp.getgrgid(entry.pw_gid).gr_name, entry.pw_uid, entry.pw_gid)

    @property
    def is_caller(self) -> bool:
        """Tell whether this process runs as the account already."""
        return self.uid == os.getuid()

    def as_process_options(self) -> dict[str, Any]:
        """Return what makes `subprocess` start a program as this account."""
        return {} if self.is_caller else {"user": self.uid, "group": self.gid, "extra_groups": []}
