#!/usr/bin/python
# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: recovery_info
short_description: Tell how far a server's recovery is
version_added: 0.1.0
description:
  - Looks once and changes nothing. Fails when no server is running.
options:
  data_directory:
    description:
      - PGDATA, the cluster's data directory. It may be a symbolic link.
    type: path
    required: true
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: There is nothing to compare.
extends_documentation_fragment:
  - pgark.postgres.common
author:
  - The pgark.postgres contributors (@pgark)
"""

EXAMPLES = r"""
- name: See how far recovery is
  pgark.postgres.recovery_info:
    data_directory: /var/lib/postgresql/17/main
    login_unix_socket: /var/run/postgresql
  become: true
  become_user: postgres
"""

RETURN = r"""
in_recovery:
  description: Whether the server is in recovery; null while it does not answer yet.
  returned: always
  type: bool
paused:
  description: Whether recovery is paused.
  returned: always
  type: bool
lsn:
  description: Position up to which WAL was replayed, or null.
  returned: always
  type: str
  sample: 0/50001A8
time:
  description: Time of the last transaction that was replayed, in UTC, or null.
  returned: always
  type: str
timeline:
  description: Timeline of the server, or null.
  returned: always
  type: int
target:
  description: The recovery target time that the server has, or an empty string.
  returned: always
  type: str
seconds_behind:
  description: Seconds between the last replayed transaction and the server's clock, or null.
  returned: always
  type: float
"""

from ansible_collections.pgark.postgres.plugins.module_utils._module.arguments import COMMON, required, spec
from ansible_collections.pgark.postgres.plugins.module_utils._module.task import Result, Task, run


def perform(task: Task) -> Result:
    """Look once."""
    progress = task.watch.look()
    state = progress.state
    replayed = None if state is None else state.replay_time
    return {
        **progress.as_dict(),
        "target": "" if state is None else state.target_time,
        "seconds_behind": None if state is None or replayed is None else (state.now - replayed).total_seconds(),
    }


def main() -> None:
    """Run the module."""
    run(spec(required(COMMON, "data_directory")), perform)


if __name__ == "__main__":
    main()
