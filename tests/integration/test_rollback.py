# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore that is undone gives back what was there before, to the byte; and the undoing can be undone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.killing import run_and_kill
from tests.support.marks import ALL, on, soak
from tests.support.modules import Modules
from tests.support.mounts import mounted
from tests.support.postgres import Cluster
from tests.support.prepared import Prepared
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox
from tests.support.snapshots import Entry, tree
from tests.support.soak import Share
from tests.support.waiting import wait_until

COUNT = "SELECT count(*) FROM ledger"
NOW = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.USZ')"


class Story:
    """A cluster with 150 rows, a backup of the first 50, and the moment at which there were 100."""

    def __init__(self, subject: Recoverable) -> None:
        self.subject = subject
        self.cluster = subject.cluster
        self.data = subject.cluster.data_directory

    middle: str
    moment: str

    def write(self) -> Story:
        """Live through it."""
        self.cluster.sql("CREATE TABLE ledger AS SELECT generate_series(1, 50) AS n")
        self.subject.run("base_backup", compression="none")
        self.middle = self.cluster.value(NOW)
        self.cluster.sql("INSERT INTO ledger SELECT generate_series(51, 100)")
        self.moment = self.cluster.value(NOW)
        self.cluster.sql("INSERT INTO ledger SELECT generate_series(101, 150)")
        self.subject.switch()
        return self

    def put(self, moment: str, **options: Any) -> dict[str, Any]:
        """Stage a restore, and put it in place; a server has to be down."""
        target = {"program": self.subject.program, "target_time": moment, **options}
        self.subject.run("pitr_restore", state="staged", **target)
        return self.subject.run("pitr_restore", state="restored", **target)

    def recover(self) -> None:
        """Start what was put in place, and let it reach its target."""
        self.subject.run("postgres_server", state="started")
        self.subject.wait_for_target()

    def stop(self) -> None:
        """Stop the server."""
        self.subject.run("postgres_server", state="stopped")

    def roll_back(self, **options: Any) -> dict[str, Any]:
        """Undo the restore; the server has to be down."""
        return self.subject.run("pitr_restore", state="rolled_back", **options)

    def check(self, rows: int) -> None:
        """Start what is in place, and count."""
        self.subject.run("postgres_server", state="started")
        assert self.cluster.value(COUNT) == rows

    @property
    def kept(self) -> list[Path]:
        """What is kept beside the data directory."""
        return sorted(self.cluster.home.glob("data.before-*/"))


@pytest.fixture
def story(prepared: Prepared, sandbox: Sandbox, version: str, modules: Modules) -> Iterator[Story]:
    """Provide a cluster to restore, and to roll back."""

    def live(cluster: Cluster) -> Story:
        subject = Recoverable(sandbox, cluster, modules)
        subject.enable()
        return Story(subject).write()

    with prepared.copy(version, "story", live) as told:
        yield told


def test_a_promoted_restore_is_undone_to_the_byte(story: Story) -> None:
    story.stop()
    before = tree(story.data)
    story.put(story.moment)
    story.recover()
    story.subject.promote()
    story.cluster.sql("DELETE FROM ledger")
    planned = story.subject.run("pitr_restore", check_mode=True, state="rolled_back")
    assert planned["changed"]
    assert "is running on" in story.subject.fail("pitr_restore", state="rolled_back")
    assert story.cluster.value(COUNT) == 0
    story.stop()
    restored = tree(story.data)
    done = story.roll_back()
    assert tree(story.data) == before
    assert done["startable"]
    assert (done["previous_directory"], done["set_aside"]) == (planned["previous_directory"], str(story.kept[0]))
    assert tree(Path(done["set_aside"])) == restored
    again = story.roll_back()
    assert (again["changed"], again["set_aside"]) == (False, done["set_aside"])
    story.check(150)
    assert not story.roll_back()["changed"], "the server runs, and there is nothing to do that would need it stopped"


def leave_in_vain(story: Story) -> None:
    """Put the data back, with a program that gives nothing from the archive: it stays as it was."""
    broken = story.cluster.home / "broken"
    broken.write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    broken.chmod(0o755)
    message = story.subject.fail("pitr_restore", state="rolled_back", program=broken)
    assert "could not be recovered to the end of its timeline" in message
    assert not (story.data / "recovery.signal").exists()
    stays = story.roll_back(program=broken, new_timeline="never", check_mode=True)
    assert [step["step"] for step in stays["steps"]] == ["StayOnTimeline", "ForgetRollback"]


