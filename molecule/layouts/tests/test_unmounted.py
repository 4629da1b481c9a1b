# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository that is not mounted is not written to: neither by who sets up, nor by the archiving server."""

from collections.abc import Iterator

import pytest

from tests.molecule.machines import Cluster
from tests.molecule.playbooks import refuse
from tests.support.waiting import wait_until

VAULTED = Cluster("vaulted")
REPOSITORY = VAULTED.repository


@pytest.fixture
def unmounted() -> Iterator[None]:
    """Unmount the repository for the time of a test."""
    VAULTED.machine.run("umount", REPOSITORY)
    yield
    VAULTED.machine.run("mount", "--bind", "/mnt/vault", REPOSITORY)


def content(path: str) -> list[str]:
    return VAULTED.machine.run("find", path, "-mindepth", "1").splitlines()


@pytest.mark.usefixtures("unmounted")
def test_archiving_waits_for_the_mount_and_does_not_fill_its_place() -> None:
    failures = "SELECT failed_count FROM pg_stat_archiver"
    before = int(VAULTED.sql(failures))
    VAULTED.sql("SELECT pg_switch_wal()")
    wait_until(lambda: int(VAULTED.sql(failures)) > before, message="the archiver to fail")
    assert content(REPOSITORY) == []


@pytest.mark.usefixtures("unmounted")
@pytest.mark.parametrize("playbook", ["setup_archiving", "base_backup"])
def test_playbooks_refuse_it(playbook: str) -> None:
    said = refuse(playbook, "vaulted")
    assert REPOSITORY in said
    assert content(REPOSITORY) == []


def test_archiving_goes_on_when_it_is_back() -> None:
    # Only a segment that is new wakes the archiver before its minute is over, and an empty one is not switched.
    VAULTED.sql("SELECT pg_logical_emit_message(true, 'test', 'to be archived')")
    segment = VAULTED.sql("SELECT pg_walfile_name(pg_switch_wal())")
    arrived = f"SELECT last_archived_wal >= '{segment}' FROM pg_stat_archiver"
    wait_until(lambda: VAULTED.sql(arrived) == "t", timeout=90, message=f"{segment} to be archived")


def test_a_directory_that_is_no_mount_is_refused_from_the_start() -> None:
    VAULTED.machine.run("install", "-d", "-o", "postgres", "-m", "0750", "/srv/unmounted")
    settings = VAULTED.sql("SELECT setting FROM pg_settings WHERE name = 'archive_command'")
    said = refuse("setup_archiving", "vaulted", "--extra-vars", "backup_repository_path=/srv/unmounted")
    assert "/srv/unmounted" in said
    assert content("/srv/unmounted") == []
    assert VAULTED.sql("SELECT setting FROM pg_settings WHERE name = 'archive_command'") == settings
