# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore never makes things worse: what is refused, what is interrupted, and what is laid out in unusual ways."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.killing import can_start, run_and_kill
from tests.support.marks import soak
from tests.support.modules import Modules
from tests.support.mounts import mounted
from tests.support.postgres import Cluster
from tests.support.prepared import Prepared
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox
from tests.support.snapshots import tree
from tests.support.soak import Share

COUNT = "SELECT count(*) FROM ledger"
NOW = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.USZ')"


@pytest.fixture
def backed_up(
    prepared: Prepared, sandbox: Sandbox, version: str, modules: Modules
) -> Iterator[tuple[Recoverable, str]]:
    """Provide a cluster with a backup, 100 rows of which 50 are only in archived WAL, and the moment after them."""

    def write(cluster: Cluster) -> tuple[Recoverable, str]:
        subject = Recoverable(sandbox, cluster, modules)
        subject.enable()
        cluster.sql("CREATE TABLE ledger AS SELECT generate_series(1, 50) AS n")
        subject.run("base_backup", compression="none")
        cluster.sql("INSERT INTO ledger SELECT generate_series(51, 100)")
        moment: str = cluster.value(NOW)
        cluster.sql("INSERT INTO ledger SELECT generate_series(101, 150)")
        subject.switch()
        return subject, moment

    with prepared.copy(version, "backed up", write) as told:
        yield told


def stage(subject: Recoverable, moment: str, **parameters: object) -> dict[str, object]:
    return subject.run("pitr_restore", state="staged", program=subject.program, target_time=moment, **parameters)


def refused(subject: Recoverable, **parameters: object) -> str:
    """Ask for a restore that has to be refused, and make sure that nothing was touched."""
    before = tree(subject.cluster.home / "repository"), sorted(subject.cluster.home.iterdir())
    message = subject.fail("pitr_restore", state="staged", program=subject.program, **parameters)
    after = tree(subject.cluster.home / "repository"), sorted(subject.cluster.home.iterdir())
    lock = f"{subject.cluster.name}/lock"
    assert {name: entry for name, entry in after[0].items() if name != lock} == {
        name: entry for name, entry in before[0].items() if name != lock
    }
    assert after[1] == before[1]
    assert subject.cluster.value("SELECT 1") == 1
    return message


def test_what_cannot_be_restored_is_refused_before_anything_is_touched(
    backed_up: tuple[Recoverable, str], sandbox: Sandbox
) -> None:
    subject, moment = backed_up
    assert "write T between date and time" in refused(subject, target_time=moment[:10])
    assert "no offset from UTC" in refused(subject, target_time=moment[:-1])
    assert "exactly one of" in refused(subject, target_time=moment, target="latest")
    early = refused(subject, target_time="2001-01-01T00:00:00Z")
    assert "the earliest moment that can be restored is" in early
    assert "the repository has: '" in refused(subject, target_time=moment, backup_label="nosuch")
    assert "nothing of timeline 9" in refused(subject, target_time=moment, target_timeline="9")
    nowhere = sandbox.directory(subject.cluster.home / "something else")
    (nowhere / "precious").write_text("not a cluster")
    assert "is not a PostgreSQL data directory" in refused(subject, target_time=moment, data_directory=nowhere)
    with sandbox.cluster(subject.cluster.version, "other") as other:
        message = refused(subject, target_time=moment, data_directory=other.data_directory)
        assert "holds another cluster" in message
        assert other.value("SELECT 1") == 1
    gap = subject.wal / "0000000100000000" / subject.run("backup_info")["wal"][0]["last"]
    missing = next(gap.parent.glob(f"{gap.name}*"))
    subject.switch()
    missing.unlink()
    subject.cluster.data_directory.joinpath("pg_wal", gap.name).unlink(missing_ok=True)
    assert f"segment {gap.name} is missing from the archive" in refused(subject, target="latest")
    assert subject.run("backup_info", target="latest")["reachable"] is False


