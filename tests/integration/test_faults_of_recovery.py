# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A recovery that goes wrong says so in the server's words, leaves the data from before alone, and can be undone."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.history import History, options, slim
from tests.support.ledger import parse_lsn
from tests.support.marks import every_version
from tests.support.modules import Modules
from tests.support.playbooks import Playbooks
from tests.support.recoverable import Recoverable
from tests.support.sandbox import CHECKOUT, Sandbox
from tests.support.sealing import rewrite
from tests.support.snapshots import tree
from tests.support.waiting import wait_until

COUNT = "SELECT count(*) FROM ledger"
NOW = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.USZ')"
SEGMENT = 1 << 20
UNDO = "pitr_rollback.yml"
SETTINGS = {"fsync": "off"}


@pytest.fixture
def subject(sandbox: Sandbox, version: str, modules: Modules) -> Iterator[Recoverable]:
    """Provide a cluster with small segments that archives, with an empty table."""
    with sandbox.cluster(version, settings=SETTINGS, wal_segment_size=1) as cluster:
        created = Recoverable(sandbox, cluster, modules)
        created.enable()
        slim(cluster)
        cluster.sql("CREATE TABLE ledger AS SELECT 1 AS n WHERE false")
        yield created


def write(subject: Recoverable) -> tuple[str, str]:
    """Commit three rows: before a backup, before a moment and after it; return the moment, and its segment."""
    cluster = subject.cluster
    cluster.sql("INSERT INTO ledger VALUES (1)")
    subject.run("base_backup", compression="none")
    cluster.sql("INSERT INTO ledger VALUES (2)")
    moment = cluster.value(NOW)
    segment = subject.switch()["segment"]
    cluster.sql("INSERT INTO ledger VALUES (3)")
    subject.switch()
    return moment, segment


def switch_over(subject: Recoverable, **target: Any) -> Path:
    """Stage, stop and put the restore in place; return the previous directory."""
    wanted = {"program": subject.program, **target}
    subject.run("pitr_restore", state="staged", **wanted)
    subject.run("postgres_server", state="stopped")
    return Path(subject.run("pitr_restore", state="restored", **wanted)["previous_directory"])


def lose_all_from(subject: Recoverable, segment: str) -> None:
    """Lose a segment and what was written after it, from the archive and from what was saved beside the backup."""
    for directory in (subject.wal / "0000000100000000", subject.cluster.data_directory / "pg_wal"):
        for path in directory.glob("00000001*"):
            if path.name[:24] >= segment:
                path.unlink()


def words_of_the_dying(subject: Recoverable) -> str:
    """Start a server that cannot recover, and return what the module says that sees it die."""
    started = json.loads(subject.modules.start("postgres_server", {**subject.options, "state": "started"}).stdout)
    return str(started["msg"] if started.get("failed") else subject.fail("recovery", state="at_target"))


def undo(subject: Recoverable, expected: int) -> None:
    """Roll back, and find what was there before."""
    subject.run("postgres_server", state="stopped")
    subject.run("pitr_restore", state="rolled_back")
    subject.run("postgres_server", state="started")
    assert subject.cluster.value(COUNT) == expected


def test_a_target_that_is_never_reached_is_told_with_the_servers_log(subject: Recoverable) -> None:
    """What was there when the restore was planned has gone when the server recovers."""
    moment, segment = write(subject)
    previous = switch_over(subject, target_time=moment)
    before = tree(previous)
    lose_all_from(subject, segment)
    told = words_of_the_dying(subject)
    assert "recovery ended before configured recovery target was reached" in told
    assert UNDO in told
    assert tree(previous) == before
    undo(subject, 3)


def test_a_recovery_that_ends_too_early_is_not_taken_for_the_end(subject: Recoverable) -> None:
    """PostgreSQL opens the server at the first missing segment, and says nothing."""
    _moment, segment = write(subject)
    switch_over(subject, target="latest")
    lose_all_from(subject, segment)
    subject.run("postgres_server", state="started")
    wait_until(lambda: not subject.cluster.value("SELECT pg_is_in_recovery()"), message="the end of recovery")
    assert UNDO in subject.fail("recovery", state="at_target")
    assert UNDO in subject.fail("recovery", state="promoted")
    undo(subject, 3)


@every_version
def test_a_failed_check_leaves_the_server_paused_until_one_is_met(subject: Recoverable) -> None:
    moment, _segment = write(subject)
    switch_over(subject, target_time=moment)
    subject.run("postgres_server", state="started")
    subject.wait_for_target()
    wrong = [{"query": COUNT, "expect": 3}]
    for state in ("at_target", "paused", "promoted"):
        told = subject.fail("recovery", state=state, checks=wrong)
        assert f"{COUNT} gave 2, expected 3" in told
        assert "pitr_finalize.yml" in told
        assert UNDO in told
    cluster = subject.cluster
    assert cluster.value("SELECT pg_is_in_recovery()::text || pg_get_wal_replay_pause_state()") == "truepaused"
    assert cluster.value("SHOW transaction_read_only") == "on"
    subject.run("recovery", state="promoted", checks=[{"query": COUNT, "expect": 2}])
    assert not cluster.value("SELECT pg_is_in_recovery()")
    undo(subject, 3)


