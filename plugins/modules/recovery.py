#!/usr/bin/python
# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: recovery
short_description: Wait for a recovery to reach its target, check the result, and promote
version_added: 0.1.0
description:
  - Waits for a server that was started from a restored data directory. While it waits, C(ansible-playbook) prints how
    far the recovery is.
  - Fails at once, with the last lines of the server's log, when the server dies; and with the reason when it lets
    nobody in and would not later either, because it listens elsewhere than O(login_port) and O(login_unix_socket) say,
    for example.
  - Compares what was reached with what the restore was to reach, by the server's own positions, commit times and
    timelines. A recovery that has paused before its target, one to the end of the WAL that has paused at all, one that
    ended elsewhere, and a server that is out of recovery without having begun a timeline are failures, and nothing is
    promoted then.
  - Only O(checks) need O(login_db). Whether the target is reached is seen, and the server promoted, from any database
    that is there at the target.
options:
  data_directory:
    description:
      - PGDATA, the cluster's data directory. It may be a symbolic link.
    type: path
    required: true
  state:
    description:
      - V(at_target) waits until recovery has paused at its target, or has ended by itself as it does without one.
      - V(paused) is the same, and requires that the server is still in recovery.
      - V(promoted) ends recovery, removes the recovery settings, and puts back what was set for the time of recovery,
        such as C(listen_addresses). It changes nothing when all that has been done. Where C(allow_alter_system) is off,
        it edits C(postgresql.auto.conf) itself.
      - Before it puts anything back, V(promoted) disables all subscriptions (C(ALTER SUBSCRIPTION ... DISABLE)), whose
        publishers do not send again what they sent after the target. Until then none runs, because of
        C(max_logical_replication_workers = 0). In a clone it also takes their slots from them (C(slot_name = NONE)),
        which belong to the original.
    type: str
    required: true
    choices: [at_target, paused, promoted]
  checks:
    description:
      - Queries to run read-only once the target is reached and before anything is promoted. When one gives something
        else than is expected, the task fails and the server stays as it is.
      - One that waits for a lock is given up after five seconds. A recovery that has paused goes on holding the locks
        of transactions that were dropping, truncating or altering something at the target; the message names them.
    type: list
    elements: dict
    default: []
    suboptions:
      query:
        description:
          - A query. If it gives one column of one row, that is the result, else the list of rows.
        type: str
        required: true
      expect:
        description:
          - What it has to give, compared as text.
        type: raw
        required: true
  timeout:
    description:
      - Seconds without any movement after which waiting is given up.
    type: int
    default: 600
  look:
    description:
      - Seconds after which the module returns although the target is not reached. The action plugin, which repeats
        the module until then, sets it.
    type: int
    default: 5
attributes:
  check_mode:
    support: full
    description: Looks once, and says whether it would promote.
  diff_mode:
    support: full
    description: Shows the state of the server before and after.
  action:
    support: full
    description: An action plugin repeats the module while recovery goes on, and prints its progress.
extends_documentation_fragment:
  - pgark.postgres.common
author:
  - The pgark.postgres contributors (@pgark)
seealso:
  - module: pgark.postgres.pitr_restore
"""

EXAMPLES = r"""
- name: Wait until the target is reached, and look at what came back
  pgark.postgres.recovery:
    state: at_target
    checks:
      - query: SELECT count(*) FROM accounts
        expect: 10000
    data_directory: /var/lib/postgresql/17/main
    login_unix_socket: /var/run/postgresql
  become: true
  become_user: postgres

- name: Open the server for writing
  pgark.postgres.recovery:
    state: promoted
    data_directory: /var/lib/postgresql/17/main
    login_unix_socket: /var/run/postgresql
  become: true
  become_user: postgres
"""

RETURN = r"""
reached:
  description: Whether the target is reached.
  returned: always
  type: bool
in_recovery:
  description: Whether the server is still in recovery; null while it does not answer.
  returned: always
  type: bool
paused:
  description: Whether recovery is paused.
  returned: always
  type: bool
lsn:
  description: Position up to which WAL was replayed.
  returned: always
  type: str
  sample: 0/50001A8
