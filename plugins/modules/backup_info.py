#!/usr/bin/python
# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_info
short_description: List the backups and the WAL of a cluster, and what it can be restored to
version_added: 0.1.0
description:
  - Reads a repository. No server is needed.
  - With a target, tells from which backup it can be reached, or why it cannot.
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
  further_repositories:
    description:
      - Absolute paths of further repositories that hold the cluster's WAL. Recovery reads from them what O(repository)
        has not, or has damaged; backups are taken from O(repository) alone.
    type: list
    elements: path
    default: []
  config_directory:
    description:
      - Where the configuration is to be, as in M(pgark.postgres.pitr_restore), for RV(refused).
    type: path
  tablespace_mapping:
    description:
      - Where tablespaces are to be, as in M(pgark.postgres.pitr_restore), for RV(refused).
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: There is nothing to compare.
extends_documentation_fragment:
  - pgark.postgres.common
  - pgark.postgres.common.target
author:
  - The pgark.postgres contributors (@pgark)
"""

EXAMPLES = r"""
- name: Ask whether this afternoon can be restored
  pgark.postgres.backup_info:
    repository: /srv/pgark
    cluster: db1
    target_time: "2026-09-15T14:30:00Z"
  become: true
  become_user: postgres
  register: found

- name: Say from which backup
  ansible.builtin.debug:
    msg: "{{ found.chosen if found.reachable else found.reason }}"
"""

RETURN = r"""
backups:
  description:
    - All finished backups, oldest first, with the content of their C(backup.json).
    - C(usable) tells whether a restore can start from it, C(problem) why not, or is null.
  returned: always
  type: list
  elements: dict
  contains:
    label:
      description: Its name.
      type: str
    type:
      description: V(full) in this version.
      type: str
    timeline:
      description: The timeline that it was taken on.
      type: int
    start_lsn:
      description: Where recovery begins.
      type: str
    stop_lsn:
      description: "The end of the backup: the earliest position that can be restored from it."
      type: str
    start_time:
      description: When it began.
      type: str
    stop_time:
      description: "When it ended: the earliest moment that can be restored from it."
      type: str
    latest_end:
      description:
        - When the last of the transactions that it holds ended. Later than C(stop_time) where the server's clock was
          set back before it ended; then no earlier moment can be restored from it. Null where there was no WAL to tell.
      type: str
    version:
      description: The server's C(server_version_num).
      type: int
    system_identifier:
      description: The system identifier of its cluster.
      type: str
    compression:
      description: How its files are compressed.
      type: str
    size:
      description: Bytes of the files when they are restored.
      type: int
    stored_size:
      description: Bytes that they take in the repository.
      type: int
    tablespaces:
      description: Directories of tablespaces by oid.
      type: dict
    manifest_sha256:
      description: The SHA-256 of its C(backup_manifest), which has one of each file.
      type: str
    origin:
      description: Where the cluster was.
      type: dict
      contains:
        data_directory:
          description: Its data directory, with links resolved.
          type: str
        config_directory:
          description: The directory of its C(postgresql.conf).
          type: str
        port:
          description: Its port.
          type: int
    configuration:
      description: Configuration outside of the data directory, which the backup keeps beside the data, and links in it.
      type: list
      elements: dict
      contains:
        path:
          description: Where it was.
          type: str
        kind:
          description: V(file), V(directory) or V(link).
          type: str
        owner:
          description: The name of its owner.
          type: str
        group:
          description: The name of its group.
          type: str
        mode:
          description: Its mode, in octal digits.
          type: str
        target:
          description: Where a link leads, as it was written, or null.
          type: str
        stored:
          description: The file with the content of a file, in the directory of the backup, or null.
          type: str
        sha256:
          description: The SHA-256 of that, or null.
          type: str
    usable:
      description: Whether a restore can start from it.
      type: bool
    problem:
      description: Why not, or null.
      type: str
wal:
  description: Unbroken runs of archived segments. Between two of the same timeline lies a gap.
  returned: always
  type: list
  elements: dict
  contains:
    timeline:
      description: The timeline.
      type: int
    first:
      description: The first segment.
      type: str
    last:
      description: The last one.
      type: str
    count:
      description: How many there are.
      type: int
    last_archived:
      description: When the last one arrived.
      type: str
  sample:
    - timeline: 1
      first: "000000010000000000000001"
      last: "000000010000000000000007"
      count: 7
      last_archived: "2026-11-21T01:20:00.000000Z"
