# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person asks for is read by a real Ansible, the oldest, the newest and ours: no host is looked at for it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gates.environments import make_controller, oldest_and_newest
from tests.support import controller
from tests.support.playbooks import Playbooks, Run
from tests.support.sandbox import Sandbox

ASK = """
- name: Ask
  hosts: all
  gather_facts: false
  tasks:
    - name: Read what was asked for
      pgark.postgres.asked:
        playbook: pitr_restore
        by_playbook: true
      register: asked
    - name: Say it
      ansible.builtin.debug:
        msg: "ANSWER {{ inventory_hostname }} {{ asked.variables | to_json }} END"
"""
ANSWER = re.compile(r"ANSWER (\w+) (\{.*?\}) END", re.DOTALL)
# What an inventory must not do: take a safety off for every run, or choose what is restored.
HASTY = {
    "force": True,
    "fleet": True,
    "target": "latest",
    "pitr_fleet": True,
    "pitr_restore_fleet": True,
    "pitr_restore_force": True,
    "maintenance_begins": "DATE",
}


class Asking:
    """Asks with one release of Ansible."""

    def __init__(self, sandbox: Sandbox, release: str | None) -> None:
        self.place = sandbox.controller / f"asking {release}"
        self.place.mkdir()
        ansible = None if release is None else make_controller(release) / "bin/ansible-playbook"
        self._playbooks = Playbooks(sandbox, ansible, forked=True)
        self.playbook = self.write("ask.yml", ASK)

    def write(self, name: str, text: str) -> Path:
        """Write a file."""
        path = self.place / name
        path.write_text(text, encoding="utf-8")
        return path

    def ask(
        self,
        hosts: list[str],
        variables: Mapping[str, Any],
        *arguments: str,
        expected: int = 0,
        playbook: Path | None = None,
    ) -> Run:
        """Ask for all hosts; the variables are the inventory's."""
        group = {"hosts": {host: {} for host in hosts}, "vars": dict(variables)}
        text = yaml.safe_dump({"postgres": group}).replace("DATE", "2026-09-15")
        inventory = self.write("inventory.yml", text)
        return self._playbooks.run(playbook or self.playbook, inventory, *arguments, expected=expected)

    def encrypted(self, name: str, text: str) -> list[str]:
        """Write a file of variables that only a password opens; return the arguments that name both."""
        password, path = self.write("password", "sesame"), self.write(name, text)
        program = controller.ansible_playbook().with_name("ansible-vault")
        subprocess.run([program, "encrypt", "--vault-password-file", password, path], check=True, capture_output=True)
        return ["--vault-password-file", str(password), "-e", f"@{path}"]


def answers(run: Run) -> dict[str, dict[str, Any]]:
    """Return what each host was told, whose text Ansible breaks into lines and whose quotes it escapes or does not."""
    said = run.output.replace('\\"', '"')
    return {host: json.loads(" ".join(text.split())) for host, text in ANSWER.findall(said)}


@pytest.fixture(scope="session", params=[None, 0, -1], ids=["here", "oldest", "newest"])
def asking(sandbox: Sandbox, request: pytest.FixtureRequest) -> Asking:
    """Provide each release of Ansible in turn: ours, and those that sanity runs with."""
    return Asking(sandbox, None if request.param is None else oldest_and_newest()[request.param])


def test_answers_from_all_sides_are_read(asking: Asking) -> None:
    """From an encrypted file, where YAML makes a moment of a time; from the command line; blank ones from a survey."""
    blank = dict.fromkeys(["target", "target_xid", "target_inclusive", "target_timeline", "target_action", "force"], "")
    run = asking.ask(
        ["db1", "db2"],
        {"pitr_restore_action": "pause", "maintenance_begins": "DATE", "place": "berlin"},
        *asking.encrypted("answers.yml", "target_time: 2026-09-15T16:30:00+02:00\nbackup_label: 20261121\n"),
        *("-e", json.dumps(blank), "-e", "fleet=yes", "-e", "source_cluster={{ place }}-{{ inventory_hostname }}"),
    )
    found = answers(run)
    assert {host: told["source_cluster"] for host, told in found.items()} == {"db1": "berlin-db1", "db2": "berlin-db2"}
    told = found["db1"]
    assert told["target_time"] in ("2026-09-15T16:30:00+02:00", "2026-09-15T14:30:00+00:00")
    assert (told["target"], told["target_xid"], told["backup_label"]) == ("", "", "20261121")
    assert (told["target_inclusive"], told["target_timeline"]) == (True, "latest")
    assert (told["target_action"], told["force"], told["fleet"]) == ("pause", False, True)


def test_an_inventory_takes_no_safety_off_and_chooses_no_target(asking: Asking) -> None:
    run = asking.ask(["db1"], HASTY, "-e", "target_name=before")
    told = answers(run)["db1"]
    assert (told["force"], told["fleet"], told["target"], told["target_name"]) == (False, False, "", "before")
    assert "pitr_restore_force in the inventory does nothing" in said(run)
    refused = asking.ask(["db1", "db2"], HASTY, "-e", "target_name=before", expected=2)
    assert "this would restore 2 clusters: db1, db2. Nothing was touched." in said(refused)
    # The same for every host, so it is told once.
    assert "not begun, for the reason that is given for db1" in said(refused)


def test_a_play_hands_on_what_is_asked_for(asking: Asking) -> None:
    """With `import_playbook`, and its vars: they are for that run, and an inventory that says the same is not."""
    imported = "- ansible.builtin.import_playbook: ask.yml\n  vars: {fleet: true, target_name: before}\n"
    run = asking.ask(["db1", "db2"], {"force": True}, playbook=asking.write("import.yml", imported))
    assert [told["target_name"] for told in answers(run).values()] == ["before", "before"]
    assert [told["force"] for told in answers(run).values()] == [False, False]


def test_a_name_that_is_nearly_ours_is_refused(asking: Asking) -> None:
    run = asking.ask(["db1"], {}, "-e", "target_tme=2026-09-15T14:30:00Z", expected=2)
    assert "there is no extra variable target_tme HINT: the nearest is target_time" in said(run)


def said(run: Run) -> str:
    """Return what Ansible printed, without the line breaks that its YAML puts into long lines."""
    return " ".join(run.output.split())
