# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No two servers write to one place."""

from __future__ import annotations

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._configuration.own_places import (
    check_not_shared,
    places_of_its_own,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error

SOURCE = {
    "log_directory": "/var/log/pg",
    "log_filename": "postgresql-%a.log",
    "logging_collector": "on",
    "external_pid_file": "/run/source.pid",
    "stats_temp_directory": "/run/stats",
    "unix_socket_directories": '/run/pg, "/tmp/"',
    "port": "5432",
}
APART = {
    **SOURCE,
    "log_directory": "log",
    "external_pid_file": "",
    "stats_temp_directory": "pg_stat_tmp",
    "port": "5433",
}


def test_a_server_may_be_like_another_one_but_for_its_places() -> None:
    check_not_shared(APART, {"/srv/source": SOURCE}, "/srv/clone")
    check_not_shared({**APART, **places_of_its_own(14)}, {"/srv/source": SOURCE}, "/srv/clone")


@pytest.mark.parametrize(
    "settings",
    [
        {"log_directory": "/var/log/pg/"},
        {"external_pid_file": "/run/source.pid"},
        {"stats_temp_directory": "/run/stats"},
        {"port": "5432", "unix_socket_directories": "/tmp"},
    ],
)
def test_a_place_of_another_one_is_refused(settings: dict[str, str]) -> None:
    with pytest.raises(Error, match="a server of /srv/clone would write where that of /srv/source does: ") as failure:
        check_not_shared(
            {**APART, **settings}, {"/srv/other": APART | {"port": "1"}, "/srv/source": SOURCE}, "/srv/clone"
        )
    assert all(f"{name} = '{value}'" in str(failure.value) for name, value in settings.items())


@pytest.mark.parametrize(
    "settings",
    [
        {"log_directory": "/var/log/pg", "log_filename": "clone-%a.log"},
        {"log_directory": "/var/log/pg", "logging_collector": "off"},
        {"unix_socket_directories": "/tmp"},  # with another port, the socket has another name
        {"port": "5432", "unix_socket_directories": "/run/clone"},
    ],
)
def test_one_directory_for_files_of_different_names_is_fine(settings: dict[str, str]) -> None:
    check_not_shared({**APART, **settings}, {"/srv/source": SOURCE}, "/srv/clone")
