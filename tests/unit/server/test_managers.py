# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What manages a cluster is recognised by what is at work, and by what it left."""

import re
from collections.abc import Sequence

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._server.managers import (
    KINDS,
    Process,
    Signs,
    check_settings_unmanaged,
    check_unmanaged,
    is_program,
    manager_of,
)

POSTMASTER_OF_DEBIAN = "0::/system.slice/system-postgresql.slice/postgresql@17-main.service\n"
PATRONI = ("/usr/bin/python3", "/usr/bin/patroni", "/etc/patroni/main.yml")


@pytest.mark.parametrize(
    ("words", "program", "expected"),
    [
        (PATRONI, "patroni", True),
        (("/usr/bin/python3.11", "-m", "patroni", "/etc/x.yml"), "patroni", True),
        (("/opt/patroni/bin/patroni", "x.yml"), "patroni", True),
        (("/usr/bin/python3", "/usr/bin/patronictl", "list"), "patroni", False),
        (("vi", "/etc/patroni"), "patroni", False),
        (("/usr/bin/pg_autoctl", "run"), "pg_autoctl", True),
        (("/controller/manager", "instance", "run"), "manager instance", True),
        (("/controller/manager", "controller"), "manager instance", False),
        ((), "patroni", False),
    ],
)
def test_a_program_is_known_by_its_command_line(words: Sequence[str], program: str, expected: bool) -> None:
    assert is_program(words, program) == expected


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        (Signs(), None),
        (Signs(control_group=POSTMASTER_OF_DEBIAN, processes=[Process(7, ("repmgrd", "-d"))]), None),
        (Signs(ancestors=[Process(1, PATRONI)]), ("Patroni", "process 1, python3", True)),
        (Signs(processes=[Process(8, PATRONI, names_directory=True)]), ("Patroni", "process 8, python3", True)),
        (Signs(processes=[Process(8, PATRONI)]), None),  # another cluster's
        (
            Signs(control_group="0::/system.slice/patroni@main.service\n"),
            ("Patroni", "the unit patroni, to which the server's process belongs", True),
        ),
        (
            Signs(control_group="0::/system.slice/pacemaker.service\n"),
            ("Pacemaker", "the unit pacemaker, to which the server's process belongs", True),
        ),
        (Signs(ancestors=[Process(5, ("pg_autoctl", "run"))]), ("pg_auto_failover", "process 5, pg_autoctl", True)),
        (
            Signs(ancestors=[Process(1, ("/controller/manager", "instance"))]),
            ("CloudNativePG", "process 1, manager", True),
        ),
        (Signs(files={"patroni.dynamic.json": "{}"}), ("Patroni", "patroni.dynamic.json in the data directory", False)),
        (
            Signs(files={"postgresql.conf": "# It will be overwritten by Patroni!\n"}),
            ("Patroni", "postgresql.conf in the data directory", False),
        ),
        (
            Signs(files={"postgresql.conf": "include '/var/lib/pgsql/tmp/rep_mode.conf' # added by pgsql RA\n"}),
            ("Pacemaker", "postgresql.conf in the data directory", False),
        ),
        (Signs(files={"postgresql.conf": "port = 5432\n", "custom.conf": "work_mem = '4MB'\n"}), None),
        (Signs(files={"../keeperstate": ""}), ("Stolon", "../keeperstate in the data directory", False)),
        (
            Signs(files={"custom.conf": "cnpg.config_sha256 = 'x'"}),
            ("CloudNativePG", "custom.conf in the data directory", False),
        ),
    ],
)
def test_a_manager_is_recognised(signs: Signs, expected: tuple[str, str, bool] | None) -> None:
    found = manager_of(signs)
    assert (None if found is None else (found.kind.name, found.sign, found.at_work)) == expected


def test_what_is_at_work_is_refused_whatever_a_person_says() -> None:
    signs = Signs(ancestors=[Process(1, PATRONI)])
    for stopped in (False, True):
        with pytest.raises(Error, match="managed by Patroni") as failure:
            check_unmanaged(signs, "replaced", stopped)
        assert "Nothing was touched\nHINT: by hand: stop Patroni on all hosts" in str(failure.value)
        assert "manager_stopped" not in str(failure.value)


def test_what_it_left_is_refused_until_a_person_says_that_it_is_stopped() -> None:
    signs = Signs(files={"patroni.dynamic.json": "{}"})
    with pytest.raises(Error, match="give manager_stopped: true"):
        check_unmanaged(signs, "replaced", stopped=False)
    check_unmanaged(signs, "replaced", stopped=True)
    check_unmanaged(Signs(), "replaced", stopped=False)


def test_settings_are_left_to_what_is_at_work() -> None:
    check_settings_unmanaged(Signs(files={"patroni.dynamic.json": "{}"}), {"archive_mode": "on"})
    expected = re.compile(
        r"archive_mode = 'on'\nNo setting was changed\nHINT: set them by hand with patronictl edit-config"
    )
    with pytest.raises(Error, match=expected):
        check_settings_unmanaged(Signs(ancestors=[Process(1, PATRONI)]), {"archive_mode": "on"})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.name))
def test_every_manager_says_what_to_do_by_hand(kind: object) -> None:
    assert all(getattr(kind, name) for name in ("name", "programs", "settings", "stop"))
