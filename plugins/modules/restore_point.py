#!/usr/bin/python
# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_point
short_description: Write a named restore point, or switch WAL
version_added: 0.1.0
description:
  - With O(name), writes a restore point into the WAL, to which the cluster can later be restored by that name.
  - With O(switch_wal), closes the current segment so that it is archived now, and can wait until that is proved.
  - Every call writes WAL, so the module always reports a change.
options:
  data_directory:
    description:
      - PGDATA, the cluster's data directory. It may be a symbolic link.
    type: path
    required: true
  name:
    description:
      - Name of the restore point, up to 63 bytes. PostgreSQL does not refuse a name that exists; recovery stops at
        the first.
    type: str
  switch_wal:
    description:
      - Close the current segment.
    type: bool
  wait:
    description:
      - Wait until the closed segment is in O(repository), and in every other one that the server's C(archive_command)
        names, with the very bytes that the server wrote. Each is read back, and another server's segment under that
        name is refused.
      - After a restore that was promoted, notes in the data directory that archiving is proved.
    type: bool
    default: false
  timeout:
    description:
      - Seconds to wait for the segment.
    type: int
    default: 60
  patient:
    description:
      - Whether to wait until O(timeout) for an archiver that has failed three times meanwhile and archived nothing. It
        then sleeps for a minute before it tries again.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    description: Writes nothing.
  diff_mode:
    support: none
    description: There is nothing to compare.
extends_documentation_fragment:
  - pgark.postgres.common
author:
  - The pgark.postgres contributors (@pgark)
"""

EXAMPLES = r"""
- name: Mark the moment before a risky migration
  pgark.postgres.restore_point:
    name: before-migration-42
    data_directory: /var/lib/postgresql/17/main
    login_unix_socket: /var/run/postgresql
  become: true
  become_user: postgres

- name: Bring everything committed so far into the repository
  pgark.postgres.restore_point:
    switch_wal: true
    wait: true
    repository: /srv/pgark
    cluster: db1
    data_directory: /var/lib/postgresql/17/main
    login_unix_socket: /var/run/postgresql
  become: true
  become_user: postgres
"""

RETURN = r"""
lsn:
  description: Position of the restore point, or of the switch.
  returned: when not in check mode
  type: str
  sample: 0/3000090
segment:
  description: The segment that holds that position.
  returned: when not in check mode
  type: str
  sample: "000000010000000000000003"
time:
  description: The server's time afterwards, in UTC.
  returned: when not in check mode
  type: str
  sample: "2026-11-21T01:15:00.123456Z"
"""

from ansible_collections.pgark.postgres.plugins.module_utils._archiving.observe import (
    check_out_of_recovery,
    prove_archived,
    require_archiving,
)
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.observe import quoting_log
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._recovery.apply import note_proved
from ansible_collections.pgark.postgres.plugins.module_utils._repository.observe import require
from ansible_collections.pgark.postgres.plugins.module_utils._task.arguments import COMMON, required, spec
from ansible_collections.pgark.postgres.plugins.module_utils._task.task import Result, Task, run
from ansible_collections.pgark.postgres.plugins.module_utils._values.times import format_time

_LONGEST_NAME = 63


def perform(task: Task) -> Result:
    """Write the restore point or switch, and wait for the segment if that is asked for."""
    options = task.options
    name = options["name"]
    if name is not None and not 0 < len(name.encode()) <= _LONGEST_NAME:
        raise Error(
            f"restore point name {name!r} has {len(name.encode())} bytes, expected 1 to {_LONGEST_NAME}",
            "give a shorter name" if name else "give a name",
        )
    if options["wait"]:
        require(task.layout)
    with task.connect() as server:
        check_out_of_recovery(server, task.data_directory, "writes no WAL of its own")
        if options["wait"]:
            require_archiving(server, task.layout)
        if task.check_mode:
            return {"changed": True}
        before = None if options["patient"] else server.archiver()
        if options["switch_wal"]:
            segment, lsn = server.switch_wal()
        else:
            lsn = server.restore_point(name)
            segment = server.segment_ending_at(lsn)
        if options["wait"]:
            with quoting_log(task.data_directory, options["log_file"]):
                prove_archived(server, [task.layout], task.runner, segment, options["timeout"], before=before)
            note_proved(task.data_directory)
        return {"changed": True, "lsn": str(lsn), "segment": str(segment), "time": format_time(server.now())}


def main() -> None:
    """Run the module."""
    run(
        spec(
            required(COMMON, "data_directory"),
            name={"type": "str"},
            switch_wal={"type": "bool"},
            wait={"type": "bool", "default": False},
            timeout={"type": "int", "default": 60},
            patient={"type": "bool", "default": True},
        ),
        perform,
        mutually_exclusive=[("name", "switch_wal")],
        required_one_of=[("name", "switch_wal")],
        required_if=[("wait", True, ("repository", "cluster", "switch_wal"))],
    )


if __name__ == "__main__":
    main()
