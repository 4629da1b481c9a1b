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
  - Refused when archiving does not work, because such a backup could not be restored to a point in time. Refused too,
    also in check mode, when the server lets this user in for no replication, or has no two C(max_wal_senders) free.
  - Refused where there is no room for it, as far as that can be told from the size of the cluster and from how its last
    backup turned out. A part of the file system is left to the WAL that goes on arriving (a twentieth, at most 4 GB); a
    backup that would take half of that as well is stopped, and removed.
  - A backup that did not finish is never visible; the next one removes its leftovers first of all.
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
  contains:
    label:
      description: Its name.
      type: str
    type:
      description: V(full) in this version.
      type: str
    timeline:
      description: The timeline that it was taken on.
      type: int
    start_lsn:
      description: Where recovery begins.
      type: str
    stop_lsn:
      description: "The end of the backup: the earliest position that can be restored from it."
      type: str
    start_time:
      description: When it began.
      type: str
    stop_time:
      description: "When it ended: the earliest moment that can be restored from it."
      type: str
    latest_end:
      description:
        - When the last of the transactions that it holds ended. Later than C(stop_time) where the server's clock was
          set back before it ended; then no earlier moment can be restored from it. Null where there was no WAL to tell.
      type: str
    version:
      description: The server's C(server_version_num).
      type: int
    system_identifier:
      description: The system identifier of its cluster.
      type: str
    compression:
      description: How its files are compressed.
      type: str
    size:
      description: Bytes of the files when they are restored.
      type: int
    stored_size:
      description: Bytes that they take in the repository.
      type: int
    tablespaces:
      description: Directories of tablespaces by oid.
      type: dict
    manifest_sha256:
      description: The SHA-256 of its C(backup_manifest), which has one of each file.
      type: str
    origin:
      description: Where the cluster was.
      type: dict
      contains:
        data_directory:
          description: Its data directory, with links resolved.
          type: str
        config_directory:
          description: The directory of its C(postgresql.conf).
          type: str
        port:
          description: Its port.
          type: int
    configuration:
      description: Configuration outside of the data directory, which the backup keeps beside the data, and links in it.
      type: list
      elements: dict
      contains:
        path:
          description: Where it was.
          type: str
        kind:
          description: V(file), V(directory) or V(link).
          type: str
        owner:
          description: The name of its owner.
          type: str
        group:
          description: The name of its group.
          type: str
        mode:
          description: Its mode, in octal digits.
          type: str
        target:
          description: Where a link leads, as it was written, or null.
          type: str
        stored:
          description: The file with the content of a file, in the directory of the backup, or null.
          type: str
        sha256:
          description: The SHA-256 of that, or null.
          type: str
  sample:
    label: 20261121T011500Z-full
    type: full
    timeline: 1
    start_lsn: 0/3000028
    stop_lsn: 0/3000158
    start_time: "2026-11-21T01:15:00.000000Z"
    stop_time: "2026-11-21T01:15:01.000000Z"
    latest_end: "2026-11-21T01:14:58.120000Z"
    compression: zstd
    size: 23412345
    stored_size: 3412345
    origin: {"data_directory": /var/lib/postgresql/17/main, "config_directory": /etc/postgresql/17/main, "port": 5432}
    configuration:
      - {"path": /etc/postgresql/17/main/postgresql.conf, "kind": file, "owner": postgres, "group": postgres,
         "mode": "0644", "stored": config/0004, "sha256": "5e7b..."}
steps:
  description: What was done, or in check mode would be done.
  returned: always
  type: list
  elements: dict
  contains:
    text:
      description: What it does, in a few words.
      type: str
    step:
      description: Its name in the code.
      type: str
"""

from dataclasses import replace

from ansible_collections.pgark.postgres.plugins.module_utils._archiving.observe import (
    archiving_problems,
    check_out_of_recovery,
)
from ansible_collections.pgark.postgres.plugins.module_utils._backup.apply import STEPS, BackupContext
from ansible_collections.pgark.postgres.plugins.module_utils._backup.plan import (
    BackupRequest,
    plan_backup,
    plan_removal,
    satisfying,
)
from ansible_collections.pgark.postgres.plugins.module_utils._backup.space import check_backup_room, expected
from ansible_collections.pgark.postgres.plugins.module_utils._clone.module import check_identity
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.observe import quoting_log
from ansible_collections.pgark.postgres.plugins.module_utils._dependents.observe_replication import require_replication
from ansible_collections.pgark.postgres.plugins.module_utils._host.files import room_without
from ansible_collections.pgark.postgres.plugins.module_utils._host.tools import (
    available_decompressors,
    server_compressions,
)
from ansible_collections.pgark.postgres.plugins.module_utils._repository.observe import leftovers
from ansible_collections.pgark.postgres.plugins.module_utils._repository.observe_catalog import read_catalog
from ansible_collections.pgark.postgres.plugins.module_utils._server.server import Server
from ansible_collections.pgark.postgres.plugins.module_utils._server.settings import choose_compression
from ansible_collections.pgark.postgres.plugins.module_utils._task.arguments import COMMON, COMPRESSION, required, spec
from ansible_collections.pgark.postgres.plugins.module_utils._task.task import Result, Task, planned, run
from ansible_collections.pgark.postgres.plugins.module_utils._values.times import parse_age


def perform(task: Task) -> Result:
    """Observe the repository and the server, and take a backup if one is due."""
    layout = task.layout
    task.check_places()
    with task.locked("base_backup"), task.connect() as server:
        request = requested(task, server)
        catalog, now = read_catalog(layout), server.now()
        check_identity(task, catalog.identity)
        left, due = leftovers(layout), satisfying(catalog, request, now) is None
        if due:
            check_out_of_recovery(server, task.data_directory, "archives nothing")
        context = BackupContext(
            task.runner, task.bin_directory(), server, layout, catalog.identity, task.data_directory
        )
        if due:  # at once: archiving may not work because there is no room, which they take
            task.apply(plan_removal(left), context, STEPS)
        problems = archiving_problems(server, layout)
        plan = plan_backup(layout, catalog, request, problems, left, now, task.options["timeout"])
        if plan.changed:
            require_replication(server)
            wanted = expected(server.size(), catalog.backups, request.compression)
            check_backup_room(layout.backups, room_without(layout.backups, left), wanted)
        with quoting_log(task.data_directory, task.options["log_file"]):
            task.apply(plan, context, STEPS)
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
