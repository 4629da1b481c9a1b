# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report on a fleet: what it says agrees with the modules, and no host is missing, whatever is wrong there.

Two clusters with backups, a history that was restored in one and a gap in the other; one without a repository, one
whose repository is damaged, and one that cannot be reached.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.pgark.postgres.plugins.module_utils._values.times import parse_time
from tests.support.documents import commands
from tests.support.modules import Modules
from tests.support.playbooks import Playbooks, Run, tasks
from tests.support.postgres import Cluster, versions
from tests.support.recoverable import Recoverable
from tests.support.sandbox import CHECKOUT, Sandbox
from tests.support.snapshots import tree
from tests.support.waiting import wait_until

NOW = """SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
KOLKATA = {"TZ": "Asia/Kolkata"}
JSON = {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+05:30)")
ANSWER = re.compile(r"(?ms)^TASK \[(?P<task>[^\n]*)\] \*+$(?:(?!^TASK).)*?^ok: \[berlin\] => (?P<result>\{\n.*?^\})")


@dataclass
class Fleet:
    """The clusters by name, and what was noted of berlin while it was written to."""

    sandbox: Sandbox
    playbooks: Playbooks
    clusters: dict[str, Cluster]
    unreachable: dict[str, str]
    modules: Modules
    subjects: dict[str, Recoverable] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)

    def run(
        self, *names: str, playbook: str | Path = "recovery_windows", arguments: Sequence[str] = (), **options: Any
    ) -> Run:
        """Run a playbook over some of the clusters, or all."""
        chosen = names or tuple(self.clusters)
        hosts = {name: self.unreachable for name in chosen if name == "sydney"}
        inventory = self.playbooks.inventory(*(self.clusters[name] for name in chosen), hosts=hosts)
        return self.playbooks.run(playbook, inventory, *arguments, **options)

    def info(self, name: str, **target: Any) -> dict[str, Any]:
        """Return what the module says of a cluster."""
        return self.subjects[name].run("backup_info", **target)

    def picture(self) -> dict[str, Any]:
        """Return all that a report must leave as it is: the repositories, and who is running."""
        trees = {name: tree(cluster.home / "repository") for name, cluster in self.clusters.items()}
        return trees | {f"{name} pid": cluster.pid for name, cluster in self.clusters.items()}


@pytest.fixture(scope="module")
def fleet(sandbox: Sandbox, playbooks: Playbooks, modules: Modules) -> Iterator[Fleet]:
    """Provide the fleet, with all that has happened to it."""
    ssh = sandbox.controller / "no-route"
    ssh.write_text("#!/bin/sh\necho 'No route to host' >&2\nexit 255\n", encoding="utf-8")
    ssh.chmod(0o755)
    with ExitStack() as stack:
        alive = {
            "berlin": stack.enter_context(sandbox.cluster(versions()[0], "berlin")),
            "lagos": stack.enter_context(sandbox.cluster(versions()[-1], "lagos")),
        }
        dead = {name: Cluster(sandbox, versions()[-1], name) for name in ("oslo", "quito", "sydney")}
        unreachable = {"ansible_connection": "ssh", "ansible_ssh_executable": str(ssh)}
        created = Fleet(sandbox, playbooks, alive | dead, unreachable, modules)
        for name, cluster in alive.items():
            created.subjects[name] = Recoverable(sandbox, cluster, modules)
            created.subjects[name].enable()
        live_in_berlin(created)
        lose_a_segment(created.subjects["lagos"])
        damage(sandbox, dead["oslo"])
        stack.callback(dead["oslo"].remove)
        yield created


def live_in_berlin(fleet: Fleet) -> None:
    """Commit, restore to an earlier moment, and commit again: two timelines, of which the first is abandoned."""
    subject, targets = fleet.subjects["berlin"], fleet.targets
    cluster = subject.cluster
    cluster.sql("CREATE TABLE ledger (n int)")
    subject.run("base_backup", label="monday")
    cluster.sql("INSERT INTO ledger VALUES (1)")
    targets["target_time"] = cluster.value(NOW)
    [(xid,)] = cluster.sql("INSERT INTO ledger VALUES (2) RETURNING pg_current_xact_id()::text")
    targets["target_xid"] = xid
    targets["target"] = "immediate"
    before = cluster.value(NOW)
    cluster.sql("INSERT INTO ledger VALUES (3)")
    targets["abandoned"] = cluster.value(NOW)
    cluster.sql("INSERT INTO ledger VALUES (4)")
    subject.switch()
    subject.restore(target_time=before)
    cluster.sql("INSERT INTO ledger VALUES (5)")
    subject.switch()
    # While it runs, its window grows.
    cluster.stop()


def lose_a_segment(subject: Recoverable) -> None:
    """Write several segments after a backup, and remove one in the middle from the archive."""
    subject.run("base_backup", label="monday")
    names = []
    for _turn in range(3):
        subject.cluster.sql("SELECT pg_logical_emit_message(true, 'turn', 'something to archive')")
        names.append(subject.cluster.value("SELECT pg_walfile_name(pg_switch_wal())"))
    # A segment that is archived ahead and missing when PostgreSQL asks for it is archived once more.
    last = "SELECT coalesce(last_archived_wal >= %s, false) FROM pg_stat_archiver"
    wait_until(lambda: subject.cluster.value(last, (names[2],)), message=f"{names[2]} to be archived")
    for path in subject.wal.glob(f"*/{names[1]}*"):
        path.unlink()
    subject.cluster.stop()
    # The segment is in pg_wal, too.
    shutil.rmtree(subject.cluster.data_directory)


def damage(sandbox: Sandbox, cluster: Cluster) -> None:
    """Lay out something that looks like the cluster's part of a repository, and is none."""
    directory = sandbox.directory(cluster.home / "repository" / cluster.name)
    (directory / "cluster.json").write_text("{", encoding="utf-8")


