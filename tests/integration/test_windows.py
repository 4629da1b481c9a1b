# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What real servers' WAL says about what can be restored, compared with what the servers say about themselves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.marks import every_version
from tests.support.modules import Modules
from tests.support.postgres import Cluster
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox
from tests.support.snapshots import tree
from tests.support.waiting import wait_until

UTC = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
NOW = f"SELECT {UTC.format('clock_timestamp()')}"
COMMITTED = f"SELECT {UTC.format('pg_xact_commit_timestamp(%s::text::xid)')}"
SETTINGS = {"track_commit_timestamp": "on", "max_prepared_transactions": "5"}


@pytest.fixture
def server(sandbox: Sandbox, version: str, modules: Modules) -> Iterator[Recoverable]:
    """Provide a cluster that keeps the times of commits, archives into a repository, and has a backup."""
    with sandbox.cluster(version, settings=SETTINGS) as cluster:
        yield prepared(sandbox, cluster, modules)


def prepared(sandbox: Sandbox, cluster: Cluster, modules: Modules) -> Recoverable:
    subject = Recoverable(sandbox, cluster, modules)
    subject.enable()
    cluster.sql("CREATE TABLE ledger (n int PRIMARY KEY, t text)")
    subject.run("base_backup", label="first")
    return subject


def commit(subject: Recoverable, number: int, text: str = "") -> int:
    """Commit a row and return the number of its transaction."""
    query = "INSERT INTO ledger VALUES (%s, %s) RETURNING pg_current_xact_id()::text::bigint"
    return int(subject.cluster.value(query, (number, text)))


def archived(subject: Recoverable, **target: Any) -> dict[str, Any]:
    """Ask what the archive alone gives."""
    return subject.run("backup_info", data_directory=None, **target)


def refused(subject: Recoverable, **target: Any) -> str:
    """Ask for what cannot be reached, and return why not."""
    found = archived(subject, **target)
    assert not found["reachable"], found
    return str(found["reason"])


def segments(subject: Recoverable) -> list[Path]:
    """List the archived segments in their order."""
    return sorted(
        path for path in subject.wal.glob("*/*") if len(path.name.split(".")[0]) == 24 and ".backup" not in path.name
    )


@every_version
def test_a_window_ends_with_the_last_commit_and_every_target_in_it_is_found(server: Recoverable) -> None:
    xid = commit(server, 1)
    server.cluster.sql("SELECT pg_create_restore_point('it''s 100%% \\here')", ())
    lsn = server.cluster.value("SELECT pg_current_wal_lsn()::text")
    moment = server.cluster.value(NOW)
    last = commit(server, 2)
    server.cluster.sql("SELECT pg_switch_wal()")
    server.run("base_backup", label="second")
    found = archived(server)
    assert found["defects"] == []
    (window,) = found["windows"]
    assert window["backups"] == ["first", "second"]
    assert window["until"] >= server.cluster.value(COMMITTED, (last,))
    before = tree(server.repository)
    for target in (
        {"target_xid": xid},
        {"target_name": "it's 100% \\here"},
        {"target_lsn": lsn},
        {"target_time": moment},
    ):
        answer = archived(server, **target)
        assert (answer["reachable"], answer["chosen"], answer["timeline"]) == (True, "first", 1), target
    assert archived(server, target="latest")["chosen"] == "second"
    assert archived(server, target="immediate", backup_label="first")["segments"] == 1
    assert "there is no restore point 'nowhere'" in refused(server, target_name="nowhere")
    assert "HINT: its newest restore points are: 'it's 100% \\here'" in refused(server, target_name="nowhere")
    assert f"transaction {last + 1000} did not end in the WAL" in refused(server, target_xid=last + 1000)
    assert "is not in the WAL that follows backup 'second'" in refused(server, target_lsn="F0/0")
    assert tree(server.repository) == before


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ((), ("SELECT txid_current()",)),
        (("BEGIN", "INSERT INTO ledger VALUES (7)"), ("ROLLBACK",)),
        (("BEGIN", "INSERT INTO ledger VALUES (7)", "PREPARE TRANSACTION 'a b'"), ("COMMIT PREPARED 'a b'",)),
        (("BEGIN", "INSERT INTO ledger VALUES (7)", "PREPARE TRANSACTION 'a b'"), ("ROLLBACK PREPARED 'a b'",)),
    ],
    ids=["commit", "abort", "commit prepared", "abort prepared"],
)
def test_a_transaction_counts_however_it_ends(
    server: Recoverable, begin: tuple[str, ...], end: tuple[str, ...]
) -> None:
    with server.cluster.connect() as session:
        for statement in begin:
            session.execute(statement)
        before = server.cluster.value(NOW)
        for statement in end:
            session.execute(statement)
        after = server.cluster.value(NOW)
    server.cluster.sql("SELECT pg_create_restore_point('enough to switch')")
    server.cluster.sql("SELECT pg_switch_wal()")
    server.cluster.stop()
    (window,) = archived(server)["windows"]
    assert before < window["until"] < after


