# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What real servers' WAL says about what can be restored, compared with what the servers say about themselves."""

from __future__ import annotations

import os
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


# What pg_waldump would print of records that somebody would like there to be.
FORGED = (
    ("XLOG", "PARAMETER_CHANGE wal_level=minimal "),
    ("XLOG", "RESTORE_POINT ghost"),
    ("Transaction", "COMMIT 2099-01-01 00:00:00.000000 UTC"),
    ("Tablespace", 'CREATE 99999 "/srv"'),
)


def forge(subject: Recoverable) -> None:
    """Have a role without any rights name prepared transactions by lines of pg_waldump, after every line break."""
    with subject.cluster.connect() as session:
        session.autocommit = True
        session.execute("CREATE ROLE nobody_special; SET ROLE nobody_special")
        for (kind, description), line_break in zip(FORGED, ("\n", "\r", "\r\n", "x\x0b\u2028\n"), strict=True):
            ((at,),) = session.execute("SELECT pg_current_wal_insert_lsn()::text")
            name = f"{line_break}rmgr: {kind} len (rec/tot): 1/ 1, tx: 1, lsn: {at}, prev 0/0, desc: {description}\n"
            session.execute("BEGIN")
            session.execute("SELECT pg_current_xact_id()")
            session.execute(f"PREPARE TRANSACTION '{name}'")
            session.execute(f"ROLLBACK PREPARED '{name}'")


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
    forge(server)
    last = commit(server, 2)
    server.cluster.sql("SELECT pg_switch_wal()")
    server.run("base_backup", label="second")
    found = archived(server)
    assert found["defects"] == []
    (window,) = found["windows"]
    assert window["backups"] == ["first", "second"]
    assert server.cluster.value(COMMITTED, (last,)) <= window["until"] < server.cluster.value(NOW)
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
    assert "there is no restore point 'ghost'" in refused(server, target_name="ghost")
    assert "HINT: its newest restore points are: 'it's 100% \\here'" in refused(server, target_name="nowhere")
    assert f"transaction {last + 1000} did not end in the WAL" in refused(server, target_xid=last + 1000)
    epoch = refused(server, target_xid=xid + (7 << 32))
    assert f"what ended there under the number {xid} is transaction {xid}\nHINT: use target_xid={xid}" in epoch
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
        assert (
            f"is not before the last transaction in the WAL that follows backup 'first', which ended at {until}" in said
        )
        hint = f"\nHINT: for everything that there is, use target=latest; a target_time has to be before {until}"
        assert said.endswith(hint)
        assert server.fail("pitr_restore", state="staged", program=server.program, target_time=moment).endswith(hint)
    shutil.rmtree(server.cluster.data_directory)
    server.restore(target_time=until, target_inclusive=False)
    assert server.cluster.sql("SELECT n FROM ledger ORDER BY n") == [(1,)]


def test_wal_that_only_the_old_directory_has_is_used_and_said(server: Recoverable) -> None:
    """The server died with a segment that was never archived; after it lie recycled ones, which are not its WAL."""
    commit(server, 1)
    forge(server)
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
    programs = noting(sandbox.home / "programs", server.cluster)
    first = archived(server, bin_directory=str(programs))
    # What is in the segments of the backup itself, was noted when it was taken.
    read = "000000010000000000000004 000000010000000000000004"
    assert read in (programs / "calls").read_text()
    (programs / "calls").unlink()
    again = archived(server, bin_directory=str(programs))
    assert again["windows"] == first["windows"]
    calls = (programs / "calls").read_text().splitlines()
    # Of the segment in which the backup ended, only what comes behind it counts.
    needed = ["000000010000000000000003", "000000010000000000000004"]
    assert [call.split()[-2:] for call in calls if "--version" not in call] == [needed]
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


def noting(directory: Path, cluster: Cluster) -> Path:
    """Make a directory with a pg_waldump that notes how it was called."""
    directory.mkdir()
    directory.chmod(0o777)  # whoever runs the modules
    program = directory / "pg_waldump"
    program.write_text(
        f'#!/bin/sh\necho "$@" >>"$(dirname "$0")/calls"\nexec "{cluster.bin_directory}/pg_waldump" "$@"\n'
    )
    program.chmod(0o755)
    return directory


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
    assert found["windows"][0]["until"] == reached
    assert found["windows"][0]["last_segment"] == segments(server)[-4].name.split(".")[0]
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


def test_latest_has_to_say_which_when_a_timeline_was_left_and_went_on_later(server: Recoverable) -> None:
    """As after a rollback, or when a copy of the machine archived in the same place."""
    commit(server, 1)
    moment = server.cluster.value(NOW)
    commit(server, 2)
    server.switch()
    server.restore(target_time=moment)
    commit(server, 3)
    server.switch()
    assert archived(server, target="latest")["timeline"] == 2
    server.run("postgres_server", state="stopped")
    server.run("pitr_restore", state="rolled_back")
    server.run("postgres_server", state="started")
    commit(server, 4)
    server.switch()
    said = refused(server, target="latest")
    assert "HINT: say which with target_timeline=2 or target_timeline=1" in said
    for path in server.repository.rglob("*"):
        os.utime(path, (0, 0))
    assert refused(server, target="latest") == said
    assert archived(server, target="latest", target_timeline="1")["reachable"]


