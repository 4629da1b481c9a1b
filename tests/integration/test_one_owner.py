# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A data directory has one owner at a time: another run, and a server that starts meanwhile, are kept out."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from signal import SIGSTOP
from typing import Any

import pytest

from tests.support import processes
from tests.support.holding import held_before
from tests.support.modules import Modules
from tests.support.postgres import Cluster
from tests.support.prepared import Prepared
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_until

COUNT = "SELECT count(*) FROM ledger"
NOW = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.USZ')"


class Contested(Recoverable):
    """A cluster with 150 rows, 100 of them from before a moment, and two repositories that hold the same."""

    def write(self) -> Contested:
        """Live through it."""
        self.enable()
        self.cluster.sql("CREATE TABLE ledger AS SELECT generate_series(1, 50) AS n")
        self.run("base_backup", compression="none")
        self.cluster.sql("INSERT INTO ledger SELECT generate_series(51, 100)")
        self.moment: str = self.cluster.value(NOW)
        self.cluster.sql("INSERT INTO ledger SELECT generate_series(101, 150)")
        self.switch()
        return self

    @property
    def wanted(self) -> dict[str, Any]:
        """The restore that is asked for."""
        return {"program": self.program, "target_time": self.moment}

    @property
    def staging(self) -> Path:
        """Where it is staged."""
        return self.cluster.data_directory.with_name("data.restore")

    def other_repository(self) -> dict[str, Any]:
        """Copy the repository, as somebody does for a second site, to where it can only be read."""
        copy = self.cluster.home / "copy"
        self.sandbox.run(["cp", "-a", self.repository, copy])
        self.sandbox.run(["chmod", "-R", "a-w", copy])
        return {"repository": copy}


@pytest.fixture
def subject(prepared: Prepared, sandbox: Sandbox, version: str, modules: Modules) -> Iterator[Contested]:
    """Provide a cluster that several want to restore."""

    def write(cluster: Cluster) -> Contested:
        return Contested(sandbox, cluster, modules).write()

    with prepared.copy(version, "contested", write) as told:
        yield told
        sandbox.run(["chmod", "-R", "u+w", told.cluster.home])


def test_two_restores_of_one_directory_never_meet_whatever_repositories_they_use(subject: Contested) -> None:
    """The second one may only read its repository, and wants another moment; no file of the first one is touched."""
    elsewhere = subject.other_repository()
    with held_before(subject, "FinishStaging", state="staged", **subject.wanted) as first:
        for state in ("staged", "restored"):
            said = subject.fail("pitr_restore", state=state, program=subject.program, target="immediate", **elsewhere)
            assert f"is being changed by pitr_restore: staged, process {first.pid} on {os.uname().nodename}" in said
        for state in ("rolled_back", "detached"):
            assert f"process {first.pid}" in subject.fail("pitr_restore", state=state)
        assert f"process {first.pid}" in subject.fail("recovery", state="promoted")
        assert not first.go_on().get("failed")
    # What is complete is nobody else's: not another moment's, and not another repository's.
    said = subject.fail("pitr_restore", state="staged", program=subject.program, target="immediate", **elsewhere)
    assert f"{subject.staging} holds a complete staging of time {subject.moment[:19]}" in said
    assert f"process {first.pid}" in said
    assert "HINT: finish that one" in said
    subject.run("postgres_server", state="stopped")
    assert "holds a complete staging" in subject.fail("pitr_restore", state="restored", **subject.wanted | elsewhere)
    subject.run("pitr_restore", state="restored", **subject.wanted)
    subject.run("postgres_server", state="started")
    subject.wait_for_target()
    assert subject.cluster.value(COUNT) == 100
    assert not list(subject.cluster.home.glob("*.lock"))


def test_what_a_killed_run_has_begun_is_begun_anew_from_whatever_repository(subject: Contested) -> None:
    elsewhere = subject.other_repository()
    with held_before(subject, "FinishStaging", state="staged", **subject.wanted) as first:
        first.kill()
    again = subject.run("pitr_restore", state="staged", **subject.wanted | elsewhere)
    assert "RemoveStaging" in [step["step"] for step in again["steps"]]
    subject.run("postgres_server", state="stopped")
    subject.run("pitr_restore", state="restored", **subject.wanted | elsewhere)
    subject.run("postgres_server", state="started")
    subject.wait_for_target()
    assert subject.cluster.value(COUNT) == 100


def test_a_copy_that_somebody_made_in_the_place_of_a_staging_is_left_alone(subject: Contested) -> None:
    """It is of a cluster that was restored, so it has our record in it."""
    subject.restore(target_time=subject.moment)
    subject.sandbox.run(["cp", "-a", subject.cluster.data_directory, subject.staging])
    said = subject.fail("pitr_restore", state="staged", program=subject.program, target="immediate")
    assert f"{subject.staging} is in the way" in said
    assert (subject.staging / "PG_VERSION").exists()


def test_a_server_that_is_started_during_the_switch_is_refused_by_postgresql(subject: Contested) -> None:
    """By pg_ctl, without our modules; nor does pg_ctl stop what is at work there."""
    cluster = subject.cluster
    subject.run("pitr_restore", state="staged", **subject.wanted)
    subject.run("postgres_server", state="stopped")
    pg_ctl = [cluster.bin_directory / "pg_ctl", "-D", cluster.data_directory, "-w"]
    with held_before(subject, "SaveWal", state="restored", **subject.wanted) as switch:
        started = subject.sandbox.run([*pg_ctl, "-l", cluster.log_file, "start"], check=False)
        assert started.returncode != 0
        assert 'lock file "postmaster.pid" already exists' in cluster.log()
        for action in ("stop", "restart"):
            refused = subject.sandbox.run([*pg_ctl, action], check=False)
            assert f"single-user server is running (PID: {switch.pid})" in refused.stderr
        assert f"is being exchanged by another run (process {switch.pid})" in subject.fail(
            "postgres_server", state="started"
        )
        assert not switch.go_on().get("failed")
    subject.run("postgres_server", state="started")
    subject.wait_for_target()
    assert cluster.value(COUNT) == 100
    subject.run("postgres_server", state="stopped")
    subject.run("pitr_restore", state="rolled_back")
    subject.run("postgres_server", state="started")
    assert cluster.value(COUNT) == 150