def left_behind(subject: Recoverable, setting: str) -> str:
    """Have a setting in the backup that nobody has restarted the server with, and give the moment to restore to."""
    with (subject.cluster.data_directory / "postgresql.auto.conf").open("a") as file:
        file.write(f"{setting}\n")
    moment, _segment = write(subject)
    return moment


def test_a_restored_library_that_the_machine_lacks_is_named_before_the_server_is_stopped(subject: Recoverable) -> None:
    moment = left_behind(subject, "shared_preload_libraries = 'plpgsql, nosuch'")
    told = subject.fail("pitr_restore", state="staged", program=subject.program, target_time=moment)
    assert "library 'nosuch' of shared_preload_libraries (set in postgresql.auto.conf of the restored data)" in told
    assert "install what it belongs to, for PostgreSQL" in told
    assert subject.cluster.value(COUNT) == 3
    machine = {"shared_preload_libraries": "plpgsql", "listen_addresses": "127.0.0.1"}
    subject.restore(target_time=moment, settings=machine)
    assert subject.cluster.value(COUNT) == 2
    assert subject.cluster.value("SHOW listen_addresses") == "127.0.0.1"


def test_a_restored_library_that_is_none_is_named(subject: Recoverable) -> None:
    library = subject.sandbox.home / "library.so"
    library.write_text("not one")
    moment = left_behind(subject, f"shared_preload_libraries = '{library}'")
    previous = switch_over(subject, target_time=moment)
    told = words_of_the_dying(subject)
    assert f'could not load library "{library}"' in told
    assert "shared_preload_libraries" in told
    assert UNDO in told
    assert (previous / "global" / "pg_control").exists()


def test_a_restored_setting_that_the_server_cannot_take_is_named_before_it_is_stopped(subject: Recoverable) -> None:
    moment = left_behind(subject, "shared_buffers = '900 TB'")
    told = subject.fail("pitr_restore", state="staged", program=subject.program, target_time=moment)
    assert 'invalid value for parameter "shared_buffers": "900 TB"' in told
    assert subject.cluster.value(COUNT) == 3


def test_a_port_that_somebody_else_listens_on_is_told_when_the_server_opens(subject: Recoverable) -> None:
    """While it recovers, the server is closed to the network, so nothing is in its way."""
    moment, _segment = write(subject)
    switch_over(subject, target_time=moment)
    with socket.create_server(("127.0.0.1", subject.cluster.port)):
        subject.run("postgres_server", state="started")
        subject.wait_for_target()
        assert subject.run("recovery", state="promoted")["restart_required"]
        told = subject.fail("postgres_server", state="restarted")
        assert "Address already in use" in told
        assert f"port {subject.cluster.port}" in told
    subject.run("postgres_server", state="started")
    assert subject.cluster.value(COUNT) == 2


def test_a_restore_whose_controller_is_lost_goes_on_when_it_is_run_again(
    subject: Recoverable, playbooks: Playbooks
) -> None:
    """Lost while it stages, and then once more right after the switch: all processes but the server are gone."""
    moment, _segment = write(subject)
    inventory = playbooks.inventory(subject.cluster)
    play = [{"import_playbook": str(CHECKOUT / "playbooks" / "pitr_restore.yml"), "vars": {"target_time": moment}}]
    path = subject.sandbox.controller / "lost.yml"
    path.write_text(yaml.safe_dump(play))
    home = subject.cluster.home
    for sign in ("data.restore", "data.before-*/"):
        output = subject.sandbox.controller / "lost.log"
        with playbooks.running(path, inventory, output) as process:
            wait_until(lambda sign=sign: list(home.glob(sign)) or process.poll(), timeout=60, message=sign)
            assert process.poll() is None, output.read_text()
    done = playbooks.run(path, inventory)
    assert done.recap["main"]["failed"] == 0
    assert subject.cluster.value(COUNT) == 2
    assert not subject.cluster.value("SELECT pg_is_in_recovery()")


def lose(subject: Recoverable, number: int) -> str:
    """Lose the archived segment of a number on timeline 1, and return its name."""
    name = f"{1:08X}{0:08X}{number:08X}"
    [path] = (path for path in subject.wal.glob(f"0000000100000000/{name}*") if ".backup" not in path.name)
    path.unlink()
    return name


def disaster(subject: Recoverable) -> None:
    """Lose the server and its data, whose WAL could fill a gap in the archive."""
    subject.cluster.kill()
    shutil.rmtree(subject.cluster.data_directory)


