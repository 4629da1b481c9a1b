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
  - Changes the settings of archiving with C(ALTER SYSTEM). Only what differs is touched. The diff shows what was there,
    and the file and line that it came from, be it C(postgresql.conf), an included file or an earlier C(ALTER SYSTEM).
  - What cannot take effect is refused before anything is changed, with the place that is in the way. That is a setting
    on the server's command line, which outranks all files, or a line in a file that the server does not accept.
  - A freshly enabled C(archive_mode) needs a restart, which this module reports and does not carry out.
  - With O(program), C(pgark-wal check) is run before any setting is changed. It writes a probe to every repository, as
    the user that the server has, and reads it back. What it finds wrong is the error, and no setting was changed then.
  - With O(verify), forces a switch of WAL and reads the segment back from every repository.
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
      - V(disabled) undoes that. It resets C(archive_mode), C(archive_command), C(archive_library) and
        C(archive_timeout) in C(postgresql.auto.conf), and sets C(archive_mode) to V(off) where another file switches it
        on. It resets C(wal_level) and C(max_wal_senders) as well, when they have exactly the values that V(enabled)
        writes in place of too low ones of other files, no standby and no replication slot is there, and the server
        would start with the lower ones.
      - With V(disabled) the repository is left alone, and so is pgark-wal, which other clusters of the host may call.
    type: str
    default: enabled
    choices: [enabled, disabled]
  program:
    description:
      - Path of pgark-wal on the host. The C(archive_command) is made of it, O(repository), O(further_repositories),
        O(cluster), O(compression) and O(jobs). One that PostgreSQL 13 to 15 would cut off, after 1023 bytes, is
        refused.
      - It is installed there before any setting is changed, as a whole, and only where it differs, with C(pgark_wal.py)
        and what Python has compiled of that beside it. Its first line names the Python interpreter that runs this
        module. Of its directories, the last one is created when it is missing.
    type: path
  further_repositories:
    description:
      - Absolute paths of further repositories, each laid out by M(pgark.postgres.backup_repository). A segment counts
        as archived, and the server removes it, only once O(repository) and every one of these has it.
    type: list
    elements: path
    default: []
  command:
    description:
      - An C(archive_command) of your own.
    type: str
  library:
    description:
      - An C(archive_library), from PostgreSQL 15 on. One that the server cannot load is refused.
    type: str
  timeout:
    description:
      - The C(archive_timeout) in seconds.
    type: int
    default: 60
  settings:
    description:
      - Further settings to change, by name. With O(state=disabled), those that C(ALTER SYSTEM) set to these very values
        are reset.
    type: dict
    default: {}
  verify:
    description:
      - Force a switch, wait for the segment and read it back. Needs O(program), and does nothing with
        O(state=disabled).
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
  - pgark.postgres.common.repositories
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
status:
  description:
    - What C(pgark-wal status --json) tells about the archiving, once all is done. Null in check mode, and without
      O(program) or with O(state=disabled).
  returned: always
  type: dict
  contains:
    status:
      description: The worst of what was found, V(ok), V(warning) or V(critical).
      type: str
    critical:
      description: What is critical, such as a repository that cannot be written to.
      type: list
      elements: str
    warning:
      description: What deserves a look.
      type: list
      elements: str
    data_directory:
      description: The data directory.
      type: str
    segment_size:
      description: Bytes of a segment.
      type: int
    waiting:
      description: How many files wait to be archived.
      type: int
    oldest_waiting:
      description: C(name) of the one that has been waiting for the longest, since C(time), for C(age) seconds.
        Null when nothing waits.
      type: dict
    pg_wal:
      description: C(path), C(free_bytes), the number of C(segments) that there is room for, C(segments_per_second) that
        were written lately, and the C(seconds) until there is no room if all of them stay. The last two can be null.
      type: dict
    repositories:
      description: Of each its C(path), the C(problem) because of which nothing can be written to it (null if there is
        none), C(free_bytes) and the number of C(segments) that there is room for, C(last_archived) with C(name),
        C(time) and C(age), and C(segments_per_second) and C(bytes_per_second) of WAL that the last segments arrived
        with. What is not known is null.
      type: list
      elements: dict
steps:
  description: What was done, or in check mode would be done.
  returned: always
  type: list
  elements: dict
