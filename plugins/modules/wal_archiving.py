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
  - A freshly enabled C(archive_mode) needs a restart, which this module reports and does not carry out. It fails where
    a library that is to be preloaded is not on the host any more, without which the server would not start again.
  - Under a manager of high availability such as Patroni, which has the configuration or the restarts in its own hands,
    nothing is changed. The error has the values, and where to set them by hand. What is set already is proved.
  - With O(program), C(pgark-wal check) is run before any setting is changed. It writes a probe to every repository, as
    the user that the server has, and reads it back. What it finds wrong is the error, and no setting was changed then.
  - With O(verify), forces a switch of WAL and reads the segment back from every repository. What comes back has to be
    what the server wrote; another server's segment under that name is refused.
  - With O(program), a standby with C(archive_mode=always) is refused where it would archive into the place of its
    primary, or where that cannot be asked. A warning says when base backups would fail for want of replication.
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
        on and no archiving stands there. It resets C(wal_level) and C(max_wal_senders) as well, when they have exactly
        the values that V(enabled) writes in place of too low ones of other files, no standby and no replication slot is
        there, and the server would start with the lower ones.
      - Before that, V(disabled) has everything archived that was written so far, within O(drain_timeout). An archiving
        that was replaced is put back, and one that is not pgark-wal's is left alone.
      - What a server writes while its archiving is off is missing from the archive. After it was enabled again, the
        next window begins with a new backup, and RV(uncovered_reason) says so until there is one.
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
  replace:
    description:
      - Take over from an C(archive_command) or C(archive_library) that is not pgark-wal's, nor one of O(command) and
        O(library). Without it, such a one is refused with its text, and nothing is changed.
      - What stands there is kept before it is changed, in a file beside O(program) that only its owner can read, or in
        C(~/pgark) without a program. With O(state=disabled) it is put back.
    type: bool
    default: false
  drain_timeout:
    description:
      - Seconds that O(state=disabled) waits until nothing waits to be archived any more, after a switch of WAL. What is
        still waiting then is named in an error, and archiving goes on as it was. The server would drop it.
    type: int
    default: 60
  discard_waiting:
    description:
      - With O(state=disabled), give up what waits to be archived. The archive ends before it, and RV(given_up) has the
        names. It is meant for a repository that is gone for good.
    type: bool
    default: false
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
  description: The settings that differed, as they were; passwords in them are masked.
  returned: always
  type: dict
settings_after:
  description: The same settings as they are to be; passwords in them are masked.
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
uncovered_reason:
  description: Why what is archived from now on cannot be restored yet, for want of a backup that leads to it without a
    gap. Null when it can, and when nothing was verified.
  returned: always
  type: str
  sample: "there is no backup yet; what is archived from now on can be restored once there is a new backup: run
    base_backup.yml"
other_archiving:
  description: What somebody else archives with, which O(state=disabled) has left alone; null when there is none.
  returned: always
  type: str
given_up:
  description: The files that waited to be archived, and were given up with O(discard_waiting).
  returned: always
  type: list
  elements: str
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
      contains:
        name:
          description: Its name.
          type: str
        time:
          description: Since when it waits.
          type: str
        age:
          description: For how many seconds.
          type: float
    pg_wal:
      description: C(path), C(free_bytes), the number of C(segments) that there is room for, C(segments_per_second) that
        were written lately, and the C(seconds) until there is no room if all of them stay. The last two can be null.
      type: dict
    repositories:
      description: Of each its C(path), the C(problem) because of which nothing can be written to it (null if there is
        none), C(free_bytes) and the number of C(segments) that there is room for, C(last_archived) with C(name),
        C(time) and C(age), C(locked_by), the processes that keep pushes from publishing at this moment, and
        C(segments_per_second) and C(bytes_per_second) of WAL that the last segments arrived
        with. What is not known is null.
      type: list
      elements: dict
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

from collections.abc import Mapping, Sequence

