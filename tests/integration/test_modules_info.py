# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the smaller modules say and do about a cluster in whatever state it is in."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.modules import Modules
from tests.support.postgres import Cluster
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox
from tests.support.snapshots import tree
from tests.support.waiting import wait_until


@pytest.fixture
def subject(sandbox: Sandbox, cluster: Cluster, modules: Modules) -> Recoverable:
    """Provide a running cluster without any repository, and the modules with its options."""
    return Recoverable(sandbox, cluster, modules)


@pytest.fixture
def bystander(subject: Recoverable) -> Iterator[int]:
    """Provide a process of the servers' user that is no server."""
    account = subject.sandbox.account
    with subprocess.Popen(["sleep", "600"], cwd="/", **account.as_process_options()) as process:
        yield process.pid
        process.kill()


def lay_out(subject: Recoverable, path: Path, **parameters: object) -> dict[str, object]:
    return subject.run("backup_repository", path=path, separate_filesystem="ignore", diff=True, **parameters)


def test_a_repository_is_laid_out_once_and_its_modes_are_repaired(subject: Recoverable) -> None:
    place = subject.sandbox.directory(subject.cluster.home / """O'Neil's "archive" 100%""")
    path = place / "the repository"
    planned = lay_out(subject, path, check_mode=True)
    assert planned["changed"]
    assert not path.exists()
    done = lay_out(subject, path)
    assert [step["step"] for step in done["steps"]] == [step["step"] for step in planned["steps"]]
    group = subject.sandbox.account.group
    assert done["diff"]["before"] == {}
    assert done["diff"]["after"][str(path)] == f"directory 0750 {subject.cluster.owner}:(inherited)"
    laid_out = tree(path)
    assert {name: entry.mode for name, entry in laid_out.items()} == {
        **dict.fromkeys([".", "main", "main/backup", "main/wal"], "rwxr-x---"),
        **dict.fromkeys(["repository.json", "main/cluster.json"], "rw-r-----"),
    }
    assert {entry.owner for entry in laid_out.values()} == {subject.cluster.owner}
    assert json.loads((path / "repository.json").read_text(encoding="utf-8")) == {"format": 1, "id": done["id"]}
    identity = done["identity"]
    assert json.loads((path / "main/cluster.json").read_text(encoding="utf-8")) == {"format": 1, **identity}
    assert identity["system_identifier"] == subject.run("cluster_info")["system_identifier"]

    again = lay_out(subject, path, group=group)
    assert (again["changed"], again["steps"], again["id"]) == (False, [], done["id"])
    for name, mode in {".": 0o755, "main/wal": 0o777, "main/cluster.json": 0o644}.items():
        (path / name).chmod(mode)
    assert "has mode 0755, expected one closed to others" in subject.fail("backup_info", repository=path)
    repaired = lay_out(subject, path, mode="0750")
    assert repaired["diff"]["before"][str(path / "main/wal")].startswith("directory 0777")
    assert len(repaired["steps"]) == 3
    assert tree(path) == laid_out
    shutil.rmtree(subject.cluster.data_directory)
    assert not lay_out(subject, path)["changed"], "with the data gone, the repository knows whose it is"


def test_what_is_no_repository_of_this_cluster_is_refused(subject: Recoverable, sandbox: Sandbox) -> None:
    path = sandbox.directory(subject.repository)
    foreign = sandbox.directory(path / "photographs")

    def refused(**parameters: object) -> str:
        before = tree(path)
        message = subject.fail("backup_repository", **parameters)
        assert tree(path) == before
        return message

    assert f"{path} is not empty and has no repository.json, so it is not a repository\nHINT: " in refused()
    foreign.rmdir()
    assert "expected an absolute path" in refused(path=f"{path}/../elsewhere")
    nowhere = subject.cluster.home / "nowhere"
    message = refused(path=nowhere / "repository")
    assert f"{nowhere}, in which repository is to be created, is not there\nHINT: create it" in message
    assert "is to belong to somebody" in refused(owner="somebody")
    assert "such as '0750'" in refused(mode="0755")
    lay_out(subject, path)
    with Cluster(sandbox, subject.cluster.version, "other") as other:
        other.create({}, 16)
        message = refused(data_directory=other.data_directory)
    assert f"{path / 'main'} belongs to the cluster with system identifier" in message
    assert "HINT: give this cluster a name of its own in the repository" in message

    backup, elsewhere = path / "main" / "backup", sandbox.directory(subject.cluster.home / "elsewhere")
    backup.rmdir()
    backup.symlink_to(elsewhere)
    assert f"{backup} is a link, expected a directory\nHINT: move it away" in refused()
    assert f"{backup} is a link, expected a directory\nHINT: move it away" in subject.fail("backup_info")
    backup.unlink()
    assert f"{backup} is not there, expected a directory\nHINT: run setup_archiving.yml" in subject.fail("backup_info")
    assert [step["text"] for step in lay_out(subject, path)["steps"]] == [f"create directory {backup} with mode 0750"]


