#!/usr/bin/python
# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: recovery_info
short_description: Tell how far a restore or a server's recovery is
version_added: 0.1.0
description:
  - Looks once and changes nothing.
  - Fails when no server is running, unless a restore is staged beside the data directory.
options:
  data_directory:
    description:
      - PGDATA, the cluster's data directory. It may be a symbolic link.
    type: path
    required: true
  connect:
    description:
      - Whether to look at the server. When not, only a restore that is staged is looked at.
    type: bool
    default: true
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
  description: Whether the server is in recovery; null while it does not answer yet, and when none was looked at.
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
position:
  description:
    - Position up to which WAL was replayed. Before connections are possible, that of the segment being read. Null when
      neither is known.
  returned: always
  type: str
  sample: 0/5000000
start_lsn:
  description: Where recovery began, as the restore noted it, or null.
  returned: always
  type: str
end_lsn:
  description: Where recovery will end, as far as the restore knew that, or null.
  returned: always
  type: str
target:
  description: The recovery target time that the server has, or an empty string.
  returned: always
  type: str
seconds_behind:
  description: Seconds between the last replayed transaction and the server's clock, or null.
  returned: always
  type: float
staging:
  description: The restore that is staged beside the data directory, or being staged by another process. Null without.
  returned: always
  type: dict
  contains:
    backup:
      description: Label of the backup.
      type: str
    step:
      description: What is being done, V(unpack), V(verify) or V(sync); V(sync) too when it is complete.
      type: str
    bytes:
      description: How much of the step is done, or null where that cannot be seen.
      type: int
    total:
      description: How many bytes the step has to do, or null when the restore did not note it.
      type: int
    complete:
      description: Whether nothing is left to do.
      type: bool
"""

from typing import Any

from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._recovery.module import watch_of
from ansible_collections.pgark.postgres.plugins.module_utils._recovery.observe import Progress
from ansible_collections.pgark.postgres.plugins.module_utils._restore.observe import look_at_staging
from ansible_collections.pgark.postgres.plugins.module_utils._task.arguments import COMMON, required, spec
from ansible_collections.pgark.postgres.plugins.module_utils._task.task import Result, Task, run


def perform(task: Task) -> Result:
    """Look once, at what is staged and at the server."""
    staging = look_at_staging(task.data_directory)
    progress = Progress(False, None)
    if task.options["connect"]:
        try:
            progress = watch_of(task).look()
        except Error:
            if staging is None:
                raise
    return {**facts(progress), "staging": None if staging is None else staging.as_dict()}


def facts(progress: Progress) -> dict[str, Any]:
    """Report what was seen of a server."""
    state = progress.state
    replayed = None if state is None else state.replay_time
    return {
        **progress.as_dict(),
        "target": "" if state is None else state.target_time,
        "seconds_behind": None if state is None or replayed is None else (state.now - replayed).total_seconds(),
    }


def main() -> None:
    """Run the module."""
    run(spec(required(COMMON, "data_directory"), connect={"type": "bool", "default": True}), perform)


if __name__ == "__main__":
    main()