def test_check_mode_shows_the_plan_and_changes_nothing(backed_up: tuple[Recoverable, str]) -> None:
    subject, moment = backed_up
    before = tree(subject.repository), sorted(subject.cluster.home.iterdir())
    planned = subject.modules.run(
        "pitr_restore",
        check_mode=True,
        diff=True,
        state="staged",
        program=subject.program,
        target_time=moment,
        **subject.options,
    )
    assert planned["changed"]
    assert [step["step"] for step in planned["steps"]][-1] == "FinishStaging"
    assert planned["diff"]["after"]["target"].startswith(moment[:19])
    assert (tree(subject.repository), sorted(subject.cluster.home.iterdir())) == before


def test_a_running_server_is_not_replaced(backed_up: tuple[Recoverable, str]) -> None:
    subject, moment = backed_up
    stage(subject, moment)
    subject.cluster.data_directory.joinpath("postmaster.pid").unlink()  # the process counts, not the file
    message = subject.fail("pitr_restore", state="restored", program=subject.program, target_time=moment)
    assert "is running on" in message
    assert subject.cluster.value(COUNT) == 150


def test_a_stale_pid_file_with_the_number_of_another_process_does_not_matter(
    backed_up: tuple[Recoverable, str],
) -> None:
    subject, moment = backed_up
    pid_file = subject.cluster.data_directory / "postmaster.pid"
    content = pid_file.read_text().splitlines()
    subject.cluster.kill()
    with subprocess.Popen(["sleep", "60"], **subject.sandbox.account.as_process_options()) as bystander:
        pid_file.write_text("\n".join([str(bystander.pid), *content[1:]]) + "\n")
        assert subject.run("cluster_info")["running"] is False
        subject.restore(target_time=moment)
        assert bystander.poll() is None
        bystander.kill()
    assert subject.cluster.value(COUNT) == 100


def test_another_server_on_the_port_is_told_apart(backed_up: tuple[Recoverable, str], sandbox: Sandbox) -> None:
    subject, _moment = backed_up
    with sandbox.cluster(subject.cluster.version, "other") as other:
        there = {"login_port": other.port, "login_unix_socket": other.socket_directory}
        message = subject.fail("restore_point", switch_wal=True, **there)
        assert f"has port {subject.cluster.port}, as its postmaster.pid says, and login_port is {other.port}" in message


@soak
def test_a_restore_killed_at_any_change_converges(
    backed_up: tuple[Recoverable, str], modules: Modules, share: Share
) -> None:
    """Killed after each change of a name, first while staging, then while switching; then everything is run again."""
    subject, moment = backed_up
    options = {**subject.options, "program": subject.program, "target_time": moment}
    kills, points, steps = 0, share.points(3), share.steps(2)
    while run_and_kill(modules, "pitr_restore", next(points), **options, state="staged") is None:
        kills += 1
        assert subject.cluster.value(COUNT) == 150
    assert kills > share.length(5, 0)
    subject.run("postgres_server", state="stopped")
    switches = 0
    while run_and_kill(modules, "pitr_restore", next(steps), **options, state="restored") is None:
        switches += 1
        assert switches < 20, "killed after each change, the switch does not come to an end"
        assert stage(subject, moment)["changed"] is False
    assert switches >= share.length(3, 1)
    assert can_start(subject.cluster.data_directory)
    subject.run("postgres_server", state="started")
    subject.wait_for_target()
    subject.run("recovery", state="promoted")
    assert subject.cluster.value(COUNT) == 100


