#!/usr/bin/python
# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: base_backup
short_description: Take a base backup into a repository
version_added: 0.1.0
description:
  - Takes a full backup with C(pg_basebackup), in tar format with its WAL, verifies every file against the manifest,
    waits until its last segment is archived, and only then makes it visible under its label.
  - Refused when archiving does not work, because such a backup could not be restored to a point in time.
  - A backup that did not finish is never visible; the next one removes its leftovers.
options:
  repository:
    description:
      - Absolute path of the repository that holds backups and WAL.
    type: path
    required: true
  cluster:
    description:
      - Name of the cluster's directory in the repository.
    type: str
    required: true
  data_directory:
    description:
      - PGDATA, the cluster's data directory. It may be a symbolic link.
    type: path
    required: true
  state:
    description:
      - A backup exists that satisfies the other options.
    type: str
    default: present
    choices: [present]
  type:
    description:
      - Kind of backup.
    type: str
    default: full
    choices: [full]
  label:
    description:
      - Name of the backup. A backup with that name satisfies the task. The time and type when unset.
    type: str
  max_age:
    description:
      - A backup of the same type that is at most this old satisfies the task, such as V(24h) or V(7d).
    type: str
  checkpoint:
    description:
      - V(fast) starts at once; V(spread) waits for a checkpoint that is easier on the disks.
    type: str
    default: fast
    choices: [fast, spread]
  timeout:
    description:
      - Seconds that a segment may take to arrive in the repository.
    type: int
    default: 60
attributes:
  check_mode:
    support: full
    description: Says whether a backup is due, and what it would do.
  diff_mode:
    support: full
    description: Shows the labels in the repository before and after.
extends_documentation_fragment:
  - pgark.postgres.common
  - pgark.postgres.common.compression
author:
  - The pgark.postgres contributors (@pgark)
"""

EXAMPLES = r"""
- name: Have a full backup that is at most a day old
  pgark.postgres.base_backup:
    max_age: 24h
    repository: /srv/pgark
    cluster: db1
    data_directory: /var/lib/postgresql/17/main
    login_unix_socket: /var/run/postgresql
  become: true
  become_user: postgres
  register: taken
"""

RETURN = r"""
backup:
  description: The backup that satisfies the task, or null in check mode when one is due.
  returned: always
  type: dict
  sample:
    label: 20261121T011500Z-full
    type: full
    timeline: 1
    start_lsn: 0/3000028
    stop_lsn: 0/3000158
    start_time: "2026-11-21T01:15:00.000000Z"
    stop_time: "2026-11-21T01:15:01.000000Z"
    compression: zstd
    size: 23412345
    stored_size: 3412345
steps:
  description: What was done, or in check mode would be done.
  returned: always
  type: list
  elements: dict
"""

from dataclasses import replace

from ansible_collections.pgark.postgres.plugins.module_utils._core.plan_backup import (
    BackupRequest,
    plan_backup,
    satisfying,
)
from ansible_collections.pgark.postgres.plugins.module_utils._core.settings import choose_compression
from ansible_collections.pgark.postgres.plugins.module_utils._core.target import parse_age
from ansible_collections.pgark.postgres.plugins.module_utils._host.apply import Host
from ansible_collections.pgark.postgres.plugins.module_utils._host.archiving import archiving_problems
from ansible_collections.pgark.postgres.plugins.module_utils._host.cluster import quoting_log
from ansible_collections.pgark.postgres.plugins.module_utils._host.repository import leftovers, read_catalog
from ansible_collections.pgark.postgres.plugins.module_utils._host.server import Server
from ansible_collections.pgark.postgres.plugins.module_utils._host.tools import (
    available_decompressors,
    server_compressions,
)
from ansible_collections.pgark.postgres.plugins.module_utils._module.arguments import (
    COMMON,
    COMPRESSION,
    required,
    spec,
)
from ansible_collections.pgark.postgres.plugins.module_utils._module.task import Result, Task, planned, run


def perform(task: Task) -> Result:
    """Observe the repository and the server, and take a backup if one is due."""
    layout = task.layout
    with task.locked("base_backup"), task.connect() as server:
        request = requested(task, server)
        catalog, now = read_catalog(layout), server.now()
        problems = archiving_problems(server, layout)
        plan = plan_backup(layout, catalog, request, problems, leftovers(layout), now, task.options["timeout"])
        host = Host(
            task.runner,
            bin_directory=task.bin_directory(),
            connection=task.connection,
            opened=server,
            layout=layout,
            identity=catalog.identity,
            data_directory=task.data_directory,
        )
        with quoting_log(task.data_directory, task.options["log_file"]):
            task.apply(plan, host)
        if plan.changed and not task.check_mode:
            catalog, request = read_catalog(layout), replace(request, label=plan.after["backups"][-1])
        backup = satisfying(catalog, request, now)
    return planned(plan, backup=None if backup is None else backup.as_document())


def requested(task: Task, server: Server) -> BackupRequest:
    """Translate the options; the compression is one that the server can do and this host can undo."""
    options = task.options
    usable = server_compressions(server.version, server.configure_options()) & available_decompressors()
    compression = choose_compression(options["compression"], usable)
    max_age = None if options["max_age"] is None else parse_age(options["max_age"])
    return BackupRequest(options["type"], options["label"] or None, max_age, compression, options["checkpoint"])


def main() -> None:
    """Run the module."""
    run(
        spec(
            COMPRESSION,
            required(COMMON, "repository", "cluster", "data_directory"),
            state={"type": "str", "default": "present", "choices": ["present"]},
            type={"type": "str", "default": "full", "choices": ["full"]},
            label={"type": "str"},
            max_age={"type": "str"},
            checkpoint={"type": "str", "default": "fast", "choices": ["fast", "spread"]},
            timeout={"type": "int", "default": 60},
        ),
        perform,
    )


if __name__ == "__main__":
    main()
