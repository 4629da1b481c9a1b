#!/usr/bin/python
# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_info
short_description: Tell what is known about a PostgreSQL cluster
version_added: 0.1.0
description:
  - Looks at a data directory and, if one is running, at its server.
  - Works with the server down, and as far as it can with the data gone. The server is found among the processes, so a
    stale C(postmaster.pid) does not mislead it.
options:
  data_directory:
    description:
      - PGDATA, the cluster's data directory. It may be a symbolic link.
    type: path
    required: true
  config_directory:
    description:
      - Directory of C(postgresql.conf) when that is not the data directory.
    type: path
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
- name: Look at a cluster
  pgark.postgres.cluster_info:
    data_directory: /var/lib/postgresql/17/main
    login_unix_socket: /var/run/postgresql
  become: true
  become_user: postgres
  register: found
"""

RETURN = r"""
state:
  description:
    - V(running), V(stopped), V(missing), V(empty), V(unfinished) (a restore was interrupted between two renames) or
      V(unknown) (not a data directory).
  returned: always
  type: str
  sample: running
running:
  description: Whether a server works in the data directory.
  returned: always
  type: bool
postmaster_pid:
  description: Process id of that server, or null.
  returned: always
  type: int
  sample: 4711
data_directory:
  description: The data directory with symbolic links resolved.
  returned: always
  type: str
data_directory_mount_point:
  description: Whether the data directory is a mount point.
  returned: always
  type: bool
bin_directory:
  description: Where PostgreSQL's programs are.
  returned: always
  type: str
python:
  description: The Python interpreter that ran this module.
  returned: always
  type: str
major:
  description: Major version of the data directory, or with the data gone that of the cluster in the repository.
  returned: always
  type: int
  sample: 17
version:
  description: The running server's C(server_version_num), or null.
  returned: always
  type: int
  sample: 170010
system_identifier:
  description: The cluster's system identifier, or null.
  returned: always
  type: str
in_recovery:
  description: Whether the running server is recovering, or null when none answers.
  returned: always
  type: bool
timeline:
  description: Timeline of the latest checkpoint, or null.
  returned: always
  type: int
config_files:
  description: Files that the running server reads its configuration from, else C(postgresql.conf) if it is there.
  returned: always
  type: list
  elements: str
tablespaces:
  description: Directories of tablespaces by oid.
  returned: always
  type: dict
restored:
  description: What the last restore into this data directory was, or null.
  returned: always
  type: dict
"""

from dataclasses import asdict

from ansible_collections.pgark.postgres.plugins.module_utils._core.data_directory import DataDirectory
from ansible_collections.pgark.postgres.plugins.module_utils._host.cluster import (
    configuration_found,
    major_version,
    observe_directory,
)
from ansible_collections.pgark.postgres.plugins.module_utils._host.processes import interpreter
from ansible_collections.pgark.postgres.plugins.module_utils._host.repository import known_major
from ansible_collections.pgark.postgres.plugins.module_utils._host.server import Server
from ansible_collections.pgark.postgres.plugins.module_utils._host.tools import control_data
from ansible_collections.pgark.postgres.plugins.module_utils._module.arguments import COMMON, required, spec
from ansible_collections.pgark.postgres.plugins.module_utils._module.task import Result, Task, run


def perform(task: Task) -> Result:
    """Observe the directory, then its server."""
    options = task.options
    repository = task.layout if options["repository"] and options["cluster"] else None
    major = major_version(task.data_directory)
    if major is None and repository is not None:
        major = known_major(repository)
    bin_directory = task.bin_directory(major)
    directory = observe_directory(task.data_directory, bin_directory, task.runner)
    control = control_data(task.runner, bin_directory, directory.real_path) if directory.kind == "cluster" else {}
    timeline = control.get("Latest checkpoint's TimeLineID")
    with task.connected_if_running() as server:
        return {
            **on_disk(directory),
            **served(server, options["config_directory"] or directory.real_path),
            "timeline": None if timeline is None else int(timeline),
            "major": major,
            "bin_directory": bin_directory,
            "python": interpreter(),
        }


def on_disk(directory: DataDirectory) -> dict[str, object]:
    """Say what the data directory and its processes show."""
    running = directory.postmaster is not None
    return {
        "state": "running" if running else "stopped" if directory.kind == "cluster" else directory.kind,
        "running": running,
        "postmaster_pid": directory.postmaster,
        "data_directory": directory.real_path,
        "data_directory_mount_point": directory.mount_point,
        "system_identifier": directory.system_identifier,
        "tablespaces": {oid: place.path for oid, place in directory.tablespaces.items()},
        "restored": None if directory.record is None else asdict(directory.record),
    }


def served(server: Server | None, config_directory: str) -> dict[str, object]:
    """Say what the running server tells."""
    if server is None:
        return {"version": None, "in_recovery": None, "config_files": configuration_found(config_directory)}
    return {
        "version": server.version,
        "in_recovery": server.in_recovery(),
        "config_files": server.configuration_files(),
    }


def main() -> None:
    """Run the module."""
    run(spec(required(COMMON, "data_directory"), config_directory={"type": "path"}), perform)


if __name__ == "__main__":
    main()
