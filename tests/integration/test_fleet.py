# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the playbooks behave over several clusters: some down, some out of reach, some standbys, some done already.

The runs are fixtures, each of which finds the fleet as the one before has left it. All use Ansible's default forks.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.playbooks import Playbooks, Run, tasks
from tests.support.postgres import Cluster
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_until

NAMES = ("berlin", "lagos", "quito")
DOWN_OR_UP = re.compile(r"(?m)^(\S+ \S+) .*(received fast shutdown request|ready to accept (?:read-only )?connections)")
# An address of no machine (RFC 5737), at which a server finds out only when it starts.
BROKEN = "listen_addresses = '192.0.2.1'\n"


@dataclass
class Fleet:
    """Three clusters, a standby of the first that shares its repository, and a host that cannot be reached."""

    playbooks: Playbooks
    clusters: list[Cluster]
    standby: Cluster
    absent: Cluster
    unreachable: dict[str, str]

    @property
    def replicates(self) -> dict[str, Any]:
        """Return the variables of a standby of the first cluster: the same name in the same repository."""
        primary = self.clusters[0]
        return {"backup_repository_path": str(primary.home / "repository"), "backup_repository_cluster": primary.name}

    def run(self, playbook: str, *clusters: Cluster, arguments: Sequence[str] = (), **options: Any) -> Run:
        """Run a playbook over the clusters."""
        special = {self.standby.name: self.replicates, self.absent.name: self.unreachable}
        hosts = {cluster.name: special.get(cluster.name, {}) for cluster in clusters}
        inventory = self.playbooks.inventory(*clusters, hosts=hosts)
        return self.playbooks.run(playbook, inventory, *arguments, **options)

    def archived(self, name: str) -> list[str]:
        """Return the segments in a cluster's part of the first cluster's repository."""
        return sorted(path.name for path in (self.clusters[0].home / "repository" / name / "wal").glob("*/0*"))


@pytest.fixture(scope="module")
def fleet(sandbox: Sandbox, version: str, playbooks: Playbooks) -> Iterator[Fleet]:
    """Provide clusters that nothing has been done to."""
    ssh = sandbox.controller / "ssh"
    ssh.write_text("#!/bin/sh\necho 'No route to host' >&2\nexit 255\n", encoding="utf-8")
    ssh.chmod(0o755)
    unreachable = {"ansible_connection": "ssh", "ansible_ssh_executable": str(ssh)}
    with ExitStack() as stack:
        clusters = [stack.enter_context(sandbox.cluster(version, name)) for name in NAMES]
        standby = stack.enter_context(sandbox.standby(clusters[0], "standby"))
        yield Fleet(playbooks, clusters, standby, Cluster(sandbox, version, "atlantis"), unreachable)


@pytest.fixture(scope="module")
def broken(fleet: Fleet) -> tuple[Run, list[int | None], list[int | None]]:
    """Set up archiving where the first server cannot start again; return the servers' processes before and after."""
    first = fleet.clusters[0]
    configuration = first.data_directory / "postgresql.conf"
    sound = configuration.read_text(encoding="utf-8")
    configuration.write_text(sound + BROKEN, encoding="utf-8")
    before = [cluster.pid for cluster in fleet.clusters]
    run = fleet.run("setup_archiving", *fleet.clusters, expected=2)
    after = [cluster.pid for cluster in fleet.clusters]
    configuration.write_text(sound, encoding="utf-8")
    (first.data_directory / "postgresql.auto.conf").write_text("", encoding="utf-8")
    first.start()
    return run, before, after


@pytest.fixture(scope="module")
def set_up(fleet: Fleet, broken: object) -> Run:
    """Set up archiving on all that can be reached."""
    return fleet.run("setup_archiving", *fleet.clusters, fleet.standby, fleet.absent, expected=4)


@pytest.fixture(scope="module")
def extended(fleet: Fleet, sandbox: Sandbox, version: str, set_up: Run) -> Iterator[Run]:
    """Set up archiving again, with one more cluster."""
    with sandbox.cluster(version, "sydney") as newcomer:
        yield fleet.run("setup_archiving", *fleet.clusters, fleet.standby, newcomer)


@pytest.fixture(scope="module")
def backed_up(fleet: Fleet, extended: Run) -> Run:
    """Take a backup of the second cluster."""
    return fleet.run("base_backup", fleet.clusters[1])


def test_a_server_that_does_not_come_back_ends_the_restarts(broken: tuple[Run, list[int], list[int | None]]) -> None:
    run, before, after = broken
    assert after == [None, *before[1:]]
    assert "could not create any TCP/IP sockets" in said(run)
    assert run.recap["berlin"]["failed"] == 1


def test_servers_are_restarted_one_at_a_time_in_the_order_of_the_inventory(fleet: Fleet, set_up: Run) -> None:
    periods = [down(cluster) for cluster in (*fleet.clusters, fleet.standby)]
    for (_stopped, ready), (stopped, _ready) in itertools.pairwise(periods):
        assert ready < stopped


