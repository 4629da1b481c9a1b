# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that systemd cannot start again is quoted itself, whoever asked systemd: root, or the login user by sudo."""

from collections.abc import Iterator

import pytest

from tests.molecule.machines import Cluster
from tests.molecule.playbooks import refuse


@pytest.fixture(params=["host12", "host13"])
def broken(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Have the configuration name a library that is not there, which a running server does not mind."""
    cluster = Cluster(request.param)
    file = f"/etc/postgresql/{cluster.version}/{cluster.label}/conf.d/broken.conf"
    cluster.machine.run("sh", "-c", f"echo \"shared_preload_libraries = 'no_such_library'\" > {file}")
    yield cluster
    cluster.machine.run("rm", file)
    cluster.machine.run("systemctl", "start", cluster.unit)


def test_the_servers_own_words_are_in_the_error(broken: Cluster) -> None:
    said = refuse("setup_archiving", broken.name)
    assert f"no server is running on {broken.data_directory}" in said
    assert 'could not access file "no_such_library"' in said
