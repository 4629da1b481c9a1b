# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An extra variable that would do nothing is refused where it looks like one that does something."""

from __future__ import annotations

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._asked.asked import PLAYBOOKS
from ansible_collections.pgark.postgres.plugins.module_utils._asked.lookalikes import (
    check_idle,
    check_names,
    idle,
    known,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import InvalidValue
from ansible_collections.pgark.postgres.plugins.plugin_utils.specifications import role_variables

MISTAKEN = [
    ("pitr_restore", "target_tme", "target_time"),
    ("pitr_restore", "target_tiem", "target_time"),
    ("pitr_restore", "TARGET_TIME", "target_time"),
    ("pitr_restore", "targettime", "target_time"),
    ("pitr_restore", "target-time", "target_time"),
    ("pitr_restore", "target_host", "target_hosts"),
    ("pitr_restore", "hosts", "target_hosts"),
    ("pitr_restore", "timeline", "target_timeline"),
    ("pitr_restore", "tablespace_mapping", "pitr_restore_tablespace_mapping"),
    ("pitr_restore", "tablespaces_mapping", "nothing"),
    ("pitr_restore", "pitr_restore_tablespaces_mapping", "pitr_restore_tablespace_mapping"),
    ("pitr_restore", "checks", "pitr_restore_checks"),
    ("pitr_restore", "flet", "fleet"),
    ("pitr_restore", "pitr_flet", "pitr_fleet"),
    ("pitr_restore", "data_directory", "postgres_cluster_data_directory"),
    ("pitr_restore", "pitr_restore_undo", "docs/variables.md"),
    ("base_backup", "label", "backup_label"),
    ("base_backup", "max_age", "backup_max_age"),
    ("recovery_windows", "target_xidd", "target_xid"),
    ("setup_archiving", "wal_archiving_job", "wal_archiving_jobs"),
]


def check(playbook: str, *names: str, by_playbook: bool = True) -> None:
    check_names(names, known(PLAYBOOKS[playbook], role_variables()), by_playbook)


@pytest.mark.parametrize(("playbook", "name", "meant"), MISTAKEN)
def test_a_name_like_ours_is_refused_with_the_near_one(playbook: str, name: str, meant: str) -> None:
    if meant == "nothing":
        check(playbook, name)
        return
    with pytest.raises(InvalidValue, match=f"there is no extra variable {name}") as refused:
        check(playbook, name)
    assert meant in str(refused.value.hint)


OTHERS = ["app_version", "environment", "name", "type", "port", "forks", "ansible_user", "region", "target"]


@pytest.mark.parametrize("name", OTHERS)
def test_names_of_others_are_let_through(name: str) -> None:
    check("pitr_restore", name)


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_all_that_means_something_is_let_through(playbook: str) -> None:
    variables = [variable for each in PLAYBOOKS.values() for variable in each.variables]
    extra = [name for variable in variables for name in (variable.name, variable.alias)]
    check(playbook, "target_hosts", *extra, *role_variables())


def test_a_role_alone_looks_at_its_own_names_only() -> None:
    check("pitr_restore", "target_tme", "hosts", by_playbook=False)
    with pytest.raises(InvalidValue, match="pitr_restore_target_tme"):
        check("pitr_restore", "pitr_restore_target_tme", by_playbook=False)


def test_variables_of_another_playbook_are_known_to_do_nothing() -> None:
    names = known(PLAYBOOKS["base_backup"], role_variables())
    assert idle(["backup_max_age", "fleet", "target_time", "mine"], names) == ["fleet", "target_time"]


def test_what_would_say_which_data_is_meant_is_refused_where_data_is_replaced() -> None:
    check_idle(["target_time"], "base_backup")
    check_idle(["backup_max_age"], "pitr_restore")
    with pytest.raises(InvalidValue, match=r"target_time: pitr_rollback\.yml does not ask for that"):
        check_idle(["backup_max_age", "target_time"], "pitr_rollback")
