#!/usr/bin/python
# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pitr_restore
short_description: Restore a cluster's data directory, to be recovered to a point in time
version_added: 0.1.0
description:
  - Works in two states, between which the server is stopped.
  - V(staged) refuses a target that cannot be reached, then unpacks the backup beside the data directory, verifies it
    and writes the recovery settings, while the old server keeps running.
  - V(restored) saves the WAL that only the old data directory holds, renames that to the previous directory, and
    renames the staging directory to the data directory. C(global/pg_control) is put in place last, so nothing
    half-done can start.
  - Each state can be run again after it was interrupted. A restore that is in place already (same target, backup and
    cluster) changes nothing, whatever was written since.
  - When the server is started afterwards it recovers to the target and pauses there. See M(pgark.postgres.recovery).
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
      - How far to go.
    type: str
    required: true
    choices: [staged, restored]
  program:
    description:
      - Path of pgark-wal on the host, which fetches WAL during recovery.
      - Where there is something to restore, it is installed there first, as a whole, if it differs. Its first line
        names the Python interpreter that runs this module. Of its directories, the last one is created when it is
        missing.
    type: path
    required: true
  config_directory:
    description:
      - Directory of the configuration when that is not the data directory. Files that are missing there are restored.
    type: path
  force:
    description:
      - Repeat a restore that is in place already, and replace a directory that is not a data directory. What is
        replaced is kept as the previous directory all the same.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Refuses what would be refused, and says what it would do.
  diff_mode:
    support: full
    description: Shows what is in place before and after, and of pgark-wal the checksum.
extends_documentation_fragment:
  - pgark.postgres.common
  - pgark.postgres.common.target
author:
  - The pgark.postgres contributors (@pgark)
seealso:
  - module: pgark.postgres.recovery
"""

EXAMPLES = r"""
- name: Stage a restore while the server is running
  pgark.postgres.pitr_restore:
    state: staged
    target_time: "2026-09-15T14:30:00Z"
    repository: /srv/pgark
    cluster: db1
    data_directory: /var/lib/postgresql/17/main
    program: ~/pgark/pgark-wal
  become: true
  become_user: postgres
  register: staged
"""

RETURN = r"""
in_place:
  description: Whether this very restore is in place already, so that nothing is left to do.
  returned: always
  type: bool
backup:
  description: Label of the backup that is restored, or null in check mode before it is staged.
  returned: always
  type: str
target:
  description: The target.
  returned: always
  type: dict
  sample: {"kind": "time", "value": "2026-09-15T14:30:00.000000Z", "inclusive": true, "timeline": "latest"}
staging_directory:
  description: Where the restore is staged.
  returned: always
  type: str
previous_directory:
  description: Where the replaced data is kept, or will be. There is nothing when no data was there to replace.
  returned: always
  type: str
steps:
  description: What was done, or in check mode would be done.
  returned: always
  type: list
  elements: dict
