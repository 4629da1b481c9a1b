# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the role postgres_cluster finds a cluster when the inventory does not say."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.support.playbooks import Playbooks, host_variables
from tests.support.postgres import Cluster
from tests.support.sandbox import CHECKOUT, Sandbox

RESULTS = ("data_directory", "config_directory", "service", "log_file", "candidates")
DEBIAN = ["/etc/postgresql/17/main/postgresql.conf", "/var/lib/postgresql/17/main/PG_VERSION"]

# files that are there, variables that are set, and what follows
LAYOUTS: dict[str, tuple[list[str], dict[str, Any], dict[str, Any]]] = {
    "debian": (
        DEBIAN,
        {},
        {
            "data_directory": "/var/lib/postgresql/17/main",
            "config_directory": "/etc/postgresql/17/main",
            "service": "postgresql@17-main",
            "log_file": "/var/log/postgresql/postgresql-17-main.log",
        },
    ),
    "debian-with-the-data-gone": (
        DEBIAN[:1],
        {},
        {"data_directory": "/var/lib/postgresql/17/main", "service": "postgresql@17-main"},
    ),
    "debian-chosen": (
        [*DEBIAN, "/etc/postgresql/15/old/postgresql.conf"],
        {"postgres_cluster_data_directory": "/var/lib/postgresql/15/old"},
        {"config_directory": "/etc/postgresql/15/old", "service": "postgresql@15-old"},
    ),
    "debian-without-systemd": (
        DEBIAN,
        {"postgres_cluster_service": ""},
        {"service": "", "log_file": "/var/lib/postgresql/17/main.log"},
    ),
    "a-container-that-looks-like-debian": (
        ["/var/lib/postgresql/18/docker/PG_VERSION"],
        {},
        {
            "data_directory": "/var/lib/postgresql/18/docker",
            "config_directory": "/var/lib/postgresql/18/docker",
            "service": "",
        },
    ),
    "rhel-with-the-packages-of-postgresql-org": (
        ["/var/lib/pgsql/16/data/PG_VERSION", "/var/lib/pgsql/16/data/postgresql.conf"],
        {},
        {
            "data_directory": "/var/lib/pgsql/16/data",
            "config_directory": "/var/lib/pgsql/16/data",
            "service": "postgresql-16",
            "log_file": "",
        },
    ),
    "rhel": (["/var/lib/pgsql/data/PG_VERSION"], {}, {"service": "postgresql", "log_file": ""}),
    "beside-what-restores-left": (
        [*DEBIAN, *(f"/var/lib/postgresql/17/main.{end}/PG_VERSION" for end in ("restore", "before-20261121T011500Z"))],
        {},
        {"candidates": ["/var/lib/postgresql/17/main"]},
    ),
    "two": (
        [*DEBIAN, "/etc/postgresql/15/old/postgresql.conf"],
        {},
        {"candidates": ["/var/lib/postgresql/15/old", "/var/lib/postgresql/17/main"]},
    ),
    "self-built": (
        [],
        {"postgres_cluster_data_directory": "/srv/db", "postgres_cluster_config_directory": "/srv/etc"},
        {"config_directory": "/srv/etc", "service": "", "log_file": "/srv/db.log"},
    ),
}


@pytest.fixture(scope="module")
def settled(playbooks: Playbooks, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Have Ansible evaluate the role's variables for each layout, a host each, in one run."""
    directory = tmp_path_factory.mktemp("layouts")
    hosts = {
        name: {"__postgres_cluster_search": {"files": [{"path": path} for path in files]}, **variables}
        for name, (files, variables, _found) in LAYOUTS.items()
    }
    inventory = directory / "inventory.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts, "vars": {"ansible_connection": "local"}}}))
    defaults = yaml.safe_load((CHECKOUT / "roles/postgres_cluster/defaults/main.yml").read_text(encoding="utf-8"))
    found = "{{ {" + ", ".join(f"'{name}': __postgres_cluster_{name}" for name in RESULTS) + "} | to_json }}"
    play = {
        "hosts": "all",
        "gather_facts": False,
        "vars_files": [str(CHECKOUT / "roles/postgres_cluster/vars/main.yml")],
        "tasks": [{"name": "tell", "ansible.builtin.debug": {"msg": "<" + "{{ inventory_hostname }}=" + found + ">"}}],
    }
    playbook = directory / "playbook.yml"
    playbook.write_text(yaml.safe_dump([play]))
    group_variables = directory / "group_vars" / "all.yml"
    group_variables.parent.mkdir()
    group_variables.write_text(yaml.safe_dump(defaults))
    output = " ".join(playbooks.run(playbook, inventory).output.replace("''", "'").split())
    answers = [line.split(">")[0].split("=", 1) for line in output.split("<")[1:]]
    return {name: json.loads(answer) for name, answer in answers}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_cluster_is_found_where_packages_keep_it(settled: dict[str, dict[str, Any]], layout: str) -> None:
    expected = LAYOUTS[layout][2]
    assert {name: settled[layout][name] for name in expected} == expected


def test_the_role_searches_and_refuses_to_guess(sandbox: Sandbox, playbooks: Playbooks) -> None:
    cluster = Cluster(sandbox, "18", "searched")
    inventory = playbooks.inventory(cluster, variables={"postgres_cluster_data_directory": None})
    text = yaml.safe_load(inventory.read_text(encoding="utf-8"))
    del text["postgres"]["hosts"]["searched"]["postgres_cluster_data_directory"]
    inventory.write_text(yaml.safe_dump(text), encoding="utf-8")
    for version in ("16", "17"):
        sandbox.directory(cluster.home / version / "data")
        (cluster.home / version / "data" / "PG_VERSION").write_text(version)
    places = {"__postgres_cluster_places": [str(cluster.home)]}
    run = playbooks.run("recovery_windows", inventory, variables=places, expected=2)
    output = " ".join(run.output.split())
    assert f"several clusters were found: {cluster.home}/16/data, {cluster.home}/17/data" in output
    assert "set postgres_cluster_data_directory for searched" in output
    assert host_variables(cluster)["postgres_cluster_data_directory"] not in output