latest_timeline:
  description: The highest timeline of which anything is archived, which is what V(latest) follows.
  returned: always
  type: int
windows:
  description:
    - What can be restored with the archive alone, for every timeline whose history is known. A window that is a part of
      another one is left out.
    - A window goes from the end of its oldest backup to the last transaction in the unbroken WAL that follows, or to
      the end of its newest backup (C(backups) has them all, oldest first) when no transaction follows that. A
      O(target_time) has to be before C(until); O(target=latest) includes it.
    - C(seconds) is the time between the two, C(last_segment) the last one that can be read, C(missing) the one at which
      the WAL breaks off though later ones are there, or null, and C(ends) says why the window ends.
  returned: always
  type: list
  elements: dict
  contains:
    timeline:
      description: The timeline that is followed.
      type: int
    backups:
      description: Labels of the backups in it, oldest first.
      type: list
      elements: str
    since:
      description: The earliest moment.
      type: str
    until:
      description: The end; a O(target_time) has to be before it.
      type: str
    since_lsn:
      description: The earliest position.
      type: str
    until_lsn:
      description: The last one.
      type: str
    seconds:
      description: The time between both ends.
      type: float
    last_segment:
      description: The last segment that can be read.
      type: str
    missing:
      description: The segment at which the WAL breaks off though later ones are there, or null.
      type: str
    ends:
      description: Why the window ends.
      type: str
  sample:
    - timeline: 1
      backups: [20261121T011500Z-full]
      since: "2026-11-21T01:15:01.000000Z"
      until: "2026-11-21T01:19:58.000000Z"
      since_lsn: 0/3000158
      until_lsn: 0/70001A0
      seconds: 297.0
      last_segment: "000000010000000000000007"
      missing: null
      ends: segment 000000010000000000000007 is the last one
defects:
  description:
    - What is wrong, as far as listing the repository and reading the last segments shows it.
    - C(kind) is V(gap) (segments are missing), V(history) (the history file of a timeline is), V(chain) (a backup that
      another one needs is), V(incomplete) (files of a backup are, or it was never finished), V(broken) (what describes
      a backup cannot be believed, so it is not among RV(backups)), V(wal) (WAL of a backup is missing, or a segment is
      damaged), V(fork) (O(data_directory) has other WAL than the archive under the same name, so another server
      archives into its place, or it was put back to an earlier state), or V(repository) (one of
      O(further_repositories) cannot be read, with which no recovery comes to its end). C(subject) is the name of the
      file, the label or the path, C(text) says it in words.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: What kind of defect it is.
      type: str
    subject:
      description: The name of the file, or the label.
      type: str
    text:
      description: What is wrong, in words.
      type: str
server:
  description: The running server of O(data_directory), or null when none was asked.
  returned: always
  type: dict
  contains:
    in_recovery:
      description: Whether it is recovering.
      type: bool
    paused:
      description: Whether its recovery is paused.
      type: bool
    restoring:
      description: The target of the restore that it is recovering in, or null.
      type: str
    archives:
      description: Whether it archives into O(repository) as O(cluster).
      type: bool
    cluster:
      description: The option O(cluster).
      type: str
    repository_id:
      description: What tells the repository from others, wherever it is mounted.
      type: str
reachable:
  description:
    - Whether the target can be reached.
    - With O(data_directory), what that directory and its running server have, and a restore would use, counts as well.
      A warning says so when it is needed.
  returned: when a target was given
  type: bool
chosen:
  description: Label of the backup that a restore to the target starts from, or null.
  returned: when a target was given
  type: str
timeline:
  description: Number of the timeline that is followed, or null.
  returned: when a target was given
  type: int
lsn:
  description:
    - Where replay ends, or null. For a O(target_time) it is where the first transaction that ended later has its end,
      or, where a running server still has to write one, the end of its WAL; for O(target=latest) it is the end of the
      last transaction.
  returned: when a target was given
  type: str
segments:
  description: How many segments are replayed, or null.
  returned: when a target was given
  type: int
bytes:
  description: How many bytes of WAL that is, or null.
  returned: when a target was given
  type: int
estimated_seconds:
  description: A rough estimate of how long the restore takes, or null.
  returned: when a target was given
  type: float
