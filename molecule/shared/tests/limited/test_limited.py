# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where sudo's rules allow no more than the owner and service control, that is enough, and nothing else was tried."""

import pytest

from tests.molecule.machines import Machine, members, variables
from tests.molecule.privileges import SERVICE_CONTROL, commands, modules_by_root

LIMITED = [name for name in members("machines") if variables(name)["machine_sudo"] == "limited"]


@pytest.mark.parametrize("name", LIMITED)
def test_root_controlled_the_service_and_that_was_all(name: str) -> None:
    asked = commands(Machine(name), "root")
    assert asked
    assert not [command for command in asked if not SERVICE_CONTROL.fullmatch(command)]
    assert modules_by_root(Machine(name)) == []


@pytest.mark.parametrize("name", LIMITED)
@pytest.mark.parametrize("command", ["id", "/bin/sh", "/usr/bin/systemctl stop ssh.service"])
def test_the_rules_are_as_narrow_as_they_say(name: str, command: str) -> None:
    """Another rule that came with the image would make the test above worthless."""
    assert not Machine(name).succeeds("sudo", "--non-interactive", "--list", *command.split(), user="deploy")
