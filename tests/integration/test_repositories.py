# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two repositories: both get all WAL, one that is not there stalls archiving, and either is enough for a recovery."""

from __future__ import annotations

import functools
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.test_archiving import mode_of
from tests.support.documents import commands
from tests.support.modules import Modules
from tests.support.postgres import Cluster
from tests.support.recoverable import Recoverable
from tests.support.sandbox import CHECKOUT, Sandbox
from tests.support.snapshots import settings
from tests.support.waiting import wait_until


class Pair:
    """A cluster that archives into two repositories."""

    def __init__(self, subject: Recoverable) -> None:
        self.subject, self.cluster = subject, subject.cluster
        self.first, self.second = subject.repository, subject.repository.with_name("second")
        self.options = {"program": subject.program, "timeout": 0, "further_repositories": [self.second]}

    def archived(self) -> list[set[str]]:
        """Name the segments in each."""
        places = [place / self.cluster.name / "wal" for place in (self.first, self.second)]
        return [{path.name.partition(".")[0] for path in wal.glob("0*/0*")} for wal in places]

    def switch(self) -> str:
        self.cluster.sql("SELECT txid_current()")  # there is nothing to switch where nothing was written
        return str(self.cluster.value("SELECT pg_walfile_name(pg_switch_wal())"))

    def status(self) -> subprocess.CompletedProcess[str]:
        """Ask as monitoring does."""
        places = [word for place in (self.first, self.second) for word in ("--repository", place)]
        argv = [self.subject.program, "status", *places, "--cluster", self.cluster.name, "--warning-age", "1"]
        return self.subject.sandbox.run([*argv, "--critical-age", "900", self.cluster.data_directory], check=False)


@pytest.fixture
def pair(sandbox: Sandbox, cluster: Cluster, modules: Modules) -> Pair:
    """Provide a running cluster with two repositories, whose settings are as initdb left them."""
    created = Pair(Recoverable(sandbox, cluster, modules))
    for path in (created.first, created.second):
        created.subject.run("backup_repository", path=path, separate_filesystem="ignore")
    return created


def test_two_repositories_from_nothing_to_a_recovery_with_one_of_them(pair: Pair) -> None:
    the_way_in(pair)
    what_is_wrong_is_found_before_a_setting_is_changed(pair)
    what_the_page_shows(pair)
    pair.cluster.sql("CREATE TABLE kept AS SELECT generate_series(1, 100) AS n")
    pair.subject.run("base_backup")
    pair.cluster.sql("INSERT INTO kept SELECT generate_series(101, 300)")
    one_that_is_not_mounted_stalls_archiving_and_is_named(pair)
    the_second_one_stands_in_for_what_the_first_has_damaged(pair)


def the_way_in(pair: Pair) -> None:
    """Enable archiving, twice, and look at what is returned."""
    subject = pair.subject
    dry = subject.run("wal_archiving", check_mode=True, **pair.options)
    assert (dry["changed"], dry["status"]) == (True, None)
    first = subject.run("wal_archiving", **pair.options)
    assert [place["problem"] for place in first["status"]["repositories"]] == [None, None]
    subject.run("postgres_server", state="restarted")
    proved = subject.run("wal_archiving", verify=True, **pair.options)
    assert not proved["changed"]
    assert all(proved["verified_segment"] in segments for segments in pair.archived())
    status = proved["status"]
    assert (status["status"], status["waiting"], status["segment_size"]) == ("ok", 0, 16 << 20)
    assert [place["path"] for place in status["repositories"]] == [str(pair.first), str(pair.second)]
    assert {place["last_archived"]["name"] for place in status["repositories"]} == {proved["verified_segment"]}
    again = subject.run("wal_archiving", check_mode=True, **pair.options)
    assert (again["changed"], again["status"]) == (False, None)
    assert pair.status().stdout.startswith("OK: 0 waiting\n")


def what_is_wrong_is_found_before_a_setting_is_changed(pair: Pair) -> None:
    subject, before = pair.subject, settings(pair.cluster)
    changed = {**pair.options, "settings": {"checkpoint_timeout": "7min"}}
    with mode_of(pair.second / pair.cluster.name / "wal", 0o777):
        message = subject.fail("wal_archiving", **changed)
    words = f"no setting was changed: pgark-wal: archiving cannot work: {pair.second}: directory wal has mode 0777"
    assert words in message
    assert "HINT: run the role backup_repository" in message
    with mode_of(pair.cluster.data_directory / "pg_wal", 0o500):
        assert "found mode 0500" in subject.fail("wal_archiving", **changed)
    assert "found 0 jobs, expected 1 to 64" in subject.fail("wal_archiving", **changed, jobs=0)
    assert "is given twice" in subject.fail("wal_archiving", **changed | {"further_repositories": [pair.first]})
    assert settings(pair.cluster) == before


