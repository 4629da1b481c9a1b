#!/usr/bin/python
# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_repository
short_description: Lay out a repository for backups and WAL
version_added: 0.1.0
description:
  - Creates a repository and the directories of one cluster in it, closed to other users, and repairs modes and
    groups.
  - A directory that is not empty and has no C(repository.json) is refused, and so is one that the server archives
    into, so that the mount point of a file system that is not mounted is never filled.
  - A cluster's directory that belongs to another cluster, told by its system identifier, is refused, unless O(retire)
    is given.
  - So is a repository in the data directory, in a tablespace, or around one of them.
options:
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
      - The repository and the cluster's directories exist.
    type: str
    default: present
    choices: [present]
  path:
    description:
      - Absolute path of the repository. Its parent directory must exist.
      - When unset, O(repository).
    type: path
  owner:
    description:
      - User that everything must belong to, which has to be the one that runs the module. That user when unset.
    type: str
  group:
    description:
      - Group that directories and files get. Left as it is when unset.
    type: str
  mode:
    description:
      - Mode of directories, in quotes. Files get C(0640), less what the mode keeps back. Others never get any right.
    type: str
    default: "0750"
  separate_filesystem:
    description:
      - What to do when the repository is on the root file system, where a full repository stops the whole host.
    type: str
    default: warn
    choices: [require, warn, ignore]
  retire:
    description:
      - Where the cluster's directory belongs to another cluster whose place this one takes, as a clone does that is
        made anew, or a cluster after C(pg_upgrade), keep what is there, and begin anew.
      - It is kept, to be restored from, under the name of the cluster with C(.retired-) and the system identifier of
        the earlier one behind it.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Says what it would do.
  diff_mode:
    support: full
    description: Shows kind, mode, owner and group of every path that changes.
extends_documentation_fragment:
  - pgark.postgres.common
author:
  - The pgark.postgres contributors (@pgark)
"""

EXAMPLES = r"""
- name: Lay out the repository
  pgark.postgres.backup_repository:
    path: /srv/pgark
    cluster: db1
    data_directory: /var/lib/postgresql/17/main
    mode: "0750"
  become: true
  become_user: postgres
"""

RETURN = r"""
path:
  description: The repository.
  returned: always
  type: str
  sample: /srv/pgark
id:
  description: The identifier of the repository.
  returned: always
  type: str
identity:
  description: Which cluster the directory belongs to.
  returned: always
  type: dict
  contains:
    system_identifier:
      description: The system identifier.
      type: str
    version:
      description: The C(server_version_num) that it had.
      type: int
    wal_segment_size:
      description: Bytes of a segment.
      type: int
  sample: {"system_identifier": "7710444717259544790", "version": 170000, "wal_segment_size": 16777216}
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

import uuid
from dataclasses import asdict

from ansible_collections.pgark.postgres.plugins.module_utils._archiving.observe import program_in_use
from ansible_collections.pgark.postgres.plugins.module_utils._clone.plan import check_detached
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.observe import observe_identity, read_record
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._host.processes import current_user
from ansible_collections.pgark.postgres.plugins.module_utils._plan import apply_files
from ansible_collections.pgark.postgres.plugins.module_utils._repository import apply as apply_repository
from ansible_collections.pgark.postgres.plugins.module_utils._repository import observe as repository
from ansible_collections.pgark.postgres.plugins.module_utils._repository.layout import Layout, parse_mode
from ansible_collections.pgark.postgres.plugins.module_utils._repository.plan import plan_repository
from ansible_collections.pgark.postgres.plugins.module_utils._server.observe_places import check_repositories_apart
from ansible_collections.pgark.postgres.plugins.module_utils._task.arguments import COMMON, required, spec
from ansible_collections.pgark.postgres.plugins.module_utils._task.task import Result, Task, planned, run
from ansible_collections.pgark.postgres.plugins.module_utils._wal.identity import Identity

STEPS = {**apply_files.STEPS, **apply_repository.STEPS}


def perform(task: Task) -> Result:
    """Observe the repository and the cluster's identity, and make what is missing."""
    options = task.options
    layout = Layout(options["path"] or options["repository"], options["cluster"])
    check_repositories_apart([layout.repository], task.data_directory)
    warnings = check_filesystem(layout, options["separate_filesystem"])
    found = repository.observe(layout)
    if found.marker is None:
        check_unused(task, layout)
    new_id = str((found.marker or {}).get("id") or uuid.uuid4())
    user = current_user()
    if options["owner"] not in (None, user):
        raise Error(
            f"the repository is to belong to {options['owner']}, and the module runs as {user}",
            f"set become_user: {options['owner']}",
        )
    identity = identity_of(task, found.identity)
    access = (user, options["group"], parse_mode(options["mode"]))
    plan = plan_repository(layout, found, identity, access, new_id, options["retire"])
    task.apply(plan, None, STEPS)
    return planned(plan, path=layout.repository, id=new_id, identity=asdict(identity), warnings=warnings)


def check_unused(task: Task, layout: Layout) -> None:
    """Refuse to begin a repository anew in the place that a server archives into: most likely it is not mounted."""
    with task.connected_if_running() as server:
        if server is not None and program_in_use(server, layout) is not None:
            raise Error(
                f"the server archives into {layout.repository}, but there is no repository.json",
                "mount it; to begin a new one there, disable archiving first (wal_archiving, state: disabled)",
            )


def identity_of(task: Task, known: Identity | None) -> Identity:
    """Read the identity from the data directory; with the data gone, what the repository knows counts."""
    seen = observe_identity(
        task.data_directory, task.bin_directory(None if known is None else known.major), task.runner
    )
    if seen is not None:
        check_detached(task.data_directory, read_record(task.data_directory), seen.system_identifier)
    identity = seen or known
    if identity is None:
        raise Error(
            f"{task.data_directory} holds no cluster, and the repository knows none of this name",
            "check data_directory and cluster",
        )
    return identity


def check_filesystem(layout: Layout, rule: str) -> list[str]:
    """Say that a repository shares the root file system, or refuse it."""
    if rule == "ignore" or not repository.on_root_of(layout.repository):
        return []
    message = f"repository {layout.repository} is on the root file system; when it is full, so is the host"
    if rule == "require":
        raise Error(message, "mount a file system there, or set separate_filesystem: warn")
    return [message]


def main() -> None:
    """Run the module."""
    run(
        spec(
            required(COMMON, "cluster", "data_directory"),
            state={"type": "str", "default": "present", "choices": ["present"]},
            path={"type": "path"},
            owner={"type": "str"},
            group={"type": "str"},
            mode={"type": "str", "default": "0750"},
            separate_filesystem={"type": "str", "default": "warn", "choices": ["require", "warn", "ignore"]},
            retire={"type": "bool", "default": False},
        ),
        perform,
        required_one_of=[("path", "repository")],
    )


if __name__ == "__main__":
    main()
