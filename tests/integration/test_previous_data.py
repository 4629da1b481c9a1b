# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What restores leave behind is listed, and removed with what is its own and with nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.holding import held_before
from tests.support.killing import run_and_kill
from tests.support.modules import Modules
from tests.support.mounts import mounted
from tests.support.playbooks import Playbooks
from tests.support.postgres import Cluster
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox
from tests.support.snapshots import tree

COUNT = "SELECT count(*) FROM ledger"
NOW = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.USZ')"


class Generations:
    """A cluster with its WAL behind a link and two tablespaces, one of them directly in a mount point."""

    def __init__(self, subject: Recoverable, sandbox: Sandbox) -> None:
        self.subject, self.cluster, self.sandbox = subject, subject.cluster, sandbox
        home = subject.cluster.home
        self.fast, self.wal, self.mount = home / "fast", home / "wal", home / "mount"
        for path in (self.fast, self.wal, self.mount):
            sandbox.directory(path)

    def write(self) -> Generations:
        """Move the WAL, fill the tablespaces, back all that up, and write on."""
        cluster = self.cluster
        cluster.stop()
        self.sandbox.run(["mv", cluster.data_directory / "pg_wal", self.wal / "main"])
        self.sandbox.run(["ln", "-s", self.wal / "main", cluster.data_directory / "pg_wal"])
        cluster.start()
        for name, path in (("fast", self.fast), ("mounted", self.mount)):
            cluster.sql(f"CREATE TABLESPACE {name} LOCATION '{path}'")
        cluster.sql("CREATE TABLE ledger TABLESPACE fast AS SELECT generate_series(1, 50) AS n")
        cluster.sql("CREATE INDEX place ON ledger (n) TABLESPACE mounted")
        self.subject.run("base_backup", compression="none")
        self.moments = [cluster.value(NOW)]
        cluster.sql("INSERT INTO ledger SELECT generate_series(51, 100)")
        self.moments.append(cluster.value(NOW))
        cluster.sql("INSERT INTO ledger SELECT generate_series(101, 150)")
        self.subject.switch()
        return self

    def listed(self, **options: Any) -> list[dict[str, Any]]:
        """List what was left."""
        found: list[dict[str, Any]] = self.subject.run("previous_data_info", **options)["previous_data"]
        return found

    def remove(self, *paths: object, **options: Any) -> dict[str, Any]:
        """Remove something."""
        return self.subject.run("previous_data", paths=[str(path) for path in paths], **options)

    def refused(self, *paths: object) -> str:
        """Try to remove something that has to stay."""
        return self.subject.fail("previous_data", paths=[str(path) for path in paths])

    def check(self, rows: int) -> None:
        """All is there and can be read from the disk, in table and index, after a restart, too."""
        self.subject.run("postgres_server", state="restarted")
        assert self.cluster.value(COUNT) == rows
        found = "SET enable_seqscan = off; SELECT count(*) FROM ledger WHERE n > 0"
        assert self.cluster.run("psql", "-XAtq", self.cluster.conninfo, "-c", found).stdout.strip() == str(rows)


@pytest.fixture
def story(recoverable: Recoverable, sandbox: Sandbox) -> Iterator[Generations]:
    """Provide the cluster."""
    found = Generations(recoverable, sandbox)
    with mounted(sandbox, found.mount):
        yield found.write()
        recoverable.run("postgres_server", state="stopped")


def test_generations_of_restores_are_removed_one_by_one_and_the_live_data_stays(story: Generations) -> None:
    """Restored twice: the data of the user's own directories goes first, then that of the first restore's."""
    subject, cluster = story.subject, story.cluster
    (story.fast / "notes of somebody").write_text("not PostgreSQL's")
    first = subject.restore(target_time=story.moments[1])["previous_directory"]
    [item] = story.listed()
    assert (item["path"], item["kind"], item["in_use"], item["reason"]) == (first, "previous", False, None)
    assert item["made_by"]["target"]["value"].startswith(story.moments[1][:19])
    assert not [path for path in places(cluster) for old in (first, *item["belongs"]) if path.startswith(f"{old}/")]
    second = subject.restore(target_time=story.moments[0], target_timeline="1")["previous_directory"]
    assert [found["path"] for found in story.listed()] == sorted([first, second])
    assert f"{cluster.data_directory} is nothing that a restore has left" in story.refused(cluster.data_directory)
    assert f"belongs to {first}" in story.refused(item["belongs"][0])
    planned = story.remove(first, check_mode=True, diff=True)
    assert (planned["changed"], planned["diff"]["after"]) == (True, {"kept": [second]})
    assert Path(first).is_dir()
    what_is_mounted_in_it_stays(story, first)
    assert story.remove(first)["freed"] == item["size"] > 20_000_000
    assert not Path(first).exists()
    assert [path.name for path in story.fast.iterdir()] == ["notes of somebody"]
    assert not list(story.mount.glob("PG_*"))
    assert list(story.wal.glob("main")) == []
    story.check(50)
    assert not story.remove(first)["changed"]
    removed_in_the_end(story, second)
    story.check(50)


