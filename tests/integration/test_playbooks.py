# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One life of a cluster, in playbooks only: archiving, a backup, a dropped table, a deleted data directory.

Each stage of it is a fixture that builds on the one before and keeps what its playbooks said, for the tests to look at.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.gates.environments import make_controller, oldest_and_newest
from tests.gates.sanity import copy_project
from tests.support import controller
from tests.support.playbooks import Playbooks, Run, tasks
from tests.support.postgres import Cluster
from tests.support.sandbox import Sandbox
from tests.support.snapshots import settings, tree
from tests.support.waiting import wait_until

FILL = "INSERT INTO ledger SELECT n, md5(n::text) FROM generate_series(%s::int, %s) AS n"
SUM = "SELECT count(*) || ':' || md5(string_agg(n || t, ',' ORDER BY n)) FROM ledger"
SLOT = "slot standby (physical) is in no backup, so it is lost: a physical one is made anew with its standby"
NOW = """SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


class Life:
    """A cluster, and the playbooks that are run on it."""

    def __init__(self, cluster: Cluster, playbooks: Playbooks) -> None:
        self.cluster = cluster
        self._playbooks = playbooks
        # Nothing is to be archived behind our back between two pictures.
        self.second = cluster.home / "second repository"
        variables = {
            "wal_archiving_timeout": 3600,
            "base_backup_max_age": "12h",
            "backup_repository_further_paths": [str(self.second)],
        }
        self.inventory = playbooks.inventory(cluster, variables=variables)

    def run(self, playbook: str, *extra: str, inventory: Path | None = None, **options: Any) -> Run:
        """Run a playbook with extra variables given as on a command line."""
        arguments = [word for variable in extra for word in ("-e", variable)]
        return self._playbooks.run(playbook, inventory or self.inventory, *arguments, **options)

    def run_in_vain(self, playbook: str, *extra: str, **options: Any) -> Run:
        """Run a playbook that must not change anything, neither on disk nor in the server."""
        before = self.picture()
        run = self.run(playbook, *extra, **options)
        assert self.picture() == before
        return run

    def answer(self, playbook: str, answers: dict[str, Any], *arguments: str) -> Run:
        """Run a playbook with the answers of a survey."""
        return self._playbooks.answered(playbook, self.inventory, answers, *arguments)

    def dry_run(self, playbook: str, *extra: str) -> Run:
        """Run a playbook with --check and --diff, which must not change anything."""
        before = self.picture()
        arguments = [word for variable in extra for word in ("-e", variable)]
        run = self._playbooks.run(playbook, self.inventory, "--check", "--diff", *arguments)
        assert self.picture() == before
        return run

    def picture(self) -> dict[str, Any]:
        """Return all that a playbook could change: of a running server's data what the server does not write itself.

        The lock file is left out, in which every holder writes its name.
        """
        cluster = self.cluster
        if cluster.pid is None:
            return {name: entry for name, entry in tree(cluster.home).items() if not name.endswith("/lock")}
        repository = tree(cluster.home / "repository")
        repository.pop(f"{cluster.name}/lock", None)
        own = {path.name: path.read_bytes() for path in cluster.data_directory.iterdir() if path.is_file()}
        names = {path.name: tree(path) if path.name == "programs" else None for path in cluster.home.iterdir()}
        return repository | own | names | settings(cluster)

    def archive(self) -> None:
        """Do now what archive_timeout does after a while."""
        segment = self.cluster.value("SELECT pg_walfile_name(pg_switch_wal())")
        arrived = "SELECT coalesce(last_archived_wal >= %s, false) FROM pg_stat_archiver"
        wait_until(lambda: self.cluster.value(arrived, (segment,)), message=f"{segment} to be archived")


@dataclass(frozen=True)
class Stage:
    """What a playbook said the first time and the second time, and with --check before."""

    dry: Run
    first: Run
    second: Run


@dataclass(frozen=True)
class Restored(Stage):
    """What was there at the target, and what is there after the restore."""

    target: str
    expected: str
    found: str


@pytest.fixture(scope="module")
def life(sandbox: Sandbox, version: str, playbooks: Playbooks) -> Iterator[Life]:
    """Provide a cluster that nothing has been done to."""
    with sandbox.cluster(version, "life") as cluster:
        yield Life(cluster, playbooks)


@pytest.fixture(scope="module")
def archiving(life: Life) -> Stage:
    """Set up archiving."""
    playbook = "setup_archiving"
    return Stage(life.dry_run(playbook), life.run(playbook), life.run(playbook))


@pytest.fixture(scope="module")
def backed_up(life: Life, archiving: Stage) -> Stage:
    """Take a backup of a thousand rows."""
    life.cluster.sql("CREATE TABLE ledger (n int PRIMARY KEY, t text)")
    life.cluster.sql(FILL, (1, 1000))
    daily = ("base_backup", "backup_max_age=24h")
    return Stage(life.dry_run(*daily), life.run(*daily), life.run(*daily))


@pytest.fixture(scope="module")
def dropped(life: Life, backed_up: Stage) -> Restored:
    """Drop the table, and restore to a moment at which a transaction was open."""
    cluster = life.cluster
    cluster.sql("ALTER SYSTEM SET max_connections = 30")
    cluster.restart()
    cluster.sql(FILL, (1001, 3000))
    with cluster.connect() as late, late.transaction():
        late.execute("INSERT INTO ledger VALUES (0, 'begun before the target, committed after it')")
        expected, target = cluster.value(SUM), cluster.value(NOW)
    cluster.sql(FILL, (3001, 3500))
    cluster.sql("DROP TABLE ledger")
    cluster.sql("SELECT pg_create_physical_replication_slot('standby')")
    restore = ("pitr_restore", f"target_time={target}")
    stage = life.dry_run(*restore), life.run(*restore), life.run(*restore)
    return Restored(*stage, target, expected, cluster.value(SUM))


@pytest.fixture(scope="module")
def deleted(life: Life, dropped: Restored) -> Restored:
    """Delete the data directory of a dead server, and restore to a moment on the new timeline."""
    cluster = life.cluster
    cluster.sql(FILL, (5001, 7000))
    expected, target = cluster.value(SUM), cluster.value(NOW)
    cluster.sql(FILL, (7001, 7500))
    life.archive()
    cluster.kill()
    shutil.rmtree(cluster.data_directory)
    restore = ("pitr_restore", f"target_time={target}")
    stage = life.dry_run(*restore), life.run(*restore), life.run(*restore)
    return Restored(*stage, target, expected, cluster.value(SUM))


@pytest.fixture(scope="module")
def paused(life: Life, deleted: Restored) -> Restored:
    """Restore to the same moment as before, look at it with a wrong expectation, then a right one, then promote."""
    count, right = "SELECT count(*) FROM ledger", int(deleted.expected.partition(":")[0])
    life.cluster.sql(FILL, (8001, 8100))
    restore = ("pitr_restore", f"target_time={deleted.target}")
    wrong = {"pitr_restore_checks": [{"query": count, "expect": right + 1}], "pitr_restore_force": True}
    checked = {"pitr_restore_checks": [{"query": count, "expect": right}]}
    refused = life.run(*restore, "force=true", variables=wrong, expected=2)
    assert life.cluster.value("SELECT pg_is_in_recovery()")
    looked_at = life.run(*restore, "target_action=pause", variables=checked)
    assert life.cluster.value("SELECT pg_is_in_recovery()")
    assert "finish the restore first: pitr_finalize.yml" in said(life.run("base_backup", "backup_label=x", expected=2))
    last = life.run(*restore, variables=checked | {"pitr_restore_keep_previous": False})
    return Restored(refused, looked_at, last, deleted.target, deleted.expected, life.cluster.value(SUM))


def test_setup_archiving_says_beforehand_what_it_would_do(archiving: Stage) -> None:
    assert archiving.dry.changed == archiving.first.changed
    assert "+    archive_mode: 'on'" in archiving.dry.output


def test_setup_archiving_restarts_the_server_once_and_finds_a_segment(life: Life, archiving: Stage) -> None:
    assert any("pg_ctl | Have pg_ctl" in task for task in archiving.first.changed_tasks)
    archived = [path.name for path in (life.cluster.home / "repository" / "life" / "wal").glob("*/0000000100000000*")]
    assert archived
    assert {path.name for path in life.second.glob("life/wal/*/0*")} >= set(archived)
    assert "was archived and read back; 0 waiting, " in said(archiving.first).replace("nothing", "0")
    assert f" free in {life.second}" in said(archiving.first)


def test_setup_archiving_leaves_nothing_to_do(archiving: Stage) -> None:
    assert archiving.second.changed_tasks == []


def test_the_program_is_closed_to_others_and_names_its_interpreter(life: Life, archiving: Stage) -> None:
    programs = tree(life.cluster.home / "programs")
    assert {programs[name].mode for name in (".", "pgark-wal", "__pycache__")} == {"rwxr-x---"}
    assert {entry.mode[-3:] for entry in programs.values()} == {"---"}
    text = (life.cluster.home / "programs" / "pgark-wal").read_text(encoding="utf-8")
    assert text.startswith(f"#!{life.cluster.sandbox.python} -IS\n")
    assert life.cluster.sandbox.run([life.cluster.home / "programs" / "pgark-wal", "--version"]).stdout


def test_base_backup_says_beforehand_what_it_would_do(backed_up: Stage) -> None:
    assert backed_up.dry.changed == 1
    assert "a backup would be taken" in backed_up.dry.output


def test_base_backup_is_satisfied_with_a_young_backup(backed_up: Stage) -> None:
    assert (backed_up.first.changed, backed_up.second.changed) == (1, 0)
    assert "took backup" in backed_up.first.output
    assert "there is backup" in backed_up.second.output


def test_base_backup_takes_the_age_from_the_inventory_unless_one_is_given(life: Life, backed_up: Stage) -> None:
    assert life.run("base_backup").changed_tasks == []
    assert life.dry_run("base_backup", "backup_max_age=1s").changed == 1


REFUSED = {
    "a time in the future": (["target_time=2126-09-15T14:30:00Z"], "is in the future"),
    "a time before the backup": (["target_time=2020-09-15T14:30:00Z"], "the earliest moment that can be restored is"),
}


@pytest.mark.usefixtures("backed_up")
@pytest.mark.parametrize(("variables", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_pitr_restore_refuses_before_anything_is_touched(life: Life, variables: list[str], reason: str) -> None:
    run = life.run_in_vain("pitr_restore", *variables, expected=2)
    assert reason in said(run)
    assert run.changed_tasks == []


GUARDED = {
    "two targets": (["target_time=2026-09-15T14:30:00Z", "target=latest"], "are given: target_time, target; expected"),
    "a time cut off at the space": (["target_time=2026-09-15 14:30:00+00"], "write T between date and time"),
    "a misspelt target": (["target_tme=2026-09-15T14:30:00Z"], "the nearest is target_time"),
    "a bare date": (["target_time=2026-09-15"], "is a date without a time"),
    "no target": ([], "no recovery target is given"),
    "a pause at the end": (["target=latest", "target_action=pause"], "there is nothing to pause at"),
}


@pytest.mark.parametrize(("variables", "reason"), GUARDED.values(), ids=GUARDED.keys())
def test_pitr_restore_refuses_before_it_looks_at_the_host(
    sandbox: Sandbox, playbooks: Playbooks, variables: list[str], reason: str
) -> None:
    absent = Life(Cluster(sandbox, "18", "absent"), playbooks)
    run = absent.run("pitr_restore", *variables, expected=2)
    assert reason in said(run)
    assert not [task for task in tasks(run.output, "ok") if "postgres_cluster" in task]


def test_pitr_restore_refuses_two_clusters_and_names_them(sandbox: Sandbox, playbooks: Playbooks) -> None:
    both = playbooks.inventory(Cluster(sandbox, "18", "one"), Cluster(sandbox, "18", "another"))
    run = playbooks.run("pitr_restore", both, "-e", "target=latest", expected=2)
    assert "would restore 2 clusters: one, another" in said(run)
    assert not [task for task in tasks(run.output, "ok") if "postgres_cluster" in task]


@pytest.mark.usefixtures("backed_up")
def test_one_cluster_that_cannot_be_staged_keeps_the_fleet_running(
    life: Life, sandbox: Sandbox, playbooks: Playbooks
) -> None:
    neighbour = Cluster(sandbox, life.cluster.version, "neighbour")
    sandbox.directory(neighbour.home)
    both = playbooks.inventory(life.cluster, neighbour)
    pid = life.cluster.pid
    run = life.run("pitr_restore", "target=latest", "fleet=true", inventory=both, expected=2)
    assert "neighbour/repository is not a repository" in said(run)
    assert life.cluster.pid == pid
    # It was staged, and would keep any other restore from being begun.
    shutil.rmtree(life.cluster.data_directory.with_name("data.restore"))


def test_a_survey_with_blank_answers_asks_for_nothing_but_the_target(life: Life, backed_up: Stage) -> None:
    asked = ["target_time", "target_xid", "target_inclusive", "target_timeline", "target_action", "force", "fleet"]
    run = life.answer("pitr_restore", dict.fromkeys(asked, "") | {"target": "latest"}, "--check")
    assert f"- create {life.cluster.data_directory}.restore - unpack" in said(run)


def test_the_oldest_ansible_takes_an_inventory_with_dates(life: Life, backed_up: Stage, sandbox: Sandbox) -> None:
    """Before 2.19, it made text of all that an inventory says of the hosts, and could not read it back."""
    oldest = Playbooks(sandbox, make_controller(oldest_and_newest()[0]) / "bin/ansible-playbook")
    run = oldest.run("pitr_restore", life.inventory, "--check", "-e", "target=latest")
    assert f"- create {life.cluster.data_directory}.restore - unpack" in said(run)
    # Nor did it take what is imported where the name of the tasks around it comes from a host.
    assert "recovery had ended before" in said(oldest.run("pitr_finalize", life.inventory))


def test_the_installed_collection_is_called_by_name(
    life: Life, backed_up: Stage, sandbox: Sandbox, playbooks: Playbooks
) -> None:
    """Built and installed as whoever downloads it does, and called from somewhere else than a checkout."""
    place = sandbox.controller / "installed"
    copy_project(place / "copy")
    galaxy = [controller.ansible_playbook().with_name("ansible-galaxy"), "collection"]
    subprocess.run([*galaxy, "build", "--output-path", place, place / "copy"], check=True, capture_output=True)
    [archive] = place.glob("pgark-postgres-*.tar.gz")
    subprocess.run(
        [*galaxy, "install", "--force", "--offline", "-p", place, archive], check=True, capture_output=True, cwd=place
    )
    run = playbooks.elsewhere(place, "pgark.postgres.recovery_windows", life.inventory, "-e", "target=latest")
    assert "1 host, 1 with a recovery window" in said(run)
    assert "yes from backup" in said(run)


def test_recovery_windows_answers_and_changes_nothing(life: Life, backed_up: Stage) -> None:
    [label] = [path.name for path in (life.cluster.home / "repository" / "life" / "backup").iterdir()]
    run = life.run_in_vain("recovery_windows", "target_time=2020-01-01T00:00:00Z")
    assert "life no target 2020-01-01T00:00:00.000000Z is before the end of backup" in said(run)
    assert f"the end of backup '{label}'" in said(run)
    assert "1 host, 1 with a recovery window" in said(run)
    assert run.changed_tasks == []


def test_recovery_windows_does_not_mind_a_host_without_a_repository(
    life: Life, sandbox: Sandbox, playbooks: Playbooks
) -> None:
    bare = playbooks.inventory(Cluster(sandbox, life.cluster.version, "bare"))
    run = life.run("recovery_windows", inventory=bare)
    assert "no repository for cluster bare" in said(run)


def test_pitr_restore_says_beforehand_what_it_would_do(life: Life, dropped: Restored, deleted: Restored) -> None:
    for restored in (dropped, deleted):
        assert restored.dry.changed == 1
        assert f"- create {life.cluster.data_directory}.restore - unpack" in said(restored.dry)
        assert "- promote the server" in restored.dry.output
    assert SLOT in said(dropped.dry).partition(" - the steps: ")[0]
    assert "no server answers, so nobody was asked for standbys" not in said(deleted.dry), "there is no data either"


def test_pitr_restore_brings_back_what_was_committed_before_the_target_and_no_more(
    dropped: Restored, deleted: Restored
) -> None:
    assert dropped.found == dropped.expected
    assert deleted.found == deleted.expected


def test_pitr_restore_says_what_it_did(dropped: Restored, deleted: Restored) -> None:
    assert f"restored to {dropped.target}, from backup" in said(dropped.first)
    assert "open for writing, on timeline 2" in said(dropped.first)
    assert SLOT in said(dropped.first)
    assert SLOT not in said(dropped.second)
    assert "the data from before is in" in said(dropped.first)
    raised = "max_connections is 20, and the WAL to be replayed needs 30, so the server is started with 30"
    assert raised in said(dropped.first)
    assert raised not in said(dropped.second)
    assert "to go back: ansible-playbook pgark.postgres.pitr_rollback --limit" in said(dropped.first)
    assert "when you are sure: ansible-playbook pgark.postgres.previous_data --limit" in said(dropped.first)
    assert "open for writing, on timeline 3" in said(deleted.first)
    assert "no data from before is kept" in said(deleted.first)


def test_pitr_restore_leaves_nothing_to_do(dropped: Restored, deleted: Restored) -> None:
    for restored in (dropped, deleted):
        assert restored.first.changed > 0
        assert restored.second.changed_tasks == []
        assert f"already restored to {restored.target}" in said(restored.second)


def test_the_data_from_before_is_kept(life: Life, dropped: Restored) -> None:
    assert len(list(life.cluster.home.glob("data.before-*/PG_VERSION"))) == 1


def test_a_failed_check_leaves_the_server_at_the_target(paused: Restored) -> None:
    refused = paused.dry
    assert "what came back is not what was expected" in said(refused)


def test_a_paused_restore_goes_on_when_it_is_run_again(life: Life, paused: Restored) -> None:
    looked_at, last = paused.first, paused.second
    assert looked_at.changed_tasks == []
    assert "paused there, read-only" in said(looked_at)
    assert paused.found == paused.expected
    assert "open for writing, on timeline 4" in said(last)


def test_the_data_from_before_is_removed_when_nobody_wants_it(life: Life, paused: Restored) -> None:
    assert any("Remove the data from before" in task for task in paused.second.changed_tasks)
    assert "no data from before is kept" in said(paused.second)


def test_archiving_is_still_set_up_after_all_that(life: Life, paused: Restored) -> None:
    assert life.run("setup_archiving").changed_tasks == []


def test_a_restart_that_is_not_allowed_is_asked_for(sandbox: Sandbox, version: str, playbooks: Playbooks) -> None:
    with sandbox.cluster(version, "patient") as cluster:
        patient = playbooks.inventory(cluster, variables={"wal_archiving_restart": False})
        pid = cluster.pid
        run = playbooks.run("setup_archiving", patient, expected=2)
        assert "wal_archiving_restart is false, and a restart of the server has to bring into force" in said(run)
        assert "archive_mode" in said(run)
        assert cluster.pid == pid
        cluster.restart()
        assert playbooks.run("setup_archiving", patient).changed_tasks == []


def test_archiving_is_switched_off_and_the_repository_left_alone(
    sandbox: Sandbox, version: str, playbooks: Playbooks
) -> None:
    with sandbox.cluster(version, "tired") as cluster:
        inventory = playbooks.inventory(cluster, variables={"wal_archiving_timeout": 3600})
        before = settings(cluster)
        playbooks.run("setup_archiving", inventory)
        archived = tree(cluster.home / "repository")
        off = playbooks.run("setup_archiving", inventory, "--diff", "-e", "wal_archiving_state=disabled")
        assert "archiving is switched off" in said(off)
        assert settings(cluster) == before
        assert playbooks.run("setup_archiving", inventory, "-e", "wal_archiving_state=disabled").changed_tasks == []
        assert tree(cluster.home / "repository").items() >= archived.items()


def test_root_creates_a_repository_only_where_the_owner_cannot(
    sandbox: Sandbox, version: str, playbooks: Playbooks
) -> None:
    with sandbox.cluster(version, "guest") as cluster:
        repository = sandbox.root / "shared"
        inventory = playbooks.inventory(cluster)
        text = inventory.read_text(encoding="utf-8")
        inventory.write_text(text.replace(str(cluster.home / "repository"), str(repository)), encoding="utf-8")
        planned = playbooks.run("setup_archiving", inventory, "--check")
        assert not repository.exists()
        created = playbooks.run("setup_archiving", inventory)
        as_root = "directory | Create it as root where the owner cannot"
        for run in (planned, created):
            assert any(as_root in task for task in run.changed_tasks) != sandbox.account.is_caller
        assert {(entry.owner, entry.group) for entry in tree(repository).values()} == {(cluster.owner, cluster.group)}


def said(run: Run) -> str:
    """Return what Ansible printed, without the line breaks that its YAML puts into long lines."""
    return " ".join(run.output.split())
