# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup is visible when it is whole and its WAL is archived, and at no time before."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support import processes
from tests.support.killing import run_and_kill
from tests.support.marks import every_version
from tests.support.mounts import mounted
from tests.support.recoverable import Recoverable
from tests.support.snapshots import settings, tree
from tests.support.waiting import wait_until

# What the servers of the wheels were built with.
# PostgreSQL 14 knows no other, and the server 18 that the tests have was built with no other.
COMPRESSIONS = {"14": ["gzip"], "16": ["gzip", "lz4", "zstd"], "17": ["gzip", "lz4", "zstd"], "18": ["gzip"]}
SUFFIXES = {"gzip": ".gz", "lz4": ".lz4", "zstd": ".zst"}
SLOW = '#!/bin/sh\nexec "{}" --max-rate={} "$@"\n'


class Backups:
    """Backups that run beside the test, with a pg_basebackup that takes its time."""

    def __init__(self, subject: Recoverable, executor: ThreadPoolExecutor) -> None:
        self.subject = subject
        self._executor = executor
        self._programs = subject.sandbox.directory(subject.cluster.home / "slow programs")
        (self._programs / "pg_controldata").symlink_to(subject.cluster.bin_directory / "pg_controldata")

    def start(self, rate: str, **parameters: Any) -> Future[subprocess.CompletedProcess[str]]:
        """Start a backup at a rate of pg_basebackup's --max-rate, and return when it receives files."""
        slow = self._programs / "pg_basebackup"
        slow.write_text(SLOW.format(self.subject.cluster.bin_directory / "pg_basebackup", rate), encoding="utf-8")
        slow.chmod(0o755)
        options = self.subject.options | {"bin_directory": self._programs, "compression": "none"} | parameters
        running = self._executor.submit(self.subject.modules.start, "base_backup", options)
        self.wait_for_bytes(1)
        return running

    def wait_for_bytes(self, count: int) -> None:
        """Wait until an unfinished backup has received so much."""
        wait_until(lambda: self.received() >= count, message=f"{count} bytes of a backup")

    def received(self) -> int:
        return max((path.stat().st_size for path in self.subject.backups.glob(".*.partial/base.tar")), default=0)

    def holder(self) -> int:
        """Return the process that the cluster's lock names."""
        text = (self.subject.backups.parent / "lock").read_text(encoding="utf-8")
        [pid] = re.findall(r"base_backup, process (\d+) on ", text)
        return int(pid)

    def visible(self) -> list[str]:
        return [backup["label"] for backup in self.subject.run("backup_info")["backups"]]

    def leftovers(self) -> list[Path]:
        return list(self.subject.backups.glob(".*"))


@pytest.fixture
def backups(recoverable: Recoverable) -> Iterator[Backups]:
    """Provide a cluster that archives, and a way to watch its backups being taken."""
    with ThreadPoolExecutor(max_workers=2) as executor:
        yield Backups(recoverable, executor)


def test_a_backup_is_complete_described_and_closed_to_others(recoverable: Recoverable) -> None:
    cluster, place = recoverable.cluster, recoverable.sandbox.directory(recoverable.cluster.home / "table space")
    cluster.sql(f"CREATE TABLESPACE apart LOCATION '{place}'")
    cluster.sql("CREATE TABLE kept TABLESPACE apart AS SELECT generate_series(1, 100) AS n")
    oid = cluster.value("SELECT oid::text FROM pg_tablespace WHERE spcname = 'apart'")
    before = settings(cluster), tree(recoverable.repository)
    request = {"label": "21-11-2026", "compression": "none"}
    planned = recoverable.run("base_backup", check_mode=True, diff=True, **request)
    assert (settings(cluster), tree(recoverable.repository)) == before
    assert planned["backup"] is None
    done = recoverable.run("base_backup", diff=True, **request)
    assert (done["steps"], done["diff"]) == (planned["steps"], planned["diff"])
    assert done["diff"] == {"before": {"backups": []}, "after": {"backups": ["21-11-2026"]}}

    directory = recoverable.backups / "21-11-2026"
    found = tree(directory)
    files = {"backup.json", "backup_manifest", "base.tar", "pg_wal.tar", f"{oid}.tar"}
    assert {name for name in found if name != "."} == files
    assert {entry.mode for name, entry in found.items() if name != "."} == {"rw-r-----"}
    assert found["."].mode == "rwxr-x---"
    backup = done["backup"]
    described = json.loads((directory / "backup.json").read_text(encoding="utf-8"))
    assert backup | {"sha256": described["sha256"]} == described
    assert backup["manifest_sha256"] == hashlib.sha256((directory / "backup_manifest").read_bytes()).hexdigest()
    assert backup["tablespaces"] == {oid: str(place)}
    assert backup["system_identifier"] == cluster.value("SELECT system_identifier::text FROM pg_control_system()")
    assert backup["stored_size"] == sum(entry.size for name, entry in found.items() if name != "backup.json")
    assert cluster.value("SELECT %s::pg_lsn < %s::pg_lsn", (backup["start_lsn"], backup["stop_lsn"]))
    last = cluster.value("SELECT pg_walfile_name(%s)", (backup["stop_lsn"],))
    assert list(recoverable.wal.glob(f"*/{last}*")), "a backup is worth nothing without its last segment"