def flipped(content: bytes) -> bytes:
    """Flip one bit in the middle, where some record is."""
    middle = 20000
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_damage_on_the_way_is_named_before_anything_is_stopped(
    sandbox: Sandbox, version: str, modules: Modules, compression: str
) -> None:
    with sandbox.cluster(version, settings=SETTINGS, wal_segment_size=1) as cluster:
        subject = Recoverable(sandbox, cluster, modules)
        subject.enable(compression=compression)
        cluster.sql("CREATE TABLE ledger (n int PRIMARY KEY, t text)")
        subject.run("base_backup", label="first", compression="none")
        for number in range(4):
            cluster.sql(
                "INSERT INTO ledger SELECT %s + n, repeat('x', 50) FROM generate_series(1, 1000) n", (number * 1000,)
            )
            subject.switch()
        before, damaged, *_rest = [path for path in segments(subject) if path.suffix != ".sha256"][-4:]
        check_damage(subject, before, damaged)


def check_damage(subject: Recoverable, before: Path, damaged: Path) -> None:
    """Damage a segment in every way, and expect each to be refused by name."""
    whole, name = damaged.read_bytes(), damaged.name.split(".")[0]
    broken = {
        "flipped": flipped(whole),
        "cut off": whole[: len(whole) // 2],
        "empty": b"",
        "appended": whole + b"x" * 8192,
        "another": before.read_bytes(),
        "zeros": b"\0" * len(whole),
    }
    for way, content in broken.items():
        damaged.write_bytes(content)
        found = archived(subject, target="latest")
        assert f"segment {name} is damaged: " in str(found["reason"]), way
        assert [defect["subject"] for defect in found["defects"]] == [name], way
        said = subject.fail("pitr_restore", state="staged", program=subject.program, target="latest", check_mode=True)
        assert f"segment {name} is damaged: " in said, way
    damaged.write_bytes(whole)
    beside = damaged.with_name(f"{damaged.name}.sha256")
    if beside.exists():
        beside.rename(beside.with_suffix(".aside"))
        said = refused(subject, target="latest")
        assert f"segment {name} is damaged: " in said
        assert f", not in {beside.name}" in said
        beside.with_suffix(".aside").rename(beside)
    assert archived(subject, target="latest")["reachable"]


def test_what_is_damaged_in_one_repository_is_read_from_another(server: Recoverable) -> None:
    further = server.repository.with_name("further")
    server.run("backup_repository", repository=further, separate_filesystem="ignore")
    server.enable(further_repositories=[further])
    commit(server, 1)
    server.switch()
    damaged = [path for path in segments(server) if path.suffix != ".sha256"][-1]
    commit(server, 2)
    server.switch()
    name, elsewhere = damaged.name.split(".")[0], server.cluster.home / damaged.name
    damaged.rename(elsewhere)
    damaged.symlink_to(elsewhere)  # pgark-wal follows no link, though pg_wal may still have the segment
    said = refused(server, target="latest")
    assert f"segment {name} is damaged: " in said
    assert f"{damaged.name} is a symbolic link" in said
    found = archived(server, target="latest", further_repositories=[further])
    assert found["reachable"]
    assert [(defect["kind"], defect["subject"]) for defect in found["defects"]] == [("wal", name)]
    assert f"{damaged} is damaged: " in found["warnings"][0]
    further.rename(elsewhere.with_name("not mounted"))
    unread = archived(server, target="latest", further_repositories=[further])
    assert not unread["reachable"]
    assert [defect["kind"] for defect in unread["defects"]] == ["wal", "repository"]
    assert f"{further}, too, ends with an error" in refused(server, target="latest", further_repositories=[further])
    elsewhere.with_name("not mounted").rename(further)
    server.restore(target="latest", further_repositories=[further])
    assert server.cluster.sql("SELECT n FROM ledger ORDER BY n") == [(1,), (2,)]


def test_a_time_of_wal_level_minimal_ends_the_window_and_a_backup_behind_it_begins_another(server: Recoverable) -> None:
    commit(server, 1)
    moment = server.cluster.value(NOW)
    commit(server, 2)
    server.switch()
    for level, mode, senders in (("minimal", "off", 0), ("replica", "on", 10)):
        server.cluster.sql(f"ALTER SYSTEM SET wal_level = {level}")
        server.cluster.sql(f"ALTER SYSTEM SET archive_mode = {mode}")
        server.cluster.sql(f"ALTER SYSTEM SET max_wal_senders = {senders}")
        server.cluster.restart()
    commit(server, 3)
    server.switch()
    said = refused(server, target="latest")
    assert "the change to wal_level=minimal, over which no recovery gets" in said
    assert archived(server, target_time=moment)["reachable"]
    server.run("base_backup", label="after")
    commit(server, 4)
    server.switch()
    assert [window["backups"] for window in archived(server)["windows"]] == [["first"], ["after"]]
    assert archived(server, target="latest")["chosen"] == "after"


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


def test_what_a_server_is_doing_with_the_repository_is_told(recoverable: Recoverable) -> None:
    cluster = recoverable.cluster
    assert recoverable.run("backup_info", data_directory=None)["server"] is None
    running = recoverable.run("backup_info")["server"]
    expected = {"in_recovery": False, "paused": False, "restoring": None, "archives": True, "cluster": cluster.name}
    assert {name: running[name] for name in expected} == expected
    recoverable.run("base_backup", compression="none")
    recoverable.run("restore_point", name="noon")
    recoverable.switch()
    options = {"program": recoverable.program, "target_name": "noon"}
    recoverable.run("pitr_restore", state="staged", **options)
    recoverable.run("postgres_server", state="stopped")
    recoverable.run("pitr_restore", state="restored", **options)
    recoverable.run("postgres_server", state="started")
    recoverable.wait_for_target()
    paused = recoverable.run("backup_info")["server"]
    assert (paused["in_recovery"], paused["paused"], paused["restoring"]) == (True, True, "name noon")
