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
  description: All finished backups, oldest first, with the content of their C(backup.json).
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
windows:
  description:
    - For every backup on the way to the asked timeline, what can be restored from it.
    - C(since) is the moment at which the backup ended, C(until) that at which the last unbroken segment arrived. No
      commit after C(until) is in the archive. C(missing) is the first segment of a gap, or null.
  returned: always
  type: list
  elements: dict
  sample:
    - backup: 20261121T011500Z-full
      timeline: 1
      since: "2026-11-21T01:15:01.000000Z"
      until: "2026-11-21T01:20:00.000000Z"
      last_segment: "000000010000000000000007"
      missing: null
reachable:
  description: Whether the target can be reached with what is archived.
  returned: when a target was given
  type: bool
chosen:
  description: Label of the backup that a restore to the target starts from, or null.
  returned: when a target was given
  type: str
reason:
  description: Why the target cannot be reached, and what can; null when it can.
  returned: when a target was given
  type: str
"""

from typing import Any

from ansible_collections.pgark.postgres.plugins.module_utils._core.catalog import Catalog
from ansible_collections.pgark.postgres.plugins.module_utils._core.target import TARGETS, Target, parse_timeline
from ansible_collections.pgark.postgres.plugins.module_utils._core.windows import (
    Unreachable,
    choose,
    numbered,
    windows,
)
from ansible_collections.pgark.postgres.plugins.module_utils._host.repository import read_catalog
from ansible_collections.pgark.postgres.plugins.module_utils._module.arguments import COMMON, TARGET, required, spec
from ansible_collections.pgark.postgres.plugins.module_utils._module.task import Result, Task, run


def perform(task: Task) -> Result:
    """Read the repository and answer."""
    options = task.options
    answer = Target.parse(options) if any(options[name] is not None for name in TARGETS) else None
    catalog = read_catalog(task.layout)
    return {
        "backups": [backup.as_document() for backup in catalog.backups],
        "wal": [run_of_wal.as_dict() for run_of_wal in catalog.wal],
        "windows": [
            window.as_dict() for window in windows(catalog, numbered(parse_timeline(options["target_timeline"])))
        ],
        **({} if answer is None else reach(catalog, answer, options["backup_label"])),
    }


def reach(catalog: Catalog, target: Target, label: str | None) -> dict[str, Any]:
    """Say from which backup the target can be reached with the archive alone, or why it cannot."""
    try:
        window = choose(catalog, target, label, more_wal=False)
    except Unreachable as error:
        return {"reachable": False, "chosen": None, "reason": str(error)}
    return {"reachable": True, "chosen": window.backup.label, "reason": None}


def main() -> None:
    """Run the module."""
    run(spec(TARGET, required(COMMON, "repository", "cluster")), perform)


if __name__ == "__main__":
    main()