"""

from collections.abc import Mapping, Sequence

from ansible_collections.pgark.postgres.plugins.module_utils._core.commands import push_command
from ansible_collections.pgark.postgres.plugins.module_utils._core.configuration import Configuration
from ansible_collections.pgark.postgres.plugins.module_utils._core.plan import Plan
from ansible_collections.pgark.postgres.plugins.module_utils._core.plan_archiving import (
    check_changeable,
    check_command_length,
    check_in_force,
    plan_archiving,
    restart_reasons,
    unverified_reason,
    values_after,
    wanted_when_disabled,
    wanted_when_enabled,
)
from ansible_collections.pgark.postgres.plugins.module_utils._core.plan_program import plan_program
from ansible_collections.pgark.postgres.plugins.module_utils._core.settings import (
    Setting,
    changes,
    choose_compression,
)
from ansible_collections.pgark.postgres.plugins.module_utils._host.apply import Host
from ansible_collections.pgark.postgres.plugins.module_utils._host.archiving import prove_archiving
from ansible_collections.pgark.postgres.plugins.module_utils._host.cluster import quoting_log
from ansible_collections.pgark.postgres.plugins.module_utils._host.monitoring import WalProgram
from ansible_collections.pgark.postgres.plugins.module_utils._host.program import observe_program
from ansible_collections.pgark.postgres.plugins.module_utils._host.server import Server
from ansible_collections.pgark.postgres.plugins.module_utils._host.tools import available_decompressors
from ansible_collections.pgark.postgres.plugins.module_utils._module.arguments import (
    COMMON,
    COMPRESSION,
    REPOSITORIES,
    required,
    spec,
)
from ansible_collections.pgark.postgres.plugins.module_utils._module.clone import require_own
from ansible_collections.pgark.postgres.plugins.module_utils._module.task import Result, Task, planned, run

NO_PROOF: Result = {"verified_segment": None, "unverified_reason": None}


def perform(task: Task) -> Result:
    """Install pgark-wal, compare the settings in force with the wanted ones, change them, and prove that it works."""
    compression = choose_compression(task.options["compression"], available_decompressors())
    with task.connect() as server:
        current = server.configuration()
        wanted = wanted_settings(task, server, current.settings, compression)
        found = changes(current.settings, wanted)
        warnings = check_changeable(current, found, restart_reasons(current.settings, wanted))
        installation, alteration = plan_of_program(task), plan_archiving(found)
        host, program = Host(task.runner, opened=server), wal_program(task)
        task.apply(installation, host)
        if program is not None:
            program.check(compression)
        task.apply(alteration, host)
        after = current if task.check_mode else settle(server, wanted, reloaded=bool(found))
        restart = restart_reasons(after.settings, wanted)
        proof = prove(task, server, restart) if wants_proof(task) else NO_PROOF
    return planned(
        installation.then(alteration),
        status=None if program is None else program.status(),
        restart_required=bool(restart),
        restart_settings=restart,
        settings_before={change.name: change.before for change in found},
        settings_after=values_after(found),
        compression=compression,
        warnings=warnings,
        **proof,
    )


def plan_of_program(task: Task) -> Plan:
    """Plan the installation of pgark-wal where it is to archive; the repository that it writes to must be there."""
    if task.options["state"] != "enabled":
        return Plan()
    require_own(task)
    if not task.options["program"]:
        return Plan()
    return plan_program(observe_program(task.options["program"]))


def wal_program(task: Task) -> WalProgram | None:
    """Give the pgark-wal that is to archive; None where there is none, or none yet, as in check mode."""
    options = task.options
    if task.check_mode or options["state"] != "enabled" or not options["program"]:
        return None
    return WalProgram(options["program"], task.repositories, task.layout.cluster, task.data_directory, task.runner)


def wanted_settings(
    task: Task, server: Server, current: Mapping[str, Setting], compression: str
) -> dict[str, str | None]:
    """Translate the options into settings."""
    options = task.options
    extra = {name: str(value) for name, value in options["settings"].items()}
    if options["state"] == "disabled":
        return wanted_when_disabled(current, extra, server.replicates())
    command = options["command"] or ""
    if options["program"]:
        cluster = task.layout.cluster
        command = push_command(options["program"], task.repositories, cluster, compression, task.jobs)
    check_command_length(command, server.version)
    if options["library"] and "archive_library" in current:
        server.require_library(options["library"])
    return wanted_when_enabled(current, command, options["library"] or "", options["timeout"], extra)


def settle(server: Server, wanted: Mapping[str, str | None], reloaded: bool) -> Configuration:
    """Make sure that what was set is in force, or will be after a restart."""
    current = server.configuration()
    check_in_force(current, wanted, reloaded)
    return current


def wants_proof(task: Task) -> bool:
    """Tell whether archiving is to work, and to be proved to."""
    return bool(task.options["verify"] and task.options["state"] == "enabled")


def prove(task: Task, server: Server, restart: Sequence[str]) -> Result:
    """Archive a segment and read it back, or say why that is not possible now."""
    reason = unverified_reason(task.check_mode, server.in_recovery(), restart)
    if reason is not None:
        return {**NO_PROOF, "unverified_reason": reason}
    with quoting_log(task.data_directory, task.options["log_file"]):
        segment = prove_archiving(server, task.layouts, task.runner, task.options["verify_timeout"])
    return {**NO_PROOF, "verified_segment": segment}


def main() -> None:
    """Run the module."""
    run(
        spec(
            COMPRESSION,
            REPOSITORIES,
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
