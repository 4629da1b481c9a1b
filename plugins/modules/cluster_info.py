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
  - Tells what is missing on the host, too. Without psycopg, what only the server knows is null.
options:
  data_directory:
    description:
      - PGDATA, the cluster's data directory. It may be a symbolic link.
      - When unset, that of the one cluster in the places of the Debian and RHEL packages. None there, or several, is an
        error.
    type: path
  config_directory:
    description:
      - Directory of C(postgresql.conf). When unset, the one that Debian keeps for the data directory, else the data
        directory.
    type: path
  further_repositories:
    description:
      - Absolute paths of further repositories, to tell of each whether it is there.
    type: list
    elements: path
    default: []
  from_backup:
    description:
      - Where the host has no cluster, as after the loss of everything on it, take from the newest backup in
        O(repository) where its data and its configuration were. A directory to which others could have laid the way is
        refused.
    type: bool
    default: false
  check_directories:
    description:
      - Where the data directory is missing, refuse a host on which directories are missing that a restore needs, with
        the command that makes them. The newest backup in O(repository) tells where the configuration was.
    type: bool
    default: false
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

- name: Find the only cluster of a host
  pgark.postgres.cluster_info:
    login_unix_socket: /var/run/postgresql
  become: true
  become_user: postgres
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
layout:
  description:
    - Where the cluster's parts are, C(data_directory) as it was given or is configured. C(service) is the systemd unit
      that packages have for it, C(log_file) the file that they write its log to; empty where they have none.
  returned: always
  type: dict
  contains:
    data_directory:
      description: The data directory, as it was given or is configured.
      type: str
    config_directory:
      description: The directory of C(postgresql.conf).
      type: str
    service:
      description: The systemd unit that packages have for it, or empty.
      type: str
    log_file:
      description: The file that they write its log to, or empty.
      type: str
  sample:
    data_directory: /var/lib/postgresql/17/main
    config_directory: /etc/postgresql/17/main
    service: postgresql@17-main
    log_file: /var/log/postgresql/postgresql-17-main.log
remembered_by:
  description: The label of the backup that has told where the cluster was, or null when the host itself did.
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
psycopg:
  description: Version of psycopg that the modules use, or null when there is none.
  returned: always
  type: str
  sample: 3.2.6
python_directory:
  description: The option O(python_directory), with C(~) resolved.
  returned: always
  type: str
pip:
  description: Whether that interpreter has pip.
  returned: always
  type: bool
programs:
  description: Paths of the programs for compression, null for those that are not there.
  returned: always
  type: dict
  contains:
    zstd:
      description: Path of zstd, or null.
      type: str
    lz4:
      description: Path of lz4, or null.
      type: str
    gzip:
      description: Path of gzip, or null.
      type: str
  sample: {"zstd": "/usr/bin/zstd", "lz4": null, "gzip": "/usr/bin/gzip"}
distribution:
  description:
    - The operating system. C(family) is V(debian), V(redhat) or empty; C(psycopg_package) is the name of its package of
      psycopg 3, empty where it has none.
  returned: always
  type: dict
  contains:
    family:
      description: V(debian), V(redhat) or empty.
      type: str
    name:
      description: Its name, such as V(debian).
      type: str
    version:
      description: Its version.
      type: str
    psycopg_package:
      description: The name of its package of psycopg 3, empty where it has none.
      type: str
  sample: {"family": "debian", "name": "debian", "version": "13", "psycopg_package": "python3-psycopg"}
selinux:
  description: The types that files are to have where SELinux labels them, else null.
  returned: always
  type: dict
  contains:
    data:
      description: The type of a data directory.
      type: str
    repository:
      description: The type of a repository.
      type: str
    program:
      description: The type of a program that the server may execute.
      type: str
  sample: {"data": "postgresql_db_t", "repository": "postgresql_db_t", "program": "bin_t"}
repository_directory:
  description:
    - V(present), V(creatable) by the user that runs the module, or V(absent); null when no O(repository) is given.
  returned: always
  type: str
  sample: present
