# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each cluster is back at the moment before its last loss, in Debian's places. Run after each of two restores."""

from pathlib import Path

from tests.molecule.ledger import count
from tests.molecule.machines import Cluster

# Fewer would not have been a load.
ROWS = 100


def test_every_row_acknowledged_before_the_moment_is_there_and_none_after_it(cluster: Cluster) -> None:
    for run in cluster.runs():
        counted = count(cluster.ledger(run), cluster.moment(run), cluster.rows(run))
        assert counted.before >= ROWS
        assert counted.after >= ROWS
        assert not counted.missing
        assert not counted.surplus


def test_the_row_from_before_the_backup_is_there(cluster: Cluster) -> None:
    assert cluster.sql("SELECT count(*) FROM diary") == "1"


def test_the_server_takes_writes_on_a_timeline_of_its_own(cluster: Cluster) -> None:
    assert cluster.sql("SELECT pg_is_in_recovery()") == "f"
    timeline = int(cluster.sql("SELECT pg_walfile_name(pg_current_wal_lsn())")[:8], base=16)
    assert timeline == 1 + len(cluster.runs())
    assert cluster.sql("SELECT last_archived_wal FROM pg_stat_archiver").startswith(f"{timeline:08X}")


def test_nothing_is_left_of_the_recovery_in_any_file(cluster: Cluster) -> None:
    assert cluster.sql("SELECT name FROM pg_file_settings WHERE name LIKE 'recovery%' AND sourcefile IS NOT NULL") == ""
    assert not cluster.machine.host.file(f"{cluster.data_directory}/recovery.signal").exists


def test_the_configuration_is_debians(cluster: Cluster) -> None:
    directory = f"/etc/postgresql/{cluster.version}/{cluster.label}"
    assert cluster.sql("SHOW config_file") == f"{directory}/postgresql.conf"
    assert cluster.sql("SHOW hba_file") == f"{directory}/pg_hba.conf"
    assert cluster.sql("SHOW data_directory") == cluster.data_directory
    assert not cluster.machine.host.file(f"{cluster.data_directory}/postgresql.conf").exists


def test_the_data_with_the_dropped_table_are_kept(cluster: Cluster) -> None:
    """The first restore set them aside; before the second there was nothing left to keep."""
    [previous] = cluster.previous_directories()
    assert cluster.machine.run("cat", f"{previous}/PG_VERSION") == cluster.version
    assert cluster.control(previous)["Database system identifier"] == cluster.control()["Database system identifier"]


def test_a_restart_changes_nothing(cluster: Cluster) -> None:
    rows = [len(cluster.rows(run)) for run in cluster.runs()]
    cluster.machine.run("systemctl", "restart", cluster.unit)
    assert cluster.sql("SELECT pg_is_in_recovery()") == "f"
    assert [len(cluster.rows(run)) for run in cluster.runs()] == rows
    assert cluster.sql("SELECT name FROM pg_settings WHERE name LIKE 'recovery%' AND source NOT IN ('default')") == ""


def test_the_load_was_another_users(cluster: Cluster) -> None:
    """The log is outside the data directory, and not the server's."""
    for run in cluster.runs():
        log = cluster.machine.host.file(cluster.log(run))
        assert log.user == "app"
        assert Path(cluster.data_directory) not in Path(cluster.log(run)).parents
