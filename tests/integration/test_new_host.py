# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a new host: the cluster that a package has made may be replaced, if it is new, and what is missing is said."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.marks import every_version
from tests.support.postgres import Cluster
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox
from tests.support.snapshots import tree
from tests.support.waiting import wait_until

LOGIN = ("login_port", "login_unix_socket")
NEW = {"replace_new_cluster": True}
LATEST = {"target": "latest"}
# Without taking it.
NEXT_TRANSACTION = "SELECT txid_snapshot_xmax(txid_current_snapshot())"


@pytest.fixture
def fresh(sandbox: Sandbox, version: str) -> Iterator[Cluster]:
    """Provide the cluster of a new host, as its package has made it: it runs."""
    with sandbox.cluster(version, "fresh") as created:
        yield created


def on(fresh: Cluster, subject: Recoverable) -> Recoverable:
    """Work with the repository of a lost cluster where there is another one."""
    here = Recoverable(subject.sandbox, fresh, subject.modules)
    here.repository, here.options["repository"] = subject.repository, subject.repository
    here.options["cluster"] = subject.cluster.name
    return here


def stage(subject: Recoverable, **asked: Any) -> dict[str, Any]:
    return subject.run("pitr_restore", state="staged", program=subject.program, **LATEST, **asked)


def refused(subject: Recoverable, **asked: Any) -> str:
    """Ask for a restore that has to be refused, with nothing touched."""
    before = sorted(subject.cluster.home.iterdir()), tree(subject.repository / subject.options["cluster"] / "wal")
    told = subject.fail("pitr_restore", state="staged", program=subject.program, **LATEST, **asked)
    after = sorted(subject.cluster.home.iterdir()), tree(subject.repository / subject.options["cluster"] / "wal")
    assert after == before
    return told


@every_version
def test_a_cluster_to_which_anybody_has_written_is_not_a_new_one(
    recoverable: Recoverable, fresh: Cluster, version: str
) -> None:
    """A password is the least that can be written: it makes nothing, and is in no file of its own.

    Autovacuum, which is nobody, analyzes what initdb has made.
    """
    here = on(fresh, recoverable)
    assert "give replace_new_cluster: true" in refused(here, force=True)
    fresh.configure({"autovacuum": "on", "autovacuum_naptime": "1s"})
    before = fresh.value(NEXT_TRANSACTION)
    fresh.restart()
    if int(version) > 14:  # older ones do not know after a restart what initdb has changed
        wait_until(lambda: fresh.value(NEXT_TRANSACTION) > before, message="autovacuum to analyze something")
    assert "the repository has no usable backup" in refused(here, **NEW), "which is looked at next"
    fresh.sql(f"ALTER ROLE {fresh.owner} PASSWORD 'secret'")
    assert "It cannot be taken for a new one: transaction " in refused(here, **NEW)
    fresh.stop()
    assert "It cannot be taken for a new one: transaction " in refused(here, **NEW)


def test_a_new_cluster_is_replaced_when_asked_for_and_comes_back(recoverable: Recoverable, fresh: Cluster) -> None:
    cluster = recoverable.cluster
    cluster.sql("CREATE TABLE ledger AS SELECT generate_series(1, 50) AS n")
    recoverable.run("base_backup", compression="none")
    cluster.sql("INSERT INTO ledger SELECT generate_series(51, 100)")
    recoverable.switch()
    cluster.stop()
    shutil.rmtree(cluster.data_directory)
    here, archived = on(fresh, recoverable), tree(recoverable.wal)
    identifier = here.run("cluster_info")["system_identifier"]
    staged = stage(here, **NEW)
    here.run("postgres_server", state="stopped")
    here.run("pitr_restore", state="restored", program=here.program, **LATEST, **NEW)
    assert tree(recoverable.wal) == archived, "no WAL of the new cluster is anybody's"
    own = {name: here.options[name] for name in LOGIN}
    here.options |= {name: recoverable.options[name] for name in LOGIN}  # the configuration came with the data
    here.run("postgres_server", state="started")
    here.wait_for_target()
    here.promote()
    assert cluster.value("SELECT count(*) FROM ledger") == 100
    assert stage(here)["in_place"] is True
    here.run("postgres_server", state="stopped")
    here.options |= own
    undone = here.run("pitr_restore", state="rolled_back")
    assert undone["previous_directory"] == staged["previous_directory"]
    here.run("postgres_server", state="started")
    assert here.run("cluster_info")["system_identifier"] == identifier


def test_all_that_a_host_lacks_is_said_at_once(recoverable: Recoverable) -> None:
    cluster, home = recoverable.cluster, recoverable.cluster.home
    cluster.stop()
    outside = recoverable.sandbox.directory(home / "etc" / "main")
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        (cluster.data_directory / name).rename(outside / name)
    with (outside / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write(f"hba_file = '{outside}/pg_hba.conf'\nident_file = '{outside}/pg_ident.conf'\n")
    recoverable.run("postgres_server", state="started", config_file=outside / "postgresql.conf")
    recoverable.run("base_backup", compression="none")
    recoverable.switch()
    cluster.stop()
    lost = {"data_directory": home / "lib" / "18" / "data", "config_directory": outside}
    shutil.rmtree(cluster.data_directory)
    shutil.rmtree(home / "etc")
    home.chmod(0o555)  # as /etc and /var/lib are for the owner of a cluster
    try:
        told = recoverable.fail("cluster_info", check_directories=True, **lost)
        answer = recoverable.run("backup_info", **LATEST, **lost)
        asked = {"state": "staged", "program": home / "own" / "pgark" / "pgark-wal", **LATEST, **lost}
        also = recoverable.fail("pitr_restore", **asked)
    finally:
        home.chmod(0o755)
    for path in ("lib", "lib/18", "etc", "etc/main"):
        assert f"{home}/{path}'" in told
        assert f"{home}/{path}'" in also
        assert f"{home}/{path}'" in answer["refused"]
    assert f"{home}/own'" in also
    subprocess.run(["sh", "-c", also.partition("run this again: ")[2]], check=True)  # as root, where we are
    asked = {**asked, "config_directory": outside}
    assert recoverable.run("pitr_restore", **asked)["steps"]