# It gives what the archive has, and kills the server that asks for something before that.
KILLING = """#!/bin/sh
for word; do
    case "$word" in {asked}*)
        pid=$PPID
        while [ "$(cat /proc/$pid/comm)" != postgres ]; do pid=$(sed -n 's/^PPid:[^0-9]*//p' /proc/$pid/status); done
        kill -9 "$pid"
        exit 1 ;;
    esac
done
exec '{program}' "$@"
"""


def leave_and_be_killed(story: Story) -> None:
    """Put the data back, and have the recovery killed at one request after the other; each time it goes on."""
    killing = story.cluster.home / "killing"
    for asked in ("00000001.history", "000000010", "00000003.history"):
        killing.write_text(KILLING.format(asked=asked, program=story.subject.program), encoding="utf-8")
        killing.chmod(0o755)
        message = story.subject.fail("pitr_restore", state="rolled_back", program=killing)
        assert "could not be recovered to the end of its timeline" in message, asked
        assert "run this again, which goes on" in message, asked


@on(sorted({ALL[0], ALL[-1]}))
def test_standbys_can_follow_what_is_put_back_where_the_archive_has_a_later_timeline(story: Story) -> None:
    """The server had crashed when it was replaced, so what is put back first recovers on its own timeline."""
    subject, cluster = story.subject, story.cluster
    cluster.sql("SELECT pg_create_physical_replication_slot('follower')")
    cluster.kill()
    story.put(story.moment)
    story.recover()
    subject.promote()
    subject.switch()
    story.stop()
    planned = subject.run("pitr_restore", state="rolled_back", new_timeline="never", check_mode=True)
    assert "this data goes on above it" in " ".join(planned["warnings"])
    leave_in_vain(story)
    leave_and_be_killed(story)
    done = story.roll_back(program=subject.program)
    assert "the data goes on on timeline 3, which leaves 1" in " ".join(done["warnings"])
    assert not story.roll_back(program=subject.program)["changed"]
    story.check(150)
    fetching = f"'{subject.program}' get --repository '{subject.repository}' --cluster {cluster.name} %f %p"
    cluster.sql(f"ALTER SYSTEM SET restore_command = $${fetching}$$")
    standby = story.subject.sandbox.standby(cluster, "follower")
    try:
        cluster.sql("INSERT INTO ledger SELECT generate_series(151, 200)")
        wait_until(lambda: standby.value(COUNT) == 200, message="the standby to follow")
    finally:
        standby.remove()


def test_what_is_left_of_a_destroyed_cluster_is_put_back_to_the_byte(story: Story) -> None:
    """The server was killed and half of its files deleted; nothing of what is left is lost by trying a restore."""
    database = str(story.cluster.value("SELECT oid FROM pg_database WHERE datname = 'postgres'"))
    story.cluster.kill()
    for part in ("global", "pg_xact"):
        shutil.rmtree(story.data / part)
    (story.data / "base" / database).rename(story.data / "base" / "not a database")
    before = tree(story.data)
    story.put(story.moment, force=True)
    story.recover()
    assert story.cluster.value(COUNT) == 100
    story.stop()
    message = story.subject.fail("pitr_restore", state="rolled_back")
    assert "only what is left of one" in message
    done = story.roll_back(force=True)
    assert tree(story.data) == before
    assert not done["startable"]
    assert not story.roll_back(force=True)["changed"]
    undone = story.roll_back(previous_directory=done["set_aside"])
    assert undone["startable"]
    story.check(100)


def test_after_a_crash_the_original_recovers_as_if_nothing_had_happened(story: Story) -> None:
    story.cluster.sql("INSERT INTO ledger SELECT generate_series(151, 175)")
    story.cluster.kill()
    before = tree(story.data)
    story.put(story.moment)
    story.recover()
    story.stop()
    story.roll_back()
    assert tree(story.data) == before
    story.check(175)


def test_a_rollback_is_undone_and_repeated_with_the_names_of_before(story: Story) -> None:
    story.stop()
    story.put(story.moment)
    names, original, restored = story.kept, tree(story.kept[0]), tree(story.data)
    first = story.roll_back()
    story.roll_back(previous_directory=first["set_aside"])
    assert (story.kept, tree(story.kept[0]), tree(story.data)) == (names, original, restored)
    assert "is not there" in story.subject.fail(
        "pitr_restore", state="rolled_back", previous_directory=first["set_aside"]
    )
    assert story.roll_back()["previous_directory"] == str(names[0])
    assert tree(story.data) == original
    story.check(150)


