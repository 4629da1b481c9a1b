# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a host was lost, the page for that day was enough. Run after the commands on it."""

import pytest

from tests.molecule.ledger import count
from tests.molecule.machines import Cluster

NEW, BARE = Cluster("host12"), Cluster("host13")


@pytest.mark.parametrize("lost", [NEW, BARE], ids=["new host", "nothing left"])
def test_all_rows_are_back_and_the_server_takes_more(lost: Cluster) -> None:
    for run in lost.runs():
        counted = count(lost.ledger(run), lost.moment(run), lost.rows(run))
        assert not counted.missing
        assert not counted.surplus
    assert lost.sql("SELECT count(*) FROM diary") == "1"
    assert lost.sql("SELECT pg_is_in_recovery()") == "f"


@pytest.mark.parametrize("lost", [NEW, BARE], ids=["new host", "nothing left"])
def test_the_configuration_is_debians_with_its_owner(lost: Cluster) -> None:
    directory = f"/etc/postgresql/{lost.version}/{lost.label}"
    assert lost.sql("SHOW config_file") == f"{directory}/postgresql.conf"
    assert lost.sql("SHOW data_directory") == lost.data_directory
    for path in (directory, f"{directory}/postgresql.conf", f"{directory}/pg_hba.conf"):
        assert lost.machine.host.file(path).user == "postgres"
    assert lost.machine.host.file(f"{directory}/pg_hba.conf").mode == 0o640


def test_the_cluster_of_the_package_is_kept() -> None:
    [previous] = NEW.previous_directories()
    assert NEW.control(previous)["Database system identifier"] != NEW.control()["Database system identifier"]


def test_nothing_is_made_that_was_not_there() -> None:
    assert BARE.previous_directories() == []
    assert BARE.machine.host.file("/var/lib/postgresql").user == "postgres"