def test_a_gap_after_a_backup_ends_the_window(subject: Recoverable) -> None:
    moment, segment = write(subject)
    subject.cluster.sql("INSERT INTO ledger VALUES (4)")
    late = subject.cluster.value(NOW)
    subject.switch()
    lost = lose(subject, int(segment[-8:], 16) + 1)
    disaster(subject)
    found = subject.run("backup_info", target_time=late)
    [window] = found["windows"]
    assert (window["missing"], window["last_segment"]) == (lost, segment)
    assert moment < window["until"] < late
    assert [(defect["kind"], lost in defect["text"]) for defect in found["defects"]] == [("gap", True)]
    assert found["reachable"] is False
    assert f"segment {lost} is missing from the archive" in found["reason"]
    assert lost in subject.fail("pitr_restore", state="staged", program=subject.program, target="latest")
    subject.restore(target_time=moment)
    assert subject.cluster.value(COUNT) == 2


def back_up_over_segments(subject: Recoverable) -> dict[str, Any]:
    """Take a backup, and fill some segments while it waits for its checkpoint, a spread one, which takes its time."""
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(subject.run, "base_backup", compression="none", checkpoint="spread")
        begun = "SELECT 1 FROM pg_stat_progress_basebackup"
        wait_until(lambda: future.done() or subject.cluster.sql(begun), message="the backup to begin")
        for _turn in range(4):
            subject.cluster.sql("INSERT INTO ledger VALUES (1)")
            subject.cluster.sql("SELECT pg_switch_wal()")
        backup: dict[str, Any] = future.result()["backup"]
    return backup


def test_a_gap_within_a_backup_is_named_and_bridged_by_the_wal_that_it_brings(subject: Recoverable) -> None:
    backup = back_up_over_segments(subject)
    expected, moment = subject.cluster.value(COUNT), subject.cluster.value(NOW)
    subject.cluster.sql("INSERT INTO ledger VALUES (2)")
    subject.switch()
    first, last = (parse_lsn(backup[name]) // SEGMENT for name in ("start_lsn", "stop_lsn"))
    assert last - first > 1, "the backup lies within two segments"
    lost = lose(subject, first + 1)
    disaster(subject)
    found = subject.run("backup_info", target_time=moment)
    named = {(defect["kind"], defect["subject"]): defect["text"] for defect in found["defects"]}
    assert lost in named["wal", backup["label"]]
    assert (found["reachable"], found["backups"][0]["usable"]) == (True, True)
    subject.restore(target_time=moment)
    assert subject.cluster.value(COUNT) == expected


def test_a_backup_without_its_wal_is_not_used(subject: Recoverable) -> None:
    moment, _segment = write(subject)
    [own] = subject.backups.glob("*/pg_wal.tar*")
    own.unlink()
    found = subject.run("backup_info", target_time=moment)
    assert [backup["usable"] for backup in found["backups"]] == [False]
    assert "pg_wal.tar" in found["backups"][0]["problem"]
    assert "pg_wal.tar" in found["reason"]
    assert "pg_wal.tar" in subject.fail("pitr_restore", state="staged", program=subject.program, target_time=moment)


@contextmanager
def clock_set_back(history: History, label: str) -> Iterator[None]:
    """Date a backup ten years back, as a machine with a wrong clock would have."""
    path = history.subject.backups / label / "backup.json"
    content = path.read_text()
    times = {name: json.loads(content)[name].replace("20", "19", 1) for name in ("start_time", "stop_time")}
    rewrite(path, **times)
    try:
        yield
    finally:
        path.write_text(content)


def test_a_clock_that_was_wrong_does_not_change_the_order(history: History) -> None:
    """The newest backup on the way is the one with the last position, whatever its date."""
    before = history.subject.run("backup_info")
    target = options(history.target(6, "lsn", "g plain"))
    with clock_set_back(history, "third"):
        after = history.subject.run("backup_info", **target)
    assert [found["label"] for found in after["backups"]] == [found["label"] for found in before["backups"]]
    assert after["chosen"] == "third"


@pytest.mark.parametrize("zone", ["NST3:30NDT,M3.2.0,M11.1.0", "<+1245>-12:45"])
def test_the_machines_time_zone_does_not_matter(history: History, sandbox: Sandbox, zone: str) -> None:
    """PostgreSQL's tools print the local time, with daylight saving or without; what is reported is in UTC."""
    abroad = Recoverable(sandbox, history.subject.cluster, Modules(sandbox, {"TZ": zone, "XDG_CACHE_HOME": "/nowhere"}))
    assert abroad.run("backup_info")["windows"] == history.subject.run("backup_info")["windows"]


def in_zone(moment: str, offset: str) -> str:
    """Write a moment with another offset from UTC."""
    zone = datetime.strptime(offset.ljust(5, "0"), "%z").tzinfo
    return datetime.fromisoformat(moment).astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S.%f") + offset


@pytest.mark.parametrize("offset", ["+05:30", "-03:30", "+0000", "-11"])
def test_a_moment_may_be_given_with_any_offset(history: History, offset: str) -> None:
    target = options(history.target(6, "time", "g plain"))
    asked = {"target_time": in_zone(target["target_time"], offset)}
    wanted = {"state": "staged", "program": history.subject.program}
    told = [history.subject.run("pitr_restore", check_mode=True, **wanted, **one)["target"] for one in (target, asked)]
    assert told[0] == told[1]
