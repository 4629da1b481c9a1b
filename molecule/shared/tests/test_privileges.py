# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As root there was nothing but service control, and where the role may, packages and the repository's directory.

Ansible's modules say in the journal what they were asked to do; sudo says which commands it ran. The journal knows
whose session a message comes from, so what admin did before is told apart from what deploy did.
"""

import json
import re

import pytest

from tests.molecule.machines import Machine, members, variables

SERVICE = re.compile(r"name=postgresql@\d+-\w+ state=(started|stopped|restarted) daemon_reload=False ")
PACKAGES = re.compile(r"name=\['[\w', -]+'\] ")
COMMAND = re.compile(r"(/usr)?/bin/systemctl (start|stop|restart) postgresql@\d+-\w+")
LIMITED = [name for name in members("machines") if variables(name)["machine_sudo"] == "limited"]


def modules_by_root(machine: Machine) -> list[tuple[str, str]]:
    """Return names and arguments of the modules that root ran for deploy."""
    deploy = machine.run("id", "-u", "deploy")
    journal = machine.lines("journalctl", "--output=json", "--no-pager", "_UID=0", f"_SYSTEMD_OWNER_UID={deploy}")
    return [
        (entry["SYSLOG_IDENTIFIER"].removeprefix("ansible-"), entry["MESSAGE"])
        for entry in map(json.loads, journal)
        if entry.get("SYSLOG_IDENTIFIER", "").startswith("ansible-")
    ]


def commands(machine: Machine, user: str) -> list[str]:
    """Return the commands that sudo ran for deploy, by the user that they were run as."""
    entries = (
        re.search(r"USER=(\w+) ; COMMAND=(.*)", line) for line in machine.lines("cat", "/var/log/sudo-deploy.log")
    )
    return [entry[2] for entry in entries if entry and entry[1] == user]


def is_allowed(module: str, arguments: str, repositories: list[str]) -> bool:
    name = module.rpartition(".")[2]
    if name in ("systemd", "systemd_service"):
        return bool(SERVICE.search(arguments))
    if name == "apt":
        return bool(PACKAGES.search(arguments))
    return (
        name == "file" and "state=directory" in arguments and any(f"path={path} " in arguments for path in repositories)
    )


def test_modules_run_by_root_did_what_needs_root(machine: Machine) -> None:
    repositories = variables(machine.name)["machine_repositories"]
    assert not [ran for ran in modules_by_root(machine) if not is_allowed(*ran, repositories)]


def test_the_journal_tells_of_every_time_that_root_was_asked_for(machine: Machine) -> None:
    """As many modules are in the journal as sudo let in: none went unseen."""
    shells = [command for command in commands(machine, "root") if not COMMAND.fullmatch(command)]
    assert all(
        re.fullmatch(r"/bin/sh -c '?echo BECOME-SUCCESS-\w+ ; /usr/bin/python3[.\d]*'?", shell) for shell in shells
    )
    assert len(modules_by_root(machine)) >= len(shells)


def test_the_owner_did_the_rest(machine: Machine) -> None:
    assert len(commands(machine, "postgres")) > len(commands(machine, "root"))


@pytest.mark.parametrize("name", LIMITED)
def test_limited_rules_are_enough(name: str) -> None:
    """Where root is for service control only, all that root did is in plain words in sudo's log."""
    ran = commands(Machine(name), "root")
    assert ran
    assert not [command for command in ran if not COMMAND.fullmatch(command)]
    assert modules_by_root(Machine(name)) == []
