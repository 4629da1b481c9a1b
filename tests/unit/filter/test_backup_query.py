# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about backups, and the examples of the documentation, run by a real ansible-playbook."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.pgark.postgres.plugins.filter import backup_query as plugin
from ansible_collections.pgark.postgres.plugins.filter.backup_query import backup_query
from tests.gates.setup import ROOT
from tests.support import controller
from tests.unit.filter.results import FLEET, GAP, backup, found

TASKS = yaml.safe_load(yaml.safe_load((ROOT / "plugins/filter/backup_query.yml").read_text())["EXAMPLES"])
SAID = re.compile(r"(?ms)^TASK \[(?P<task>[^\n]*)\] \*+\nok: \[berlin\] => (?P<result>\{.*?^\})")

ANSWERS = {
    "The newest verified backup of each host": [
        {"host": "berlin", "backup": "tuesday"},
        {"host": "lagos", "backup": "monday"},
        {"host": "quito", "backup": None},
        {"host": "sydney", "backup": None},
    ],
    "Hosts whose window is shorter than a week": ["lagos", "quito", "sydney"],
    "Backups that cannot be used, and why": [
        {"host": "lagos", "backups": [{"label": "newer", "problem": "its parent 'sunday' is missing"}]}
    ],
    "Hosts with defects": [{"host": "lagos", "defects": [GAP["text"]]}],
    "Hosts without a backup since yesterday": ["lagos", "quito", "sydney"],
    "What the backups of this host take": "2.00 GB",
}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the documented examples over a made-up fleet; return what each task printed on the first host."""
    directory = tmp_path_factory.mktemp("examples")
    fleet = FLEET | {"berlin": found(*FLEET["berlin"]["windows"])}
    fleet["berlin"]["backups"] = [backup("monday", "2026-09-14T01:15:01Z"), backup("tuesday", "2126-09-15T01:15:01Z")]
    hosts = {name: {"found": result} for name, result in fleet.items()}
    inventory = {"all": {"hosts": hosts, "vars": {"ansible_connection": "local"}}}
    play = {"hosts": "all", "gather_facts": False, "tasks": [{"block": TASKS[1:-1], "run_once": True}]}
    (directory / "inventory.yml").write_text(json.dumps(inventory))
    (directory / "play.yml").write_text(json.dumps([play]))
    return printed(directory)


def printed(directory: Path) -> dict[str, Any]:
    settings = {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOME": str(directory)}
    environment = os.environ | settings | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    command = [controller.ansible_playbook(), "-i", directory / "inventory.yml", directory / "play.yml"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return {match["task"]: json.loads(match["result"])["msg"] for match in SAID.finditer(done.stdout)}


@pytest.mark.parametrize("task", ANSWERS)
def test_documented_example_answers(examples: dict[str, Any], task: str) -> None:
    assert examples[task] == ANSWERS[task]


def test_every_documented_question_is_tested() -> None:
    asked = {task["name"] for task in TASKS if "ansible.builtin.debug" in task}
    assert asked == ANSWERS.keys()


def test_documented_check_fails_without_a_usable_backup() -> None:
    [condition] = re.findall(r"backup_query\('(.*)'\) > 0", TASKS[-1]["ansible.builtin.assert"]["that"])
    assert backup_query(FLEET["lagos"], condition) == 1
    assert backup_query(found(), condition) == 0


def test_one_result_is_asked_itself() -> None:
    assert backup_query(FLEET["berlin"], "backups[].label") == ["monday", "tuesday"]


def test_a_fleet_is_a_list_with_the_names_of_its_hosts() -> None:
    assert backup_query(FLEET, "[].host") == list(FLEET)
    assert backup_query(FLEET, "[?unreachable].msg") == [FLEET["sydney"]["msg"]]


def test_an_empty_fleet_is_an_empty_list() -> None:
    assert backup_query({}, "[].host") == []


class Text(str):
    """A string of a kind of its own, as Ansible's are."""


class Number(int):
    """A whole number of a kind of its own."""


class Fraction(float):
    """A number of a kind of its own."""


class Items(list[Any]):
    """A list of a kind of its own."""


def test_functions_take_values_of_ansible() -> None:
    values = Items([{Text("label"): Text("b"), "n": Number(2)}, {Text("label"): Text("a"), "n": Fraction(0.5)}])
    one = found() | {"backups": values}
    assert backup_query(one, "join(', ', sort(backups[].label))") == "a, b"
    assert backup_query(one, "sum(backups[].n)") == 2.5
    plain = [backup_query(one, "backups[0].label"), backup_query(one, "backups[0].n")]
    assert [type(value) for value in plain] == [str, int]
    assert backup_query(found(usable=True), "usable") is True


@pytest.mark.parametrize(
    ("data", "expression", "complaint"),
    [
        (FLEET, "[?", "backup_query cannot evaluate '[?': "),
        (FLEET["berlin"], "max(backups)", "backup_query cannot evaluate 'max(backups)': .*invalid type"),
        (FLEET["berlin"], "no_such(@)", "backup_query cannot evaluate 'no_such(@)': Unknown function"),
        (FLEET["berlin"], "", "backup_query cannot evaluate '': "),
        ("text", "@", "backup_query got str, expected what backup_info returned"),
        ([FLEET], "@", "backup_query got list, expected what backup_info returned"),
        ({"db1": "text"}, "@", "backup_query got a dictionary without backups, expected what backup_info returned"),
        ({"failed": True, "msg": "no repository"}, "@", "backup_query got a dictionary without backups"),
    ],
)
def test_nonsense_is_refused(data: Any, expression: str, complaint: str) -> None:
    with pytest.raises(AnsibleFilterError, match=re.escape(complaint).replace(r"\.\*", "(?s:.*)")):
        backup_query(data, expression)


def test_a_controller_without_jmespath_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "jmespath", None)
    with pytest.raises(AnsibleFilterError, match="needs the Python package jmespath on the controller"):
        backup_query(FLEET, "@")


def test_the_filter_is_found_by_its_name() -> None:
    assert plugin.FilterModule().filters() == {"backup_query": backup_query}
