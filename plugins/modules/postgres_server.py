#!/usr/bin/python
# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_server
short_description: Start, stop, restart or reload a PostgreSQL server with pg_ctl
version_added: 0.1.0
description:
  - For servers that no service manager runs. Use M(ansible.builtin.systemd_service) for one that has a unit.
  - Whether a server is running is decided by looking at processes, not at C(postmaster.pid). A server whose data
    directory was deleted under it is found and stopped too.
  - A server is started with the options that it had last, as its process tells, or C(postmaster.opts) where it is down;
    only the data directory and O(config_file) are given anew. What C(pg_upgrade) had started is started without any.
  - A restart keeps the server's environment. Of this module's own one, a server that was down gets neither a locale
    (C(LANG), C(LANGUAGE), C(LC_*)) nor a variable of libpq (C(PG*)).
options:
  data_directory:
    description:
      - PGDATA, the cluster's data directory. It may be a symbolic link.
    type: path
    required: true
  state:
    description:
      - V(started) and V(stopped) change nothing when the server is in that state already.
      - V(restarted) starts a server that is down; V(reloaded) requires a running one.
      - V(available) starts nothing. It waits until the server lets clients in, and fails with the end of its log when
        it is not running. For servers that a service manager has started.
    type: str
    required: true
    choices: [started, stopped, restarted, reloaded, available]
  mode:
    description:
      - How to stop, as in C(pg_ctl stop --mode).
    type: str
    default: fast
    choices: [fast, smart, immediate]
  timeout:
    description:
      - Seconds to wait for the server to start or stop.
      - A server that starts with a recovery only has to be alive after a few seconds. M(pgark.postgres.recovery) waits
        for its end.
    type: int
    default: 60
  config_file:
    description:
      - Path of C(postgresql.conf) when it is not in the data directory.
    type: path
attributes:
  check_mode:
    support: full
    description: Says what it would do.
  diff_mode:
    support: full
    description: Shows the state of the server before and after.
extends_documentation_fragment:
  - pgark.postgres.common
author:
  - The pgark.postgres contributors (@pgark)
"""

EXAMPLES = r"""
- name: Start a server that has no systemd unit
  pgark.postgres.postgres_server:
    state: started
    data_directory: /srv/db/17/main
    log_file: /srv/db/17/main.log
  become: true
  become_user: postgres

- name: Make sure that a server came back from its restart
  pgark.postgres.postgres_server:
    state: available
    data_directory: /var/lib/postgresql/17/main
    login_unix_socket: /var/run/postgresql
    log_file: /var/log/postgresql/postgresql-17-main.log
  become: true
  become_user: postgres
"""

RETURN = r"""
pid:
  description: Process id of the running server, or null when it is stopped.
  returned: always
  type: int
  sample: 4711
"""

from ansible_collections.pgark.postgres.plugins.module_utils._cluster.control import (
    Launch,
    ServerControl,
    wait_available,
)
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.observe import quoting_log
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._host.claim import check_unclaimed, settle
from ansible_collections.pgark.postgres.plugins.module_utils._host.processes import find_postmaster
from ansible_collections.pgark.postgres.plugins.module_utils._task.arguments import COMMON, required, spec
from ansible_collections.pgark.postgres.plugins.module_utils._task.task import Result, Task, run

_STATES = ["started", "stopped", "restarted", "reloaded", "available"]
_ACTIONS = {
    ("started", False): ("start",),
    ("stopped", True): ("stop",),
    ("restarted", False): ("start",),
    ("restarted", True): ("stop", "start"),
    ("reloaded", True): ("reload",),
}


def perform(task: Task) -> Result:
    """Compare the process with the wanted state, and act with pg_ctl."""
    real, wanted = task.data_directory, task.options["state"]
    pid = find_postmaster(real)
    if wanted == "available":
        return available(task)
    if wanted == "reloaded" and pid is None:
        raise Error(
            f"no server is running on {task.data_directory}, so none can be reloaded", "start it with state: started"
        )
    actions = _ACTIONS.get((wanted, pid is not None), ())
    log_file = task.options["log_file"] or f"{real}.log"
    # After the data directory was deleted, nothing tells whose programs they would be; stopping needs none.
    programs = "" if actions in ((), ("stop",)) else task.bin_directory()
    launch = Launch.of(real, task.options["config_file"])
    control = ServerControl(real, programs, log_file, launch, task.options["timeout"], task.runner)
    if "start" in actions and check_unclaimed(real) and not task.check_mode:
        with task.owning("postgres_server: started"):
            settle(real)
    if not task.check_mode:
        with quoting_log(real, log_file, task.options["config_file"]):
            for action in actions:
                control.carry_out(action, task.options["mode"])
    before = "stopped" if pid is None else "running"
    after = "stopped" if wanted == "stopped" else "running"
    return {
        "changed": bool(actions),
        "pid": find_postmaster(real),
        "diff": {"before": {"server": before}, "after": {"server": f"{after} ({wanted})" if actions else before}},
    }


def available(task: Task) -> Result:
    """Wait for a connection; in check mode nothing was started that could be waited for."""
    if not task.check_mode:
        with quoting_log(task.data_directory, task.options["log_file"], task.options["config_file"]):
            wait_available(task.data_directory, task.connection, task.options["timeout"])
    return {"pid": find_postmaster(task.data_directory)}


def main() -> None:
    """Run the module."""
    run(
        spec(
            required(COMMON, "data_directory"),
            state={"type": "str", "required": True, "choices": _STATES},
            mode={"type": "str", "default": "fast", "choices": ["fast", "smart", "immediate"]},
            timeout={"type": "int", "default": 60},
            config_file={"type": "path"},
        ),
        perform,
    )


if __name__ == "__main__":
    main()