def test_a_server_is_brought_into_each_state_once(subject: Recoverable) -> None:
    cluster = subject.cluster
    pid = cluster.pid
    assert subject.run("postgres_server", state="started") == subject.run("postgres_server", state="started")
    assert subject.run("postgres_server", state="started")["pid"] == pid
    planned = subject.run("postgres_server", state="stopped", check_mode=True, diff=True)
    assert planned["changed"]
    assert planned["diff"] == {"before": {"server": "running"}, "after": {"server": "stopped (stopped)"}}
    assert cluster.pid == pid
    cluster.sql("ALTER SYSTEM SET work_mem = '5MB'")
    assert subject.run("postgres_server", state="reloaded")["pid"] == pid
    wait_until(lambda: cluster.value("SHOW work_mem") == "5MB", message="the setting")
    restarted = subject.run("postgres_server", state="restarted")
    assert restarted["changed"]
    assert restarted["pid"] == cluster.pid != pid
    stopped = subject.run("postgres_server", state="stopped", mode="immediate")
    assert (stopped["changed"], stopped["pid"], cluster.pid) == (True, None, None)
    assert not subject.run("postgres_server", state="stopped")["changed"]
    message = subject.fail("postgres_server", state="reloaded")
    assert "so none can be reloaded\nHINT: start it with state: started" in message
    elsewhere = subject.sandbox.directory(cluster.home / "it's configuration")
    shutil.move(cluster.data_directory / "postgresql.conf", elsewhere)
    started = subject.run("postgres_server", state="restarted", config_file=elsewhere / "postgresql.conf")
    assert started["pid"] == cluster.pid
    assert cluster.value("SHOW config_file") == str(elsewhere / "postgresql.conf")


def test_a_server_that_does_not_start_is_quoted(subject: Recoverable, bystander: int) -> None:
    cluster = subject.cluster
    lock = cluster.data_directory / "postmaster.pid"
    lines = lock.read_text(encoding="utf-8").splitlines(keepends=True)
    cluster.kill()
    assert lock.exists(), "it is stale now"
    assert subject.run("cluster_info")["state"] == "stopped"
    assert subject.run("postgres_server", state="started")["pid"] == cluster.pid
    cluster.stop()
    lock.write_text("".join([f"{bystander}\n", *lines[1:]]), encoding="utf-8")
    subject.owned(lock)
    assert not subject.run("postgres_server", state="stopped")["changed"]
    message = subject.fail("postgres_server", state="started")
    assert 'lock file "postmaster.pid" already exists' in message
    assert f"PID {bystander}" in message
    lock.unlink()
    with socket.create_server(("127.0.0.1", cluster.port)):
        message = subject.fail("postgres_server", state="started")
    assert "the server's log ends with:" in message
    assert 'could not bind IPv4 address "127.0.0.1": Address already in use' in message
    with (cluster.data_directory / "postgresql.conf").open("a", encoding="utf-8") as configuration:
        configuration.write("shared_buffers = 'plenty'\n")
    message = subject.fail("postgres_server", state="started")
    assert 'invalid value for parameter "shared_buffers": "plenty"' in message


