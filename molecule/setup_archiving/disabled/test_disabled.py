# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archiving is switched off again: what stood before is back, and what was archived is still there."""

from tests.molecule.machines import Cluster, members
from tests.molecule.playbooks import recap


def test_the_server_does_not_archive_any_more(cluster: Cluster) -> None:
    assert cluster.sql("SHOW archive_mode") == ("on" if cluster.name == "host13" else "off")
    assert cluster.sql("SELECT name FROM pg_settings WHERE pending_restart") == ""


def test_no_more_is_left_of_the_settings_than_it_takes(cluster: Cluster) -> None:
    """On Debian 13, what somebody had set with ALTER SYSTEM is back."""
    left = cluster.sql("SELECT name || ' = ' || setting FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf'")
    assert left == ("archive_command = /bin/cp %p /var/lib/postgresql/%f.bak" if cluster.name == "host13" else "")


def test_the_repository_is_left_alone(cluster: Cluster) -> None:
    found = cluster.machine.lines("find", f"{cluster.repository}/{cluster.name}/wal", "-type", "f", "-name", "0000*")
    assert found


def test_the_server_takes_writes_and_starts_at_boot(cluster: Cluster) -> None:
    assert cluster.sql("SELECT pg_switch_wal() IS NOT NULL") == "t"
    assert cluster.machine.host.service(cluster.unit).is_enabled


def test_nothing_is_left_to_do() -> None:
    counts = recap("setup_archiving", "--extra-vars", "wal_archiving_state=disabled")
    assert len(counts) == len(members("postgres"))
    assert not [host for host, count in counts.items() if "changed=0" not in count]