def test_several_attempts_in_a_row_are_undone_at_once(story: Story) -> None:
    """The first attempt was only looked at; the second was promoted. What was last written to is what comes back."""
    story.stop()
    before = tree(story.data)
    story.put(story.middle)
    story.recover()
    assert story.cluster.value(COUNT) == 50
    story.stop()
    story.put(story.moment)
    story.recover()
    story.subject.promote()
    assert story.cluster.value(COUNT) == 100
    story.stop()
    story.roll_back()
    assert tree(story.data) == before
    assert len(story.kept) == 2
    assert not story.roll_back()["changed"]
    story.check(150)


def test_restores_that_were_written_to_are_undone_one_by_one(story: Story) -> None:
    story.stop()
    before = tree(story.data)
    first = story.put(story.moment)
    story.recover()
    story.subject.promote()
    story.cluster.sql("INSERT INTO ledger VALUES (1000)")
    story.stop()
    between = tree(story.data)
    story.put(story.middle, target_timeline="1")
    story.recover()
    story.subject.promote()
    assert story.cluster.value(COUNT) == 50
    story.stop()
    story.roll_back()
    assert tree(story.data) == between
    assert not story.roll_back()["changed"], "the restore before the one that was undone is left alone"
    story.roll_back(previous_directory=first["previous_directory"])
    assert tree(story.data) == before
    story.check(150)


def test_a_rollback_killed_at_any_change_goes_on_where_it_was(story: Story, modules: Modules) -> None:
    story.stop()
    before = tree(story.data)
    story.put(story.moment)
    restored = tree(story.data)
    kills = 0
    options = {**story.subject.options, "state": "rolled_back"}
    while run_and_kill(modules, "pitr_restore", 1, **options) is None:
        kills += 1
        assert kills < 10, "killed after each change, the rollback does not come to an end"
        if not story.data.exists():
            assert "a rollback of" in story.subject.fail(
                "pitr_restore", state="staged", program=story.subject.program, target_time=story.moment
            )
            assert "is asked for" in story.subject.fail(
                "pitr_restore", state="rolled_back", previous_directory=story.kept[-1]
            )
    assert kills >= 3
    assert tree(story.data) == before
    assert [tree(path) for path in story.kept] == [restored]
    assert sorted(path.name for path in story.cluster.home.glob("*rollback*")) == []
    assert not story.roll_back()["changed"]
    story.check(150)