time:
  description: Time of the last transaction that was replayed, in UTC.
  returned: always
  type: str
timeline:
  description: Timeline of the server.
  returned: always
  type: int
restart_required:
  description:
    - Whether the promoted server still works with settings that were made for its recovery, so that it does not listen
      on the network, for example. A restart ends that, and the next run says so.
  returned: always
  type: bool
proof_required:
  description:
    - Whether nobody has seen yet that the restored server archives on its new timeline. M(pgark.postgres.restore_point)
      with O(pgark.postgres.restore_point#module:wait) proves it, and notes that in the data directory.
  returned: always
  type: bool
to_do:
  description:
    - What a restore leaves to be done, for a person to read; for standbys, slots and subscribers of the server that was
      replaced, for subscriptions that are off, and where every commit waits for a standby that is not there.
  returned: always
  type: list
  elements: str
  sample: ["standby db2 (192.0.2.2) goes on serving the old history: make it anew, or use pg_rewind"]
subscriptions_disabled:
  description: The subscriptions that O(state=promoted) has disabled, and that nobody has enabled or dropped since.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The name.
      type: str
    database:
      description: The database.
      type: str
    enable:
      description: The statement that enables it, to be run in that database.
      type: str
  sample: [{"name": "orders", "database": "app", "enable": 'ALTER SUBSCRIPTION "orders" ENABLE'}]
position:
  description: Position up to which WAL was replayed, or before connections are possible the one being read.
  returned: always
  type: str
start_lsn:
  description: Position from which WAL is replayed; null when the restore did not note it.
  returned: always
  type: str
end_lsn:
  description: Position up to which WAL is replayed, as far as that was known when the restore was staged.
  returned: always
  type: str
progress:
  description: How far recovery is, as text.
  returned: always
  type: str
log:
  description: The end of the server's log.
  returned: when the target is not reached
  type: str
"""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import RestoreRecord
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.observe import own_record
from ansible_collections.pgark.postgres.plugins.module_utils._dependents.apply_subscriptions import (
    check_reachable,
    disable,
    kept_off,
)
from ansible_collections.pgark.postgres.plugins.module_utils._dependents.observe import waiting
from ansible_collections.pgark.postgres.plugins.module_utils._dependents.report import (
    enabling,
    switched_off,
    synchronous,
    will_be_off,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._recovery.apply import (
    check_end,
    check_in_force,
    end_recovery,
    forget_overrides,
    link_again,
    proof_required,
    put_back,
    restart_required,
    settings_to_put_back,
)
from ansible_collections.pgark.postgres.plugins.module_utils._recovery.module import watch_of
from ansible_collections.pgark.postgres.plugins.module_utils._recovery.observe import Progress, run_checks
from ansible_collections.pgark.postgres.plugins.module_utils._server.server import RecoveryState, Server
from ansible_collections.pgark.postgres.plugins.module_utils._task.arguments import COMMON, required, spec
from ansible_collections.pgark.postgres.plugins.module_utils._task.task import Result, Task, run

NOT_PROMOTED = {"restart_required": False, "proof_required": False, "to_do": [], "subscriptions_disabled": []}


def perform(task: Task) -> Result:
    """Wait for the target, run the checks, and promote if that is asked for; then nobody else may be at the data."""
    with task.owning("recovery: promoted") if task.options["state"] == "promoted" else nullcontext():
        return reach(task)


def reach(task: Task) -> Result:
    """Go as far as the state says."""
    options = task.options
    watch = watch_of(task)
    progress = watch.wait(0 if task.check_mode else options["look"])
    record = own_record(task.data_directory)
    if progress.state is not None and record is not None:
        check_restore(task, progress.state, record)
    if not progress.reached:
        return {**NOT_PROMOTED, **facts(progress), "log": watch.last_words()}
    with task.connect(anywhere=not options["checks"]) as server:
        check(server, options, progress)
        promoted = promote(server, task, record) if options["state"] == "promoted" else {"changed": False}
        promoted = {**promoted, **afterwards(server, task, promoted["changed"])}
    after = watch.look() if promoted["changed"] and not task.check_mode else progress
    diff = {"before": shown(progress), "after": shown(after)}
    return {**NOT_PROMOTED, **facts(after), "diff": diff, **promoted}


def check_restore(task: Task, state: RecoveryState, record: RestoreRecord) -> None:
    """Refuse a server that does not recover as its restore has told it to, or that has ended up elsewhere."""
    if state.in_recovery or record.overrides:
        with task.connect(anywhere=True) as server:
            check_in_force(server, task.data_directory, record)
    check_end(task.data_directory, state, record)


def check(server: Server, options: Mapping[str, Any], progress: Progress) -> None:
    """Refuse what was reached when it is not what was asked for."""
    if options["state"] == "paused" and progress.state is not None and not progress.state.in_recovery:
        raise Error(
            "the server is not in recovery any more: it has been promoted",
            "a promoted server cannot go back to its target",
        )
    failures = run_checks(server, options["checks"])
    if failures:
        raise Error(
            f"what came back is not what was expected: {'; '.join(failures)}",
            "the server stays as it is; pitr_restore.yml with another target tries again, pitr_finalize.yml promotes "
            "it all the same, and pitr_rollback.yml puts the data from before back",
        )


def promote(server: Server, task: Task, record: RestoreRecord | None) -> dict[str, bool]:
    """End recovery, and put the settings of the restore back; tells what was, or would be, changed.

    While the record has overrides, a run before this one may have written all settings, and not had them read.
    """
    in_recovery, settings = server.in_recovery(), settings_to_put_back(server, record)
    unread = bool(settings) or (record is not None and bool(record.overrides))
    changed = in_recovery or unread
    if task.check_mode:
        needs_restart = changed or restart_required(server)
        return {"changed": changed, "restart_required": needs_restart, "proof_required": proof_required(record)}
    if in_recovery:
        if record is not None:
            check_reachable(server, record)
        end_recovery(server, task.options["timeout"])
        if record is not None:
            check_end(task.data_directory, server.recovery_state(), record)
    if record is not None and record.overrides:
        record = disable(server, task.data_directory, record)
    if unread:
        put_back(server, task.data_directory, settings)
    link_again(task.data_directory, record)
    forget_overrides(task.data_directory, record)
    required = {"restart_required": restart_required(server), "proof_required": proof_required(record)}
    return {"changed": changed, **required}


def afterwards(server: Server, task: Task, changed: bool) -> dict[str, Any]:
    """Report what a restore leaves to be done, now that its result can be asked.

    A server of which no commit comes back is a reason for a warning to whoever has just opened it.
    """
    record = own_record(task.data_directory)
    if record is None:
        return {}
    clone, waits = record.source is not None, synchronous(waiting(server))
    off, done = kept_off(server, record), not record.overrides
    of_subscriptions = switched_off(off, clone) if done else [*filter(None, [will_be_off(off)])]
    return {
        "to_do": [*record.to_do, *of_subscriptions, *filter(None, [waits])],
        "subscriptions_disabled": [
            {"name": each.name, "database": each.database, "enable": enabling(each)} for each in off if done
        ],
        "warnings": [waits] if waits and changed else [],
    }


def facts(progress: Progress) -> dict[str, Any]:
    """Report a look at the recovery."""
    return {"reached": progress.reached, "progress": progress.text, **progress.as_dict()}


def shown(progress: Progress) -> dict[str, Any]:
    """Give what the diff shows of a look."""
    return {name: value for name, value in progress.as_dict().items() if name in ("in_recovery", "paused", "timeline")}


def main() -> None:
    """Run the module."""
    run(
        spec(
            required(COMMON, "data_directory"),
            state={"type": "str", "required": True, "choices": ["at_target", "paused", "promoted"]},
            checks={
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"query": {"type": "str", "required": True}, "expect": {"type": "raw", "required": True}},
            },
            timeout={"type": "int", "default": 600},
            look={"type": "int", "default": 5},
        ),
        perform,
    )


if __name__ == "__main__":
    main()