def what_is_mounted_in_it_stays(story: Generations, path: str) -> None:
    """A bind mount of the same disk looks like any other directory."""
    precious = story.sandbox.directory(story.cluster.home / "precious")
    (precious / "letter").write_text("nobody has a copy of this")
    inside = story.sandbox.directory(Path(path) / "base" / "precious")
    with mounted(story.sandbox, inside, bind=precious):
        assert f"is mounted at {inside}\nHINT: unmount it first; nothing has been removed" in story.refused(path)
    assert (precious / "letter").exists()
    inside.rmdir()


def places(cluster: Cluster) -> list[str]:
    """Tell where the tablespaces are."""
    found = cluster.sql("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname IN ('fast', 'mounted')")
    return [path for [path] in found]


def removed_in_the_end(story: Generations, path: str) -> None:
    """Kill a removal when it has begun, twice; it is listed, and goes when it is repeated."""
    for at in (1, 2):
        options = {**story.subject.options, "paths": [path]}
        assert run_and_kill(story.subject.modules, "previous_data", at, **options) is None
        assert [found["path"] for found in story.listed()] == [path]
    story.remove(path)
    assert story.listed() == []
    left = [*story.mount.glob("pgark-*"), *story.fast.parent.glob("fast.restored-*")]
    assert sorted(map(str, left)) == sorted(places(story.cluster))


def test_what_a_rollback_needs_stays(story: Generations) -> None:
    subject = story.subject
    target = {"program": subject.program, "target_time": story.moments[1]}
    subject.run("pitr_restore", state="staged", **target)
    subject.run("postgres_server", state="stopped")
    with held_before(subject, "PutInPlace", state="restored", **target) as switch:
        switch.kill()
    previous = next(item["path"] for item in story.listed() if item["kind"] == "previous")
    assert "a rollback puts it back" in story.refused(previous)
    assert "a restore was interrupted" in story.refused(f"{story.cluster.data_directory}.restore")
    subject.run("pitr_restore", state="restored", **target)
    subject.run("postgres_server", state="started")
    subject.wait_for_target()
    assert "the restore in place has not been promoted yet" in story.refused(previous)
    subject.run("postgres_server", state="stopped")
    aside = subject.run("pitr_restore", state="rolled_back")["set_aside"]
    assert [item["path"] for item in story.listed()] == [aside]
    used_by_others(story, aside)
    story.remove(aside)
    subject.run("postgres_server", state="started")
    story.check(150)
    assert story.listed() == []


def used_by_others(story: Generations, path: str) -> None:
    """While a server works in it, or a copy shares its tablespaces, it stays, and so does the copy."""
    story.subject.run("postgres_server", state="started", data_directory=path)
    assert "is running in it" in story.refused(path)
    story.subject.run("postgres_server", state="stopped", data_directory=path)
    copy = Path(f"{story.cluster.data_directory}.before-by-hand")
    story.sandbox.run(["cp", "-a", path, copy])
    assert "it has no mark of a restore" in story.refused(copy)
    story.sandbox.run(["mv", copy, f"{copy.parent}/copy"])
    before = tree(copy.with_name("copy"))
    assert f"is in use by {copy.parent}/copy" in story.refused(path)
    assert tree(copy.with_name("copy")) == before
    shutil.rmtree(copy.with_name("copy"))


def test_attempts_and_what_was_made_for_them_can_be_discarded(story: Generations) -> None:
    """A complete staging that nobody wants any more, and places whose staging somebody has deleted."""
    subject = story.subject
    target = {"program": subject.program, "target_time": story.moments[1]}
    before = {path.name for path in story.cluster.home.iterdir()}
    subject.run("pitr_restore", state="staged", **target)
    staging = f"{story.cluster.data_directory}.restore"
    [item] = story.listed()
    assert (item["path"], item["kind"], item["in_use"], len(item["belongs"])) == (staging, "staging", False, 3)
    story.remove(staging)
    assert story.listed() == []
    assert {path.name for path in story.cluster.home.iterdir()} == before
    subject.run("pitr_restore", state="staged", **target)
    shutil.rmtree(staging)
    places = story.listed()
    assert {item["kind"] for item in places} == {"place"}
    assert len(places) == 3
    story.remove(*(item["path"] for item in places))
    assert {path.name for path in story.cluster.home.iterdir()} == before
    story.check(150)


