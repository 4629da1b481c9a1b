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
  - Restores in two states, between which the server is stopped.
  - V(staged) refuses a target that cannot be reached, then unpacks the backup beside the data directory, verifies it
    and writes the recovery settings, while the old server keeps running.
  - V(restored) saves the WAL that only the old data directory holds, renames that to the previous directory, and
    renames the staging directory to the data directory. C(global/pg_control) is put in place last, so nothing
    half-done can start.
  - V(rolled_back) undoes a restore, whether it was promoted, is paused, has failed or was interrupted; the data that it
    replaced is renamed to the data directory again, as it was, and the restored data is kept under another name. The
    server must be down.
  - Each state can be run again after it was interrupted. A restore that is in place already (same target, backup and
    cluster) changes nothing, whatever was written since.
  - When the server is started afterwards it recovers to the target and pauses there. See M(pgark.postgres.recovery).
  - With O(source_cluster) the backup of another cluster is restored, as a clone that reaches for nothing of its
    source's. Once it is promoted and stopped, V(detached) gives it a system identifier of its own.
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
      - With V(rolled_back) no target is needed, nor a repository that can be used. A restore that has been rolled back
        already changes nothing.
    type: str
    required: true
    choices: [staged, restored, rolled_back, detached]
  program:
    description:
      - Path of pgark-wal on the host, which fetches WAL during recovery.
      - Where there is something to restore, it is installed there first, as a whole, if it differs. Its first line
        names the Python interpreter that runs this module. Of its directories, the last one is created when it is
        missing.
      - Required with O(state=staged) and O(state=restored).
    type: path
  further_repositories:
    description:
      - Absolute paths of further repositories. While the server recovers, WAL that O(repository) does not have, or has
        damaged, or that it cannot be read for, is taken from the first of these that has it.
      - The restore itself is planned from O(repository) alone, with its backups, and with the WAL in it.
      - WAL that only the old data directory has is archived in all of them before the data is switched.
    type: list
    elements: path
    default: []
  previous_directory:
    description:
      - With O(state=rolled_back), the directory that becomes the data directory again. It has to be a cluster with the
        same system identifier on the same file system; with O(force) also what is left of one.
      - When unset, the one that the restore in O(data_directory) has replaced. Where that was an attempt that was
        never promoted, it is what that attempt had replaced.
      - To undo a rollback, give what it returned as RV(set_aside).
    type: path
  config_directory:
    description:
      - Directory of the configuration when that is not the data directory. Files that are missing there are restored.
      - With O(source_cluster) it has to hold the clone's own configuration. Nothing is restored there, because the
        source's configuration can name the source's data directory.
    type: path
  source_cluster:
    description:
      - Name in the repository of the cluster whose backup is restored here, as a clone. O(cluster) is the clone's own.
      - O(data_directory) has to be missing, empty, or the result of an earlier restore of the same source. One that
        holds the source itself, or a standby of it, is refused.
      - A clone archives nothing (C(archive_mode = off)), follows no primary, waits for no standby
        (C(synchronous_standby_names)) and subscribes to nothing (C(max_logical_replication_workers = 0)). That is
        written into C(postgresql.auto.conf) and stays there. P(pgark.postgres.wal_archiving#role) turns archiving on
        again once the clone has a system identifier and a repository of its own.
      - Before the data is put in place, C(postgres -C data_directory) has to show that its configuration makes the
        server work there, and nowhere else.
    type: str
  settings:
    description:
      - Settings that the clone needs to run here, such as C(shared_buffers), C(ssl) or C(shared_preload_libraries).
        They are written into C(postgresql.auto.conf) and stay there.
      - Where the configuration lies in the data directory, C(port) and C(unix_socket_directories) are those of
        O(login_port) and O(login_unix_socket) unless they are given here.
      - Only with O(source_cluster).
    type: dict
    default: {}
  tablespace_mapping:
    description:
      - New paths of tablespaces, by the paths that they had in the cluster that was backed up.
      - A path where nothing is yet is filled itself. Where there is a directory, a new one is made in it. Other
        tablespaces get a new directory beside the place that they had.
    type: dict
    default: {}
  local_only:
    description:
      - Whether nobody but local users can connect before the restored server is promoted. It does not listen on the
        network then; only the Unix socket works, and O(login_host) where that is C(localhost), C(127.0.0.1) or C(::1).
      - M(pgark.postgres.recovery) puts the setting back when it promotes, and says that a restart is required.
    type: bool
    default: true
  force:
    description:
      - Repeat a restore that is in place already, and replace a directory that is not a data directory. What is
        replaced is kept as the previous directory all the same.
      - With O(state=rolled_back), put back what is only left of a data directory.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Refuses what would be refused, and says what it would do. A running server, which has to be stopped
      before O(state=rolled_back), is no reason to refuse that yet.
  diff_mode:
    support: full
    description: Shows what is in place before and after, and of pgark-wal the checksum.
  action:
    support: full
    description: While O(state=staged) works, an action plugin of the same name prints every five seconds how far it
      is, over connections that start a program for each command.
extends_documentation_fragment:
  - pgark.postgres.common
  - pgark.postgres.common.repositories
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

- name: Stage a copy of db1, as of a moment, on another host
  pgark.postgres.pitr_restore:
    state: staged
    source_cluster: db1
    target_time: "2026-09-15T14:30:00Z"
    tablespace_mapping:
      /srv/fast: /srv/copies/fast
    settings:
      shared_buffers: 1GB
    repository: /srv/pgark
    cluster: db1-copy
    data_directory: /srv/copies/main
    login_port: 5433
    program: ~/pgark/pgark-wal
  become: true
  become_user: postgres

- name: Give the promoted and stopped copy a system identifier of its own
  pgark.postgres.pitr_restore:
    state: detached
    repository: /srv/pgark
    cluster: db1-copy
    data_directory: /srv/copies/main
  become: true
  become_user: postgres

- name: Undo a restore once its server is stopped
  pgark.postgres.pitr_restore:
    state: rolled_back
    repository: /srv/pgark
    cluster: db1
    data_directory: /var/lib/postgresql/17/main
  become: true
  become_user: postgres
"""

RETURN = r"""
in_place:
  description: Whether this very restore is in place already, or has been rolled back, so that nothing is left to do.
  returned: always
  type: bool
backup:
  description: Label of the backup that is restored, or null in check mode before it is staged.
  returned: O(state=staged) and O(state=restored)
  type: str
target:
  description: The target.
  returned: O(state=staged) and O(state=restored)
  type: dict
  sample: {"kind": "time", "value": "2026-09-15T14:30:00.000000Z", "inclusive": true, "timeline": "latest"}
staging_directory:
  description: Where the restore is staged.
  returned: O(state=staged) and O(state=restored)
  type: str
previous_directory:
  description:
    - Where the replaced data is kept, or will be. There is nothing when no data was there to replace.
    - With O(state=rolled_back), the path of the data that was put back, or would be; null when that was done before.
  returned: O(state=staged), O(state=restored) and O(state=rolled_back)
  type: str
undo_directory:
  description:
    - What a rollback puts back. After several attempts that nobody has promoted, it is what the first one replaced.
    - Null before the data is switched, and where there was none.
  returned: O(state=staged) and O(state=restored)
  type: str
set_aside:
  description:
    - Where the data that was rolled back is kept, or would be. Given as O(previous_directory), it undoes the rollback.
    - Null when there was no data in O(data_directory).
  returned: O(state=rolled_back)
  type: str
  sample: /var/lib/postgresql/17/main.before-20261121T120000Z
startable:
  description: Whether what was put back, or would be, is a data directory in which a server can start.
  returned: O(state=rolled_back)
  type: bool
source:
  description: The cluster that a clone is restored from, or null.
  returned: O(state=staged), O(state=restored) and O(state=detached)
  type: str
system_identifier:
  description: The clone's own system identifier, or null in check mode before it has one.
  returned: O(state=detached)
  type: str
segments:
  description: How many segments of WAL are to be replayed; null where nothing is left to stage.
  returned: O(state=staged) and O(state=restored)
  type: int
  sample: 42
estimate:
  description: About how long the restore takes, for a person to read; null where nothing is left to stage.
  returned: O(state=staged) and O(state=restored)
  type: str
  sample: "about 52 s, in the last 42 s of which no server takes writes: it replays 100 segments of WAL"
steps:
  description: What was done, or in check mode would be done.
  returned: always
  type: list
  elements: dict
"""

from collections.abc import Mapping
from contextlib import nullcontext
from datetime import datetime, timezone
from typing import Any

from ansible_collections.pgark.postgres.plugins.module_utils._core.catalog import Catalog
from ansible_collections.pgark.postgres.plugins.module_utils._core.choice import Choice
from ansible_collections.pgark.postgres.plugins.module_utils._core.commands import get_command
from ansible_collections.pgark.postgres.plugins.module_utils._core.data_directory import DataDirectory, RestoreRequest
from ansible_collections.pgark.postgres.plugins.module_utils._core.estimate import restore_text
from ansible_collections.pgark.postgres.plugins.module_utils._core.plan import Plan
from ansible_collections.pgark.postgres.plugins.module_utils._core.plan_clone import check_clone_directory
from ansible_collections.pgark.postgres.plugins.module_utils._core.plan_program import plan_program
from ansible_collections.pgark.postgres.plugins.module_utils._core.plan_restore import (
    Recovery,
    plan_staging,
    plan_switch,
)
from ansible_collections.pgark.postgres.plugins.module_utils._core.recovery_settings import recovery_overrides
from ansible_collections.pgark.postgres.plugins.module_utils._core.room import Parts
from ansible_collections.pgark.postgres.plugins.module_utils._core.target import Target
from ansible_collections.pgark.postgres.plugins.module_utils._host.apply import Host
from ansible_collections.pgark.postgres.plugins.module_utils._host.backup import read_manifest
from ansible_collections.pgark.postgres.plugins.module_utils._host.cluster import (
    missing_configuration,
    observe_directory,
)
from ansible_collections.pgark.postgres.plugins.module_utils._host.program import observe_program
from ansible_collections.pgark.postgres.plugins.module_utils._host.repository import read_catalog
from ansible_collections.pgark.postgres.plugins.module_utils._host.survey import Survey
from ansible_collections.pgark.postgres.plugins.module_utils._module.arguments import (
    COMMON,
    REPOSITORIES,
    TARGET,
    required,
    spec,
)
from ansible_collections.pgark.postgres.plugins.module_utils._module.clone import (
    check_clone,
    detach,
    kept_settings,
    of_source,
    with_configuration_checked,
    with_places,
)
from ansible_collections.pgark.postgres.plugins.module_utils._module.rollback import (
    check_not_under_way,
    new_stamp,
    roll_back,
)
from ansible_collections.pgark.postgres.plugins.module_utils._module.task import Result, Task, planned, run


def perform(task: Task) -> Result:
    """Observe the repository and the data directory, plan, and do what is missing, all under the cluster's lock."""
    if task.options["state"] == "detached":
        return detach(task)
    task = of_source(task)
    if task.options["state"] == "rolled_back":
        return roll_back(task)
    options = task.options
    target = Target.parse(options)
    with task.locked("pitr_restore", reading=options["source_cluster"] is not None):
        catalog = read_catalog(task.layout)
        bin_directory = task.bin_directory(catalog.identity.major)
        asked = (options["cluster"], catalog.identity.system_identifier, options["backup_label"])
        request = RestoreRequest(target, *asked, source=options["source_cluster"])
        directory = observe_directory(task.data_directory, bin_directory, task.runner)
        check_not_under_way(directory)
        check_clone_directory(directory, catalog.identity, request.source, options["force"])
        wanted, choice = plan_state(task, catalog, directory, request)
        plan = with_program(task, wanted)
        layout, *further = task.layouts
        where = {"bin_directory": bin_directory, "wal_program": options["program"]}
        task.apply(plan, Host(task.runner, layout=layout, further=tuple(further), **where))
        after = observe_directory(task.data_directory, bin_directory, task.runner)
    return {**result(plan, request, after), **outlook(choice, catalog)}


def with_program(task: Task, plan: Plan) -> Plan:
    """Have pgark-wal installed before anything that calls it, or starts a server that does."""
    return plan_program(observe_program(task.options["program"])).then(plan) if plan.changed else plan


def plan_state(
    task: Task, catalog: Catalog, directory: DataDirectory, request: RestoreRequest
) -> tuple[Plan, Choice | None]:
    """Plan the state that is asked for, and where there is something to stage, tell how the target is reached."""
    options, layout = task.options, task.layout
    if options["state"] == "restored":
        missing = missing_configuration(options["config_directory"], directory.real_path)
        if directory.staged is not None:
            check_clone(task, directory, directory.staged.backup)
        plan = plan_switch(directory, request, layout, missing)
        return with_configuration_checked(task, request, directory, plan), None
    if request.staged(directory) or (request.in_place(directory) and not options["force"]):
        return Plan(), None
    now = datetime.now(timezone.utc)
    choice = survey(task, catalog, directory, request, now)
    check_clone(task, directory, choice.backup.label)
    directory = with_places(task, directory, choice.backup)
    manifest, _digest = read_manifest(layout.backup(choice.backup.label))
    parts = Parts.of(manifest, catalog.identity.wal_segment_size)
    kept = kept_settings(task, catalog.identity, directory)
    how = recovery(task, request, choice, kept)
    plan = plan_staging(directory, choice, request, layout, how, parts, new_stamp(directory, now))
    return with_configuration_checked(task, request, directory, plan), choice


def recovery(task: Task, request: RestoreRequest, choice: Choice, kept: Mapping[str, str]) -> Recovery:
    """Give the settings with which the restored server starts, those included that it keeps as a clone.

    Commands that were made for another moment, such as one that removes from an archive what a standby does not need
    any more, are not run in a restore.
    """
    options = task.options
    command = get_command(options["program"], task.repositories, task.layout.cluster, task.jobs)
    unwanted = {"archive_cleanup_command": "", "recovery_end_command": ""}
    settings = {**kept, "restore_command": command, **unwanted, **request.target.settings(choice.timeline)}
    return Recovery(settings, recovery_overrides(options["local_only"], options["login_host"]))


def survey(task: Task, catalog: Catalog, directory: DataDirectory, request: RestoreRequest, now: datetime) -> Choice:
    """Choose how the target is reached, with the archive and with what the old data directory and its server have."""
    bin_directory = task.bin_directory(catalog.identity.major)
    ours = directory.kind not in ("missing", "empty") and request.source is None  # a clone's WAL is not its source's
    with task.connected_if_running() if ours and directory.postmaster is not None else nullcontext() as server:
        old = directory.real_path if ours else None
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
        undo_directory=None if record is None else record.undo_directory,
        source=request.source,
    )


def outlook(choice: Choice | None, catalog: Catalog) -> dict[str, Any]:
    """Report what is ahead, and what a person should read before going on."""
    if choice is None:
        return {"segments": None, "estimate": None}
    size = choice.backup.size
    estimate = restore_text(size, choice.segments, catalog.identity.wal_segment_size)
    return {"segments": choice.segments, "estimate": estimate, "warnings": list(choice.warnings)}


def main() -> None:
    """Run the module."""
    run(
        spec(
            REPOSITORIES,
            TARGET,
            required(COMMON, "repository", "cluster", "data_directory"),
            state={"type": "str", "required": True, "choices": ["staged", "restored", "rolled_back", "detached"]},
            program={"type": "path"},
            previous_directory={"type": "path"},
            source_cluster={"type": "str"},
            tablespace_mapping={"type": "dict", "default": {}},
            settings={"type": "dict", "default": {}},
            config_directory={"type": "path"},
            local_only={"type": "bool", "default": True},
            force={"type": "bool", "default": False},
        ),
        perform,
        required_if=[("state", "staged", ("program",)), ("state", "restored", ("program",))],
    )


if __name__ == "__main__":
    main()