@every_version
def test_a_backup_that_is_there_satisfies_and_each_compression_of_the_server_works(recoverable: Recoverable) -> None:
    labels = []
    available = COMPRESSIONS[recoverable.cluster.version]
    for compression in available:
        backup = recoverable.run("base_backup", compression=compression)["backup"]
        assert backup["compression"] == compression
        for name in ("base", "pg_wal"):
            [archive] = (recoverable.backups / backup["label"]).glob(f"{name}.tar*")
            assert archive.name == f"{name}.tar{SUFFIXES[compression]}"
        labels.append(backup["label"])
    assert [backup["label"] for backup in recoverable.run("backup_info")["backups"]] == labels
    for satisfied in ({"max_age": "1h"}, {"label": labels[0]}):
        again = recoverable.run("base_backup", **satisfied)
        assert not again["changed"]
        assert again["steps"] == []
    assert recoverable.run("base_backup", max_age="1h")["backup"]["label"] == labels[-1]
    assert recoverable.run("base_backup", check_mode=True)["changed"], "nothing was said of an age"
    found = ", ".join(sorted([*available, "none"]))
    for compression in sorted(set(SUFFIXES) - set(available)):
        message = recoverable.fail("base_backup", compression=compression)
        assert f"compression {compression} is not available here; found: {found}" in message
    for label in ("../outside", "two words", ".hidden", "'"):
        assert "cannot be used as a directory name\nHINT: use 1 to 63" in recoverable.fail("base_backup", label=label)


def test_no_backup_is_taken_where_archiving_does_not_work(recoverable: Recoverable) -> None:
    cluster = recoverable.cluster
    ours = cluster.value("SHOW archive_command")
    refusal = "no backup is taken because archiving does not work: "
    cluster.sql("ALTER SYSTEM SET archive_command = '/bin/true'")
    cluster.sql("SELECT pg_reload_conf()")
    wait_until(lambda: cluster.value("SHOW archive_command") == "/bin/true", message="the setting")
    message = recoverable.fail("base_backup", check_mode=True)
    assert f"{refusal}archive_command is '/bin/true', which does not push into {recoverable.wal.parent}" in message
    assert "run setup_archiving.yml" in message

    cluster.sql(f"ALTER SYSTEM SET archive_command = '{ours.replace(chr(39), chr(39) * 2)}'")
    cluster.sql("SELECT pg_reload_conf()")
    (segments,) = recoverable.wal.glob("0*")
    segments.chmod(0o550)
    recoverable.run("restore_point", switch_wal=True)
    wait_until(lambda: cluster.value("SELECT failed_count FROM pg_stat_archiver") > 0, message="a failure")
    assert f"{refusal}the last attempt to archive 0000000100000000000000" in recoverable.fail("base_backup")
    segments.chmod(0o750)
    recoverable.wal.chmod(0o755)
    message = recoverable.fail("base_backup")
    assert f"{recoverable.wal} has mode 0755, expected one closed to others\nHINT: run setup_archiving.yml" in message

    recoverable.wal.chmod(0o750)
    recoverable.enable()
    recoverable.run("wal_archiving", state="disabled")
    recoverable.run("postgres_server", state="restarted")
    assert f"{refusal}archive_mode is off" in recoverable.fail("base_backup")
    assert recoverable.run("backup_info")["backups"] == []


def test_a_backup_whose_wal_does_not_arrive_stays_invisible(backups: Backups) -> None:
    subject = backups.subject
    running = backups.start("16M", timeout=2)
    (segments,) = subject.wal.glob("0*")
    segments.chmod(0o550)
    result = json.loads(running.result().stdout)
    assert "did not arrive in" in result["msg"]
    assert "Permission denied" in result["msg"]
    assert backups.visible() == []
    segments.chmod(0o750)
    subject.enable()
    assert subject.run("base_backup")["steps"][0]["step"] == "RemoveLeftover"
    assert backups.leftovers() == []