def what_the_page_shows(pair: Pair) -> None:
    """Type the commands of the page, and those that are to be configured there."""
    real = {
        "/var/lib/postgresql/pgark/pgark-wal": shlex.quote(str(pair.subject.program)),
        "/srv/pgark": shlex.quote(str(pair.first)),
        "--cluster db1": f"--cluster {pair.cluster.name}",
        "/var/lib/postgresql/17/main": shlex.quote(str(pair.cluster.data_directory)),
    }
    asked, machine, tried = commands("monitoring-archiving.md", real)
    said = pair.subject.sandbox.run(asked).stdout.splitlines()
    assert said[0] == "OK: 0 waiting"
    assert [line.rpartition(" has ")[0] for line in said[1:]] == [
        *(str(pair.cluster.data_directory), f"{pair.cluster.data_directory}/pg_wal", str(pair.first))
    ]
    assert json.loads(pair.subject.sandbox.run(machine).stdout)["status"] == "ok"
    assert pair.subject.sandbox.run(tried).stdout == ""
    text = (CHECKOUT / "docs/monitoring-archiving.md").read_text(encoding="utf-8")
    configured = re.findall(r"(?m)^(?!\$).*(/var/lib/postgresql/pgark/pgark-wal .*?)(?: > .*)?$", text)
    assert len(configured) == 3
    assert len(set(configured)) == 1
    words = shlex.split(functools.reduce(lambda text, both: text.replace(*both), real.items(), configured[0]))
    assert pair.subject.sandbox.run(words).stdout.startswith("OK: ")


def one_that_is_not_mounted_stalls_archiving_and_is_named(pair: Pair) -> None:
    subject, away = pair.subject, pair.second.with_name("away")
    pair.second.rename(away)
    subject.sandbox.directory(pair.second)
    segment = pair.switch()
    wait_until(
        lambda: f"pgark-wal: {segment} is not archived: {pair.second}: found no rep" in pair.cluster.log(),
        message="the archiver to say what is missing",
    )
    assert [segment in segments for segments in pair.archived()] == [True, False]
    found = pair.status()
    wait_until(lambda: "has been waiting" in pair.status().stdout, message="a second to pass")
    assert found.returncode == 2
    assert found.stdout.startswith(f"CRITICAL: {pair.second} cannot be written to: found no repository.json, expected")
    assert f"waiting, {segment} for " in found.stdout
    assert f"{pair.second}: found no repository.json" in subject.fail("wal_archiving", **pair.options)
    assert not list(pair.second.iterdir()), "a mount point is never filled"
    pair.second.rmdir()
    away.rename(pair.second)
    last = pair.switch()  # wakes the archiver
    wait_until(lambda: all({segment, last} <= found for found in pair.archived()), message="both to have all")
    assert pair.status().returncode == 0


def the_second_one_stands_in_for_what_the_first_has_damaged(pair: Pair) -> None:
    subject = pair.subject
    target = {"target": "latest", "further_repositories": [pair.second], "program": subject.program}
    subject.run("pitr_restore", state="staged", **target)
    damaged = sorted(path for path in subject.wal.glob("0*/0*") if path.suffix != ".backup")
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-9])
    before = len(pair.cluster.log())
    subject.run("postgres_server", state="stopped")
    subject.run("pitr_restore", state="restored", **target)
    subject.run("postgres_server", state="started")
    subject.wait_for_target()
    subject.promote()
    assert pair.cluster.value("SELECT count(*) FROM kept") == 300
    assert f" is delivered from {pair.second}, but: {pair.first}/" in pair.cluster.log()[before:]


@contextmanager
def read_only(subject: Recoverable) -> Iterator[None]:
    """Keep the servers' user from writing to its repository."""
    run = subject.sandbox.run
    run(["chmod", "-R", "a-w", subject.repository])
    try:
        yield
    finally:
        run(["chmod", "-R", "u+w", subject.repository])


def test_a_restore_in_place_works_from_a_repository_that_cannot_be_written(recoverable: Recoverable) -> None:
    cluster = recoverable.cluster
    cluster.sql("CREATE TABLE ledger AS SELECT generate_series(1, 50) AS n")
    recoverable.run("base_backup", compression="none")
    cluster.sql("INSERT INTO ledger SELECT generate_series(51, 100)")
    recoverable.switch()
    with read_only(recoverable):
        cluster.sql("INSERT INTO ledger SELECT generate_series(101, 150)")
        recoverable.restore(target="latest")
        assert cluster.value("SELECT count(*) FROM ledger") == 150, "what was only in pg_wal is there, too"


def test_a_further_repository_that_is_the_first_one_is_refused(recoverable: Recoverable) -> None:
    link = recoverable.cluster.home / "second"
    link.symlink_to(recoverable.repository)
    for path in (link, str(recoverable.repository).replace("/home/", "//home/")):
        message = recoverable.fail("wal_archiving", program=recoverable.program, further_repositories=[str(path)])
        assert f"repository {path} is the directory {recoverable.repository}, expected another one" in message
    options = {"program": recoverable.program, "state": "staged", "target": "latest"}
    assert "expected another one" in recoverable.fail("pitr_restore", further_repositories=[str(link)], **options)


def test_a_repository_inside_of_what_it_protects_is_refused(recoverable: Recoverable) -> None:
    cluster = recoverable.cluster
    space = recoverable.sandbox.directory(cluster.home / "space")
    cluster.sql(f"CREATE TABLESPACE fast LOCATION '{space}'")
    for inside in (cluster.data_directory / "archive", space / "archive", cluster.home):
        message = recoverable.fail("backup_repository", path=inside, separate_filesystem="ignore")
        assert f"repository {inside} " in message
        assert "; expected a place apart from it\nHINT: choose another directory" in message
        assert not (inside / "repository.json").exists()
