# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role postgres_cluster makes of what it finds on a host, and of what the inventory says."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.support.playbooks import Playbooks
from tests.support.sandbox import CHECKOUT

RESULTS = ("data_directory", "config_file", "service", "log_file", "missing", "packages")
DEBIAN = {
    "data_directory": "/var/lib/postgresql/17/main",
    "config_directory": "/etc/postgresql/17/main",
    "service": "postgresql@17-main",
    "log_file": "/var/log/postgresql/postgresql-17-main.log",
}
SELF_BUILT = {"data_directory": "/srv/db", "config_directory": "/srv/db", "service": "", "log_file": ""}
COMPLETE = {
    "layout": DEBIAN,
    "python": "/usr/bin/python3",
    "psycopg": "3.2.6",
    "pip": False,
    "programs": {"zstd": "/usr/bin/zstd", "lz4": None, "gzip": "/usr/bin/gzip"},
    "distribution": {"family": "debian", "psycopg_package": "python3-psycopg"},
}
OLD_DEBIAN = {"family": "debian", "psycopg_package": ""}

# what the look at the host gave, beside a complete Debian; variables that are set; and what follows
HOSTS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "debian": (
        {},
        {},
        {
            "data_directory": "/var/lib/postgresql/17/main",
            "config_file": "/etc/postgresql/17/main/postgresql.conf",
            "service": "postgresql@17-main",
            "log_file": "/var/log/postgresql/postgresql-17-main.log",
            "missing": [],
            "packages": [],
        },
    ),
    "debian-without-systemd": (
        {},
        {"postgres_cluster_service": ""},
        {"service": "", "log_file": "/var/lib/postgresql/17/main.log"},
    ),
    "own-unit-and-log": (
        {"layout": SELF_BUILT},
        {"postgres_cluster_service": "db", "postgres_cluster_log_file": "/srv/log"},
        {"config_file": "", "service": "db", "log_file": "/srv/log"},
    ),
    "own-unit-without-log": ({"layout": SELF_BUILT}, {"postgres_cluster_service": "db"}, {"log_file": ""}),
    "self-built": ({"layout": SELF_BUILT}, {}, {"service": "", "log_file": "/srv/db.log"}),
    "bare-debian": (
        {"psycopg": None, "programs": {"zstd": None, "lz4": None, "gzip": "/usr/bin/gzip"}},
        {"postgres_cluster_compressors": ["zstd", "lz4"]},
        {"missing": ["psycopg", "zstd", "lz4"], "packages": ["zstd", "lz4", "python3-psycopg"]},
    ),
    "no-package": ({"psycopg": None, "distribution": OLD_DEBIAN}, {}, {"packages": ["python3-pip"]}),
    "no-package-but-pip": ({"psycopg": None, "distribution": OLD_DEBIAN, "pip": True}, {}, {"packages": []}),
    "another-interpreter": ({"psycopg": None, "python": "/opt/python/bin/python3", "pip": True}, {}, {"packages": []}),
    "a-package-from-elsewhere": (
        {"psycopg": None, "distribution": {"family": "redhat", "psycopg_package": ""}},
        {"postgres_cluster_psycopg_package": "python3-psycopg3"},
        {"packages": ["python3-psycopg3"]},
    ),
}


@pytest.fixture(scope="module")
def settled(playbooks: Playbooks, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Have Ansible evaluate the role's variables for each host in one run."""
    directory = tmp_path_factory.mktemp("hosts")
    hosts = {
        name: {"__postgres_cluster_state": COMPLETE | state, **variables}
        for name, (state, variables, _found) in HOSTS.items()
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


@pytest.mark.parametrize("host", HOSTS)
def test_what_follows_from_what_was_found_and_given(settled: dict[str, dict[str, Any]], host: str) -> None:
    expected = HOSTS[host][2]
    assert {name: settled[host][name] for name in expected} == expected