further_directories:
  description: The same for each of O(further_repositories), in their order.
  returned: always
  type: list
  elements: str
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
standby:
  description: Whether the cluster is a standby. Where no server answers, whether one would start as a standby.
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
  contains:
    target:
      description: The target, as M(pgark.postgres.pitr_restore) returns it.
      type: dict
    backup:
      description: The backup that it started from.
      type: str
    cluster:
      description: The cluster's name in the repository.
      type: str
    previous_directory:
      description: Where the replaced data was put.
      type: str
    undo_directory:
      description: The data that a rollback puts back, or null.
      type: str
    source:
      description: The cluster that a clone came from, or null.
      type: str
"""

from contextlib import nullcontext
from dataclasses import asdict

from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import DataDirectory
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.observe import (
    configuration_found,
    is_standby,
    major_version,
    observe_directory,
)
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.observe_distribution import (
    distribution,
    has_pip,
    selinux_types,
)
from ansible_collections.pgark.postgres.plugins.module_utils._host.files import presence
from ansible_collections.pgark.postgres.plugins.module_utils._host.processes import interpreter
from ansible_collections.pgark.postgres.plugins.module_utils._host.tools import compressors, control_data
from ansible_collections.pgark.postgres.plugins.module_utils._repository.observe import known_major
from ansible_collections.pgark.postgres.plugins.module_utils._restore.module_ground import check_missing, locate
from ansible_collections.pgark.postgres.plugins.module_utils._server.driver import psycopg_version
from ansible_collections.pgark.postgres.plugins.module_utils._server.server import Server
from ansible_collections.pgark.postgres.plugins.module_utils._task.arguments import spec
from ansible_collections.pgark.postgres.plugins.module_utils._task.task import Result, Task, run


def perform(task: Task) -> Result:
    """Find the cluster, and observe the host, the directory, then the server."""
    found, label = locate(task)
    config_directory = task.options["config_directory"] or found.config_directory
    task = Task({**task.options, "data_directory": found.data_directory}, task.check_mode)
    psycopg = psycopg_version(task.options["python_directory"])
    if task.options["check_directories"]:
        # Where psycopg is there, no directory for it is made.
        check_missing(task, config_directory, None if psycopg else task.options["python_directory"])
    return {
        "layout": {**asdict(found), "config_directory": config_directory},
        "remembered_by": label,
        "psycopg": psycopg,
        "python_directory": task.options["python_directory"],
        **on_host(task.options["repository"]),
        "further_directories": [presence(path) for path in task.options["further_repositories"]],
        **of_cluster(task, config_directory, psycopg is not None),
    }


def on_host(repository: str | None) -> dict[str, object]:
    """Say what the modules find to work with."""
    system = distribution()
    return {
        "python": interpreter(),
        "pip": has_pip(),
        "programs": compressors(),
        "distribution": {
            "family": system.family,
            "name": system.name,
            "version": ".".join(map(str, system.version)),
            "psycopg_package": system.psycopg_package,
        },
        "selinux": selinux_types(),
        "repository_directory": None if repository is None else presence(repository),
    }


def of_cluster(task: Task, config_directory: str, can_connect: bool) -> dict[str, object]:
    """Observe the data directory, then its server."""
    options = task.options
    repository = task.layout if options["repository"] and options["cluster"] else None
    major = major_version(task.data_directory)
    if major is None and repository is not None:
        major = known_major(repository)
    bin_directory = task.bin_directory(major)
    directory = observe_directory(task.data_directory, bin_directory, task.runner)
    control = control_data(task.runner, bin_directory, directory.real_path) if directory.kind == "cluster" else {}
    timeline = control.get("Latest checkpoint's TimeLineID")
    with task.connected_if_running() if can_connect else nullcontext() as server:
        running = served(server, config_directory)
        return {
            **on_disk(directory),
            **running,
            # A primary beside whose data somebody has put the file is none until its next start.
            "standby": is_standby(directory.real_path) and running["in_recovery"] is not False,
            "timeline": None if timeline is None else int(timeline),
            "major": major,
            "bin_directory": bin_directory,
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
    further = {"type": "list", "elements": "path", "default": []}
    run(
        spec(
            config_directory={"type": "path"},
            further_repositories=further,
            from_backup={"type": "bool", "default": False},
            check_directories={"type": "bool", "default": False},
        ),
        perform,
    )


if __name__ == "__main__":
    main()
