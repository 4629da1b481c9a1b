# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A preview of the set-up changed nothing. Run after the step check."""

from tests.molecule.machines import Cluster, Machine


def test_the_server_archives_as_before(cluster: Cluster) -> None:
    expected = "on|/bin/cp %p /var/lib/postgresql/%f.bak" if cluster.name == "host13" else "off|(disabled)"
    assert cluster.sql("SELECT current_setting('archive_mode'), current_setting('archive_command')") == expected
    assert cluster.sql("SELECT name FROM pg_settings WHERE pending_restart") == ""


def test_nothing_is_in_the_repository(cluster: Cluster) -> None:
    assert cluster.machine.lines("find", cluster.repository, "-mindepth", "1") == []


def test_the_program_is_not_there(machine: Machine) -> None:
    assert not machine.host.file("/var/lib/postgresql/pgark/pgark-wal").exists


def test_nothing_was_installed(machine: Machine) -> None:
    installed = [name for name in ("zstd", "python3-psycopg") if machine.host.package(name).is_installed]
    assert installed == (["zstd", "python3-psycopg"] if machine.name == "host12" else [])