def test_a_place_that_has_no_room_beside_it_is_refused_until_root_has_made_one(
    recoverable: Recoverable, sandbox: Sandbox, modules: Modules
) -> None:
    """Nothing is put into a tablespace's own directory, with which it would go one day."""
    subject, cluster = recoverable, recoverable.cluster
    parent = sandbox.directory(cluster.home / "of root")
    space = sandbox.directory(parent / "fast")
    cluster.sql(f"CREATE TABLESPACE fast LOCATION '{space}'")
    cluster.sql("CREATE TABLE ledger TABLESPACE fast AS SELECT generate_series(1, 50) AS n")
    subject.run("base_backup", compression="none")
    moment = cluster.value(NOW)
    cluster.sql("DELETE FROM ledger")
    subject.switch()
    sandbox.run(["chmod", "a-w", parent])
    said = subject.fail("pitr_restore", state="staged", program=subject.program, target_time=moment)
    assert f"the directory above {space} cannot be written" in said
    assert f"HINT: have root make {space}.restored for the owner of the cluster" in said
    sandbox.run(["chmod", "u+w", parent])
    sandbox.directory(parent / "fast.restored")
    sandbox.run(["chmod", "a-w", parent])
    restored = subject.restore(target_time=moment)
    assert location(cluster).startswith(f"{space}.restored/pgark-")
    subject.run("previous_data", paths=[restored["previous_directory"]])
    subject.run("postgres_server", state="restarted")
    assert cluster.value(COUNT) == 50
    assert list(space.iterdir()) == []
    sandbox.run(["chmod", "u+w", parent])


def location(cluster: Cluster) -> str:
    """Tell where the tablespace is."""
    return str(cluster.value("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'fast'"))


def test_the_playbook_lists_what_is_left_and_removes_what_is_named(
    recoverable: Recoverable, playbooks: Playbooks
) -> None:
    subject, cluster = recoverable, recoverable.cluster
    subject.run("base_backup", compression="none")
    cluster.sql("CREATE TABLE later AS SELECT 1 AS n")
    subject.switch()
    previous = str(subject.restore(target="immediate")["previous_directory"])
    inventory = playbooks.inventory(cluster)
    listed = " ".join(playbooks.run("previous_data", inventory).output.split())
    assert f"{previous}: data that was set aside" in listed
    assert "by a restore to immediate" in listed
    assert "to remove it: ansible-playbook pgark.postgres.previous_data --limit main -e" in listed
    removed = playbooks.run("previous_data", inventory, variables={"remove": [previous]})
    assert removed.changed_tasks == ["pgark.postgres.pitr_restore : previous | Remove what is named"]
    assert f"removed {previous}: " in " ".join(removed.output.split())
    assert "nothing is left of restores" in removed.output
    assert not Path(previous).exists()
    assert cluster.value("SELECT to_regclass('later') IS NULL")


def test_what_fills_a_disk_can_be_removed_from_it(recoverable: Recoverable, sandbox: Sandbox) -> None:
    """Not a byte is free: data that was set aside goes, and what is staged, which is not put in place after that."""
    subject, cluster = recoverable, recoverable.cluster
    disk = sandbox.directory(cluster.home / "disk")
    cluster.stop()
    with mounted(sandbox, disk, "500m"):
        sandbox.run(["cp", "-a", cluster.data_directory, disk / "data"])
        cluster.data_directory.rename(cluster.home / "aside")
        cluster.data_directory.symlink_to(disk / "data")
        subject.owned(cluster.data_directory)
        subject.run("postgres_server", state="started")
        cluster.sql("CREATE TABLE ledger AS SELECT generate_series(1, 50) AS n")
        subject.run("base_backup", compression="none")
        moment = cluster.value(NOW)
        cluster.sql("INSERT INTO ledger SELECT generate_series(51, 100)")
        subject.switch()
        previous = subject.restore(target_time=moment)["previous_directory"]
        subject.run("pitr_restore", state="staged", program=subject.program, target="immediate")
        for path in (previous, f"{disk}/data.restore"):
            sandbox.run(
                [
                    "sh",
                    "-c",
                    'cat /dev/zero > "$0" 2>/dev/null; cat /dev/zero >> "$0" 2>/dev/null; true',
                    disk / "ballast",
                ]
            )
            assert sandbox.run(["df", "--output=avail", disk]).stdout.split()[-1] == "0"
            assert subject.run("previous_data", paths=[path])["changed"]
            assert not sandbox.run(["sh", "-c", 'ls -d "$0"', path], check=False).stdout
        assert subject.run("previous_data_info")["previous_data"] == []
        sandbox.run(["rm", disk / "ballast"])
        subject.run("postgres_server", state="restarted")
        assert cluster.value(COUNT) == 50
        subject.run("postgres_server", state="stopped")
