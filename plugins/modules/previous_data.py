#!/usr/bin/python
# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: previous_data
short_description: Remove what restores, attempts and clones have left
version_added: 0.1.0
description:
  - Removes data that a restore or a rollback has set aside, with the tablespaces and the WAL outside that belong to it,
    a staging that nobody has finished, and directories that were made for one and belong to nothing any more.
    M(pgark.postgres.previous_data_info) lists them.
  - Refuses what carries no mark of ours, what is in use by the data directory, by another one beside it or by a server
    that runs, what something else needs that is kept, and what a rollback of a restore that has not been promoted puts
    back. Then nothing is removed.
  - In a directory that somebody has made, such as that of a tablespace, only what PostgreSQL has put there for that
    very data is removed.
  - A removal that was interrupted goes on when it is run again. What is not there any more is removed already.
options:
  state:
    description:
      - What there should be of it afterwards.
    type: str
    choices: [absent]
    default: absent
  paths:
    description:
      - What to remove, by the paths that M(pgark.postgres.previous_data_info) gives.
    type: list
    elements: path
    required: true
  data_directory:
    description:
      - PGDATA, the data directory of the cluster whose restores have left it. It may be a symbolic link, or missing.
    type: path
    required: true
  search:
    description:
      - Directories in which to look for what was made for a restore as well; see M(pgark.postgres.previous_data_info).
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    support: full
    description: Refuses what would be refused, and says what would be removed.
  diff_mode:
    support: full
    description: Shows what is kept before and after.
extends_documentation_fragment:
  - pgark.postgres.common
author:
  - The pgark.postgres contributors (@pgark)
seealso:
  - module: pgark.postgres.previous_data_info
"""

EXAMPLES = r"""
- name: Remove the data from before a restore
  pgark.postgres.previous_data:
    data_directory: /var/lib/postgresql/17/main
    paths:
      - /var/lib/postgresql/17/main.before-20261121T120000Z
  become: true
  become_user: postgres
"""

RETURN = r"""
removed:
  description: What was removed, or in check mode would be.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: Its directory.
      type: str
    kind:
      description: V(previous) for data that was set aside, V(staging), or V(place) for a directory made outside.
      type: str
    size:
      description: Bytes of its files, with those of what belongs to it.
      type: int
    belongs:
      description: Directories outside that go with it, such as those of tablespaces.
      type: list
      elements: str
freed:
  description: Bytes of all that was removed.
  returned: always
  type: int
  sample: 23068672
steps:
  description: What was done, or in check mode would be done.
  returned: always
  type: list
  elements: dict
"""

from ansible_collections.pgark.postgres.plugins.module_utils._previous_data.apply import STEPS
from ansible_collections.pgark.postgres.plugins.module_utils._previous_data.observe import missing, observe_kept
from ansible_collections.pgark.postgres.plugins.module_utils._previous_data.plan import RemoveKept, plan_removal
from ansible_collections.pgark.postgres.plugins.module_utils._rollback.module_under_way import check_no_rollback_at
from ansible_collections.pgark.postgres.plugins.module_utils._task.arguments import COMMON, required, spec
from ansible_collections.pgark.postgres.plugins.module_utils._task.task import Result, Task, planned, run


def perform(task: Task) -> Result:
    """Look at what was left, and remove what is named, while nobody else changes the data directory."""
    options = task.options
    with task.owning("previous_data: absent"):
        check_no_rollback_at(task.data_directory)
        items, users = observe_kept(task.data_directory, options["search"])
        plan = plan_removal(items, options["paths"], missing(options["paths"]), users)
        task.apply(plan, None, STEPS)
    removed = [step.item for step in plan.steps if isinstance(step, RemoveKept)]
    return planned(
        plan,
        removed=[
            {"path": item.path, "kind": item.kind, "size": item.size, "belongs": [found.path for found in item.belongs]}
            for item in removed
        ],
        freed=sum(item.size for item in removed),
    )


def main() -> None:
    """Run the module."""
    run(
        spec(
            required(COMMON, "data_directory"),
            state={"type": "str", "choices": ["absent"], "default": "absent"},
            paths={"type": "list", "elements": "path", "required": True},
            search={"type": "list", "elements": "path", "default": []},
        ),
        perform,
    )


if __name__ == "__main__":
    main()