@soak
@pytest.mark.parametrize("reboot", [False, True])
def test_a_restore_killed_after_any_step_or_inside_the_copy_converges(
    backed_up: tuple[Recoverable, str], modules: Modules, reboot: bool, share: Share
) -> None:
    """With and without the server, as when the machine goes down: nothing of an unfinished copy is ever used."""
    subject, moment = backed_up
    options = {**subject.options, "program": subject.program, "target_time": moment}
    for at in share.of([1, 3_000_000, 20_000_000], 1):
        assert run_and_kill(modules, "pitr_restore", at, "byte", **options, state="staged") is None
        again(subject, reboot)
        assert "holds no complete staging" in subject.fail(
            "pitr_restore", state="restored", program=subject.program, target_time=moment
        )
    steps, points = 0, share.points(3)
    while run_and_kill(modules, "pitr_restore", next(points), "step", **options, state="staged") is None:
        steps += 1
        again(subject, reboot)
        assert steps < 20, "killed after each step, the staging does not come to an end"
    assert steps >= share.length(5, 1)
    subject.run("postgres_server", state="stopped")
    switches, points = 0, share.points(3)
    while run_and_kill(modules, "pitr_restore", next(points), "step", **options, state="restored") is None:
        switches += 1
        assert switches < 20, "killed after each step, the switch does not come to an end"
    subject.run("postgres_server", state="started")
    subject.wait_for_target()
    assert subject.cluster.value(COUNT) == 100
    assert sorted(path.name for path in subject.cluster.home.glob("data*")) == ["data", *previous(subject)]


def again(subject: Recoverable, reboot: bool) -> None:
    """Go through what the machine does next: nothing, or a restart after the power was gone."""
    if reboot:
        subject.cluster.kill()
        subject.cluster.start()
    assert subject.cluster.value(COUNT) == 150


def previous(subject: Recoverable) -> list[str]:
    return sorted(path.name for path in subject.cluster.home.glob("data.before-*"))


def test_a_half_switched_directory_cannot_start(backed_up: tuple[Recoverable, str], modules: Modules) -> None:
    subject, moment = backed_up
    options = {**subject.options, "program": subject.program, "target_time": moment, "state": "restored"}
    stage(subject, moment)
    subject.run("postgres_server", state="stopped")
    while not (subject.cluster.data_directory / "pgark_restore.json").exists():
        assert run_and_kill(modules, "pitr_restore", 1, **options) is None
    assert not can_start(subject.cluster.data_directory)
    assert subject.run("cluster_info")["state"] == "unfinished"
    assert "pg_control" in subject.fail("postgres_server", state="started")
    subject.run("pitr_restore", state="restored", program=subject.program, target_time=moment)
    subject.run("postgres_server", state="started")
    subject.wait_for_target()
    assert subject.cluster.value(COUNT) == 100