def test_a_cluster_is_described_whatever_is_left_of_it(subject: Recoverable) -> None:
    cluster, home = subject.cluster, subject.sandbox.directory(subject.cluster.home / "table space")
    cluster.sql(f"CREATE TABLESPACE apart LOCATION '{home}'")
    lay_out(subject, subject.repository)
    link = cluster.home / "link"
    link.symlink_to(cluster.data_directory)
    running = subject.run("cluster_info", data_directory=link)
    assert (running["state"], running["postmaster_pid"]) == ("running", cluster.pid)
    assert running["data_directory"] == str(cluster.data_directory)
    assert running["version"] == int(cluster.value("SHOW server_version_num"))
    assert running["system_identifier"] == cluster.value("SELECT system_identifier::text FROM pg_control_system()")
    assert running["tablespaces"] == {cluster.value("SELECT max(oid)::text FROM pg_tablespace"): str(home)}
    assert (running["in_recovery"], running["timeline"], running["major"]) == (False, 1, int(cluster.version))
    assert str(cluster.data_directory / "pg_hba.conf") in running["config_files"]

    elsewhere = subject.sandbox.directory(cluster.home / "elsewhere")
    assert subject.run("cluster_info", data_directory=elsewhere)["state"] == "empty"
    (elsewhere / "notes").write_text("not a cluster", encoding="utf-8")
    assert subject.run("cluster_info", data_directory=elsewhere)["state"] == "unknown"

    stopped = subject.run("postgres_server", state="stopped") and subject.run("cluster_info")
    assert (stopped["state"], stopped["version"], stopped["in_recovery"]) == ("stopped", None, None)
    for unchanged in ("system_identifier", "tablespaces", "timeline", "major"):
        assert stopped[unchanged] == running[unchanged]
    assert stopped["config_files"] == [str(cluster.data_directory / "postgresql.conf")]

    pid = subject.run("postgres_server", state="started")["pid"]
    shutil.rmtree(cluster.data_directory)
    deleted = subject.run("cluster_info")
    assert (deleted["state"], deleted["postmaster_pid"]) == ("running", pid)
    stop = {"state": "stopped", "mode": "immediate", "bin_directory": None}
    assert subject.run("postgres_server", **stop) | {"invocation": None} == {
        "changed": True,
        "pid": None,
        "invocation": None,
    }
    gone = subject.run("cluster_info")
    assert (gone["state"], gone["running"], gone["system_identifier"]) == ("missing", False, None)
    assert gone["major"] == int(cluster.version), "the repository knows it"


def test_a_restore_point_is_written_and_its_segment_waited_for(recoverable: Recoverable) -> None:
    cluster = recoverable.cluster
    too_long = "\u00e9" * 32
    message = recoverable.fail("restore_point", name=too_long)
    assert f"restore point name '{too_long}' has 64 bytes, expected 1 to 63\nHINT: give a shorter name" in message
    assert "has 0 bytes" in recoverable.fail("restore_point", name="")
    assert recoverable.run("restore_point", name="never written", check_mode=True)["changed"]
    point = recoverable.run("restore_point", name="before it's too late")
    assert 'restore point "before it\'s too late" created' in cluster.log()
    assert "never written" not in cluster.log()
    assert point["segment"] == cluster.value("SELECT pg_walfile_name(%s)", (point["lsn"],))
    switched = recoverable.run("restore_point", switch_wal=True, wait=True)
    assert switched["segment"] == point["segment"]
    assert list(recoverable.wal.glob(f"*/{switched['segment']}*"))


def test_the_repository_and_recovery_tell_where_they_are(recoverable: Recoverable) -> None:
    cluster = recoverable.cluster
    nothing = recoverable.run("backup_info", target="latest")
    assert (nothing["backups"], nothing["reachable"], nothing["chosen"]) == ([], False, None)
    assert nothing["reason"]
    backup = recoverable.run("base_backup")["backup"]
    latest = recoverable.run("backup_info", target="latest")
    assert latest["backups"] == [backup | {"usable": True, "problem": None}]
    assert (latest["reachable"], latest["chosen"], latest["reason"]) == (True, backup["label"], None)
    future = recoverable.run("backup_info", target_time="2999-01-01T00:00:00Z")
    assert (future["reachable"], future["chosen"]) == (False, None)
    assert recoverable.run("recovery_info")["in_recovery"] is False

    recoverable.run("postgres_server", state="stopped")
    assert f"no server is running on {cluster.data_directory}" in recoverable.fail("recovery_info")
    cluster.sandbox.run(["touch", cluster.data_directory / "standby.signal"])
    recoverable.run("postgres_server", state="started")
    standby = recoverable.run("recovery_info")
    assert (standby["in_recovery"], standby["paused"], standby["timeline"]) == (True, False, 1)
    assert standby["lsn"]
    assert recoverable.run("cluster_info")["in_recovery"] is True
    assert "is in recovery and writes no WAL of its own" in recoverable.fail("restore_point", switch_wal=True)
    assert "the server is in recovery and archives nothing" in recoverable.fail("base_backup")
