# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archived is what the repository has with the server's own bytes; and what was not proved is not called done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

from tests.integration.test_archiving import mode_of
from tests.support.clones import NOW
from tests.support.playbooks import Playbooks
from tests.support.recoverable import Recoverable

ROWS = "SELECT array_agg(n ORDER BY n) FROM ledger"


def put_back_to_an_earlier_state(subject: Recoverable) -> None:
    """Take a snapshot of a machine, go on for three segments, and go back to it, as people do with virtual machines."""
    cluster = subject.cluster
    cluster.sql("CREATE TABLE ledger AS SELECT 1 AS n")
    subject.run("base_backup", compression="none", label="before")
    snapshot = cluster.home / "snapshot"
    cluster.stop()
    subject.sandbox.run(["cp", "-a", cluster.data_directory, snapshot])
    cluster.start()
    for row in (2, 3, 4):
        cluster.sql(f"INSERT INTO ledger VALUES ({row})")
        subject.switch()
    cluster.stop()
    shutil.rmtree(cluster.data_directory)
    snapshot.rename(cluster.data_directory)
    cluster.start()
    cluster.sql("INSERT INTO ledger VALUES (-2)")


def test_what_another_server_has_archived_under_the_name_proves_nothing(recoverable: Recoverable) -> None:
    put_back_to_an_earlier_state(recoverable)
    cluster, program = recoverable.cluster, {"program": recoverable.program}
    name = str(cluster.value("SELECT pg_walfile_name(pg_current_wal_lsn())"))
    # Named is the newest segment that both have, and the server may have begun the next one by itself.
    words = f" in {cluster.data_directory}/pg_wal and in {recoverable.wal} are not the same WAL"
    attempts: list[Callable[[], str]] = [
        lambda: recoverable.fail("restore_point", switch_wal=True, wait=True),
        lambda: recoverable.fail("wal_archiving", timeout=0, verify=True, **program),
        lambda: recoverable.fail("restore_point", switch_wal=True, wait=True, check_mode=True),
        lambda: recoverable.fail("base_backup", compression="none"),
        lambda: recoverable.fail("pitr_restore", state="staged", target="latest", **program),
    ]
    for attempt in attempts:
        before, found, _after = attempt().partition(words)
        assert found, before
        assert name <= before[-len(name) :]
    assert "HINT: find the other server" in recoverable.fail("restore_point", switch_wal=True, wait=True)

    told_of = recoverable.run("backup_info", target="latest")
    assert [(defect["kind"], words in defect["text"]) for defect in told_of["defects"]] == [("fork", True)]
    assert (told_of["reachable"], words in told_of["reason"]) == (False, True)
    told = cluster.sandbox.run(
        [recoverable.program, "status", "--json", "--repository", recoverable.repository, "--cluster", cluster.name,
         cluster.data_directory],
        check=False,
    )  # fmt: skip
    assert (told.returncode, "is there already, and its content differs" in told.stdout) == (2, True)
    assert json.loads(told.stdout)["oldest_waiting"]["name"] == name

    forced = {"target": "latest", "force": True, **program}
    recoverable.run("pitr_restore", state="staged", **forced)
    recoverable.run("postgres_server", state="stopped")
    assert words in recoverable.fail("pitr_restore", state="restored", target="latest", **program)
    recoverable.run("pitr_restore", state="restored", **forced)
    recoverable.run("postgres_server", state="started")
    recoverable.wait_for_target()
    recoverable.promote()
    assert cluster.value(ROWS) == [1, 2, 3, 4], "the history that the archive has"
    assert recoverable.run("recovery", state="promoted")["proof_required"]
    recoverable.switch()
    assert not recoverable.run("recovery", state="promoted")["proof_required"]


def test_a_restore_that_is_in_place_is_done_only_once_it_is_proved_to_archive(
    recoverable: Recoverable, playbooks: Playbooks
) -> None:
    cluster = recoverable.cluster
    cluster.sql("CREATE TABLE ledger AS SELECT 1 AS n")
    recoverable.run("base_backup", compression="none")
    cluster.sql("INSERT INTO ledger VALUES (2)")
    target = cluster.value(NOW)
    cluster.sql("INSERT INTO ledger VALUES (3)")
    recoverable.switch()
    inventory = playbooks.inventory(cluster)
    restore = ("pitr_restore", inventory, "-e", f"target_time={target}", "-e", "wal_archiving_verify_timeout=5")
    with mode_of(recoverable.wal, 0o550):
        first = playbooks.run(*restore, expected=2)
        assert "pgark-wal" in first.output
        assert cluster.value(ROWS) == [1, 2]
        second = playbooks.run(*restore, expected=2)
        assert "already restored" not in second.output
    told = playbooks.run(*restore, "--check").output
    assert "whether it archives on its new timeline was never proved, and would be now" in " ".join(told.split())
    assert [task.rpartition("| ")[2] for task in playbooks.run(*restore).changed_tasks] == [
        "Prove that archiving works on the new timeline"
    ]
