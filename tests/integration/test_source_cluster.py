# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring elsewhere: a clone is whole, becomes a cluster of its own, and never touches its source."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.clones import (
    FILL,
    SUM,
    Clone,
    Source,
    archived,
    clone_of,
    identifier,
    pending,
    settings_of_a_clone,
    source_of_clones,
)
from tests.support.modules import Modules
from tests.support.postgres import versions
from tests.support.sandbox import Sandbox
from tests.support.snapshots import tree
from tests.support.waiting import wait_until


@pytest.fixture(scope="module", params=versions(), ids=lambda version: f"pg{version}")
def source(request: pytest.FixtureRequest, sandbox: Sandbox, modules: Modules) -> Iterator[Source]:
    """Provide the cluster that all tests clone, which none of them may change."""
    with source_of_clones(sandbox, str(request.param), modules) as created:
        yield created


@pytest.fixture
def clone(source: Source, modules: Modules) -> Iterator[Clone]:
    """Provide the place for a clone; its source, which runs beside it, has to be the same afterwards."""
    before = archived(source)
    with clone_of(source, modules) as created:
        yield created
    assert archived(source) == before
    assert source.cluster.value(SUM).startswith("3500:")


def test_a_clone_is_whole(source: Source, clone: Clone) -> None:
    clone.clone()
    cluster = clone.cluster
    assert cluster.value(SUM) == source.expected
    cluster.run("pg_amcheck", "-h", cluster.socket_directory, "-p", str(cluster.port), "--all", "--heapallindexed")
    # A commit waits for nobody, although the source's configuration names a standby.
    cluster.sql("SET synchronous_commit = on; INSERT INTO ledger VALUES (9000, 'in the clone')")
    clone.run("postgres_server", state="stopped")
    assert clone.detach()["changed"]
    cluster.run("pg_checksums", "--check", "-D", cluster.data_directory)
    clone.run("postgres_server", state="started")
    assert identifier(cluster) != source.identifier
    assert cluster.value("SELECT count(*) FROM ledger") == 3001
    cluster.sql("CHECKPOINT")
    cluster.sql(FILL, (5001, 6000))
    cluster.run("pg_amcheck", "-h", cluster.socket_directory, "-p", str(cluster.port), "--all", "--heapallindexed")


def test_a_clone_reaches_for_nothing_of_its_source(source: Source, clone: Clone) -> None:
    found = clone.clone()
    assert settings_of_a_clone(clone.cluster) == {
        "archive_mode": "off",
        "archive_command": "(disabled)",
        "archive_library": "",
        "external_pid_file": "",
        "listen_addresses": "127.0.0.1",
        "max_logical_replication_workers": "0",
        "port": str(clone.cluster.port),
        "primary_conninfo": "",
        "restore_command": "",
        "synchronous_standby_names": "",
    }
    assert found["restored"]["source"] == source.cluster.name
    assert found["restored"]["identity"] is None
    assert clone.run("pitr_restore", state="staged", **clone.wanted)["in_place"]


def archive_as_the_source_does(source: Source, clone: Clone) -> None:
    """Do by hand what nobody should: enable archiving in a clone, with the settings of its source."""
    command = source.cluster.value("SHOW archive_command").replace("'", "''")
    for setting in ("archive_mode = on", f"archive_command = '{command}'", "archive_timeout = 1"):
        clone.cluster.sql(f"ALTER SYSTEM SET {setting}")
    clone.run("postgres_server", state="restarted")


@pytest.mark.parametrize("detached", [False, True], ids=["with its source's identity", "detached"])
def test_a_clone_cannot_write_into_its_sources_repository(source: Source, clone: Clone, detached: bool) -> None:
    """Whatever of a clone there is to archive: whole segments, and history files, which say nothing of a cluster."""
    if detached:
        clone.become_a_cluster()
    else:
        clone.clone()
    archive_as_the_source_does(source, clone)
    clone.cluster.sql(FILL, (5001, 6000))
    clone.cluster.sql("SELECT pg_switch_wal()")
    refused = "system identifier" if detached else f"a clone of {source.cluster.name}"
    wait_until(lambda: refused in clone.cluster.log(), message="the archiver to be refused")
    wait_until(
        lambda: clone.cluster.value("SELECT failed_count FROM pg_stat_archiver") > 1, message="the archiver to retry"
    )
    assert pending(clone.cluster)
    assert clone.cluster.value("SELECT archived_count FROM pg_stat_archiver") == 0


