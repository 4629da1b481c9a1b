# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was staged some time ago is what would be staged now, or it is staged again: the server has gone on since."""

from __future__ import annotations

import shutil

import pytest

from tests.support.killing import run_and_kill
from tests.support.recoverable import Recoverable
from tests.support.snapshots import tree
from tests.support.waiting import wait_until

COUNT = "SELECT count(*) FROM ledger"
LATEST = {"target": "latest"}


@pytest.fixture
def written(recoverable: Recoverable) -> Recoverable:
    """Provide a cluster with a backup of 100 rows."""
    recoverable.cluster.sql("CREATE TABLE ledger AS SELECT generate_series(1, 100) AS n")
    recoverable.run("base_backup", compression="none")
    recoverable.switch()
    return recoverable


def stage(subject: Recoverable, **options: object) -> bool:
    """Stage, and tell whether anything was done."""
    return bool(subject.run("pitr_restore", state="staged", program=subject.program, **options)["changed"])


def put(subject: Recoverable, **options: object) -> None:
    """Switch to what is staged, and open it."""
    subject.run("postgres_server", state="stopped")
    subject.run("pitr_restore", state="restored", program=subject.program, **options)
    subject.run("postgres_server", state="started")
    subject.wait_for_target()
    subject.promote()


def test_other_options_are_staged_again_and_the_same_ones_are_not(written: Recoverable) -> None:
    assert stage(written, **LATEST, settings={"work_mem": "8MB"})
    written.cluster.sql("INSERT INTO ledger VALUES (101)")
    written.switch()
    assert not stage(written, **LATEST, settings={"work_mem": "8MB"})
    assert stage(written, **LATEST, settings={"work_mem": "64MB"})
    put(written, **LATEST, settings={"work_mem": "64MB"})
    assert written.cluster.value("SHOW work_mem") == "64MB"
    assert written.cluster.value(COUNT) == 101


def test_a_timeline_that_was_begun_since_is_not_left_out(written: Recoverable) -> None:
    """A failover, and back: the cluster goes on with what it has, on a timeline of its own."""
    cluster, data = written.cluster, written.cluster.data_directory
    assert stage(written, **LATEST)
    cluster.stop()
    automatic = data / "postgresql.auto.conf"
    before = automatic.read_text(encoding="utf-8")
    automatic.write_text(f"{before}restore_command = 'false'\n", encoding="utf-8")
    written.sandbox.run(["touch", data / "recovery.signal"])
    cluster.start()
    wait_until(lambda: not cluster.value("SELECT pg_is_in_recovery()"), message="the end of recovery")
    automatic.write_text(before, encoding="utf-8")
    cluster.sql("INSERT INTO ledger VALUES (101)")
    written.switch()
    written.run("postgres_server", state="stopped")
    said = written.fail("pitr_restore", state="restored", program=written.program, **LATEST)
    assert "on timeline 1; by now the target is reached on timeline 2" in said
    assert stage(written, **LATEST)
    put(written, **LATEST)
    assert written.cluster.value(COUNT) == 101


def test_the_end_of_a_backup_is_that_of_the_newest(written: Recoverable) -> None:
    assert stage(written, target="immediate")
    written.cluster.sql("INSERT INTO ledger VALUES (101)")
    written.run("base_backup", compression="none")
    assert stage(written, target="immediate")
    put(written, target="immediate")
    assert written.cluster.value(COUNT) == 101


def test_wal_that_was_there_is_missed_before_the_server_is_stopped(written: Recoverable) -> None:
    for _segment in range(3):
        written.cluster.sql("INSERT INTO ledger VALUES (0)")
        written.switch()
    written.run("postgres_server", state="stopped")
    written.cluster.data_directory.rename(written.cluster.home / "lost")
    assert stage(written, **LATEST)
    for segment in sorted(written.wal.glob("*/*"))[-3:]:
        segment.unlink()
    said = written.fail("pitr_restore", state="staged", program=written.program, **LATEST)
    assert "was staged, there was WAL to " in said
    assert not stage(written, **LATEST, force=True)


def test_a_tablespace_that_was_made_since_goes_aside_with_its_data(written: Recoverable) -> None:
    cluster, space = written.cluster, written.sandbox.directory(written.cluster.home / "fast")
    stage(written, **LATEST)
    cluster.sql(f"CREATE TABLESPACE fast LOCATION '{space}'")
    cluster.sql("CREATE TABLE in_fast TABLESPACE fast AS SELECT generate_series(1, 1000) AS n")
    written.switch()
    put(written, **LATEST)
    for statement in ("DELETE FROM in_fast WHERE n > 10", "VACUUM in_fast", "CHECKPOINT"):
        cluster.sql(statement)
    written.run("postgres_server", state="stopped")
    written.run("pitr_restore", state="rolled_back")
    written.run("postgres_server", state="started")
    assert cluster.value("SELECT count(*) FROM in_fast") == 1000


def test_what_has_come_in_the_place_of_data_that_was_set_aside_is_not_taken_for_it(written: Recoverable) -> None:
    """Somebody, who does not know what happened, copies the data back."""
    data = written.cluster.data_directory
    stage(written, **LATEST)
    written.run("postgres_server", state="stopped")
    options = {**written.options, **LATEST, "state": "restored", "program": written.program}
    for kills in range(20):
        if not data.exists():
            break
        assert run_and_kill(written.modules, "pitr_restore", 1, **options) is None, kills
    [aside] = data.parent.glob(f"{data.name}.before-*/")
    written.sandbox.run(["cp", "-a", aside, data])
    places = (data, aside, data.with_name(f"{data.name}.restore"))
    before = [tree(place) for place in places]
    for state in ("staged", "restored"):
        said = written.fail("pitr_restore", state=state, program=written.program, **LATEST)
        assert "it had set the data aside, and something has come in its place since" in said
    assert [tree(place) for place in places] == before
    shutil.rmtree(data)
    put(written, **LATEST)
    assert written.cluster.value(COUNT) == 100