"""

from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timezone

from ansible_collections.pgark.postgres.plugins.module_utils._core.catalog import Catalog
from ansible_collections.pgark.postgres.plugins.module_utils._core.choice import Choice
from ansible_collections.pgark.postgres.plugins.module_utils._core.data_directory import DataDirectory, RestoreRequest
from ansible_collections.pgark.postgres.plugins.module_utils._core.layout import utc_stamp
from ansible_collections.pgark.postgres.plugins.module_utils._core.plan import Plan
from ansible_collections.pgark.postgres.plugins.module_utils._core.plan_program import plan_program
from ansible_collections.pgark.postgres.plugins.module_utils._core.plan_restore import (
    check_directory,
    plan_staging,
    plan_switch,
)
from ansible_collections.pgark.postgres.plugins.module_utils._core.settings import get_command
from ansible_collections.pgark.postgres.plugins.module_utils._core.target import Target
from ansible_collections.pgark.postgres.plugins.module_utils._host.apply import Host
from ansible_collections.pgark.postgres.plugins.module_utils._host.cluster import (
    missing_configuration,
    observe_directory,
    places,
)
from ansible_collections.pgark.postgres.plugins.module_utils._host.program import observe_program
from ansible_collections.pgark.postgres.plugins.module_utils._host.repository import read_catalog
from ansible_collections.pgark.postgres.plugins.module_utils._host.survey import Survey
from ansible_collections.pgark.postgres.plugins.module_utils._module.arguments import COMMON, TARGET, required, spec
from ansible_collections.pgark.postgres.plugins.module_utils._module.task import Result, Task, planned, run


def perform(task: Task) -> Result:
    """Observe the repository and the data directory, plan, and do what is missing, all under the cluster's lock."""
    options = task.options
    target = Target.parse(options)
    with task.locked("pitr_restore"):
        catalog = read_catalog(task.layout)
        bin_directory = task.bin_directory(catalog.identity.major)
        request = RestoreRequest(
            target, options["cluster"], catalog.identity.system_identifier, options["backup_label"]
        )
        directory = observe_directory(task.data_directory, bin_directory, task.runner)
        check_directory(directory, catalog.identity, options["force"])
        plan = with_program(task, plan_state(task, catalog, directory, request))
        task.apply(
            plan, Host(task.runner, bin_directory=bin_directory, wal_program=options["program"], layout=task.layout)
        )
        after = observe_directory(task.data_directory, bin_directory, task.runner)
    return result(plan, request, after)


def with_program(task: Task, plan: Plan) -> Plan:
    """Have pgark-wal installed before anything that calls it, or starts a server that does."""
    return plan_program(observe_program(task.options["program"])).then(plan) if plan.changed else plan


def plan_state(task: Task, catalog: Catalog, directory: DataDirectory, request: RestoreRequest) -> Plan:
    """Plan the state that is asked for."""
    options, layout = task.options, task.layout
    if options["state"] == "restored":
        missing = missing_configuration(options["config_directory"], directory.real_path)
        return plan_switch(directory, request, layout, missing)
    if request.staged(directory) or (request.in_place(directory) and not options["force"]):
        return Plan()
    target, now = request.target, datetime.now(timezone.utc)
    choice = survey(task, catalog, directory, request, now)
    command = get_command(options["program"], layout.repository, layout.cluster)
    settings = {"restore_command": command, **target.settings(choice.timeline)}
    tablespaces = {**places(choice.backup.tablespaces), **directory.tablespaces}
    directory = replace(directory, tablespaces=tablespaces)
    return plan_staging(directory, choice.backup, request, layout, settings, utc_stamp(now))


def survey(task: Task, catalog: Catalog, directory: DataDirectory, request: RestoreRequest, now: datetime) -> Choice:
    """Choose how the target is reached, with the archive and with what the old data directory and its server have."""
    bin_directory = task.bin_directory(catalog.identity.major)
    with task.connected_if_running() if directory.postmaster is not None else nullcontext() as server:
        old = None if directory.kind in ("missing", "empty") else directory.real_path
        found = Survey(task.layout, bin_directory, task.runner, old, server)
        return found.choice(catalog, request.target, request.label, now)


def result(plan: Plan, request: RestoreRequest, after: DataDirectory) -> Result:
    """Report what was planned, and where the replaced data is."""
    record = next((found for found in (after.staged, after.record) if request.met_by(found)), None)
    return planned(
        plan,
        in_place=after.kind == "cluster" and request.in_place(after),
        backup=None if record is None else record.backup,
        target=request.target.as_dict(),
        staging_directory=after.staging,
        previous_directory=None if record is None else record.previous_directory,
    )


def main() -> None:
    """Run the module."""
    run(
        spec(
            TARGET,
            required(COMMON, "repository", "cluster", "data_directory"),
            state={"type": "str", "required": True, "choices": ["staged", "restored"]},
            program={"type": "path", "required": True},
            config_directory={"type": "path"},
            force={"type": "bool", "default": False},
        ),
        perform,
    )


if __name__ == "__main__":
    main()