def printed(run: Run) -> list[str]:
    """Return the lines of the report; other messages that a run prints as a block are failures of a host."""
    blocks = re.findall(r"(?m)^    msg: \|-\n((?: {8}.*\n|\n)+)", run.output)
    [block] = [block for block in blocks if block.lstrip().startswith("what can be restored, as of")]
    return textwrap.dedent(block).rstrip("\n").split("\n")


def below(lines: list[str], start: str, end: str = "") -> list[str]:
    """Return the lines after the one that begins so, up to one that does."""
    [begin] = [number for number, line in enumerate(lines) if line.startswith(start)]
    rest = lines[begin + 1 :]
    return rest[: rest.index(end) if end in rest else None]


def of(lines: list[str], host: str) -> str:
    """Return what a part of the report says of a host, on one line."""
    [begin] = [number for number, line in enumerate(lines) if line.split(" ")[0] == host]
    rest = lines[begin + 1 :]
    following = next((number for number, line in enumerate(rest) if not line.startswith(" ")), len(rest))
    return " ".join(" ".join([lines[begin].removeprefix(host), *rest[:following]]).split())


@pytest.fixture(scope="module")
def asked(fleet: Fleet) -> tuple[Run, dict[str, Any], dict[str, Any]]:
    """Ask the whole fleet about a moment of berlin's, far from UTC; return pictures of before and after, too."""
    before = fleet.picture()
    variables = {"target_time": fleet.targets["target_time"]}
    run = fleet.run(variables=variables, environment=KOLKATA)
    return run, before, fleet.picture()


def test_nothing_is_changed(asked: tuple[Run, dict[str, Any], dict[str, Any]]) -> None:
    run, before, after = asked
    assert run.changed_tasks == []
    assert after == before


def test_a_repository_says_enough_without_a_cluster(fleet: Fleet) -> None:
    cluster = fleet.clusters["berlin"]
    alone = {"postgres_cluster_data_directory": "", "postgres_cluster_compressors": ["lz4", "zstd"]}
    inventory = fleet.playbooks.inventory(cluster, hosts={"berlin": alone})
    run = fleet.playbooks.run("recovery_windows", inventory)
    assert "Install what is missing" not in run.output
    assert run.changed_tasks == []
    [window] = [line for line in printed(run) if line.startswith("berlin ")][:1]
    assert re.search(rf"^berlin +\d +{MOMENT.pattern}", window), "its windows are there"


def test_what_fails_on_a_host_does_not_fail_the_report(asked: tuple[Run, Any, Any]) -> None:
    counts = asked[0].recap
    assert counts.keys() == {"berlin", "lagos", "oslo", "quito", "sydney"}
    assert not [host for host, count in counts.items() if count["failed"] or count["unreachable"]]