def test_archiving_is_not_set_up_with_what_is_not_the_clusters_own(source: Source, clone: Clone) -> None:
    clone.clone()
    enable = {"state": "enabled", "program": clone.program}
    assert "is a clone of 'source'" in clone.fail("wal_archiving", **enable, cluster=source.cluster.name)
    assert "is a clone of 'source'" in clone.fail("backup_repository", separate_filesystem="ignore")
    clone.run("postgres_server", state="stopped")
    clone.detach()
    clone.run("postgres_server", state="started")
    refused = clone.fail("wal_archiving", **enable, cluster=source.cluster.name)
    assert f"belongs to the cluster with system identifier {source.identifier}" in refused
    assert clone.cluster.value("SHOW archive_mode") == "off"
    assert not clone.cluster.sql("SELECT 1 FROM pg_file_settings WHERE name = 'archive_command' AND setting <> ''")


def test_a_detached_clone_has_archive_and_backups_of_its_own(source: Source, clone: Clone) -> None:
    clone.become_a_cluster()
    assert clone.enable()["verified_segment"]
    wait_until((clone.wal / "00000002.history").exists, message="the timeline's history to be archived")
    clone.run("base_backup", label="own")
    clone.cluster.sql(FILL, (5001, 6000))
    clone.switch()
    expected = clone.cluster.value(SUM)
    moment = clone.cluster.value("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.USZ')")
    clone.cluster.sql("DROP TABLE ledger")
    clone.switch()
    assert clone.restore(target_time=moment)["backup"] == "own"
    assert clone.cluster.value(SUM) == expected
    assert clone.cluster.value("SHOW archive_mode") == "on"
    assert clone.run("cluster_info")["restored"]["source"] is None


def test_detaching_waits_until_there_is_nothing_to_lose(source: Source, clone: Clone) -> None:
    clone.lay_out(target_time=source.moment)
    assert "has not ended" in clone.fail("pitr_restore", state="detached")
    clone.run("postgres_server", state="started")
    clone.wait_for_target()
    assert "has not ended" in clone.fail("pitr_restore", state="detached", check_mode=True)
    clone.run("recovery", state="promoted")
    asked = clone.detach(check_mode=True)
    assert (asked["changed"], asked["in_place"], asked["system_identifier"]) == (True, False, None)
    assert "a server (process" in clone.fail("pitr_restore", state="detached")
    clone.cluster.kill()
    assert "was not shut down cleanly" in clone.fail("pitr_restore", state="detached")
    clone.cluster.start()
    clone.run("postgres_server", state="stopped")
    detached = clone.detach(diff=True)
    assert detached["diff"]["before"] == {"system_identifier": source.identifier}
    assert detached["diff"]["after"] == {"system_identifier": detached["system_identifier"]}
    before = tree(clone.cluster.data_directory)
    again = clone.detach()
    assert (again["changed"], again["system_identifier"]) == (False, detached["system_identifier"])
    assert tree(clone.cluster.data_directory) == before
    clone.run("postgres_server", state="started")
    assert not clone.detach()["changed"]
    assert "is not the result of a restore with source_cluster" in source.fail("pitr_restore", state="detached")


def test_what_a_detached_clone_writes_stays_when_it_is_detached_again(clone: Clone) -> None:
    clone.become_a_cluster()
    clone.cluster.sql(FILL, (5001, 6000))
    clone.cluster.sql("SELECT pg_switch_wal()")
    clone.cluster.kill()
    assert not clone.detach()["changed"]
    clone.cluster.start()
    assert clone.cluster.value(SUM).startswith("4000:")
