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
wal:
  description: Unbroken runs of archived segments. Between two of the same timeline lies a gap.
  returned: always
  type: list
  elements: dict
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
      another one needs is), V(incomplete) (files of a backup are, or it was never finished), or V(wal) (WAL of a backup
      is missing, or a segment is damaged). C(subject) is the name of the file or the label, C(text) says it in words.
  returned: always
  type: list
  elements: dict
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
    - Where replay ends, or null. For a O(target_time) it is the end of the segment that has it, for O(target=latest)
      that of the last transaction.
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
reason:
  description: Why the target cannot be reached, and what can; null when it can.
  returned: when a target was given
  type: str
"""

from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from ansible_collections.pgark.postgres.plugins.module_utils._core.catalog import Backup, Catalog
from ansible_collections.pgark.postgres.plugins.module_utils._core.choice import Choice
from ansible_collections.pgark.postgres.plugins.module_utils._core.defects import Defect
from ansible_collections.pgark.postgres.plugins.module_utils._core.estimate import restore_seconds
from ansible_collections.pgark.postgres.plugins.module_utils._core.refusals import Unreachable
from ansible_collections.pgark.postgres.plugins.module_utils._core.target import TARGETS, Target
from ansible_collections.pgark.postgres.plugins.module_utils._host.repository import read_catalog
from ansible_collections.pgark.postgres.plugins.module_utils._host.survey import Survey
from ansible_collections.pgark.postgres.plugins.module_utils._module.arguments import COMMON, TARGET, required, spec
from ansible_collections.pgark.postgres.plugins.module_utils._module.survey import surveyed
from ansible_collections.pgark.postgres.plugins.module_utils._module.task import Result, Task, run


def perform(task: Task) -> Result:
    """Read the repository and answer."""
    options = task.options
    target = Target.parse(options) if any(options[name] is not None for name in TARGETS) else None
    catalog = read_catalog(task.layout)
    with surveyed(task, catalog.identity.major) as survey:
        findings = survey.findings(catalog)
        answer = {} if target is None else reach(survey, catalog, target, options["backup_label"])
    return {
        "backups": [described(backup, findings.problems.get(backup.label)) for backup in catalog.backups],
        "wal": [run_of_wal.as_dict() for run_of_wal in catalog.wal],
        "latest_timeline": catalog.latest_timeline,
        "windows": [window.as_dict() for window in findings.windows],
        "defects": [asdict(defect) for defect in findings.defects],
        **answer,
    }


def described(backup: Backup, problem: Defect | None) -> dict[str, Any]:
    """Give a backup with what keeps it from being used."""
    return {**backup.as_document(), "usable": problem is None, "problem": None if problem is None else problem.text}


def reach(survey: Survey, catalog: Catalog, target: Target, label: str | None) -> dict[str, Any]:
    """Say how the target is reached, or why it cannot be."""
    try:
        choice = survey.choice(catalog, target, label, datetime.now(timezone.utc))
    except Unreachable as error:
        nothing = dict.fromkeys(("chosen", "timeline", "lsn", "segments", "bytes", "estimated_seconds"))
        return {"reachable": False, "reason": str(error), "warnings": [], **nothing}
    return {"reachable": True, "reason": None, "warnings": list(choice.warnings), **way(choice, catalog)}


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
    run(spec(TARGET, required(COMMON, "repository", "cluster")), perform)


if __name__ == "__main__":
    main()
