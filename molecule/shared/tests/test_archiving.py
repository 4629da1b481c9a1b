# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each server runs as Debian would have it, and archives."""

from pathlib import Path

from tests.molecule.machines import Cluster

OTHERS = "/007"


def test_the_unit_is_running_and_starts_at_boot(cluster: Cluster) -> None:
    service = cluster.machine.host.service(cluster.unit)
    assert service.is_running
    assert service.is_enabled


def test_the_unit_is_in_charge_of_the_server(cluster: Cluster) -> None:
    main = cluster.machine.run("systemctl", "show", "--property=MainPID", "--value", cluster.unit)
    assert main == cluster.machine.run("head", "-n", "1", f"{cluster.data_directory}/postmaster.pid")
    assert cluster.machine.run("ps", "-o", "user=", "-p", main).strip() == "postgres"


def test_debian_tools_see_the_server(cluster: Cluster) -> None:
    states = {
        tuple(line.split()[:2]): line.split()[3] for line in cluster.machine.lines("pg_lsclusters", "--no-header")
    }
    assert states[cluster.version, cluster.label] == "online"


def test_the_server_archives_with_our_program(cluster: Cluster) -> None:
    assert cluster.sql("SHOW archive_mode") == "on"
    assert cluster.sql("SHOW wal_level") in ("replica", "logical")
    assert cluster.sql("SHOW archive_timeout") == "1min"
    assert " || { /var/lib/postgresql/pgark/pgark-wal push " in cluster.sql("SHOW archive_command")


def test_no_setting_waits_for_a_restart(cluster: Cluster) -> None:
    """But that a recovery is forgotten: a server that was promoted does not look at its settings any more."""
    waiting = "SELECT name FROM pg_settings WHERE pending_restart"
    assert cluster.sql(f"{waiting} AND name <> 'restore_command' AND name NOT LIKE 'recovery\\_target%'") == ""


def test_no_line_of_the_configuration_is_in_error(cluster: Cluster) -> None:
    wrong = "SELECT sourcefile, sourceline, error FROM pg_file_settings WHERE error IS NOT NULL"
    assert cluster.sql(f"{wrong} AND sourcefile IS NOT NULL") == ""


def test_what_was_archived_last_is_in_the_repository(cluster: Cluster) -> None:
    segment = cluster.sql("SELECT last_archived_wal FROM pg_stat_archiver")
    place = Path(cluster.repository, cluster.name, "wal", segment[:16])
    assert cluster.machine.lines("find", str(place), "-name", f"{segment}*", "-size", "+0")


def test_the_repository_is_the_owners_and_closed_to_others(cluster: Cluster) -> None:
    directory = cluster.machine.host.file(cluster.repository)
    assert (directory.user, directory.group, directory.mode) == ("postgres", "postgres", 0o750)
    find = ("find", f"{cluster.repository}/{cluster.name}")
    assert cluster.machine.lines(*find, "!", "-user", "postgres") == []
    assert cluster.machine.lines(*find, "-perm", OTHERS) == []
    assert cluster.machine.lines(*find, "-type", "f", "-perm", "/0137") == []


def test_the_program_is_the_owners_and_closed_to_others(cluster: Cluster) -> None:
    directory = cluster.machine.host.file("/var/lib/postgresql/pgark")
    program = cluster.machine.host.file("/var/lib/postgresql/pgark/pgark-wal")
    assert (directory.user, directory.mode) == ("postgres", 0o750)
    assert (program.user, program.mode) == ("postgres", 0o750)


def test_data_is_closed_to_all_but_the_owner(cluster: Cluster) -> None:
    for path in (cluster.data_directory, *cluster.previous_directories()):
        directory = cluster.machine.host.file(path)
        assert (directory.user, directory.mode) == ("postgres", 0o700), path


def test_no_staging_directory_is_left(cluster: Cluster) -> None:
    assert not [path for path in cluster.previous_directories() if ".before-" not in path]