def test_a_moment_after_the_last_commit_is_explained_and_postgresql_agrees_on_the_one_before_it(
    server: Recoverable,
) -> None:
    commit(server, 1)
    last = commit(server, 2)
    between = server.cluster.value(NOW)
    server.cluster.sql("SELECT pg_create_restore_point('nothing is committed here')")
    server.cluster.sql("SELECT pg_switch_wal()")
    until = server.cluster.value(COMMITTED, (last,))
    server.cluster.stop()
    assert archived(server)["windows"][0]["until"] == until
    for moment in (until, between):
        said = refused(server, target_time=moment)
        assert f"is not before the last transaction in the archive, which ended at {until}" in said
        hint = f"\nHINT: target=latest gives what there was at that moment; a target_time has to be before {until}"
        assert said.endswith(hint)
        assert server.fail("pitr_restore", state="staged", program=server.program, target_time=moment).endswith(hint)
    shutil.rmtree(server.cluster.data_directory)
    server.restore(target_time=until, target_inclusive=False)
    assert server.cluster.sql("SELECT n FROM ledger ORDER BY n") == [(1,)]


def test_wal_that_only_the_old_directory_has_is_used_and_said(server: Recoverable) -> None:
    """The server died with a segment that was never archived; after it lie recycled ones, which are not its WAL."""
    commit(server, 1)
    server.switch()
    server.cluster.sql("CHECKPOINT")
    commit(server, 2)
    moment = server.cluster.value(NOW)
    xid = commit(server, 3)
    live = server.run("backup_info", target_time=moment)
    assert live["reachable"]
    assert "warnings" not in live
    server.cluster.kill()
    assert f"target_time has to be before {archived(server)['windows'][0]['until']}" in refused(
        server, target_time=moment
    )
    for target in ({"target_time": moment}, {"target_xid": xid}, {"target": "latest"}):
        dead = server.run("backup_info", **target)
        assert dead["reachable"], target
        assert "is not in the archive, but in" in dead["warnings"][0]
    server.restore(target_time=moment)
    assert server.cluster.sql("SELECT n FROM ledger ORDER BY n") == [(1,), (2,)]


def test_what_was_read_once_is_not_read_again(server: Recoverable, sandbox: Sandbox) -> None:
    commit(server, 1)
    server.switch()
    server.cluster.stop()
    first = archived(server)
    again = archived(server, bin_directory="/nowhere")
    assert again["windows"] == first["windows"]
    caches = sandbox.home / ".cache" / "pgark"
    assert caches.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in caches.iterdir()} == {0o600}
    for path in caches.iterdir():
        path.write_text("{}")
    assert "cannot be run" in server.fail("backup_info", data_directory=None, bin_directory="/nowhere")
    shutil.rmtree(caches)
    caches.symlink_to("/proc/nowhere")
    assert archived(server)["windows"] == first["windows"]
    caches.unlink()