def test_there_is_one_report_and_it_names_every_host(fleet: Fleet, asked: tuple[Run, Any, Any]) -> None:
    lines = printed(asked[0])
    table = below(lines, "host")
    assert of(table, "oslo").startswith("failed: ")
    assert of(table, "quito") == f"no repository for cluster quito in {fleet.clusters['quito'].home}/repository"
    assert of(table, "sydney").startswith("unreachable: ")
    assert "No route to host" in of(table, "sydney")
    assert lines[-1] == "5 hosts, 2 with a recovery window; not read: oslo, quito, sydney"
    assert asked[0].output.count("what can be restored, as of") == 1


@pytest.mark.parametrize("name", ["berlin", "lagos"])
def test_the_windows_are_those_of_the_module(fleet: Fleet, asked: tuple[Run, Any, Any], name: str) -> None:
    windows = fleet.info(name)["windows"]
    written = [parse_time(word) for word in MOMENT.findall(of(below(printed(asked[0]), "host"), name))]
    rows = [written[number : number + 4] for number in range(0, len(written), 4)]
    for window, (since, until, *local) in zip(windows, rows, strict=True):
        assert [since, until] == local
        begin, end = parse_time(window["since"]), parse_time(window["until"])
        assert begin <= since <= until <= end
        assert since - begin < timedelta(seconds=1) > end - until


def test_the_written_times_of_a_window_can_be_asked_for(fleet: Fleet, asked: tuple[Run, Any, Any]) -> None:
    written = MOMENT.findall(of(below(printed(asked[0]), "host"), "berlin"))
    for number, window in enumerate(fleet.info("berlin")["windows"]):
        for moment in written[4 * number : 4 * number + 4]:
            answer = fleet.info("berlin", target_time=moment, target_timeline=str(window["timeline"]))
            assert answer["reachable"], answer["reason"]


def test_both_timelines_have_a_window_that_says_why_it_ends(fleet: Fleet, asked: tuple[Run, Any, Any]) -> None:
    windows = fleet.info("berlin")["windows"]
    assert {window["timeline"] for window in windows} == {1, 2}
    said = of(below(printed(asked[0]), "host"), "berlin")
    for window in windows:
        assert f" {window['timeline']} {window['since'][:10]}T" in f" {said}", "the line in UTC comes first"
        assert window["ends"] in said


def test_a_gap_is_a_defect(fleet: Fleet, asked: tuple[Run, Any, Any]) -> None:
    defects = below(printed(asked[0]), "defects")
    [gap] = [defect for defect in fleet.info("lagos")["defects"] if defect["kind"] == "gap"]
    assert gap["subject"] in of(defects, "lagos")
    assert not [line for line in defects if line.startswith("berlin")]


def test_the_question_is_answered_for_every_host(fleet: Fleet, asked: tuple[Run, Any, Any]) -> None:
    moment = fleet.targets["target_time"]
    answers = below(printed(asked[0]), f"can {moment} (")
    info = fleet.info("berlin", target_time=moment)
    assert info["reachable"]
    assert of(answers, "berlin").startswith(f"yes from backup monday, replaying {info['segments']} segment")
    refused = fleet.info("lagos", target_time=moment)
    assert of(answers, "lagos") == f"no {' '.join(refused['reason'].split())}"
    for host in ("oslo", "quito", "sydney"):
        assert of(answers, host) == "? not known: its repository was not read, see above"


@pytest.mark.parametrize("kind", ["target_xid", "target"])
def test_other_kinds_of_targets_are_answered(fleet: Fleet, kind: str) -> None:
    # As on a command line, where a number is a text.
    run = fleet.run("berlin", variables={kind: fleet.targets[kind]})
    assert of(below(printed(run), "can "), "berlin").startswith("yes from backup monday, ")


def test_how_the_target_is_meant_reaches_the_module(fleet: Fleet) -> None:
    abandoned = {"target_time": fleet.targets["abandoned"]}
    there = fleet.run("berlin", variables=abandoned | {"target_timeline": 1, "target_inclusive": False})
    assert "on the way to timeline 1" in of(below(printed(there), "can "), "berlin")
    here = of(below(printed(fleet.run("berlin", variables=abandoned)), "can "), "berlin")
    assert "on the way to timeline 2" in here
    assert "warning: " in here
    assert "target_timeline=1" in here
    refused = fleet.run("berlin", variables=abandoned | {"backup_label": "tuesday"})
    answer = of(below(printed(refused), "can "), "berlin")
    assert answer.startswith("no ")
    assert "tuesday" in answer


