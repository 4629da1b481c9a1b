# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another user of the host sees nothing of the data, wherever it went."""

import pytest

from tests.molecule.machines import Cluster, Machine, variables

VISITOR = "visitor"
# Everything that changed since the host was booted, on all its file systems but the kernel's own.
PLACES = ("/", "/run", "/tmp", "/var/tmp", "/dev/shm")
CHANGED = ("-xdev", "-type", "f", "-cnewer", "/etc/hostname")


def files_with(marker: str, machine: Machine, user: str) -> list[str]:
    """Return the files that a user can find a text in."""
    search = ("grep", "-l", "-s", "-a", "-F", marker, "{}", "+")
    return machine.lines("find", *PLACES, *CHANGED, "-exec", *search, user=user)


def test_a_row_can_be_found_by_root(machine: Machine) -> None:
    """The search finds what there is to find: without this, the next one would prove nothing."""
    found = files_with(variables(machine.name)["machine_marker"], machine, "root")
    assert any(path.startswith("/var/lib/postgresql/") for path in found)


def test_no_row_can_be_found_by_another_user(machine: Machine) -> None:
    assert files_with(variables(machine.name)["machine_marker"], machine, VISITOR) == []


def test_another_user_cannot_look_into_what_is_kept(cluster: Cluster) -> None:
    kept = [cluster.repository, "/var/lib/postgresql/pgark", cluster.data_directory, *cluster.previous_directories()]
    assert not [path for path in kept if cluster.machine.succeeds("ls", path, user=VISITOR)]
    assert not [path for path in kept if cluster.machine.succeeds("test", "-w", path, user=VISITOR)]


@pytest.mark.parametrize("command", ["journalctl --no-pager", "ps -eo args"])
def test_another_user_reads_nothing_of_it_in_passing(machine: Machine, command: str) -> None:
    marker = variables(machine.name)["machine_marker"]
    assert not [line for line in machine.lines(*command.split(), user=VISITOR) if marker in line]


def test_modules_left_no_files_behind(machine: Machine) -> None:
    """Modules go through the connection; nothing that they were told lies on the host, not even for a moment."""
    assert not machine.host.file("/home/deploy/.ansible").exists
    assert machine.lines("find", "/tmp", "/var/tmp", "-user", "postgres", "-o", "-user", "deploy") == []
