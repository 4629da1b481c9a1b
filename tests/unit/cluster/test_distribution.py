# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters are found where packages keep them, and packages by the names that distributions have for them."""

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster.distribution import (
    Found,
    candidates,
    cluster_in,
    debian_cluster,
    only,
    parse_os_release,
    remembered,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error

MAIN = Found(
    "/var/lib/postgresql/17/main",
    "/etc/postgresql/17/main",
    "postgresql@17-main",
    "/var/log/postgresql/postgresql-17-main.log",
)


@pytest.mark.parametrize(
    ("configuration", "data_directory"),
    [
        ("", "/var/lib/postgresql/17/main"),
        ("#data_directory = 'ConfigDir'\n", "/var/lib/postgresql/17/main"),
        ("data_directory = '/srv/db'\t\t# use data in another directory\n", "/srv/db"),
        ("  data_directory '/srv/my db'\n", "/srv/my db"),
        ("data_directory = '/a'\ndata_directory = '/srv/o''clock'\n", "/srv/o'clock"),
    ],
)
def test_debian_keeps_the_data_where_the_configuration_says(configuration: str, data_directory: str) -> None:
    found = debian_cluster("/etc/postgresql/17/main", configuration)
    assert found == Found(data_directory, MAIN.config_directory, MAIN.service, MAIN.log_file)


def test_a_name_with_a_dash_is_in_the_unit_as_it_is() -> None:
    found = debian_cluster("/etc/postgresql/15/night-shift", "")
    assert (found.service, found.log_file) == (
        "postgresql@15-night-shift",
        "/var/log/postgresql/postgresql-15-night-shift.log",
    )


@pytest.mark.parametrize(
    ("data_directory", "service"),
    [
        ("/var/lib/pgsql/16/data", "postgresql-16"),
        ("/var/lib/pgsql/data", "postgresql"),
        ("/var/lib/pgsql/16/data/", ""),
        ("/var/lib/postgresql/18/docker", ""),
        ("/srv/db", ""),
    ],
)
def test_a_data_directory_with_its_own_configuration(data_directory: str, service: str) -> None:
    assert cluster_in(data_directory) == Found(data_directory, data_directory, service)


def test_each_cluster_of_a_host_is_listed_once() -> None:
    found = candidates([MAIN], ["/var/lib/postgresql/17/main", "/var/lib/pgsql/16/data"])
    assert [each.data_directory for each in found] == ["/var/lib/pgsql/16/data", "/var/lib/postgresql/17/main"]
    assert found[1] == MAIN


def test_what_somebody_has_moved_away_on_debian_is_no_cluster() -> None:
    assert candidates([MAIN], ["/var/lib/postgresql/17/main.away", "/var/lib/postgresql/16/main"]) == [MAIN]
    assert len(candidates([MAIN], ["/var/lib/pgsql/16/data"])) == 2
    assert candidates([], ["/var/lib/postgresql/17/main"]) == [cluster_in("/var/lib/postgresql/17/main")]


def test_what_a_restore_left_is_no_cluster() -> None:
    places = [f"/var/lib/postgresql/17/main.{end}" for end in ("restore", "before-20261121T011500Z")]
    assert candidates([MAIN], places) == [MAIN]
    assert candidates([], ["/var/lib/postgresql/17/main.restored"]) == [
        cluster_in("/var/lib/postgresql/17/main.restored")
    ]


@pytest.mark.parametrize(
    ("places", "packaged", "service"),
    [
        (("/var/lib/postgresql/17/main", "/etc/postgresql/17/main"), True, "postgresql@17-main"),
        (("/srv/db", "/etc/postgresql/17/main"), True, "postgresql@17-main"),
        (("/srv/db", "/etc/postgresql/17/main"), False, ""),
        (("/var/lib/pgsql/17/data", "/var/lib/pgsql/17/data"), False, "postgresql-17"),
        (("/srv/db", "/srv/conf"), True, ""),
    ],
)
def test_a_lost_cluster_is_where_its_backup_says(places: tuple[str, str], packaged: bool, service: str) -> None:
    found = remembered(*places, packaged)
    assert (found.data_directory, found.config_directory, found.service) == (*places, service)


def test_nothing_is_guessed() -> None:
    assert only([MAIN]) == MAIN
    with pytest.raises(Error, match=r"no cluster was found in /etc/postgresql, .*\nHINT: .*data_directory"):
        only([])
    with pytest.raises(Error, match=r"several clusters were found: /a, /b\n"):
        only([cluster_in("/a"), cluster_in("/b")])


@pytest.mark.parametrize(
    ("text", "family", "package"),
    [
        ('ID=debian\nVERSION_ID="11"\n', "debian", ""),
        ('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n', "debian", "python3-psycopg"),
        ("ID=debian\n", "debian", ""),
        ('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="22.04"\n', "debian", ""),
        ('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n', "debian", "python3-psycopg"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n', "redhat", ""),
        ('ID="rhel"\nID_LIKE="fedora"\nVERSION_ID="9.4"\n', "redhat", ""),
        ("ID=fedora\nVERSION_ID=43\n", "redhat", "python3-psycopg3"),
        ("ID=alpine\nVERSION_ID=3.20.1\n", "", ""),
        ("", "", ""),
    ],
)
def test_distributions(text: str, family: str, package: str) -> None:
    found = parse_os_release(text)
    assert (found.family, found.psycopg_package) == (family, package)
