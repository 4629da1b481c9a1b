# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host is searched for clusters in the places that its packages use."""

from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster.observe_distribution import (
    find_cluster,
    selinux_types,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from tests.unit.synthetic import fill

CONFIGURATION = "etc/postgresql/17/main/postgresql.conf"
DATA = "var/lib/postgresql/17/main"


def found(root: Path, given: str | None = None) -> tuple[str, str, str]:
    each = find_cluster(given, str(root))
    return each.data_directory, each.config_directory, each.service


def test_a_debian_cluster_is_found_with_and_without_its_data(tmp_path: Path) -> None:
    fill(tmp_path, {CONFIGURATION: f"data_directory = '/{DATA}'\n"})
    expected = (f"/{DATA}", "/etc/postgresql/17/main", "postgresql@17-main")
    assert found(tmp_path) == expected
    fill(tmp_path, {f"{DATA}/PG_VERSION": "17\n", f"{DATA}.before-20261121T011500Z/PG_VERSION": "17\n"})
    assert found(tmp_path) == expected


def test_a_cluster_that_is_named_through_a_link_is_the_configured_one(tmp_path: Path) -> None:
    fill(tmp_path, {"disk/db/PG_VERSION": "17\n"})
    fill(tmp_path, {CONFIGURATION: f"data_directory = '{tmp_path}/disk/db'\n"})
    (tmp_path / "db").symlink_to(tmp_path / "disk" / "db")
    given = str(tmp_path / "db")
    assert found(tmp_path, given) == (f"{tmp_path}/disk/db", "/etc/postgresql/17/main", "postgresql@17-main")


def test_a_named_cluster_without_packages_keeps_its_own_configuration(tmp_path: Path) -> None:
    fill(tmp_path, {CONFIGURATION: "", "srv/db/PG_VERSION": "17\n"})
    given = str(tmp_path / "srv/db")
    assert found(tmp_path, given) == (given, given, "")


def test_a_debian_cluster_that_was_lost_with_its_configuration_is_described_as_it_was(tmp_path: Path) -> None:
    given = f"/{DATA}"
    assert found(tmp_path, given) == (given, given, "")
    (tmp_path / "usr/share/postgresql-common").mkdir(parents=True)
    assert found(tmp_path, given) == (given, "/etc/postgresql/17/main", "postgresql@17-main")
    assert found(tmp_path, "/srv/db") == ("/srv/db", "/srv/db", "")
    fill(tmp_path, {f"{DATA}/PG_VERSION": "17\n"})
    assert found(tmp_path, given) == (given, given, "")


def test_configuration_that_cannot_be_read_is_somebody_elses(tmp_path: Path) -> None:
    fill(tmp_path, {CONFIGURATION: ""})
    other = tmp_path / "etc/postgresql/15/theirs/postgresql.conf"
    other.parent.mkdir(parents=True)
    other.symlink_to(tmp_path / "gone")  # root can read everything that is there
    assert found(tmp_path)[0] == f"/{DATA}"


def test_rhel_clusters(tmp_path: Path) -> None:
    fill(tmp_path, {"var/lib/pgsql/16/data/PG_VERSION": "16\n"})
    assert found(tmp_path) == ("/var/lib/pgsql/16/data", "/var/lib/pgsql/16/data", "postgresql-16")
    fill(tmp_path, {"var/lib/pgsql/data/PG_VERSION": "13\n"})
    with pytest.raises(Error, match="several clusters were found: /var/lib/pgsql/16/data, /var/lib/pgsql/data"):
        found(tmp_path)


def test_an_empty_host_has_none(tmp_path: Path) -> None:
    with pytest.raises(Error, match="no cluster was found"):
        found(tmp_path)


def test_files_have_types_only_where_selinux_labels_them(tmp_path: Path) -> None:
    assert selinux_types(str(tmp_path)) is None
    fill(tmp_path, {"sys/fs/selinux/enforce": "0"})
    types = {"data": "postgresql_db_t", "repository": "postgresql_db_t", "program": "bin_t"}
    assert selinux_types(str(tmp_path)) == types