refused:
  description:
    - Why a restore into O(data_directory) would be refused although the target can be reached, such as for lack of
      room or of a place for a tablespace, or because there is another cluster, or a directory is missing. These are
      checks of M(pgark.postgres.pitr_restore) that do not depend on the target. Null when nothing is seen in its way,
      or O(data_directory) is not given.
  returned: when a target was given
  type: str
reason:
  description: Why the target cannot be reached, and what can; null when it can.
  returned: when a target was given
  type: str
"""

from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from ansible_collections.pgark.postgres.plugins.module_utils._archiving.observe_standing import standing
from ansible_collections.pgark.postgres.plugins.module_utils._clone.module_obstacle import obstacle
from ansible_collections.pgark.postgres.plugins.module_utils._repository.catalog import Backup, Catalog
from ansible_collections.pgark.postgres.plugins.module_utils._repository.observe_catalog import read_catalog
from ansible_collections.pgark.postgres.plugins.module_utils._task.arguments import COMMON, TARGET, required, spec
from ansible_collections.pgark.postgres.plugins.module_utils._task.task import Result, Task, run
from ansible_collections.pgark.postgres.plugins.module_utils._values.target import TARGETS, Target
from ansible_collections.pgark.postgres.plugins.module_utils._windows.choice import Choice
from ansible_collections.pgark.postgres.plugins.module_utils._windows.defects import Defect
from ansible_collections.pgark.postgres.plugins.module_utils._windows.estimate import restore_seconds
from ansible_collections.pgark.postgres.plugins.module_utils._windows.forks import Forked
from ansible_collections.pgark.postgres.plugins.module_utils._windows.module import surveyed
from ansible_collections.pgark.postgres.plugins.module_utils._windows.observe import WindowReader
from ansible_collections.pgark.postgres.plugins.module_utils._windows.refusals import Unreachable


def perform(task: Task) -> Result:
    """Read the repository and answer."""
    options = task.options
    target = Target.parse(options) if any(options[name] is not None for name in TARGETS) else None
    catalog = read_catalog(task.layout)
    with surveyed(task, catalog.identity.major) as survey:
        findings = survey.findings(catalog, datetime.now(timezone.utc))
        server = standing(survey)
        answer = {} if target is None else reach(task, survey, catalog, target)
    return {
        "backups": [described(backup, findings.problems.get(backup.label)) for backup in catalog.backups],
        "wal": [run_of_wal.as_dict() for run_of_wal in catalog.wal],
        "latest_timeline": catalog.latest_timeline,
        "windows": [window.as_dict() for window in findings.windows],
        "defects": [asdict(defect) for defect in findings.defects],
        "server": server,
        **answer,
    }


def described(backup: Backup, problem: Defect | None) -> dict[str, Any]:
    """Give a backup with what keeps it from being used."""
    return {**backup.as_document(), "usable": problem is None, "problem": None if problem is None else problem.text}


def reach(task: Task, survey: WindowReader, catalog: Catalog, target: Target) -> dict[str, Any]:
    """Say how the target is reached, or why it cannot be."""
    try:
        choice = survey.choice(catalog, target, task.options["backup_label"], datetime.now(timezone.utc))
    except (Forked, Unreachable) as error:
        nothing = dict.fromkeys(("chosen", "timeline", "lsn", "segments", "bytes", "estimated_seconds"))
        return {"reachable": False, "reason": str(error), "refused": None, "warnings": [], **nothing}
    refused = obstacle(task, catalog, target, choice.backup)
    warnings = list(choice.warnings)
    return {"reachable": True, "reason": None, "refused": refused, "warnings": warnings, **way(choice, catalog)}


def way(choice: Choice, catalog: Catalog) -> dict[str, Any]:
    """Describe the way to a target."""
    size = catalog.identity.wal_segment_size
    return {
        "chosen": choice.backup.label,
        "timeline": choice.timeline,
        "lsn": None if choice.end_lsn is None else str(choice.end_lsn),
        "segments": choice.segments,
        "bytes": choice.segments * size,
        "estimated_seconds": restore_seconds(choice.backup.size, choice.segments, size),
    }


def main() -> None:
    """Run the module."""
    further = {"type": "list", "elements": "path", "default": []}
    run(
        spec(
            TARGET,
            required(COMMON, "repository", "cluster"),
            further_repositories=further,
            config_directory={"type": "path"},
            tablespace_mapping={"type": "dict", "default": {}},
        ),
        perform,
    )


if __name__ == "__main__":
    main()
