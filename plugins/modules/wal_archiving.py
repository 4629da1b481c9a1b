#!/usr/bin/python
# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wal_archiving
short_description: Configure continuous archiving of WAL, and prove that it works
version_added: 0.1.0
description:
  - Changes the settings of archiving with C(ALTER SYSTEM). Only what differs is touched, and an C(archive_command)
    that was there is shown in the diff.
  - A freshly enabled C(archive_mode) needs a restart, which this module reports and does not carry out.
  - With O(verify), forces a switch of WAL and reads the segment back from the repository.
options:
  data_directory:
    description:
      - PGDATA, the cluster's data directory. It may be a symbolic link.
    type: path
    required: true
  state:
    description:
      - V(enabled) sets C(archive_mode), C(archive_command) or C(archive_library), and C(archive_timeout), and where
        they are too low C(wal_level) and C(max_wal_senders).
      - V(disabled) sets C(archive_mode) to C(off) and resets the others. The repository is left alone.
    type: str
    default: enabled
    choices: [enabled, disabled]
  program:
    description:
      - Path of pgark-wal on the host. The C(archive_command) is made of it, O(repository), O(cluster) and
        O(compression).
      - It is installed there before any setting is changed, as a whole, and only where it differs. Its first line names
        the Python interpreter that runs this module. Of its directories, the last one is created when it is missing.
    type: path
  command:
    description:
      - An C(archive_command) of your own.
    type: str
  library:
    description:
      - An C(archive_library), from PostgreSQL 15 on.
    type: str
  timeout:
    description:
      - The C(archive_timeout) in seconds.
    type: int
    default: 60
  settings:
    description:
      - Further settings to change, by name.
    type: dict
    default: {}
  verify:
    description:
      - Force a switch, wait for the segment and read it back. Needs O(program).
      - Where that is not possible, RV(unverified_reason) says why and nothing fails. That is so in check mode, on a
        standby, and while a setting waits for a restart.
    type: bool
    default: false
  verify_timeout:
    description:
      - Seconds that the segment may take to arrive.
    type: int
    default: 60
attributes:
  check_mode:
    support: full
    description: Says what it would change.
  diff_mode:
    support: full
    description: Shows the settings before and after, and of pgark-wal the checksum.
extends_documentation_fragment:
  - pgark.postgres.common
  - pgark.postgres.common.compression
author:
  - The pgark.postgres contributors (@pgark)
"""

EXAMPLES = r"""
- name: Archive with pgark-wal, and prove it unless a restart has to come first
  pgark.postgres.wal_archiving:
    program: ~/pgark/pgark-wal
    repository: /srv/pgark
    cluster: db1
    data_directory: /var/lib/postgresql/17/main
    login_unix_socket: /var/run/postgresql
    verify: true
  become: true
  become_user: postgres
  register: archiving

- name: Say what is left to do
  ansible.builtin.debug:
    var: archiving.unverified_reason
  when: archiving.unverified_reason is not none
"""

RETURN = r"""
restart_required:
  description: Whether a setting comes into force only with a restart.
  returned: always
  type: bool
restart_settings:
  description: The names of those settings.
  returned: always
  type: list
  elements: str
settings_before:
  description: The settings that differed, as they were.
  returned: always
  type: dict
settings_after:
  description: The same settings as they are to be.
  returned: always
  type: dict
compression:
  description: The compression that V(auto) was settled on.
  returned: always
  type: str
  sample: zstd
verified_segment:
  description: The segment that was archived and read back, or null.
  returned: always
  type: str
  sample: "000000010000000000000003"
unverified_reason:
  description: Why O(verify) proved nothing, or null when it did or was not asked to.
  returned: always
  type: str
  sample: a restart has to bring archive_mode into force first
steps:
  description: What was done, or in check mode would be done.
  returned: always
  type: list
  elements: dict