def test_a_backup_that_is_killed_at_any_change_is_whole_or_invisible(backups: Backups) -> None:
    subject = backups.subject
    options = subject.options | {"compression": "none"}
    killed, published = 0, []
    while run_and_kill(subject.modules, "base_backup", killed + 1, label=f"b{killed}", **options) is None:
        if (subject.backups / f"b{killed}").exists():
            published.append(f"b{killed}")
            assert (subject.backups / f"b{killed}" / "base.tar").exists()
        assert backups.visible() == published
        killed += 1
    assert killed >= 5, "two directories made, one removed, backup.json, the backup itself"
    assert published == [f"b{killed - 1}"], "only the last change makes it visible"
    assert backups.visible() == [f"b{killed - 1}", f"b{killed}"]
    assert backups.leftovers() == []


def test_a_backup_that_is_killed_while_it_receives_files_is_removed_by_the_next(backups: Backups) -> None:
    for received in (1, 6 << 20):
        running = backups.start("4M")
        backups.wait_for_bytes(received)
        module = backups.holder()
        processes.kill([module, *processes.descendants(module)])
        assert running.result().returncode != 0
        assert backups.visible() == []
        assert len(backups.leftovers()) == 1
    label = backups.subject.run("base_backup")["backup"]["label"]
    assert backups.visible() == [label]
    assert backups.leftovers() == []


def test_a_pg_basebackup_that_is_killed_keeps_nobody_waiting(backups: Backups) -> None:
    """Its second process, which receives WAL, does not notice: it would hold the module's output, and the lock."""
    running = backups.start("1M")
    receiver = max(processes.descendants(backups.holder()))
    sender = processes.parent(receiver)
    processes.send([sender], signal.SIGKILL)
    assert "ended with status -9" in json.loads(running.result().stdout)["msg"]
    assert not processes.is_working(receiver)
    assert backups.leftovers() == []
    assert backups.subject.run("base_backup")["changed"]


def test_a_repository_that_is_full_of_leftovers_is_made_room_in(recoverable: Recoverable) -> None:
    """The lock can be taken without room, what cannot be finished goes first, and what would fill it is not begun."""
    subject, sandbox = recoverable, recoverable.sandbox
    content = subject.repository.with_name("content")
    subject.repository.rename(content)
    sandbox.directory(subject.repository)
    with mounted(sandbox, subject.repository, "192m"):
        sandbox.run(["sh", "-c", 'cp -a "$1"/. "$2"', "sh", content, subject.repository])
        subject.repository.chmod(0o750)
        left = sandbox.directory(subject.backups / ".monday.partial")
        sandbox.run(["dd", "if=/dev/zero", f"of={left}/base.tar", "bs=1M"], check=False)
        assert shutil.disk_usage(subject.repository).free == 0
        done = subject.run("base_backup", compression="none")
        assert done["steps"][0]["step"] == "RemoveLeftover"
        assert not left.exists()
        room = shutil.disk_usage(subject.repository).free // 2**20 - 20
        sandbox.run(["dd", "if=/dev/zero", f"of={subject.repository}/ballast", "bs=1M", f"count={room}"])
        message = subject.fail("base_backup", compression="none")
        assert f"not enough room for a backup in {subject.backups}: about " in message
        assert "are kept for WAL\nHINT: make room" in message
        assert len(list(subject.backups.iterdir())) == 1
        subject.run("postgres_server", state="stopped")


def test_one_backup_at_a_time_until_the_last_process_of_it_has_ended(backups: Backups) -> None:
    subject = backups.subject
    running = backups.start("1M")
    module = backups.holder()
    refusal = f"{subject.backups.parent}/lock is held by base_backup, process {module} on "
    assert refusal in subject.fail("base_backup")
    assert backups.visible() == []
    started = processes.descendants(module)
    processes.kill([module])
    assert running.result().returncode != 0
    message = subject.fail("base_backup")
    assert refusal in message
    assert "HINT: wait until it and what it started have ended, and try again" in message
    processes.kill(started)
    assert backups.visible() == []
    label = subject.run("base_backup")["backup"]["label"]
    assert backups.visible() == [label]
    assert backups.leftovers() == []