from ansible_collections.pgark.postgres.plugins.module_utils._archiving import apply as apply_archiving
from ansible_collections.pgark.postgres.plugins.module_utils._archiving import apply_program
from ansible_collections.pgark.postgres.plugins.module_utils._archiving.apply import ArchivingContext
from ansible_collections.pgark.postgres.plugins.module_utils._archiving.commands import parse_push, push_command
from ansible_collections.pgark.postgres.plugins.module_utils._archiving.observe import prove_archiving
from ansible_collections.pgark.postgres.plugins.module_utils._archiving.observe_status import WalProgram
from ansible_collections.pgark.postgres.plugins.module_utils._archiving.observe_takeover import kept_place, read_kept
from ansible_collections.pgark.postgres.plugins.module_utils._archiving.plan import (
    DrainArchive,
    check_changeable,
    check_command_length,
    check_in_force,
    ends_archiving,
    plan_archiving,
    restart_reasons,
    unverified_reason,
    values_after,
    wanted_when_disabled,
    wanted_when_enabled,
)
from ansible_collections.pgark.postgres.plugins.module_utils._archiving.plan_program import plan_program
from ansible_collections.pgark.postgres.plugins.module_utils._archiving.program import observe_program
from ansible_collections.pgark.postgres.plugins.module_utils._archiving.takeover import (
    ForgetReplaced,
    KeepReplaced,
    Kept,
    foreign_text,
    others_archiving,
    refuse_replacing,
)
from ansible_collections.pgark.postgres.plugins.module_utils._clone.module import require_own
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.observe import is_standby, quoting_log
from ansible_collections.pgark.postgres.plugins.module_utils._dependents.observe_replication import (
    require_place_of_its_own,
    require_replication,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._host.tools import available_decompressors
from ansible_collections.pgark.postgres.plugins.module_utils._plan import apply_files
from ansible_collections.pgark.postgres.plugins.module_utils._plan.plan import Plan
from ansible_collections.pgark.postgres.plugins.module_utils._repository.observe_catalog import read_catalog
from ansible_collections.pgark.postgres.plugins.module_utils._restore.apply_fitting import Staged, check_libraries
from ansible_collections.pgark.postgres.plugins.module_utils._server.configuration import Configuration
from ansible_collections.pgark.postgres.plugins.module_utils._server.managers import check_settings_unmanaged
from ansible_collections.pgark.postgres.plugins.module_utils._server.observe_managers import signs_of_manager
from ansible_collections.pgark.postgres.plugins.module_utils._server.server import Server
from ansible_collections.pgark.postgres.plugins.module_utils._server.settings import (
    Change,
    Setting,
    changes,
    choose_compression,
)
from ansible_collections.pgark.postgres.plugins.module_utils._task.arguments import (
    COMMON,
    COMPRESSION,
    REPOSITORIES,
    required,
    spec,
)
from ansible_collections.pgark.postgres.plugins.module_utils._task.task import Result, Task, planned, run
from ansible_collections.pgark.postgres.plugins.module_utils._values.secrets import masked_all
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import SegmentName
from ansible_collections.pgark.postgres.plugins.module_utils._windows.coverage import uncovered
from ansible_collections.pgark.postgres.plugins.module_utils._windows.observe_own_wal import waiting_files

_BEFORE_THE_RESTART = "install what the library belongs to, or take it out of the setting, before the next restart"
STEPS = {**apply_files.STEPS, **apply_program.STEPS, **apply_archiving.STEPS}
NO_PROOF: Result = {"verified_segment": None, "unverified_reason": None, "uncovered_reason": None}


def perform(task: Task) -> Result:
    """Install pgark-wal, compare the settings in force with the wanted ones, change them, and prove that it works."""
    compression = choose_compression(task.options["compression"], available_decompressors())
    with task.connect() as server:
        current, place = server.configuration(), place_of_kept(task, server)
        kept = read_kept(place)
        others = others_archiving(current.settings, own_archiving(task), kept)
        wanted = wanted_settings(task, server, current.settings, compression, kept, others)
        found = changes(current.settings, wanted)
        due = restart_reasons(current.settings, wanted)
        warnings = check_changeable(current, found, due)
        installation = plan_of_program(task, server)
        before, after_it = plans_around(task, server, current.settings, found, place, kept, others)
        alteration = before.then(plan_archiving(found)).then(after_it)
        given_up = waiting_files(server.data_directory) if gives_up(task, current.settings, found) else []
        context, program = ArchivingContext(server), wal_program(task)
        task.apply(installation, context, STEPS)
        if program is not None:
            program.check(compression)
        if found or due:
            check_settings_unmanaged(signs_of_manager(task.data_directory), values_after(found))
        task.apply(alteration, context, STEPS)
        after = current if task.check_mode else settle(server, wanted, reloaded=bool(found))
        restart = restart_reasons(after.settings, wanted)
        warnings += check_restart(task, server) if restart else []
        proof = prove(task, server, restart) if wants_proof(task) else NO_PROOF
        warnings += backup_warnings(task, server, restart)
    return planned(
        installation.then(alteration),
        status=None if program is None else program.status(),
        restart_required=bool(restart),
        restart_settings=restart,
        settings_before=masked_all({change.name: change.before for change in found}),
        settings_after=masked_all(values_after(found)),
        compression=compression,
        other_archiving=None if others is None or found else foreign_text(others),
        given_up=given_up,
        warnings=warnings,
        **proof,
    )


def place_of_kept(task: Task, server: Server) -> str:
    """Tell where the settings of an archiving that was replaced are kept: beside the program, or that in use."""
    push = parse_push(server.settings()["archive_command"].value)
    identifier = str(server.value("SELECT system_identifier FROM pg_control_system()"))
    return kept_place(task.options["program"] or (push.program if push else None), identifier, server.data_directory)


def own_archiving(task: Task) -> list[str]:
    """Give the commands and libraries that were asked for here."""
    return [task.options[name] for name in ("command", "library") if task.options[name]]


def plans_around(
    task: Task,
    server: Server,
    current: Mapping[str, Setting],
    found: Sequence[Change],
    place: str,
    kept: Kept | None,
    others: Setting | None,
) -> tuple[Plan, Plan]:
    """Plan what comes before the settings are changed, and what comes after."""
    options = task.options
    if options["state"] == "enabled":
        identifier = str(server.value("SELECT system_identifier FROM pg_control_system()"))
        content = Kept.of(current).as_document(identifier, server.data_directory)
        return Plan((KeepReplaced(place, content),) if others is not None and found else ()), Plan()
    drained = ends_archiving(current, found) and not options["discard_waiting"]
    before = Plan((DrainArchive(options["drain_timeout"]),) if drained else ())
    return before, Plan((ForgetReplaced(place),) if kept is not None and others is None else ())


def gives_up(task: Task, current: Mapping[str, Setting], found: Sequence[Change]) -> bool:
    """Tell whether what waits is to be dropped."""
    options = task.options
    return options["state"] == "disabled" and options["discard_waiting"] and ends_archiving(current, found)


def plan_of_program(task: Task, server: Server) -> Plan:
    """Plan the installation of pgark-wal where it is to archive; the repository that it writes to must be there."""
    if task.options["state"] != "enabled":
        return Plan()
    require_own(task)
    if not task.options["program"]:
        return Plan()
    task.check_places()
    require_place_of_its_own(server, task.layout)
    return plan_program(observe_program(task.options["program"]))


def wal_program(task: Task) -> WalProgram | None:
    """Give the pgark-wal that is to archive; None where there is none, or none yet, as in check mode."""
    options = task.options
    if task.check_mode or options["state"] != "enabled" or not options["program"]:
        return None
    return WalProgram(options["program"], task.repositories, task.layout.cluster, task.data_directory, task.runner)


def wanted_settings(
    task: Task,
    server: Server,
    current: Mapping[str, Setting],
    compression: str,
    kept: Kept | None,
    others: Setting | None,
) -> dict[str, str | None]:
    """Translate the options into settings; what somebody else has set up is replaced only when that is asked for."""
    options = task.options
    extra = {name: str(value) for name, value in options["settings"].items()}
    if options["state"] == "disabled":
        return {} if others is not None else wanted_when_disabled(current, extra, server.replicates(), kept)
    command = options["command"] or ""
    if options["program"]:
        cluster = task.layout.cluster
        command = push_command(options["program"], task.repositories, cluster, compression, task.jobs)
    check_command_length(command, server.version)
    if options["library"] and "archive_library" in current:
        server.require_library(options["library"])
    if others is not None and not options["replace"]:
        raise refuse_replacing(others)
    return wanted_when_enabled(current, command, options["library"] or "", options["timeout"], extra)


def settle(server: Server, wanted: Mapping[str, str | None], reloaded: bool) -> Configuration:
    """Make sure that what was set is in force, or will be after a restart."""
    current = server.configuration()
    check_in_force(current, wanted, reloaded)
    return current


def check_restart(task: Task, server: Server) -> list[str]:
    """Refuse to have a server restarted that would not start again; gives what a person should know beforehand."""
    try:
        programs = task.bin_directory()
    except Error:
        return []  # nothing else here needs any
    data = server.data_directory
    staged = Staged(data, None, data, programs, task.runner)
    try:
        staged.setting("shared_preload_libraries")
    except Error:
        return []  # its files have an error, which is looked for elsewhere, or which what is written last corrects
    try:
        return check_libraries(staged, server.version // 10000)
    except Error as error:
        raise Error(f"the server will not start again: {error.message}", _BEFORE_THE_RESTART) from None


def wants_proof(task: Task) -> bool:
    """Tell whether archiving is to work, and to be proved to."""
    return bool(task.options["verify"] and task.options["state"] == "enabled")


def prove(task: Task, server: Server, restart: Sequence[str]) -> Result:
    """Archive a segment and read it back, or say why that is not possible now."""
    reason = unverified_reason(task.check_mode, server.in_recovery(), restart, is_standby(task.data_directory))
    if reason is not None:
        return {**NO_PROOF, "unverified_reason": reason}
    with quoting_log(task.data_directory, task.options["log_file"]):
        segment = prove_archiving(server, task.layouts, task.runner, task.options["verify_timeout"])
    return {**NO_PROOF, "verified_segment": segment, "uncovered_reason": why_uncovered(task, segment)}


def backup_warnings(task: Task, server: Server, restart: Sequence[str]) -> list[str]:
    """Say beforehand what a base backup would fail at."""
    if not (task.options["program"] and task.options["state"] == "enabled") or restart or server.in_recovery():
        return []
    try:
        require_replication(server)
    except Error as error:
        return [f"archiving needs no replication, but base backups do: {error}"]
    return []


def why_uncovered(task: Task, segment: str) -> str | None:
    """Say why what is archived from now on cannot be restored yet; a repository that cannot be read is no answer."""
    try:
        return uncovered(read_catalog(task.layout), SegmentName.parse(segment))
    except Error as error:
        return f"whether a backup leads to it is not known: {error.message}"


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
            replace={"type": "bool", "default": False},
            drain_timeout={"type": "int", "default": 60},
            discard_waiting={"type": "bool", "default": False},
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