"""

from ansible_collections.pgark.postgres.plugins.module_utils._core.plan import Plan
from ansible_collections.pgark.postgres.plugins.module_utils._core.plan_archiving import (
    check_in_force,
    plan_archiving,
    restart_reasons,
    unverified_reason,
    wanted_when_disabled,
    wanted_when_enabled,
)
from ansible_collections.pgark.postgres.plugins.module_utils._core.plan_program import plan_program
from ansible_collections.pgark.postgres.plugins.module_utils._core.settings import (
    Setting,
    choose_compression,
    push_command,
)
from ansible_collections.pgark.postgres.plugins.module_utils._host.apply import Host
from ansible_collections.pgark.postgres.plugins.module_utils._host.archiving import prove_archiving
from ansible_collections.pgark.postgres.plugins.module_utils._host.cluster import quoting_log
from ansible_collections.pgark.postgres.plugins.module_utils._host.program import observe_program
from ansible_collections.pgark.postgres.plugins.module_utils._host.repository import require
from ansible_collections.pgark.postgres.plugins.module_utils._host.server import Server
from ansible_collections.pgark.postgres.plugins.module_utils._host.tools import available_decompressors
from ansible_collections.pgark.postgres.plugins.module_utils._module.arguments import (
    COMMON,
    COMPRESSION,
    required,
    spec,
)
from ansible_collections.pgark.postgres.plugins.module_utils._module.task import Result, Task, planned, run


def perform(task: Task) -> Result:
    """Install pgark-wal, compare the settings in force with the wanted ones, change them, and prove that it works."""
    options = task.options
    compression = choose_compression(options["compression"], available_decompressors())
    with task.connect() as server:
        current = server.settings()
        wanted = wanted_settings(task, current, compression)
        plan = plan_archiving(current, wanted)
        program = plan_of_program(task)
        task.apply(program.then(plan), Host(task.runner, opened=server))
        restart = restart_reasons(current, wanted) if task.check_mode else settle(server, wanted)
        reason = unverified_reason(task.check_mode, server.in_recovery(), restart)
        verified = prove(task, server) if options["verify"] and reason is None else None
    return planned(
        program.then(plan),
        restart_required=bool(restart),
        restart_settings=restart,
        settings_before=dict(plan.before),
        settings_after=dict(plan.after),
        compression=compression,
        verified_segment=verified,
        unverified_reason=reason if options["verify"] else None,
    )


def plan_of_program(task: Task) -> Plan:
    """Plan the installation of pgark-wal where it is to archive; the repository that it writes to must be there."""
    if not task.options["program"] or task.options["state"] != "enabled":
        return Plan()
    if not task.check_mode:
        require(task.layout)
    return plan_program(observe_program(task.options["program"]))


def wanted_settings(task: Task, current: dict[str, Setting], compression: str) -> dict[str, str | None]:
    """Translate the options into settings."""
    options = task.options
    if options["state"] == "disabled":
        return wanted_when_disabled(current)
    command = options["command"] or ""
    if options["program"]:
        command = push_command(options["program"], task.layout.repository, task.layout.cluster, compression)
    extra = {name: str(value) for name, value in options["settings"].items()}
    return wanted_when_enabled(current, command, options["library"] or "", options["timeout"], extra)


def settle(server: Server, wanted: dict[str, str | None]) -> list[str]:
    """Make sure that nothing outranks what was set, and name the settings that wait for a restart."""
    current = server.settings()
    check_in_force(current, wanted)
    return restart_reasons(current, wanted)


def prove(task: Task, server: Server) -> str:
    """Archive a segment and read it back."""
    with quoting_log(task.data_directory, task.options["log_file"]):
        return prove_archiving(server, task.layout, task.runner, task.options["verify_timeout"])


def main() -> None:
    """Run the module."""
    run(
        spec(
            COMPRESSION,
            required(COMMON, "data_directory"),
            state={"type": "str", "default": "enabled", "choices": ["enabled", "disabled"]},
            program={"type": "path"},
            command={"type": "str"},
            library={"type": "str"},
            timeout={"type": "int", "default": 60},
            settings={"type": "dict", "default": {}},
            verify={"type": "bool", "default": False},
            verify_timeout={"type": "int", "default": 60},
        ),
        perform,
        mutually_exclusive=[("program", "command", "library")],
        required_if=[("state", "enabled", ("program", "command", "library"), True), ("verify", True, ("program",))],
        required_by={"program": ("repository", "cluster")},
    )


if __name__ == "__main__":
    main()
