# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As root there was nothing but service control, and where the role may, packages and the repository's directory."""

import re

from tests.molecule.machines import Machine, variables
from tests.molecule.privileges import SERVICE_CONTROL, commands, modules_by_root

SERVICE = re.compile(r"name=postgresql@\d+-\w+ state=(started|stopped|restarted) daemon_reload=False ")
PACKAGES = re.compile(r"name=\['[\w', -]+'\] ")
SHELL = re.compile(r"/bin/sh -c '?echo BECOME-SUCCESS-\w+ ; /usr/bin/python3[.\d]*'?")


def is_allowed(module: str, arguments: str, repositories: list[str]) -> bool:
    if module in ("systemd", "systemd_service"):
        return bool(SERVICE.search(arguments))
    if module == "apt":
        return bool(PACKAGES.search(arguments))
    made = [path for path in repositories if f"path={path} " in arguments and "state=directory" in arguments]
    return module == "file" and bool(made)


def test_modules_run_by_root_did_what_needs_root(machine: Machine) -> None:
    repositories = variables(machine.name)["machine_repositories"]
    assert not [ran for ran in modules_by_root(machine) if not is_allowed(*ran, repositories)]


def test_the_journal_tells_of_every_time_that_root_was_asked_for(machine: Machine) -> None:
    """As many modules are in the journal as sudo let in: none went unseen."""
    shells = [command for command in commands(machine, "root") if not SERVICE_CONTROL.fullmatch(command)]
    assert not [shell for shell in shells if not SHELL.fullmatch(shell)]
    assert len(modules_by_root(machine)) >= len(shells)


def test_the_owner_did_the_rest(machine: Machine) -> None:
    assert len(commands(machine, "postgres")) > len(commands(machine, "root"))