def test_a_server_starts_though_another_process_has_the_number_of_a_run_that_was_killed(subject: Contested) -> None:
    """Of the same user, so PostgreSQL takes it for who has written the file."""
    cluster = subject.cluster
    subject.run("pitr_restore", state="staged", **subject.wanted)
    subject.run("postgres_server", state="stopped")
    with held_before(subject, "SaveWal", state="restored", **subject.wanted) as switch:
        switch.kill()
    lock = cluster.data_directory / "postmaster.pid"
    with subprocess.Popen(["sleep", "600"], **subject.sandbox.account.as_process_options()) as other:
        lock.write_text(lock.read_text().replace(f"-{switch.pid}\n", f"-{other.pid}\n"))
        try:
            subject.run("postgres_server", state="started")
        finally:
            other.kill()
    assert cluster.value(COUNT) == 150
    assert not list(cluster.home.glob("*.lock"))


def test_a_server_that_got_in_all_the_same_keeps_its_data(subject: Contested) -> None:
    """A start script has removed our file, as Debian's does with what it takes for stale."""
    cluster = subject.cluster
    subject.run("pitr_restore", state="staged", **subject.wanted)
    subject.run("postgres_server", state="stopped")
    with held_before(subject, "SetAside", state="restored", **subject.wanted) as switch:
        (cluster.data_directory / "postmaster.pid").unlink()
        cluster.start()
        said = switch.go_on()
    assert said["failed"]
    assert "is running on" in said["msg"]
    cluster.sql("INSERT INTO ledger VALUES (1000)")
    assert cluster.value(COUNT) == 151
    assert (cluster.data_directory / "postmaster.pid").exists()


def test_what_is_left_of_a_server_that_was_killed_goes_on_writing_to_its_own_data(subject: Contested) -> None:
    """The postmaster is gone, and a backend has not noticed yet: no server can be found."""
    cluster = subject.cluster
    subject.run("pitr_restore", state="staged", **subject.wanted)
    with cluster.connect() as session:
        pid = session.execute("SELECT pg_backend_pid()").fetchall()[0][0]
        processes.send([pid], SIGSTOP)
        assert cluster.pid is not None
        processes.kill([cluster.pid])
        wait_until(lambda: working(cluster) == [pid], message="all others to have noticed")
        said = subject.fail("pitr_restore", state="restored", **subject.wanted)
        assert f"processes of a server that is gone are still working in {cluster.data_directory}: {pid}" in said
        processes.kill([pid])
    subject.run("pitr_restore", state="restored", **subject.wanted)
    subject.run("postgres_server", state="started")
    subject.wait_for_target()
    assert cluster.value(COUNT) == 100


def working(cluster: Cluster) -> list[int]:
    """Return the processes of PostgreSQL that work in a cluster's directory."""
    found = processes.working_below(cluster.data_directory)
    return [pid for pid in found if processes.name(pid) == processes.SERVER]


def test_once_data_was_moved_another_restore_has_to_wait(subject: Contested) -> None:
    """Killed between the two renames: the same restore goes on, a rollback goes back, and nothing else is done."""
    cluster = subject.cluster
    subject.run("pitr_restore", state="staged", **subject.wanted)
    subject.run("postgres_server", state="stopped")
    with held_before(subject, "PutInPlace", state="restored", **subject.wanted) as switch:
        switch.kill()
    assert not cluster.data_directory.exists()
    other = {"program": subject.program, "target": "immediate"}
    elsewhere = subject.wanted | subject.other_repository()
    for state in ("staged", "restored"):
        for asked, force in itertools.product((other, elsewhere), (False, True)):
            said = subject.fail("pitr_restore", state=state, **asked, force=force)
            assert "was interrupted while the data was exchanged" in said
            assert "go back first with pitr_rollback.yml" in said
    subject.run("pitr_restore", state="rolled_back")
    subject.run("postgres_server", state="started")
    assert cluster.value(COUNT) == 150


def test_an_empty_directory_that_somebody_made_meanwhile_hides_nothing(subject: Contested) -> None:
    """Killed between the two renames, with WAL that only the old data has; then tmpfiles.d makes PGDATA again."""
    cluster = subject.cluster
    latest = {"program": subject.program, "target": "latest"}
    elsewhere = subject.other_repository()
    cluster.sql("INSERT INTO ledger SELECT generate_series(151, 200)")
    cluster.kill()
    subject.run("pitr_restore", state="staged", **latest)
    with held_before(subject, "PutInPlace", state="restored", **latest) as switch:
        switch.kill()
    subject.sandbox.run(["mkdir", "-m", "0700", cluster.data_directory])
    for asked in (latest | elsewhere, subject.wanted):
        said = subject.fail("pitr_restore", state="staged", **asked, force=True)
        assert "was interrupted while the data was exchanged" in said
    done = subject.run("pitr_restore", state="restored", **latest)
    assert "SetAside" not in [step["step"] for step in done["steps"]]
    subject.run("postgres_server", state="started")
    subject.wait_for_target()
    assert cluster.value(COUNT) == 200
    subject.run("postgres_server", state="stopped")
    subject.run("pitr_restore", state="rolled_back")
    subject.run("postgres_server", state="started")
    assert cluster.value(COUNT) == 200
