# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a configuration file includes is found as the server finds it."""

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._configuration.includes import (
    Include,
    authentication_includes,
    settings_includes,
)


@pytest.mark.parametrize(
    ("line", "path", "directory"),
    [
        ("include 'a.conf'", "/etc/main/a.conf", False),
        ("  INCLUDE = '../shared/a.conf'  # why", "/etc/main/../shared/a.conf", False),
        ("include_if_exists='/srv/x'", "/srv/x", False),
        ("include_dir 'conf.d'", "/etc/main/conf.d", True),
        ("include_dir conf.d", "/etc/main/conf.d", True),
        (r"include 'it''s \\ there'", "/etc/main/it's \\ there", False),
    ],
)
def test_each_form_of_an_include_of_settings_is_found(line: str, path: str, directory: bool) -> None:
    assert settings_includes(f"work_mem = 4MB\n{line}\n", "/etc/main") == [Include(path, directory)]


@pytest.mark.parametrize(
    "line",
    ["#include 'a'", "included = 'a'", "cluster_name = 'include x'", "my.include = 'a'", "include", "include_dir #"],
)
def test_what_is_no_include_of_settings_is_none(line: str) -> None:
    assert settings_includes(line, "/etc/main") == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("include hba.local", [Include("/etc/main/hba.local")]),
        ('include_if_exists "/srv/my rules"', [Include("/srv/my rules")]),
        ("include_dir hba.d # all of them", [Include("/etc/main/hba.d", directory=True)]),
        (
            "host @names,bob \\\n  @users 0.0.0.0/0 scram-sha-256",
            [Include("/etc/main/names"), Include("/etc/main/users")],
        ),
        ('local "@quoted" all peer', []),
        ("local all all peer # include x @y", []),
        ('local "a # b" @x peer', [Include("/etc/main/x")]),
        ("", []),
    ],
)
def test_each_form_of_an_include_of_rules_is_found(line: str, found: list[Include]) -> None:
    assert authentication_includes(f"# rules\n{line}\nlocal all all trust\n", "/etc/main") == found
