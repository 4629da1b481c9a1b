# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that systemd cannot start again is quoted itself, whoever asked systemd: root, or the login user by sudo."""

from collections.abc import Iterator

import pytest

from tests.molecule.machines import Cluster
from tests.molecule.playbooks import refuse


@pytest.fixture(params=["host11", "host12"])
def broken(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Have the configuration name a file that is not there, which a running server does not mind, nor any check."""
    cluster = Cluster(request.param)
    file = f"/etc/postgresql/{cluster.version}/{cluster.label}/conf.d/broken.conf"
    cluster.machine.run("sh", "-c", f"echo \"hba_file = '/nowhere'\" > {file}")
    yield cluster
    cluster.machine.run("rm", file)
    cluster.machine.run("systemctl", "start", cluster.unit)


def test_the_servers_own_words_are_in_the_error(broken: Cluster) -> None:
    said = refuse("setup_archiving", broken.name)
    assert f"no server is running on {broken.data_directory}" in said
    assert '"/nowhere": No such file or directory' in said
