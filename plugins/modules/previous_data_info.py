#!/usr/bin/python
# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: previous_data_info
short_description: List what restores, attempts and clones have left
version_added: 0.1.0
description:
  - Lists data that restores and rollbacks have set aside, a staging that nobody has finished, and directories of
    tablespaces and WAL that were made for one and belong to nothing any more.
  - Each has its size, with that of what belongs to it and goes with it, and says whether it can be removed, or why not.
  - Changes nothing.
options:
  data_directory:
    description:
      - PGDATA, the cluster's data directory. It may be a symbolic link, or missing.
    type: path
    required: true
  search:
    description:
      - Directories in which to look for what was made for a restore as well, such as those that
        O(pgark.postgres.pitr_restore#module:tablespace_mapping) had once. Where the tablespaces and the WAL of what is
        there lie is looked at in any case.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: There is nothing to compare.
extends_documentation_fragment:
  - pgark.postgres.common
author:
  - The pgark.postgres contributors (@pgark)
seealso:
  - module: pgark.postgres.previous_data
"""

EXAMPLES = r"""
- name: See what restores have left
  pgark.postgres.previous_data_info:
    data_directory: /var/lib/postgresql/17/main
  become: true
  become_user: postgres
"""

RETURN = r"""
previous_data:
  description: What was left.
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
    since:
      description: When it was made, or set aside, or null.
      type: str
    age:
      description: Seconds since then, or null.
      type: int
    made_by:
      description: The restore or rollback that has made it, or set it aside.
      type: dict
    in_use:
      description: Whether it is in use, or cannot be removed for another reason.
      type: bool
    reason:
      description: Why it cannot be removed; null when it can.
      type: str
"""

from datetime import datetime, timezone
from typing import Any

from ansible_collections.pgark.postgres.plugins.module_utils._previous_data.observe import observe_kept
from ansible_collections.pgark.postgres.plugins.module_utils._previous_data.plan import Item, reason
from ansible_collections.pgark.postgres.plugins.module_utils._task.arguments import COMMON, required, spec
from ansible_collections.pgark.postgres.plugins.module_utils._task.task import Result, Task, run


def perform(task: Task) -> Result:
    """Look at what was left, and at who uses it."""
    items, users = observe_kept(task.data_directory, task.options["search"])
    now = datetime.now(timezone.utc)
    return {"previous_data": [facts(item, reason(item, without(items, item), users), now) for item in items]}


def without(items: list[Item], item: Item) -> list[Item]:
    """Give all others."""
    return [other for other in items if other != item]


def facts(item: Item, why: str | None, now: datetime) -> dict[str, Any]:
    """Report one of them."""
    since = None
    if item.since:
        since = datetime.strptime(item.since, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return {
        "path": item.path,
        "kind": item.kind,
        "size": item.size,
        "belongs": [found.path for found in item.belongs],
        "since": item.since or None,
        "age": None if since is None else int((now - since).total_seconds()),
        "made_by": dict(item.made_by),
        "in_use": why is not None,
        "reason": why,
    }


def main() -> None:
    """Run the module."""
    run(
        spec(
            required(COMMON, "data_directory"),
            search={"type": "list", "elements": "path", "default": []},
        ),
        perform,
    )


if __name__ == "__main__":
    main()