REFUSED = {
    "is a date without a time": {"target_time": "2026-09-15"},
    "2 recovery targets are given": {"target_time": "2026-09-15T14:30:00Z", "target_xid": "7310"},
}


@pytest.mark.parametrize(("reason", "variables"), REFUSED.items())
def test_what_is_no_target_is_refused_before_any_host_is_looked_at(
    fleet: Fleet, reason: str, variables: dict[str, str]
) -> None:
    run = fleet.run("quito", "sydney", variables=variables, expected=2)
    assert reason in " ".join(run.output.split())
    assert not [task for task in tasks(run.output, "ok") if "postgres_cluster" in task]


def test_there_is_a_report_even_when_nothing_was_read(fleet: Fleet) -> None:
    run = fleet.run("oslo", "sydney", variables={"target": "latest"})
    assert printed(run)[-1] == "2 hosts, 0 with a recovery window; not read: oslo, sydney"


def test_a_preview_is_the_report_and_as_json_every_line_is_a_line(fleet: Fleet) -> None:
    run = fleet.run("berlin", "sydney", arguments=["--check"], environment=JSON)
    [report] = [json.loads(text) for text in re.findall(r"(?ms)^ok: \[berlin\] => (\{\n.*?^\})", run.output)]
    assert report["msg"][0].startswith("what can be restored, as of ")
    assert report["msg"][-1] == "2 hosts, 1 with a recovery window; not read: sydney"


def test_the_commands_of_the_documentation_work(fleet: Fleet) -> None:
    typed = commands("windows-and-timelines.md", {"2026-09-17T14:45:00Z": fleet.targets["abandoned"]})
    assert len(typed) > 2
    for _program, playbook, *arguments in typed:
        run = fleet.run("berlin", playbook=Path(playbook), arguments=arguments)
        assert printed(run)[-1] == "1 host, 1 with a recovery window"


def test_the_documented_questions_are_answered(fleet: Fleet) -> None:
    output = fleet.run("berlin", "lagos", playbook=written_down(fleet, "backup_query"), environment=JSON).output
    answers = {match["task"]: json.loads(match["result"])["msg"] for match in ANSWER.finditer(output)}
    assert answers["The newest verified backup of each host"] == [
        {"host": "berlin", "backup": "monday"},
        {"host": "lagos", "backup": "monday"},
    ]
    assert answers["Hosts whose window is shorter than a week"] == ["berlin", "lagos"]
    assert answers["Backups that cannot be used, and why"] == []
    [defects] = answers["Hosts with defects"]
    assert defects["host"] == "lagos"
    assert answers["Hosts without a backup since yesterday"] == []


def test_the_documented_report_is_written_to_a_file(fleet: Fleet) -> None:
    playbook = written_down(fleet, "recovery_report")
    report = playbook.with_suffix(".txt")
    fleet.run("berlin", "oslo", "sydney", playbook=playbook, arguments=["-e", f"report={shlex.quote(str(report))}"])
    lines = report.read_text(encoding="utf-8").splitlines()
    assert lines[-1] == "3 hosts, 1 with a recovery window; not read: oslo, sydney"


def written_down(fleet: Fleet, name: str) -> Path:
    """Write the examples of a filter as a playbook for the fleet, and return its path."""
    page = yaml.safe_load((CHECKOUT / "plugins/filter" / f"{name}.yml").read_text(encoding="utf-8"))
    text = page["EXAMPLES"].replace("/srv/pgark", '"{{ backup_repository_path }}"')
    examples = yaml.safe_load(text.replace("become_user: postgres", 'become_user: "{{ postgres_cluster_owner }}"'))
    places = {name: f"{{{{ postgres_cluster_{name} }}}}" for name in ("data_directory", "bin_directory")}
    defaults = {"group/pgark.postgres.all": places}
    play = {"hosts": "postgres", "gather_facts": False, "module_defaults": defaults, "tasks": examples}
    path = fleet.sandbox.controller / f"{name}.yml"
    path.write_text(yaml.safe_dump([play], sort_keys=False), encoding="utf-8")
    return path