def test_a_host_out_of_reach_keeps_no_other_from_being_set_up(fleet: Fleet, set_up: Run) -> None:
    assert {host for host, counts in set_up.recap.items() if counts["unreachable"]} == {"atlantis"}
    assert {host for host, counts in set_up.recap.items() if counts["changed"]} == {*NAMES, "standby"}
    for cluster in fleet.clusters:
        assert list((cluster.home / "repository" / cluster.name / "wal").glob("*/0*")), cluster.name


def test_a_standby_is_set_up_and_says_why_nothing_is_proved(fleet: Fleet, set_up: Run) -> None:
    assert fleet.standby.value("SHOW archive_mode") == "on"
    for word in fleet.replicates.values():
        assert word in fleet.standby.value("SHOW archive_command")
    assert "not proved: the server is in recovery; a standby is proved to archive once it is promoted" in said(set_up)


def test_only_what_is_new_in_the_fleet_is_changed(extended: Run) -> None:
    assert {host for host, counts in extended.recap.items() if counts["changed"]} == {"sydney"}


def test_no_facts_are_gathered(set_up: Run) -> None:
    assert not [task for task in tasks(set_up.output, "ok") if "Gathering Facts" in task]


def test_pitr_restore_touches_nothing_while_a_host_is_out_of_reach(fleet: Fleet, backed_up: Run) -> None:
    second = fleet.clusters[1]
    before = second.pid
    run = fleet.run("pitr_restore", second, fleet.absent, variables={"target": "latest", "fleet": True}, expected=2)
    assert "atlantis cannot be reached. Nothing was touched." in said(run)
    # YAML doubles the quotes around it, or does not.
    assert re.search("leave it out: --limit '+all:!atlantis'", said(run))
    assert second.pid == before
    assert run.changed == 0


def test_nobody_is_led_from_a_host_out_of_reach_to_the_restore_of_another(fleet: Fleet, backed_up: Run) -> None:
    run = fleet.run("pitr_restore", fleet.absent, variables={"target": "latest"}, expected=2)
    assert "atlantis cannot be reached. Nothing was touched." in said(run)
    assert "--limit" not in said(run)


def test_the_hint_keeps_to_the_hosts_that_were_chosen(fleet: Fleet, backed_up: Run) -> None:
    second = fleet.clusters[1]
    asked = ["--limit", "lagos:atlantis", "-e", "target=latest", "-e", "fleet=true"]
    run = fleet.run("pitr_restore", second, fleet.standby, fleet.absent, arguments=asked, expected=2)
    assert re.search("--limit '+lagos:atlantis:!atlantis'", said(run))


def test_base_backup_passes_over_a_standby(fleet: Fleet, extended: Run) -> None:
    run = fleet.run("base_backup", fleet.clusters[1], fleet.standby)
    assert "skipped: standby is a standby, and backups are taken of its primary" in said(run)
    assert "took backup" in said(run)
    assert "HINT: name the primary" in said(fleet.run("base_backup", fleet.standby, expected=2))


def test_pitr_finalize_passes_over_a_standby(fleet: Fleet, backed_up: Run) -> None:
    run = fleet.run("pitr_finalize", fleet.clusters[1], fleet.standby)
    assert "skipped: standby is a standby: it follows its primary, and is no restore that is paused" in said(run)
    assert fleet.standby.value("SELECT pg_is_in_recovery()")


def test_pitr_restore_refuses_a_standby_alone(fleet: Fleet, set_up: Run) -> None:
    before = fleet.standby.pid
    run = fleet.run("pitr_restore", fleet.standby, variables={"target": "latest"}, expected=2)
    assert "standby is a standby" in said(run)
    assert fleet.standby.pid == before
    assert run.changed == 0


def test_pitr_restore_passes_over_a_standby_in_a_fleet(fleet: Fleet, backed_up: Run) -> None:
    second, before = fleet.clusters[1], fleet.standby.pid
    run = fleet.run("pitr_restore", second, fleet.standby, variables={"target": "latest", "fleet": True})
    assert "skipped: standby is a standby" in said(run)
    assert (fleet.standby.pid, fleet.standby.value("SELECT pg_is_in_recovery()")) == (before, True)
    assert second.value("SELECT timeline_id FROM pg_control_checkpoint()") == 2


def test_a_promoted_standby_goes_on_archiving_on_its_timeline(fleet: Fleet, extended: Run) -> None:
    primary, standby = fleet.clusters[0], fleet.standby
    primary.stop()
    standby.run("pg_ctl", "promote", "-D", standby.data_directory)
    segment = standby.value("SELECT pg_walfile_name(pg_switch_wal())")
    assert segment.startswith("00000002")
    wait_until(lambda: [name for name in fleet.archived(primary.name) if name.startswith(segment)], message=segment)
    again = fleet.run("setup_archiving", standby)
    assert again.changed == 0
    assert "not proved" not in said(again)


def down(cluster: Cluster) -> tuple[str, str]:
    """Return when the server was last told to stop, and when it was ready again, as its log has it."""
    moments = sorted(DOWN_OR_UP.findall(cluster.log()))
    [*_earlier, (stopped, stop), (ready, _ready)] = moments
    assert "shutdown" in stop
    return stopped, ready


def said(run: Run) -> str:
    """Return what Ansible printed, without the line breaks that its YAML puts into long lines."""
    return " ".join(run.output.split())
