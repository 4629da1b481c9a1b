# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a restore, everything is where it was, on the file system that it was on."""

import pytest

from tests.molecule.ledger import count
from tests.molecule.machines import Cluster, members

ROWS = 100
SPREAD, LINKED, MOUNTED = Cluster("spread"), Cluster("linked"), Cluster("mounted")


def file_system(cluster: Cluster, path: str) -> str:
    """Return the mount point of the file system that a path is on."""
    return cluster.machine.run("stat", "--format=%m", path)


def test_exactly_what_was_there_is_there(cluster: Cluster) -> None:
    counted = count(cluster.ledger(1), cluster.moment(1), cluster.rows(1))
    assert min(counted.before, counted.after) >= ROWS
    assert not counted.missing
    assert not counted.surplus


def test_the_tablespace_is_on_its_file_system() -> None:
    path = SPREAD.sql("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'space'")
    assert file_system(SPREAD, path) == "/mnt/space"
    table = SPREAD.sql("SELECT pg_relation_filepath('ledger')")
    real = SPREAD.machine.run("readlink", "--canonicalize-existing", f"{SPREAD.data_directory}/{table}")
    assert file_system(SPREAD, real) == "/mnt/space"


def test_pg_wal_is_a_link_to_its_file_system() -> None:
    assert LINKED.machine.host.file(f"{LINKED.data_directory}/pg_wal").is_symlink
    assert file_system(LINKED, f"{LINKED.data_directory}/pg_wal/") == "/mnt/wal"
    segment = LINKED.sql("SELECT pg_walfile_name(pg_current_wal_lsn())")
    assert LINKED.machine.host.file(f"{LINKED.data_directory}/pg_wal/{segment}").exists


def test_the_data_directory_is_a_mount_point() -> None:
    assert MOUNTED.machine.succeeds("mountpoint", "--quiet", MOUNTED.data_directory)
    assert file_system(MOUNTED, f"{MOUNTED.data_directory}/global/pg_control") == MOUNTED.data_directory


def test_two_hosts_share_a_repository() -> None:
    assert SPREAD.machine != MOUNTED.machine
    marker = f"{SPREAD.repository}/repository.json"
    assert SPREAD.machine.run("cat", marker) == MOUNTED.machine.run("cat", marker)
    names = {"spread", "linked", "mounted"}
    for machine in (SPREAD.machine, MOUNTED.machine):
        assert names <= set(machine.run("ls", SPREAD.repository).split())


@pytest.mark.parametrize(("name", "place"), [("spread", "/mnt/space"), ("linked", "/mnt/wal")])
def test_what_lies_elsewhere_is_closed_to_others(name: str, place: str) -> None:
    find = ("find", place, "-mindepth", "1")
    assert Cluster(name).machine.lines(*find)
    assert Cluster(name).machine.lines(*find, "-perm", "/077") == []
    assert Cluster(name).machine.lines(*find, "!", "-user", "postgres") == []


@pytest.mark.parametrize("name", members("postgres"))
def test_what_the_restore_replaced_is_kept(name: str) -> None:
    [previous] = Cluster(name).previous_directories()
    assert Cluster(name).control(previous)["Database cluster state"] == "shut down"