def test_the_wait_fails_at_once_with_the_servers_words(backed_up: tuple[Recoverable, str]) -> None:
    """A segment that is damaged after it was read ends recovery; the data that was replaced is still there."""
    subject, moment = backed_up
    stage(subject, moment)
    for segment in sorted(subject.wal.glob("0000000100000000/*.zst"))[-2:]:
        content = bytearray(segment.read_bytes())
        content[len(content) // 2] ^= 0xFF
        segment.write_bytes(content)
    subject.run("postgres_server", state="stopped")
    restored = subject.run("pitr_restore", state="restored", program=subject.program, target_time=moment)
    assert "could not restore file" in words_of_the_dying(subject)
    assert can_start(Path(str(restored["previous_directory"])))


def words_of_the_dying(subject: Recoverable) -> str:
    """Start a server that cannot recover, and return what the module says that sees it die."""
    started = subject.modules.start("postgres_server", {**subject.options, "state": "started"})
    result = json.loads(started.stdout)
    return str(result["msg"] if result.get("failed") else subject.fail("recovery", state="at_target"))


def test_a_pause_before_the_target_is_not_taken_for_the_target(backed_up: tuple[Recoverable, str]) -> None:
    """The WAL says that max_connections was raised after the backup; somebody has it lower when the server starts."""
    subject, _moment = backed_up
    cluster = subject.cluster
    small = int(cluster.value("SHOW max_connections"))
    cluster.sql(f"ALTER SYSTEM SET max_connections = {small + 10}")
    cluster.restart()
    cluster.sql("INSERT INTO ledger SELECT generate_series(151, 200)")
    moment = cluster.value(NOW)
    subject.switch()
    planned = stage(subject, moment, check_mode=True)["steps"]
    assert any(f"where it asks for max_connections = {small + 10}, " in step["text"] for step in planned)
    message = paused_too_early(subject, moment, f"max_connections = {small}")
    assert f"max_connections is {small} and has to be {small + 10}\nHINT: raise them with ALTER SYSTEM" in message
    assert message in subject.fail("recovery", state="promoted")
    assert cluster.value("SELECT pg_is_in_recovery()")
    cluster.sql(f"ALTER SYSTEM SET max_connections = {small + 10}")
    subject.run("postgres_server", state="restarted")
    subject.wait_for_target()
    subject.run("recovery", state="promoted")
    assert cluster.value(COUNT) == 200


def paused_too_early(subject: Recoverable, moment: str, setting: str) -> str:
    """Restore to a moment whose WAL the server cannot replay up to with a setting, and return what is said about it."""
    [told] = stage(subject, moment)["warnings"]
    assert f"{setting.replace('=', 'is')}, and the WAL to be replayed needs" in told
    subject.run("postgres_server", state="stopped")
    subject.run("pitr_restore", state="restored", program=subject.program, target_time=moment)
    with (subject.cluster.data_directory / "postgresql.auto.conf").open("a") as file:
        file.write(f"{setting}\n")
    subject.run("postgres_server", state="started")
    return subject.fail("recovery", state="at_target", look=60)


def test_what_does_not_fit_is_refused_before_anything_is_written(recoverable: Recoverable, sandbox: Sandbox) -> None:
    """The WAL and a tablespace lie on file systems of their own, which are looked at one by one."""
    subject, cluster = recoverable, recoverable.cluster
    places = {name: sandbox.directory(cluster.home / name) for name in ("wal", "space")}
    with mounted(sandbox, places["wal"], "120m"):
        cluster.stop()
        sandbox.run(["cp", "-a", f"{cluster.data_directory}/pg_wal", places["wal"]])
        sandbox.run(["rm", "-rf", cluster.data_directory / "pg_wal"])
        sandbox.run(["ln", "-s", places["wal"] / "pg_wal", cluster.data_directory / "pg_wal"])
        subject.run("postgres_server", state="started")
        with_tablespace(subject, places["space"])
        moment = cluster.value(NOW)
        subject.switch()
        free = int(sandbox.run(["df", "--block-size=1M", "--output=avail", places["wal"]]).stdout.split()[-1])
        sandbox.run(["dd", "if=/dev/zero", f"of={places['wal']}/ballast", "bs=1M", f"count={free - 8}"])
        message = refused(subject, target_time=moment)
        assert f"{places['wal']}/pg_wal: 16 MB are needed (16777216 bytes), " in message
        assert " are free (" in message
        assert str(places["space"]) not in message
        sandbox.run(["rm", places["wal"] / "ballast"])
        subject.run("postgres_server", state="stopped")


# Just before it is unpacked, all but 20 MB of the room is taken, as by a server that goes on writing.
FILL = """
import os, runpy, sys
ballast, program = sys.argv[1:]
sys.argv[:] = [program]
from ansible_collections.pgark.postgres.plugins.module_utils._plan import apply
real = apply.carry_out
def carry_out(step, host, steps):
    if type(step).__name__ == "UnpackBackup":
        found = os.statvfs(os.path.dirname(ballast))
        with open(ballast, "wb") as file:
            file.write(bytes(found.f_bavail * found.f_frsize - (20 << 20)))
    return real(step, host, steps)
apply.carry_out = carry_out
runpy.run_path(program, run_name="__main__")
"""


def test_a_disk_that_fills_up_meanwhile_is_left_to_the_server(recoverable: Recoverable, sandbox: Sandbox) -> None:
    subject, cluster = recoverable, recoverable.cluster
    disk = sandbox.directory(cluster.home / "disk")
    cluster.stop()
    with mounted(sandbox, disk, "280m"):
        sandbox.run(["cp", "-a", cluster.data_directory, disk / "data"])
        cluster.data_directory.rename(cluster.home / "aside")
        cluster.data_directory.symlink_to(disk / "data")
        subject.owned(cluster.data_directory)
        subject.run("postgres_server", state="started")
        moment = write_and_lose(subject, cluster)
        wanted = {**subject.options, "state": "staged", "program": subject.program, "target_time": moment}
        done = subject.modules.start("pitr_restore", wanted, program=FILL, arguments=[str(disk / "ballast")])
        assert f"the file system of {disk}/data.restore is full, or nearly so" in json.loads(done.stdout)["msg"]
        assert sandbox.run(["ls", disk / "data.restore"]).stdout.split() == ["pgark_restore.json"]
        cluster.sql("CREATE TABLE more AS SELECT generate_series(1, 1000) AS n")
        cluster.sql("CHECKPOINT")
        leftover = disk / "data.restore" / "base"
        sandbox.run(["sh", "-c", 'mkdir "$1" && head -c 4194304 /dev/zero > "$1/1"', "sh", leftover])
        said = subject.fail("pitr_restore", state="staged", program=subject.program, target_time=moment)
        assert "are left to others" in said
        assert not sandbox.run(["ls", leftover], check=False).stdout, "what a killed one has left goes first"
        sandbox.run(["rm", disk / "ballast"])
        subject.restore(target_time=moment)
        assert cluster.value(COUNT) == 100
        subject.run("postgres_server", state="stopped")


def with_tablespace(subject: Recoverable, space: Path) -> None:
    """Put a table into a tablespace, and take a backup."""
    subject.cluster.sql(f"CREATE TABLESPACE small LOCATION '{space}'")
    subject.cluster.sql("CREATE TABLE ledger TABLESPACE small AS SELECT generate_series(1, 50000) AS n")
    subject.run("base_backup")


def test_a_restore_to_the_end_that_ends_early_is_no_success(backed_up: tuple[Recoverable, str]) -> None:
    """A record is damaged after it was read: PostgreSQL takes it for the end of the WAL, and promotes there."""
    subject, _moment = backed_up
    cluster = subject.cluster
    segment = subject.switch()["segment"]
    cluster.sql("INSERT INTO ledger SELECT generate_series(151, 200)")
    before = cluster.value("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
    cluster.sql("INSERT INTO ledger SELECT generate_series(201, 250)")
    damaged = subject.switch()["segment"]
    assert damaged != segment
    cluster.sql("INSERT INTO ledger SELECT generate_series(251, 300)")
    subject.switch()
    subject.run("postgres_server", state="stopped")
    subject.run("pitr_restore", state="staged", program=subject.program, target="latest")
    damage(subject, damaged, int(before) % (16 * 1024 * 1024) + 40)
    subject.run("pitr_restore", state="restored", program=subject.program, target="latest")
    subject.run("postgres_server", state="started")
    message = subject.fail("recovery", state="at_target", look=60)
    assert "recovery ended at" in message
    assert "up to which the archive reaches" in message
    assert "pitr_rollback.yml" in message
    assert cluster.value(COUNT) == 200
    subject.run("postgres_server", state="stopped")
    subject.run("pitr_restore", state="rolled_back")
    subject.run("postgres_server", state="started")
    assert cluster.value(COUNT) == 300


def damage(subject: Recoverable, segment: str, at: int) -> None:
    """Replace some bytes of an archived segment, and have it archived as if it had been written so."""
    path = subject.cluster.home / "damaged" / segment
    subject.sandbox.directory(path.parent)
    wal = ["--repository", subject.repository, "--cluster", subject.cluster.name]
    subject.sandbox.run([subject.program, "get", *wal, segment, path])
    content = bytearray(path.read_bytes())
    content[at : at + 8] = bytes(byte ^ 0xFF for byte in content[at : at + 8])
    path.write_bytes(content)
    for archived in subject.wal.glob(f"*/{segment}*"):
        archived.unlink()
    (subject.cluster.data_directory / "pg_wal" / segment).unlink(missing_ok=True)
    subject.sandbox.run([subject.program, "push", *wal, path])


def test_force_repeats_a_restore_that_is_in_place(backed_up: tuple[Recoverable, str]) -> None:
    subject, moment = backed_up
    first = subject.restore(target_time=moment)
    subject.cluster.sql("DELETE FROM ledger")
    subject.switch()
    assert stage(subject, moment)["in_place"]
    assert subject.cluster.value(COUNT) == 0
    second = subject.restore(target_time=moment, target_timeline="1", force=True)
    assert subject.cluster.value(COUNT) == 100
    assert Path(str(first["previous_directory"])).exists()
    assert first["previous_directory"] != second["previous_directory"]


def test_a_changed_backup_is_not_restored(backed_up: tuple[Recoverable, str]) -> None:
    subject, moment = backed_up
    [base] = subject.backups.glob("*/base.tar")
    content = base.read_bytes()
    at = content.index(b"PG_VERSION")
    changed = content[: at + 512] + b"19" + content[at + 514 :]
    base.write_bytes(changed)
    message = subject.fail("pitr_restore", state="staged", program=subject.program, target_time=moment)
    assert "is not good" in message
    assert "PG_VERSION" in message
    base.write_bytes(content)
    subject.restore(target_time=moment)
    assert subject.cluster.value(COUNT) == 100


def test_links_and_tablespaces_are_switched_with_the_data_directory(recoverable: Recoverable, sandbox: Sandbox) -> None:
    """PGDATA and pg_wal are symbolic links, and a table lies in a tablespace."""
    subject, cluster = recoverable, recoverable.cluster
    elsewhere = move_behind_links(subject)
    space = sandbox.directory(elsewhere / "fast disk")
    cluster.sql(f"CREATE TABLESPACE fast LOCATION '{space}'")
    cluster.sql("CREATE TABLE ledger TABLESPACE fast AS SELECT generate_series(1, 50) AS n")
    subject.run("base_backup")
    cluster.sql("INSERT INTO ledger SELECT generate_series(51, 100)")
    moment = cluster.value(NOW)
    cluster.sql("TRUNCATE ledger")
    restored = subject.restore(target_time=moment)
    assert cluster.value(COUNT) == 100
    assert cluster.data_directory.is_symlink()
    assert (cluster.data_directory / "pg_wal").is_symlink()
    previous = Path(str(restored["previous_directory"]))
    assert previous.parent == elsewhere
    assert (previous / "pg_wal").resolve() == elsewhere / "wal"
    subject.run("postgres_server", state="stopped")
    previous_starts(subject, previous)
    cluster.start()
    subject.run("base_backup", label="second")
    moment = cluster.value(NOW)
    cluster.sql("DELETE FROM ledger")
    subject.restore(target_time=moment)
    assert cluster.value(COUNT) == 100


def move_behind_links(subject: Recoverable) -> Path:
    """Move PGDATA and pg_wal to another directory, which is returned, and leave links to them."""
    cluster = subject.cluster
    elsewhere = subject.sandbox.directory(cluster.home / "el se where")
    cluster.stop()
    cluster.data_directory.rename(elsewhere / "data")
    (elsewhere / "data" / "pg_wal").rename(elsewhere / "wal")
    for path, target in ((elsewhere / "data" / "pg_wal", "wal"), (cluster.data_directory, "data")):
        path.symlink_to(elsewhere / target)
        subject.owned(path)
    cluster.start()
    return elsewhere


def previous_starts(subject: Recoverable, previous: Path) -> None:
    """The data that was replaced is whole, with its own WAL and tablespaces: it could go on."""
    subject.run("postgres_server", state="started", data_directory=previous)
    assert subject.cluster.value(COUNT) == 0
    subject.run("postgres_server", state="stopped", data_directory=previous)


@soak
def test_a_data_directory_that_is_a_mount_point_is_restored_inside(
    recoverable: Recoverable, sandbox: Sandbox, share: Share
) -> None:
    """The mount point stays; killed after each change, the exchange of its entries comes to its end."""
    subject, cluster = recoverable, recoverable.cluster
    cluster.stop()
    aside = cluster.home / "aside"
    cluster.data_directory.rename(aside)
    sandbox.directory(cluster.data_directory)
    with mounted(sandbox, cluster.data_directory):
        sandbox.run(["cp", "-a", f"{aside}/.", cluster.data_directory])
        sandbox.run(["chmod", "0700", cluster.data_directory])
        subject.run("postgres_server", state="started")
        moment = write_and_lose(subject, cluster)
        stage(subject, moment)
        subject.run("postgres_server", state="stopped")
        options = {**subject.options, "program": subject.program, "target_time": moment, "state": "restored"}
        kills, steps = 0, share.steps(8)
        while run_and_kill(subject.modules, "pitr_restore", next(steps), **options) is None:
            kills += 1
            assert kills < 200, "killed after each change, the exchange does not come to an end"
        assert kills > share.length(30, 1)
        subject.run("postgres_server", state="started")
        subject.wait_for_target()
        subject.run("recovery", state="promoted")
        assert cluster.value(COUNT) == 100
        assert subject.run("cluster_info")["data_directory_mount_point"]
        assert stage(subject, moment)["in_place"]
        subject.run("postgres_server", state="stopped")


def test_a_bind_mount_of_the_same_file_system_is_a_mount_point(
    backed_up: tuple[Recoverable, str], sandbox: Sandbox
) -> None:
    """As container runtimes and fstab make them: no number of a device tells them from other directories."""
    subject, moment = backed_up
    cluster, volume = subject.cluster, subject.cluster.home / "volume"
    cluster.stop()
    cluster.data_directory.rename(volume)
    sandbox.directory(cluster.data_directory)
    with mounted(sandbox, cluster.data_directory, bind=volume):
        subject.run("postgres_server", state="started")
        subject.restore(target_time=moment)
        assert cluster.value(COUNT) == 100
        assert subject.run("cluster_info")["data_directory_mount_point"]
        subject.run("postgres_server", state="stopped")
    assert [path.name for path in cluster.home.glob("data*")] == ["data"]


def test_what_cannot_be_renamed_is_refused_before_the_server_is_stopped(
    backed_up: tuple[Recoverable, str], sandbox: Sandbox
) -> None:
    """In check mode, too: WAL on a disk that is mounted in the data directory; a parent that may not be written to."""
    subject, moment = backed_up
    cluster, wal = subject.cluster, subject.cluster.home / "wal disk"
    inside = cluster.data_directory / "pg_wal"
    cluster.stop()
    inside.rename(wal)
    sandbox.directory(inside)
    with mounted(sandbox, inside, bind=wal):
        subject.run("postgres_server", state="started")
        assert f"are mounted inside of it: {inside}" in refused_in_check_mode(subject, target_time=moment)
        assert f"are mounted inside of it: {inside}" in refused(subject, target_time=moment)
        subject.run("postgres_server", state="stopped")
    inside.rmdir()
    wal.rename(inside)
    cluster.start()
    cluster.home.chmod(0o550)
    try:
        assert f"{cluster.home} is not there, or" in refused_in_check_mode(subject, target_time=moment)
    finally:
        cluster.home.chmod(0o750)


def refused_in_check_mode(subject: Recoverable, **target: str) -> str:
    parameters = {"state": "staged", "program": subject.program, "_ansible_check_mode": True}
    result = json.loads(subject.modules.start("pitr_restore", subject.options | parameters | target).stdout)
    assert result.get("failed")
    return str(result["msg"])


def write_and_lose(subject: Recoverable, cluster: Cluster) -> str:
    """Commit 100 rows, 50 of them only in archived WAL, and delete them after the moment that is returned."""
    cluster.sql("CREATE TABLE ledger AS SELECT generate_series(1, 50) AS n")
    subject.run("base_backup")
    cluster.sql("INSERT INTO ledger SELECT generate_series(51, 100)")
    moment: str = cluster.value(NOW)
    cluster.sql("DELETE FROM ledger")
    subject.switch()
    return moment


def test_a_directory_that_is_not_ours_is_kept_when_it_is_forced_away(backed_up: tuple[Recoverable, str]) -> None:
    """Half-deleted data is no data directory any more; with force it is kept as the previous directory."""
    subject, moment = backed_up
    subject.cluster.kill()
    shutil.rmtree(subject.cluster.data_directory / "global")
    message = subject.fail("pitr_restore", state="staged", program=subject.program, target_time=moment)
    assert "force: true" in message
    restored = subject.restore(target_time=moment, force=True)
    assert subject.cluster.value(COUNT) == 100
    assert (Path(str(restored["previous_directory"])) / "base").is_dir()
