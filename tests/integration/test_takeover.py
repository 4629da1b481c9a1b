# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archiving is begun, ended and begun again without losing anything that somebody counts on, or saying so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.test_archiving import mode_of
from tests.integration.test_drift import Drifted
from tests.support.modules import Modules
from tests.support.playbooks import Playbooks
from tests.support.postgres import Cluster
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_until

BARMAN = "PGPASSWORD=geheim barman-wal-archive --user barman backup main %p"


@pytest.fixture
def theirs(sandbox: Sandbox, cluster: Cluster, modules: Modules) -> Drifted:
    """Provide a server that Barman archives, half of it configured in a file and half of it by ALTER SYSTEM."""
    subject = Drifted(sandbox, cluster, modules)
    subject.run("backup_repository", separate_filesystem="ignore")
    subject.write("archive_mode = on")
    subject.write("archive_timeout = 5min")
    cluster.sql(f"ALTER SYSTEM SET archive_command = '{BARMAN}'")
    cluster.restart()
    return subject


def kept(subject: Recoverable) -> list[Path]:
    return sorted(subject.program.parent.glob("replaced-*.json"))


def test_somebody_elses_archiving_is_replaced_only_when_that_is_asked_for_and_put_back(theirs: Drifted) -> None:
    before = theirs.auto.read_text(encoding="utf-8")
    message = theirs.refused()
    assert "archive_command is 'PGPASSWORD=******** barman-wal-archive --user barman backup main %p'" in message
    assert f"(from {theirs.place_of('archive_command')})" in message
    assert "HINT: to take over, set wal_archiving_replace (replace of the module wal_archiving) to true" in message
    untouched = theirs.disabled(program=theirs.program)
    assert (untouched["changed"], "barman-wal-archive" in untouched["other_archiving"]) == (False, True)

    replaced = theirs.enabled(replace=True, verify=True)
    assert replaced["verified_segment"]
    [file] = kept(theirs)
    assert (file.stat().st_mode & 0o777, json.loads(file.read_text())["automatic"]["archive_command"]) == (
        0o600,
        BARMAN,
    )
    assert "geheim" not in str(replaced)
    again = theirs.enabled(verify=True)
    assert (again["changed"], kept(theirs)) == (False, [file]), "what is ours needs no leave"

    back = theirs.disabled(program=theirs.program)
    assert (back["restart_required"], back["other_archiving"], "geheim" in str(back)) == (False, None, False)
    assert (theirs.value("archive_command"), theirs.value("archive_timeout")) == (BARMAN, "5min")
    assert (theirs.auto.read_text(encoding="utf-8"), kept(theirs)) == (before, [])
    assert not theirs.disabled(program=theirs.program)["changed"]


def test_what_was_to_be_put_back_is_put_back_by_the_next_run_after_a_kill(theirs: Drifted) -> None:
    """As after a kill between ALTER SYSTEM and the end, with a restart of the server behind it."""
    theirs.enabled(replace=True, verify=True)
    theirs.cluster.sql(f"ALTER SYSTEM SET archive_command = '{BARMAN}'")
    theirs.reload()
    done = theirs.run("wal_archiving", state="disabled", program=theirs.program, drain_timeout=1, discard_waiting=True)
    assert (done["changed"], theirs.value("archive_timeout"), kept(theirs)) == (True, "5min", [])


def test_nothing_that_waits_is_lost_without_a_word_and_a_gap_is_never_called_success(
    recoverable: Recoverable, playbooks: Playbooks
) -> None:
    cluster, program = recoverable.cluster, {"program": recoverable.program}
    cluster.sql("CREATE TABLE ledger AS SELECT 1 AS n")
    assert "there is no backup yet" in recoverable.enable()["uncovered_reason"]
    recoverable.run("base_backup", compression="none")
    assert recoverable.enable()["uncovered_reason"] is None
    status = cluster.data_directory / "pg_wal/archive_status"
    with mode_of(recoverable.wal / "0000000100000000", 0o550):
        cluster.sql("INSERT INTO ledger VALUES (2)")
        name = str(cluster.value("SELECT pg_walfile_name(pg_switch_wal())"))
        wait_until((status / f"{name}.ready").exists, message="a segment that waits")
        message = recoverable.fail("wal_archiving", state="disabled", drain_timeout=1, **program)
        assert f"2 of the server's WAL files ({name}, " in message
        assert "HINT: repair what keeps them from being archived" in message
        assert " push --repository " in cluster.value("SHOW archive_command")
    assert recoverable.run("wal_archiving", state="disabled", **program)["given_up"] == []
    assert list(recoverable.wal.glob(f"*/{name}*")), "it was repaired in time"
    assert not list(status.glob("*.ready"))

    recoverable.run("postgres_server", state="restarted")
    for row in (3, 4):
        cluster.sql(f"INSERT INTO ledger VALUES ({row})")
        cluster.sql("SELECT pg_switch_wal()")
    cluster.sql("CHECKPOINT")
    inventory = playbooks.inventory(cluster)
    told = " ".join(playbooks.run("setup_archiving", inventory).output.split())
    assert "is missing from the archive, so no backup leads to what follows" in told
    assert "what was archived after that can be restored once there is a new backup: run base_backup.yml" in " ".join(
        playbooks.run("recovery_windows", inventory).output.split()
    )
    seen = recoverable.run("wal_archiving", timeout=60, **program)["status"]
    assert (seen["status"], "can be restored once there is a new backup" in str(seen["warning"])) == ("warning", True)
    recoverable.run("base_backup", compression="none")
    seen = recoverable.run("wal_archiving", timeout=60, verify=True, **program)
    assert (seen["status"]["status"], seen["uncovered_reason"]) == ("ok", None)


def test_what_waits_can_be_given_up_by_name(recoverable: Recoverable) -> None:
    cluster = recoverable.cluster
    with mode_of(recoverable.wal / "0000000100000000", 0o550):
        cluster.sql("CREATE TABLE ledger AS SELECT 1 AS n")
        name = str(cluster.value("SELECT pg_walfile_name(pg_switch_wal())"))
        given_up = recoverable.run("wal_archiving", state="disabled", discard_waiting=True)
        assert (given_up["given_up"], given_up["restart_settings"]) == ([name], ["archive_mode"])
