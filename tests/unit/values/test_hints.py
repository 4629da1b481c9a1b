# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hint names what works where it is read."""

from __future__ import annotations

import re

import pytest
import yaml

from ansible_collections.pgark.postgres.plugins.module_utils._values.hints import (
    SHARED,
    hint_for,
    message_for,
    variables,
)
from ansible_collections.pgark.postgres.plugins.plugin_utils.specifications import role_variables
from tests.gates.setup import ROOT

HINTS = [
    (
        "map it to a path outside with tablespace_mapping",
        "map it to a path outside with pitr_restore_tablespace_mapping",
        "map it to a path outside with pitr_restore_tablespace_mapping",
    ),
    (
        "with force: true it is put back as it is",
        "with pitr_restore_force: true it is put back as it is",
        "with force=true it is put back as it is",
    ),
    (
        "on a new host, give replace_new_cluster: true to have it replaced",
        "on a new host, give pitr_restore_replace_new_cluster: true to have it replaced",
        "on a new host, give replace_new_cluster=true to have it replaced",
    ),
    (
        "give target_timeline=6 or target_timeline=5",
        "give pitr_restore_target_timeline: 6 or pitr_restore_target_timeline: 5",
        "give target_timeline=6 or target_timeline=5",
    ),
    (
        "choose an earlier one, or target=latest",
        "choose an earlier one, or pitr_restore_target: latest",
        "choose an earlier one, or target=latest",
    ),
    (
        "check data_directory, and set bin_directory",
        "check postgres_cluster_data_directory, and set postgres_cluster_bin_directory",
        "check postgres_cluster_data_directory, and set postgres_cluster_bin_directory",
    ),
    (
        "stop the server, and run pitr_restore with state: detached",
        "stop the server, and run pitr_restore with state: detached",
        "run pitr_finalize.yml",
    ),
    (
        "finish it first with pitr_rollback.yml, or pitr_restore with state: rolled_back",
        "finish it first with pitr_rollback.yml, or pitr_restore with state: rolled_back",
        "finish it first with pitr_rollback.yml",
    ),
    (
        "the server's settings: the cluster has its own; see /srv/data_directory/x and postgres_cluster_log_file",
        "the server's settings: the cluster has its own; see /srv/data_directory/x and postgres_cluster_log_file",
        "the server's settings: the cluster has its own; see /srv/data_directory/x and postgres_cluster_log_file",
    ),
]


@pytest.mark.parametrize(("hint", "by_role", "by_playbook"), HINTS)
def test_a_hint_is_in_the_words_of_its_reader(hint: str, by_role: str, by_playbook: str) -> None:
    assert hint_for(hint, "pitr_restore", "module") == hint
    assert hint_for(hint, "pitr_restore", "role") == by_role
    assert hint_for(hint, "pitr_restore", "playbook") == by_playbook


def test_a_message_keeps_what_settings_and_files_are_called() -> None:
    said = "tablespace_mapping names /a; data_directory is '/b' in postgresql.conf"
    assert message_for(said, "pitr_restore", "module") == said
    assert message_for(said, "pitr_restore", "playbook") == f"pitr_restore_{said}"


@pytest.mark.parametrize("module", ["pitr_restore", "recovery", "backup_info", "base_backup", "wal_archiving"])
def test_every_variable_that_is_named_exists(module: str) -> None:
    assert set(variables(module).values()) <= role_variables()


def test_the_shared_options_are_what_the_roles_hand_on() -> None:
    """An option that is added to the ones that all modules share gets its variable here, too."""
    handed = yaml.safe_load((ROOT / "roles/postgres_cluster/vars/main.yml").read_text())["__postgres_cluster_options"]
    for option, template in handed.items():
        [variable] = re.findall(r"\{\{ (\w+)", str(template))
        assert variable.startswith("__") or SHARED[option] == variable
