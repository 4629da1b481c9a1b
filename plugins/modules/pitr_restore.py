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
    cluster) changes nothing, whatever was written since. Once data has been moved, only the same restore or
    V(rolled_back) goes on.
  - What is staged already is held against what would be staged now. Where it is the same, nothing is done, and it is
    staged again where the timeline, the settings or the directories of tablespaces differ; with C(target=immediate)
    also where there is a newer backup. V(restored) looks once more which tablespaces the WAL creates, and refuses what
    was staged for a timeline on which the target is not reached any more.
  - A data directory has one owner at a time. While a run changes it, all others are refused, whichever repository they
    use; while data is moved, PostgreSQL refuses to start there, because C(postmaster.pid) names this process.
  - When the server is started afterwards it recovers to the target and pauses there. See M(pgark.postgres.recovery).
  - Every setting that can move or delay the end of a recovery is written into C(postgresql.auto.conf), empty where it
    is not used, so that what somebody left in any file decides nothing. There is a C(recovery.signal), and never a
    C(standby.signal).
  - What a server is given on its command line outranks every file. Where its process, or C(postmaster.opts) of one that
    is down, shows an option that would have the recovery listen, pause or end otherwise, V(staged) refuses it by name.
    Other options are kept for a server that is started with M(pgark.postgres.postgres_server).
  - A server must not have C(max_connections), C(max_worker_processes), C(max_wal_senders), C(max_prepared_transactions)
    and C(max_locks_per_transaction) smaller than the one that wrote the WAL which it replays. What the control file of
    the backup and the WAL up to the target ask for is compared with the staged configuration, while the old server
    still runs. What is too small is raised in C(postgresql.auto.conf), said, and stays so after the promotion. On a
    command line, which outranks that, it is refused.
  - Libraries that the staged configuration preloads are looked for where PostgreSQL will. One that is not on the host
    is refused before the server is stopped, as are more C(shared_buffers) than there is memory, certificates for
    C(ssl=on) that are missing, and settings that do not go together, such as C(wal_level=minimal) with
    C(archive_mode=on). With O(settings) the server can do without. Where the place of PostgreSQL's own libraries is not
    known for certain, and for C(archive_library), there is a warning instead.
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
      - PGDATA, the cluster's data directory. It may be a symbolic link, or a mount point; nothing may be mounted inside
        of it, for it is exchanged by renames.
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
        damaged, is taken from the first of these that has it.
      - Each has to be readable. What is absent in the others might be in it, so recovery ends with an error instead.
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
  new_timeline:
    description:
      - With O(state=rolled_back), whether the data that is put back goes on on a new timeline, above all that are
        archived, when a restore that was promoted has left its timeline in the archive. A standby with a
        C(restore_command) follows the highest timeline, and could not follow this data otherwise.
      - V(auto) does so where the data has replication slots. V(never) leaves it to the byte as it was.
      - It is done while no server runs, by C(postgres --single), and needs O(program).
    type: str
    choices: [auto, always, never]
    default: auto
  config_directory:
    description:
      - Directory of the configuration when that is not the data directory. Where it is another one than the cluster had
        when it was backed up, the files of that directory are put back here; their contents are not changed.
      - With O(source_cluster) it has to hold the clone's own configuration. Nothing is restored there, because the
        source's configuration can name the source's data directory.
    type: path
  configuration:
    description:
      - What is done with the configuration that a backup keeps beside the data, that is, with every file outside of the
        data directory that the server read.
      - With V(missing), what is missing is put back where it was, with the mode that it had, less the rights to run it
        and, for others than its owner, to write it. Where the main
        configuration file is there and differs from that of the backup, the host has a configuration of its own, and
        nothing is put back. A warning says which files differ, and where the backup's lie.
      - With V(backup), all files become those of the backup. One that was another one is kept beside it, with
        C(.before-) and the time behind its name. O(state=rolled_back) leaves both where they are.
      - What is put back is called C(*.conf), or named by another file of the configuration. What lies in a directory of
        data, of backups or of programs, or behind a name with a dot at its beginning, is refused before anything is
        stopped. A warning of O(state=staged) names all that is going to be put back.
      - Before the data is put in place, C(postgres -C) has to be able to read it.
      - Nothing is put back for a clone.
    type: str
    choices: [missing, backup]
    default: missing
  source_cluster:
    description:
      - Name in the repository of the cluster whose backup is restored here, as a clone. O(cluster) is the clone's own.
      - O(data_directory) has to be missing, empty, or the result of an earlier restore of the same source. One that
        holds the source itself, or a standby of it, is refused.
      - With C(target=latest), a clone ends where the WAL ended that was archived when it was staged, because what the
        source archives later could make tablespaces in directories of the source.
      - A clone archives nothing (C(archive_mode = off)), follows no primary, waits for no standby
        (C(synchronous_standby_names)) and subscribes to nothing (C(max_logical_replication_workers = 0)). That is
        written into C(postgresql.auto.conf) and stays there. P(pgark.postgres.wal_archiving#role) turns archiving on
        again once the clone has a system identifier and a repository of its own.
      - Before the data is put in place, C(postgres -C data_directory) has to show that its configuration makes the
        server work there, and nowhere else.
    type: str
  settings:
    description:
      - Settings that the server needs to run here, such as C(shared_buffers), C(ssl) or C(shared_preload_libraries).
        They are written into C(postgresql.auto.conf), outrank all files, and stay there.
      - Of a clone whose configuration lies in the data directory, C(port) and C(unix_socket_directories) are those of
        O(login_port) and O(login_unix_socket) unless they are given here.
      - What a restore itself writes, such as C(recovery_target), and what decides over archiving is refused.
    type: dict
    default: {}
  tablespace_mapping:
    description:
      - New paths of tablespaces, by the paths that they had in the cluster that was backed up.
      - In the path that is named, which may be there already, a new directory C(pgark-<time>-<run>) is made. Other
        tablespaces get a new directory beside the place that they had or, where that is a mount point, in it. Where the
        owner of the cluster cannot make one there, root can provide C(<place>.restored) for it.
    type: dict
    default: {}
  local_only:
    description:
      - Whether nobody but local users can connect before the restored server is promoted. It does not listen on the
        network then; only the Unix socket works, and O(login_host) where that is C(localhost), C(127.0.0.1) or C(::1).
      - M(pgark.postgres.recovery) puts the setting back when it promotes, and says that a restart is required.
      - Also until then, no subscription runs (C(max_logical_replication_workers = 0)), triggers at login do not run
        (C(event_triggers), from PostgreSQL 17 on), because they could not write, and the server's messages are in
        English (C(lc_messages)), whatever this option is.
    type: bool
    default: true
  force:
    description:
      - Repeat a restore that is in place already, and replace a directory that is not a data directory. What is
        replaced is kept as the previous directory all the same.
      - Discard what another run has staged completely, for another target or from another repository. Once that has
        begun to exchange the data, it is not discarded in any case.
      - Stage again with what is left of the WAL where some of it has gone since the staging, and put in place what was
        staged for an earlier timeline.
      - With O(state=rolled_back), put back what is only left of a data directory.
    type: bool
    default: false
  manager_stopped:
    description:
      - Says that a manager of high availability such as Patroni, which has left its files in O(data_directory), is
        stopped on all hosts, or has nothing to do with this data any more.
      - Without it, such a directory is neither replaced nor rolled back. One whose manager is seen at work is not in
        any case, since that would fail over meanwhile, and then undo what was done.
    type: bool
    default: false
  replace_new_cluster:
    description:
      - Replace another cluster, if nobody has written to it since it was made, such as the one that a package makes on
        a new host. It is kept as the previous directory all the same.
      - All that was ever written is in its WAL, which is read from the beginning. A cluster in which anything was
        written, a role or a password, say, or that does not have all of its WAL any more, is refused in any case.
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
proved:
  description:
    - Whether it was proved since the promotion that the restored server archives on its new timeline. While it is not,
      a restore that is in place is not done.
  returned: O(state=staged) and O(state=restored)
  type: bool
backup:
  description: Label of the backup that is restored, or null in check mode before it is staged.
  returned: O(state=staged) and O(state=restored)
  type: str
target:
  description: The target.
  returned: O(state=staged) and O(state=restored)
  type: dict
  contains:
    kind:
      description: V(time), V(xid), V(name), V(lsn), V(latest) or V(immediate).
      type: str
    value:
      description: The moment, transaction, name or position, or null.
      type: str
    inclusive:
      description: Whether the target itself is part of the result.
      type: bool
    timeline:
      description: V(latest), V(current) or a number.
      type: str
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
replaces_new_cluster:
  description: Whether what is replaced is a new cluster, as O(replace_new_cluster) allows it. None of its WAL is saved.
  returned: O(state=staged) and O(state=restored)
  type: bool
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
loss:
  description:
    - The transactions behind the target, which will not be in the result, for a person to read; at least those of the
      next 64 segments are counted. Null where nothing is left to stage, or recovery goes on to the end.
  returned: O(state=staged) and O(state=restored)
  type: str
  sample: "lost: 12 transactions that ended behind the target, from 2026-11-21T12:00:03Z to 2026-11-21T12:04:51Z"
raised:
  description:
    - Settings that were too small in the configuration for the WAL to be replayed. They are as large as needed in
      C(postgresql.auto.conf), and stay so after the promotion.
    - In check mode, nothing is known of what the next run would raise; the step C(RaiseSettings) says what the WAL asks
      for.
  returned: O(state=staged) and O(state=restored)
  type: list
  elements: dict
  contains:
    name:
      description: The setting.
      type: str
    found:
      description: What it is in the configuration.
      type: int
    needed:
      description: What the WAL needs, and the server is started with.
      type: int
    text:
      description: All of this, for a person to read.
      type: str
  sample: [{"name": "max_connections", "found": 100, "needed": 300, "text": "max_connections is 100, ..."}]
dependents:
  description:
    - Who depends on the server whose data is replaced, as seen while it runs; null where there is no such data, or
      nothing is replaced. Of each kind, up to 100 are listed.
  returned: O(state=staged), O(state=restored) and O(state=rolled_back)
  type: dict
  contains:
    asked:
      description: Whether the server has answered. Otherwise only RV(dependents.slots) was looked at, on disk.
      type: bool
    standbys:
      description: Who receives its WAL, standbys and others, such as C(pg_receivewal).
      type: list
      elements: dict
      contains:
        name:
          description: The C(application_name).
          type: str
        address:
          description: The address that it comes from; null over a Unix socket.
          type: str
        sync_state:
          description: V(async), V(sync), V(quorum) or V(potential).
          type: str
    subscribers:
      description: Who receives changes that the server decodes.
      type: list
      elements: dict
      contains:
        name:
          description: The C(application_name), for a subscription its name.
          type: str
        address:
          description: The address that it comes from; null over a Unix socket.
          type: str
        sync_state:
          description: V(async), V(sync), V(quorum) or V(potential).
          type: str
    slots:
      description: Its replication slots.
      type: list
      elements: dict
      contains:
        name:
          description: The name.
          type: str
        type:
          description: V(physical) or V(logical).
          type: str
        database:
          description: The database of a logical one; null where no server tells.
          type: str
        active:
          description: Whether it is in use; null where no server tells.
          type: bool
    publications:
      description: The publications in its databases, where C(wal_level) is C(logical).
      type: list
      elements: dict
      contains:
        name:
          description: The name.
          type: str
        database:
          description: The database.
          type: str
    subscriptions:
      description: The subscriptions in its databases.
      type: list
      elements: dict
      contains:
        name:
          description: The name.
          type: str
        database:
          description: The database.
          type: str
        enabled:
          description: Whether it runs.
          type: bool
    sessions:
      description: The sessions of its clients, by database.
      type: list
      elements: dict
      contains:
        database:
          description: The database.
          type: str
        number:
          description: How many there are.
          type: int
    synchronous_standby_names:
      description: The setting of that name; empty where commits wait for no standby.
      type: str
    unseen:
      description: What could not be looked at, for a person to read.
      type: list
      elements: str
consequences:
  description:
    - What the restore, or the rollback, means for them, and what somebody has to do for each of them afterwards. Lines
      for a person to read; none where nothing is replaced.
  returned: O(state=staged), O(state=restored) and O(state=rolled_back)
  type: list
  elements: str
  sample:
    - "12 sessions will be ended: 11 of database app, 1 of database postgres"
    - "standby db2 (192.0.2.2) goes on serving the old history: make it anew, or use pg_rewind"
to_do:
  description:
    - Those lines of RV(consequences) that outlast the restore. They are kept in the data directory, through several
      attempts, and M(pgark.postgres.recovery) returns them with what it has seen besides.
  returned: O(state=staged), O(state=restored) and O(state=rolled_back)
  type: list
  elements: str
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

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from ansible_collections.pgark.postgres.plugins.module_utils._archiving import apply_program
from ansible_collections.pgark.postgres.plugins.module_utils._archiving.commands import following, get_command
from ansible_collections.pgark.postgres.plugins.module_utils._archiving.plan_program import plan_program
from ansible_collections.pgark.postgres.plugins.module_utils._archiving.program import observe_program
from ansible_collections.pgark.postgres.plugins.module_utils._clone.module import (
    check_clone,
    kept_settings,
    of_source,
    with_places,
)
from ansible_collections.pgark.postgres.plugins.module_utils._clone.module_configuration import (
    configuration_of,
    with_configuration_checked,
    with_configuration_rehearsed,
)
from ansible_collections.pgark.postgres.plugins.module_utils._clone.module_detach import detach
from ansible_collections.pgark.postgres.plugins.module_utils._clone.plan import check_clone_directory, last_segment
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import (
    DataDirectory,
    RestoreRequest,
    check_aside_free,
    check_exchangeable,
)
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.observe import (
    check_configuration_place,
    missing_configuration,
    observe_directory,
    own_configuration,
)
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.ownership import is_alive, reserve
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.reservation import check_reservation, exchanged
from ansible_collections.pgark.postgres.plugins.module_utils._dependents.module import replaced_for, told
from ansible_collections.pgark.postgres.plugins.module_utils._plan import apply_files
from ansible_collections.pgark.postgres.plugins.module_utils._plan.plan import Plan
from ansible_collections.pgark.postgres.plugins.module_utils._repository.catalog import Catalog
from ansible_collections.pgark.postgres.plugins.module_utils._repository.observe_catalog import read_catalog
from ansible_collections.pgark.postgres.plugins.module_utils._repository.observe_manifest import described_manifest
from ansible_collections.pgark.postgres.plugins.module_utils._restore import apply as apply_staging
from ansible_collections.pgark.postgres.plugins.module_utils._restore import apply_switch
from ansible_collections.pgark.postgres.plugins.module_utils._restore.apply_replayed import look
from ansible_collections.pgark.postgres.plugins.module_utils._restore.context import RestoreContext
from ansible_collections.pgark.postgres.plugins.module_utils._restore.module_ground import check_missing
from ansible_collections.pgark.postgres.plugins.module_utils._restore.module_new_cluster import with_use
from ansible_collections.pgark.postgres.plugins.module_utils._restore.parameters import (
    asked_by_wal,
    check_not_given,
    raised,
    too_small,
)
from ansible_collections.pgark.postgres.plugins.module_utils._restore.plan import (
    Recovery,
    check_no_less,
    check_timeline,
    left_to_do,
    plan_staging,
    plan_switch,
)
from ansible_collections.pgark.postgres.plugins.module_utils._restore.replayed import moved_aside, those_replayed
from ansible_collections.pgark.postgres.plugins.module_utils._restore.space import BackupSizes, NoRoom
from ansible_collections.pgark.postgres.plugins.module_utils._restore.steps import RemoveStaging
from ansible_collections.pgark.postgres.plugins.module_utils._rollback.module import new_stamp, roll_back
from ansible_collections.pgark.postgres.plugins.module_utils._rollback.module_under_way import check_not_under_way
from ansible_collections.pgark.postgres.plugins.module_utils._rollback.new_timeline import CHOICES
from ansible_collections.pgark.postgres.plugins.module_utils._server.managers import Signs, check_unmanaged
from ansible_collections.pgark.postgres.plugins.module_utils._server.observe_managers import signs_of_manager
from ansible_collections.pgark.postgres.plugins.module_utils._server.options import (
    check_command_line,
    kept_words,
    parse_options,
)
from ansible_collections.pgark.postgres.plugins.module_utils._server.recovery_settings import (
    recovery_overrides,
    with_tablespaces_in_place,
    without_reading_ahead,
)
from ansible_collections.pgark.postgres.plugins.module_utils._task.arguments import (
    COMMON,
    REPOSITORIES,
    TARGET,
    required,
    spec,
)
from ansible_collections.pgark.postgres.plugins.module_utils._task.task import Result, Task, planned, run
from ansible_collections.pgark.postgres.plugins.module_utils._values.target import Target
from ansible_collections.pgark.postgres.plugins.module_utils._wal.identity import Identity
from ansible_collections.pgark.postgres.plugins.module_utils._windows.choice import Choice
from ansible_collections.pgark.postgres.plugins.module_utils._windows.estimate import restore_text
from ansible_collections.pgark.postgres.plugins.module_utils._windows.observe import WindowReader
from ansible_collections.pgark.postgres.plugins.module_utils._windows.refusals import Unreachable

STEPS = {**apply_files.STEPS, **apply_program.STEPS, **apply_staging.STEPS, **apply_switch.STEPS}


def perform(task: Task) -> Result:
    """Observe the repository and the data directory, plan, and do what is missing, all under the cluster's lock."""
    if task.options["state"] == "detached":
        return detach(task)
    task = of_source(task)
    if task.options["state"] == "rolled_back":
        return roll_back(task)
    options = task.options
    target = Target.parse(options)
    signs = check_before(task)
    with task.owning(f"pitr_restore: {options['state']}"), task.locked("pitr_restore", reading=True):
        catalog = read_catalog(task.layout)
        bin_directory = task.bin_directory(catalog.identity.major)
        asked = (options["cluster"], catalog.identity.system_identifier, options["backup_label"])
        reservation = reserve(task.data_directory, task.layout)
        request = RestoreRequest(target, *asked, source=options["source_cluster"], reservation=reservation)
        directory = observe_directory(task.data_directory, bin_directory, task.runner)
        check_not_under_way(directory)
        staged_by = None if directory.staged is None else directory.staged.reservation
        check_reservation(directory, request, is_alive(staged_by), options["force"])
        directory = replaceable(task, directory, catalog.identity, request)
        found = replaced_for(task, directory, request)
        request = replace(request, to_do=left_to_do(directory, found))
        wanted, choice, warnings = plan_state(task, catalog, directory, request)
        # What a manager left came along with the backup, where the restore is in place.
        check_unmanaged(signs, "replaced", options["manager_stopped"] or not wanted.changed)
        plan = with_program(task, wanted)
        context = RestoreContext(task.runner, bin_directory, options["program"], tuple(task.layouts))
        task.apply(plan, context, STEPS)
        after = observe_directory(task.data_directory, bin_directory, task.runner)
    said = {**outlook(choice, catalog), **told(found, request.to_do)}
    new = directory.used == ()
    return {**result(plan, request, after, new), **said, "warnings": [*said["warnings"], *warnings, *context.notes]}


def check_before(task: Task) -> Signs:
    """Refuse what is refused before anything is held, and tell of a manager."""
    options = task.options
    signs = signs_of_manager(task.data_directory)
    check_unmanaged(signs, "replaced", stopped=True)
    task.check_places(*options["tablespace_mapping"].values())
    if options["state"] == "staged" and options["source_cluster"] is None:
        check_missing(task, options["config_directory"], options["program"])
    return signs


def replaceable(task: Task, directory: DataDirectory, identity: Identity, request: RestoreRequest) -> DataDirectory:
    """Refuse a directory that is not to be replaced; one of a new cluster is marked as that."""
    options = task.options
    if not request.in_place(directory):
        check_aside_free(directory)
    found = with_use(task, directory, identity)
    check_clone_directory(found, identity, request.source, options["force"], options["replace_new_cluster"])
    return found


def with_program(task: Task, plan: Plan) -> Plan:
    """Have pgark-wal installed before anything that calls it, or starts a server that does."""
    return plan_program(observe_program(task.options["program"])).then(plan) if plan.changed else plan


def plan_restored(task: Task, catalog: Catalog, directory: DataDirectory, request: RestoreRequest) -> Plan:
    """Plan the switch to what is staged."""
    options, layout = task.options, task.layout
    staged = None if directory.staged is None else catalog.find(directory.staged.backup)
    if directory.staged is not None:
        check_clone(task, directory, staged)
    missing = configuration_of(task, directory, staged).files
    aside = made_since(task, catalog, directory, request)
    plan = plan_switch(directory, request, layout, missing, options["force"], aside)
    needed = {} if directory.staged is None else directory.staged.needed
    return with_configuration_checked(task, directory, plan, needed, catalog.identity.major, staged=True)


def plan_state(
    task: Task, catalog: Catalog, directory: DataDirectory, request: RestoreRequest
) -> tuple[Plan, Choice | None, tuple[str, ...]]:
    """Plan the state that is asked for, and where there is something to stage, tell how the target is reached.

    The last part are warnings about the configuration.
    """
    if task.options["state"] == "restored":
        return plan_restored(task, catalog, directory, request), None, ()
    if request.in_place(directory) and not task.options["force"]:
        return Plan(), None, ()
    if request.staged(directory) and exchanged(directory) is not None:
        return Plan(), None, ()  # it is on its way
    return plan_staged(task, catalog, directory, request)


def plan_staged(
    task: Task, catalog: Catalog, directory: DataDirectory, request: RestoreRequest
) -> tuple[Plan, Choice, tuple[str, ...]]:
    """Plan what is to be staged, and tell how the target is reached; what is staged already stays if it is the same."""
    options, layout = task.options, task.layout
    check_exchangeable(directory)
    if request.source is None:
        check_configuration_place(missing_configuration(options["config_directory"], directory.real_path))
    now = datetime.now(timezone.utc)
    choice = survey(task, catalog, directory, request, now)
    check_clone(task, directory, choice.backup)
    configuration = configuration_of(task, directory, choice.backup)
    directory = with_places(task, directory, choice.backup)
    manifest = described_manifest(layout.backup(choice.backup.label), choice.backup)
    parts = BackupSizes.of(manifest, catalog.identity.wal_segment_size)
    kept = kept_settings(task, catalog.identity, directory)
    how = recovery(task, request, choice, kept, catalog.identity)
    needed = asked_by_wal(change.text for change in choice.route.parameters)
    how = with_options(task, directory, how, needed)
    stamp = new_stamp(directory, now)
    aside = replayed_tablespaces(catalog, directory, choice, request, stamp)
    try:
        plan = plan_staging(directory, choice, request, layout, how, parts, stamp, aside)
    except NoRoom:
        if directory.staged is not None and not directory.staged.complete:  # of no use to anybody, and in the way
            task.apply(
                Plan((RemoveStaging(directory.staging, directory.staged.places),)), RestoreContext(task.runner), STEPS
            )
        raise
    if not plan.changed:
        return plan, choice, ()
    # What is missing is put back only when the old server has been stopped, so that it never reads it.
    if configuration.files:
        plan = with_configuration_rehearsed(directory, plan, configuration.put_back, needed, catalog.identity.major)
    else:
        plan = with_configuration_checked(task, directory, plan, needed, catalog.identity.major)
    return plan, choice, configuration.warnings


def recovery(
    task: Task, request: RestoreRequest, choice: Choice, kept: Mapping[str, str], identity: Identity
) -> Recovery:
    """Give the settings with which the restored server starts, those included that it keeps as a clone.

    Commands that were made for another moment, such as one that removes from an archive what a standby does not need
    any more, are not run in a restore.
    """
    options, major = task.options, identity.major
    through = last_segment(request, choice, identity.wal_segment_size)
    command = get_command(options["program"], task.repositories, task.layout.cluster, task.jobs, through)
    unwanted = {"archive_cleanup_command": "", "recovery_end_command": ""}
    fetching = {"restore_command": following(command, choice.timeline)}
    settings = {**kept, **fetching, **unwanted, **request.target.settings(choice.timeline)}
    overrides = recovery_overrides(options["local_only"], options["login_host"], major)
    overrides = {name: value for name, value in overrides.items() if name not in kept}
    if choice.behind.damaged is not None:
        overrides = without_reading_ahead(overrides, major)
    inside = bool(choice.backup.in_place) or any(not record.path for record in choice.route.tablespaces)
    return Recovery(settings, with_tablespaces_in_place(overrides, inside))


def with_options(task: Task, directory: DataDirectory, how: Recovery, needed: Mapping[str, int]) -> Recovery:
    """Keep the options of the server that is replaced, and refuse those that would outrank what is written for it."""
    pid = directory.postmaster
    place = f"{directory.real_path}/postmaster.opts" if pid is None else f"the command line of process {pid}"
    words = directory.started_with
    found = parse_options(words)
    check_command_line(found, {**how.settings, **how.overrides}, place)
    # What the backup asks for is known once it is unpacked.
    has = {option.name: int(option.value) for option in found if option.value.isdigit()}
    check_not_given(too_small(has, needed), needed, words, place)
    configured = own_configuration(task.options["config_directory"], directory) is not None
    return replace(how, options=kept_words(words, configured))


def replayed_tablespaces(
    catalog: Catalog,
    directory: DataDirectory,
    choice: Choice,
    request: RestoreRequest,
    stamp: str,
    staged_end: str | None = None,
) -> Mapping[str, str]:
    """Tell which tablespaces go aside with the old data because recovery makes them anew, or refuse.

    Recovery does not get further than to ``staged_end`` (None: to the end of the route).
    """
    made = those_replayed(choice.route.tablespaces, staged_end)
    # A switch that was interrupted may have set the data aside already.
    old = [directory.real_path, *([] if directory.staged is None else [directory.staged.previous_directory])]
    paths = [record.path for record in made if record.path]
    found = look(paths, directory.real_path, old if request.source is None else [], catalog.identity.major)
    run = "" if request.reservation is None else request.reservation.run
    return moved_aside(made, found, f"pgark-{stamp}-{run}", clone=request.source is not None)


def made_since(
    task: Task, catalog: Catalog, directory: DataDirectory, request: RestoreRequest
) -> Mapping[str, str] | None:
    """Look again which tablespaces recovery makes anew: the server has gone on since the staging.

    A clone does not replay what its source has written since. Nothing is looked for (None) once the data is on its
    way. What cannot be read any more leaves it at what the staging knew: that recovery does not get further either.
    """
    staged = directory.staged
    if staged is None or not request.staged(directory) or exchanged(directory) is not None:
        return None
    try:
        choice = survey(task, catalog, directory, request, datetime.now(timezone.utc))
    except Unreachable:
        return None
    if not task.options["force"]:
        check_timeline(staged, choice)
    if (choice.backup.label, choice.timeline) != (staged.backup, staged.timeline):
        return None
    stamp = staged.previous_directory.rpartition(".before-")[2]
    as_staged = replace(request, reservation=staged.reservation)
    end = staged.end_lsn if request.source is not None else None
    return {**replayed_tablespaces(catalog, directory, choice, as_staged, stamp, end), **staged.aside}


def survey(task: Task, catalog: Catalog, directory: DataDirectory, request: RestoreRequest, now: datetime) -> Choice:
    """Choose how the target is reached; what is staged already is stayed with where that gives the same data."""
    staged = directory.staged
    if staged is not None and request.staged(directory) and request.target.kind != "immediate":
        with suppress(Unreachable):
            found = choose(task, catalog, directory, replace(request, label=staged.backup), now)
            if found.timeline == staged.timeline:
                if not task.options["force"]:
                    check_no_less(directory, request, found, catalog.identity.wal_segment_size)
                return found
    return choose(task, catalog, directory, request, now)


def choose(task: Task, catalog: Catalog, directory: DataDirectory, request: RestoreRequest, now: datetime) -> Choice:
    """Choose how the target is reached, with the archive and with what the old data directory and its server have."""
    bin_directory = task.bin_directory(catalog.identity.major)
    ours = directory.kind not in ("missing", "empty") and request.continues(directory)
    with task.connected_if_running() if ours and directory.postmaster is not None else nullcontext() as server:
        old = directory.real_path if ours else None
        further = tuple(task.layouts[1:])
        found = WindowReader(task.layout, bin_directory, task.runner, old, server, further, task.options["force"])
        return found.choice(catalog, request.target, request.label, now)


def result(plan: Plan, request: RestoreRequest, after: DataDirectory, new: bool) -> Result:
    """Report what was planned, and where the replaced data is; ``new``: it is that of a new cluster."""
    record = next((found for found in (after.staged, after.record) if request.met_by(found)), None)
    return planned(
        plan,
        in_place=after.kind == "cluster" and request.in_place(after),
        proved=record is not None and record.proved,
        backup=None if record is None else record.backup,
        target=request.target.as_dict(),
        staging_directory=after.staging,
        previous_directory=None if record is None else record.previous_directory,
        undo_directory=None if record is None else record.undo_directory,
        source=request.source,
        raised=[] if record is None else raised(record.raised, record.needed),
        replaces_new_cluster=new,
        to_do=[*(request.to_do if record is None else request.to_do or record.to_do)],
    )


def outlook(choice: Choice | None, catalog: Catalog) -> dict[str, Any]:
    """Report what is ahead, and what a person should read before going on."""
    if choice is None:
        return {"segments": None, "estimate": None, "loss": None, "warnings": []}
    size = choice.backup.size
    estimate = restore_text(size, choice.segments, catalog.identity.wal_segment_size)
    ends_there = choice.route.stop is not None
    return {
        "segments": choice.segments,
        "estimate": estimate,
        "loss": choice.behind.text if ends_there else None,
        "warnings": list(choice.warnings),
    }


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
            configuration={"type": "str", "default": "missing", "choices": ["missing", "backup"]},
            local_only={"type": "bool", "default": True},
            force={"type": "bool", "default": False},
            manager_stopped={"type": "bool", "default": False},
            new_timeline={"type": "str", "default": "auto", "choices": list(CHOICES)},
            replace_new_cluster={"type": "bool", "default": False},
        ),
        perform,
        required_if=[("state", "staged", ("program",)), ("state", "restored", ("program",))],
    )


if __name__ == "__main__":
    main()