def test_a_gap_and_a_damaged_segment_end_the_window_and_are_named(server: Recoverable) -> None:
    last = commit(server, 1)
    until = server.cluster.value(COMMITTED, (last,))
    server.switch()
    reached = archived(server)["windows"][0]["until"]
    assert reached > until
    for _each in range(3):
        server.cluster.sql("SELECT pg_create_restore_point('filling')")
        server.cluster.sql("SELECT pg_switch_wal()")
    server.cluster.stop()
    *_older, damaged, after, _final = segments(server)
    content = damaged.read_bytes()
    damaged.write_bytes(content[: len(content) // 2])
    found = archived(server)
    name = damaged.name.split(".")[0]
    assert (found["windows"][0]["until"], found["windows"][0]["last_segment"]) == (reached, name)
    assert [(defect["kind"], defect["subject"]) for defect in found["defects"]] == [("wal", name)]
    assert f"segment {name} is damaged: " in refused(server, target="latest")
    damaged.write_bytes(content)
    after.unlink()
    gone = after.name.split(".")[0]
    found = archived(server)
    assert (found["windows"][0]["missing"], found["windows"][0]["ends"]) == (gone, f"segment {gone} is missing")
    assert [(defect["kind"], defect["subject"]) for defect in found["defects"]] == [("gap", gone)]
    assert f"segment {gone} is missing from the archive" in refused(server, target="latest")
    assert archived(server, target_xid=last)["reachable"]


SUBTRANSACTIONS = """
DO $$ BEGIN
  FOR i IN 1..2000 LOOP
    BEGIN INSERT INTO many VALUES (i); EXCEPTION WHEN division_by_zero THEN NULL; END;
  END LOOP;
END $$"""
SEGMENT_SIZE = 2**20
# How much of the segment being written is left.
ROOM = f"SELECT {SEGMENT_SIZE} - (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint % {SEGMENT_SIZE}"
FILL = "SELECT pg_logical_emit_message(true, 'filling', repeat('x', %s))"


def test_transactions_whose_record_crosses_into_the_next_segment_are_found(
    sandbox: Sandbox, version: str, modules: Modules
) -> None:
    with sandbox.cluster(version, settings=SETTINGS, wal_segment_size=1) as cluster:
        subject = prepared(sandbox, cluster, modules)
        cluster.sql("CREATE TABLE many (i int)")
        ended = [crossing(cluster) for _each in range(3)]
        subject.switch()
        for xid in ended:
            assert archived(subject, target_xid=xid)["reachable"], xid


def crossing(cluster: Cluster) -> int:
    """End a transaction with a record of 8 kB, a list of subtransactions, that begins 3 kB before a segment ends."""
    with cluster.connect() as session:
        session.execute("BEGIN")
        session.execute(SUBTRANSACTIONS)
        (xid,) = session.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
        (room,) = session.execute(ROOM).fetchone()
        # Every page of 8 kB takes 24 bytes for its header.
        session.execute(FILL, ((room - 4096 + SEGMENT_SIZE) % SEGMENT_SIZE * 8168 // 8192,))
        (room,) = session.execute(ROOM).fetchone()
        assert 0 < room < 8000
        session.execute("COMMIT")
        (left,) = session.execute(ROOM).fetchone()
    assert left > room
    return int(xid)


def test_every_branch_of_a_history_has_its_window(server: Recoverable) -> None:
    commit(server, 1)
    server.cluster.sql("SELECT pg_create_restore_point('common')")
    moment = server.cluster.value(NOW)
    abandoned_xid = commit(server, 2)
    lost = server.cluster.value(NOW)
    commit(server, 3)
    server.cluster.sql("SELECT pg_create_restore_point('abandoned')")
    commit(server, 4)
    server.switch()
    server.restore(target_time=moment)
    xid = commit(server, 5)
    server.cluster.sql("SELECT pg_create_restore_point('new')")
    server.switch()
    found = archived(server)
    assert (found["latest_timeline"], found["defects"]) == (2, [])
    old, new = found["windows"]
    assert (old["timeline"], new["timeline"]) == (1, 2)
    assert old["since"] == new["since"] < moment < lost < old["until"] < new["until"]
    assert archived(server, target_name="common")["timeline"] == 2
    assert archived(server, target_name="abandoned", target_timeline="1")["timeline"] == 1
    assert archived(server, target_xid=xid)["timeline"] == 2
    for target in ({"target_name": "abandoned"}, {"target_xid": abandoned_xid}):
        said = refused(server, **target)
        assert "is on timeline 1, at 0/" in said
        assert "and not on the way to timeline 2: they part at 0/" in said
        assert "HINT: use target_timeline=1" in said
    answer = archived(server, target_time=lost)
    assert answer["timeline"] == 2
    assert "the cluster was on timeline 1, which timeline 2 left at" in answer["warnings"][0]
    assert "warnings" not in archived(server, target_time=lost, target_timeline="1")


def test_programs_of_another_version_are_refused(server: Recoverable, sandbox: Sandbox, version: str) -> None:
    commit(server, 1)
    server.switch()
    other = sandbox.bin_directory("17" if version == "18" else "18")
    said = server.fail("backup_info", data_directory=None, bin_directory=other)
    assert f"expected that of PostgreSQL {version}\nHINT: set bin_directory" in said


def test_a_standby_adds_what_it_has_received_and_no_more(server: Recoverable, sandbox: Sandbox) -> None:
    """Only a primary that answers can still write a transaction behind the moment that is asked for."""
    standby = sandbox.standby(server.cluster, "standby")
    try:
        moment = server.cluster.value(NOW)
        last = commit(server, 1)
        lsn = server.cluster.value("SELECT pg_current_wal_lsn()::text")
        replayed = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
        wait_until(lambda: standby.value(replayed, (lsn,)), message="the standby to replay the commit")
        options = {
            "data_directory": standby.data_directory,
            "login_unix_socket": standby.socket_directory,
            "login_port": standby.port,
        }
        assert server.run("backup_info", target_time=moment, **options)["reachable"]
        assert server.run("backup_info", target_xid=last, **options)["reachable"]
        later = server.cluster.value(NOW)
        assert not server.run("backup_info", target_time=later, **options)["reachable"]
        assert server.run("backup_info", target_time=later)["reachable"]
    finally:
        standby.remove()