def test_a_record_that_cannot_be_read_says_where_the_data_is_and_how_to_go_on(story: Story) -> None:
    subject, data, record = story.subject, story.data, story.data / "pgark_restore.json"
    story.stop()
    story.put(story.moment)
    kept = str(story.kept[0])
    target = {"program": subject.program, "target_time": story.middle}
    whole = record.read_bytes()
    record.write_bytes(whole[: len(whole) // 2])
    for options in ({"state": "staged", **target}, {"state": "rolled_back"}):
        said = subject.fail("pitr_restore", **options)
        assert f"{record} is not a JSON document" in said
        assert f"{data} (cluster) is as it was left, and what was set aside is in {kept}" in said
        assert f"HINT: move {record} away, and run this again; or " in said
    record.unlink()
    record.mkdir()
    assert "is not a regular file" in subject.fail("pitr_restore", state="rolled_back")
    assert "is not a regular file" in subject.fail("previous_data", paths=[kept])
    listed = subject.run("previous_data_info")["previous_data"]
    assert [found["path"] for found in listed] == [kept]
    aside = story.roll_back(previous_directory=kept)["set_aside"]
    story.check(150)
    story.stop()
    put_back_without_a_journal(story, aside)


def put_back_without_a_journal(story: Story, set_aside: str) -> None:
    """Interrupt a rollback, and damage what tells of it."""
    subject, data = story.subject, story.data
    target = {"program": subject.program, "target_time": story.middle}
    aside, journal = data.with_name("data.before-20260101T000000Z"), data.with_name("data.rollback.json")
    data.rename(aside)
    journal.write_text("{")
    said = subject.fail("pitr_restore", state="rolled_back")
    assert f"{journal} is not a JSON document" in said
    assert f"{data} (missing) is as it was left, and what was set aside is in {aside}, {set_aside}" in said
    assert "with previous_directory=" in said
    assert f"{journal} is not a JSON document" in subject.fail("pitr_restore", state="staged", **target)
    story.roll_back(previous_directory=aside)
    story.check(150)
    assert not journal.exists()


@soak
def test_a_switch_killed_at_any_change_can_be_rolled_back(story: Story, modules: Modules, share: Share) -> None:
    """Between the two renames, and before the control file is in place, there is a way back as well."""
    story.stop()
    before = settled(story)
    target = {"program": story.subject.program, "target_time": story.moment}
    options = {**story.subject.options, **target, "state": "restored"}
    story.subject.run("pitr_restore", state="staged", **target)
    kills, points = 0, share.points(2)
    while run_and_kill(modules, "pitr_restore", next(points), **options) is None:
        kills += 1
        assert kills < 20, "the switch does not come to an end"
        if settled(story) != before:
            story.roll_back()
        assert settled(story) == before
        assert stage_and_check(story, target)
    assert kills >= share.length(4, 1)
    story.recover()
    assert story.cluster.value(COUNT) == 100


def settled(story: Story) -> dict[str, Entry]:
    """Return the data without the file by which a run that was killed kept servers out: to PostgreSQL it is stale."""
    return {name: entry for name, entry in tree(story.data).items() if name != "postmaster.pid"}


def stage_and_check(story: Story, target: dict[str, Any]) -> bool:
    """Stage the restore again where the rollback has set its data aside; tell whether it is there."""
    story.subject.run("pitr_restore", state="staged", **target)
    return (story.data.parent / "data.restore" / "pgark_restore.json").exists()


def test_links_and_tablespaces_need_no_moving(recoverable: Recoverable, sandbox: Sandbox) -> None:
    """PGDATA and pg_wal are links, a table is in a tablespace: everything outside stays with the data it belongs to."""
    story, cluster = Story(recoverable), recoverable.cluster
    cluster.stop()
    elsewhere = sandbox.directory(cluster.home / "el se where")
    story.data.rename(elsewhere / "data")
    (elsewhere / "data" / "pg_wal").rename(elsewhere / "wal")
    for path, target in ((elsewhere / "data" / "pg_wal", "wal"), (story.data, "data")):
        path.symlink_to(elsewhere / target)
        recoverable.owned(path)
    cluster.start()
    space = sandbox.directory(elsewhere / "fast disk")
    cluster.sql(f"CREATE TABLESPACE fast LOCATION '{space}'")
    cluster.sql("ALTER DATABASE postgres SET default_tablespace = fast")
    story.write()
    story.stop()
    before = {path: tree(path) for path in (elsewhere / "data", elsewhere / "wal", space)}
    story.put(story.moment)
    story.recover()
    recoverable.promote()
    assert cluster.value(COUNT) == 100
    story.stop()
    done = story.roll_back()
    assert {path: tree(path) for path in before} == before
    assert story.data.is_symlink()
    assert Path(done["set_aside"]).parent == elsewhere
    story.check(150)
    story.stop()
    story.roll_back(previous_directory=done["set_aside"])
    story.check(100)


@pytest.fixture
def in_mount_point(recoverable: Recoverable, sandbox: Sandbox) -> Iterator[Story]:
    """Provide a cluster to restore, and to roll back, whose data directory is a mount point."""
    story = Story(recoverable)
    story.cluster.stop()
    aside = story.cluster.home / "aside"
    story.data.rename(aside)
    sandbox.directory(story.data)
    with mounted(sandbox, story.data):
        sandbox.run(["cp", "-a", f"{aside}/.", story.data])
        sandbox.run(["chmod", "0700", story.data])
        recoverable.run("postgres_server", state="started")
        story.write().stop()
        yield story
        story.stop()


@soak
def test_a_mount_point_gets_its_entries_back(in_mount_point: Story, share: Share) -> None:
    """Killed after each change, the exchange of the entries comes to its end."""
    story = in_mount_point
    before = picture(story)
    story.put(story.moment)
    story.recover()
    assert story.cluster.value(COUNT) == 100
    story.stop()
    assert killed_again_and_again(story, share.steps(8)) > share.length(30, 1)
    assert picture(story) == before
    assert not story.roll_back()["changed"]
    story.check(150)


@soak
def test_a_switch_in_a_mount_point_can_be_rolled_back_half_way(in_mount_point: Story, share: Share) -> None:
    story = in_mount_point
    target = {"program": story.subject.program, "target_time": story.middle}
    story.subject.run("pitr_restore", state="staged", **target)
    before = picture(story)
    options = {**story.subject.options, **target, "state": "restored"}
    first = share.random.randint(1, 5)
    for at in share.of(range(first, 31, 5), 2):  # what each sets aside fills the file system, which has room for nine
        assert run_and_kill(story.subject.modules, "pitr_restore", at, **options) is None
        if picture(story) != before:
            story.roll_back()
        assert picture(story) == before
        story.subject.run("pitr_restore", state="staged", **target)
    story.check(150)


def test_after_a_half_done_exchange_there_is_no_other_restore_but_a_way_back(in_mount_point: Story) -> None:
    story = in_mount_point
    before = picture(story)
    target = {"program": story.subject.program, "target_time": story.moment}
    story.subject.run("pitr_restore", state="staged", **target)
    options = {**story.subject.options, **target, "state": "restored"}
    assert run_and_kill(story.subject.modules, "pitr_restore", 12, **options) is None
    other = {"program": story.subject.program, "target_time": story.middle, "force": True}
    elsewhere = story.cluster.home / "copy"
    story.subject.sandbox.run(["cp", "-a", story.subject.repository, elsewhere])
    for asked in (other, {**target, "repository": elsewhere, "force": True}):
        said = story.subject.fail("pitr_restore", state="staged", **asked)
        assert "was interrupted while the data was exchanged" in said
    story.roll_back()
    assert picture(story) == before
    story.check(150)


def killed_again_and_again(story: Story, steps: Iterator[int]) -> int:
    """Kill a rollback after some changes, and run it again until it is done; return how often that was."""
    options = {**story.subject.options, "state": "rolled_back"}
    kills = 0
    while run_and_kill(story.subject.modules, "pitr_restore", next(steps), **options) is None:
        kills += 1
        assert kills < 200, "the rollback does not come to an end"
    return kills


def picture(story: Story) -> tuple[list[str], list[str]]:
    """Return what is in a mount point, seen from where it is mounted.

    What is kept or staged there is left out, and the file by which a run that was killed kept servers out.
    """
    run, data = story.subject.sandbox.run, story.data
    left_out = ["-path", f"{data}/pgark.*", "-o", "-path", f"{data}/postmaster.pid"]
    found = ["find", data, "(", *left_out, ")", "-prune", "-o"]
    names = run([*found, "-printf", "%P %y %m %l\n"]).stdout
    contents = run([*found, "-type", "f", "-exec", "sha256sum", "{}", "+"]).stdout
    return sorted(names.splitlines()), sorted(contents.splitlines())


def test_the_repository_is_not_needed_for_a_rollback(story: Story) -> None:
    story.stop()
    before = tree(story.data)
    story.put(story.moment)
    story.subject.repository.rename(story.cluster.home / "not mounted")
    done = story.roll_back()
    assert "the repository cannot be used" in str(done["warnings"])
    assert tree(story.data) == before


def test_what_cannot_be_put_back_is_refused(story: Story, sandbox: Sandbox) -> None:
    """Nothing is touched, and what could be put back instead is named."""
    refused = "pitr_restore", "rolled_back"
    assert f"there is no restore to undo in {story.data}" in fail(story, refused)
    story.stop()
    story.put(story.moment)
    [kept] = story.kept
    before = tree(story.cluster.home)
    elsewhere = story.cluster.home / "elsewhere"
    assert f"{elsewhere}, which is to be put back, is not there; what is kept: {kept}" in fail(
        story, refused, previous_directory=elsewhere
    )
    assert "cannot become the data directory" in fail(story, refused, previous_directory=story.data / "base")
    assert same(story, before)
    story.subject.run("postgres_server", state="started", data_directory=kept)
    assert f"is running on {kept}, which is to be put back" in fail(story, refused)
    assert "is running on" in str(
        story.subject.modules.fail("pitr_restore", check_mode=True, state="rolled_back", **story.subject.options)["msg"]
    )
    story.subject.run("postgres_server", state="stopped", data_directory=kept)
    with sandbox.cluster(story.cluster.version, "other") as other:
        other.stop()
        foreign = story.cluster.home / "data.before-foreign"
        other.data_directory.rename(foreign)
        assert "holds another cluster" in fail(story, refused, previous_directory=foreign, force=True)
    shutil.rmtree(foreign)
    shutil.rmtree(kept)
    assert f"{kept}, which is to be put back, is not there; nothing is kept beside it" in fail(story, refused)


def fail(story: Story, what: tuple[str, str], **options: Any) -> str:
    """Return the message of a refusal."""
    return story.subject.fail(what[0], state=what[1], **options)


def same(story: Story, before: dict[str, Any]) -> bool:
    """Tell whether nothing has changed but the file that is locked."""
    lock = f"repository/{story.cluster.name}/lock"
    now = tree(story.cluster.home)
    return {name: entry for name, entry in now.items() if name != lock} == {
        name: entry for name, entry in before.items() if name != lock
    }
