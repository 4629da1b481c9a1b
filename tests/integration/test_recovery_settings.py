# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore ends where it was asked to end, whatever was left in the files that came with the backup."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.clones import NOW
from tests.support.marks import every_version
from tests.support.recoverable import Recoverable

COUNT = "SELECT count(*) FROM ledger"
AUTOMATIC = "SELECT name, setting FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf'"
# What an earlier restore by hand, and a time as a standby, have left.
INCLUDED = """
recovery_target = 'immediate'
recovery_target_action = 'shutdown'
recovery_target_inclusive = off
recovery_target_timeline = 'current'
recovery_min_apply_delay = '1h'
"""
WRITTEN = "recovery_target_name = 'long ago'\nRecovery_Min_Apply_Delay = '2h'\n"


def write(subject: Recoverable) -> str:
    """Commit a row before a backup, one before a moment and one after it; return the moment."""
    cluster = subject.cluster
    cluster.sql("CREATE TABLE ledger AS SELECT 1 AS n")
    subject.run("base_backup", compression="none")
    cluster.sql("INSERT INTO ledger VALUES (2)")
    moment: str = cluster.value(NOW)
    cluster.sql("INSERT INTO ledger VALUES (3)")
    subject.switch()
    return moment


def leave(subject: Recoverable) -> None:
    """Leave settings of another recovery in three files, and the file that makes a standby."""
    data = subject.cluster.data_directory
    (data / "left.conf").write_text(INCLUDED)
    (data / "standby.signal").touch()
    for name, text in {"postgresql.conf": "include 'left.conf'\n", "postgresql.auto.conf": WRITTEN}.items():
        with (data / name).open("a") as file:
            file.write(text)
    for name in ("left.conf", "standby.signal"):
        subject.owned(data / name)


def put_in_place(subject: Recoverable, **target: Any) -> None:
    """Stage, stop, and put the restore in place."""
    wanted = {"program": subject.program, **target}
    subject.run("pitr_restore", state="staged", **wanted)
    subject.run("postgres_server", state="stopped")
    subject.run("pitr_restore", state="restored", **wanted)


def refusal(subject: Recoverable) -> str:
    """Promote as soon as the server answers, and return why that is refused."""
    while True:
        done = subject.modules.start("recovery", {**subject.options, "state": "promoted"})
        seen: dict[str, Any] = json.loads(done.stdout)
        if seen.get("failed"):
            return str(seen["msg"])
        assert not seen["reached"], "it was promoted"


@every_version
def test_no_setting_and_no_file_that_was_left_moves_the_target(recoverable: Recoverable) -> None:
    subject, cluster = recoverable, recoverable.cluster
    leave(subject)
    assert not subject.run("cluster_info")["standby"], "it runs as a primary"
    put_in_place(subject, target_time=write(subject))
    assert [path.name for path in cluster.data_directory.glob("*.signal")] == ["recovery.signal"]
    subject.run("postgres_server", state="started")
    assert subject.wait_for_target()["paused"]
    assert cluster.value(COUNT) == 2
    subject.promote()
    assert cluster.value(COUNT) == 2
    left = dict(cluster.sql(AUTOMATIC))
    assert left["recovery_min_apply_delay"] == "2h"
    assert not [name for name in left if name.startswith(("recovery_target", "promote", "hot_standby"))]
    assert not subject.run("recovery", state="promoted")["changed"]


def test_nor_does_it_end_a_restore_to_the_end_of_the_wal(recoverable: Recoverable) -> None:
    leave(recoverable)
    write(recoverable)
    put_in_place(recoverable, target="latest")
    recoverable.run("postgres_server", state="started")
    assert not recoverable.wait_for_target()["in_recovery"]
    recoverable.promote()
    assert recoverable.cluster.value(COUNT) == 3


@pytest.mark.parametrize(
    ("target", "words"), [("latest", "it is to go on to the end of the archived WAL"), ("time", "only at 0/")]
)
def test_a_pause_is_not_taken_for_the_target(recoverable: Recoverable, target: str, words: str) -> None:
    """Somebody has given another target since the restore was put in place."""
    moment = write(recoverable)
    put_in_place(recoverable, **({"target_time": moment} if target == "time" else {"target": "latest"}))
    with (recoverable.cluster.data_directory / "postgresql.auto.conf").open("a") as file:
        file.write("recovery_target_time = ''\nrecovery_target = 'immediate'\n")
    recoverable.run("postgres_server", state="started")
    told = refusal(recoverable)
    assert "has paused at 0/" in told
    assert words in told
    assert recoverable.cluster.value("SELECT pg_is_in_recovery()"), "it was not promoted"


@pytest.mark.parametrize("target", ["time", "latest"])
def test_a_server_that_started_without_its_recovery_is_no_success(recoverable: Recoverable, target: str) -> None:
    """It opens with what the backup alone gives, and is not in recovery either."""
    moment = write(recoverable)
    put_in_place(recoverable, **({"target_time": moment} if target == "time" else {"target": "latest"}))
    (recoverable.cluster.data_directory / "recovery.signal").unlink()
    recoverable.run("postgres_server", state="started")
    for state in ("at_target", "promoted"):
        told = recoverable.fail("recovery", state=state)
        assert "not in recovery and on timeline 1, from which it was restored" in told
        assert "pitr_rollback.yml" in told
