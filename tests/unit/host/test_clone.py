# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a clone's tablespaces can go, which configuration it has, and what PostgreSQL makes of that."""

import os
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._core.data_directory import DataDirectory, Place
from ansible_collections.pgark.postgres.plugins.module_utils._core.plan_clone import CheckConfiguration
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._host import clone
from ansible_collections.pgark.postgres.plugins.module_utils._host.runner import Result
from tests.unit.host.fakes import FakeRunner


def test_a_path_that_is_named_is_taken_itself_or_gone_into(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    paths = {name: str(tmp_path / name) for name in ("there", "free", "dangling")}
    assert clone.tablespace_places(paths, paths) == {
        "there": Place(paths["there"], beside=False),
        "free": Place(paths["free"], beside=True, free=True),
        "dangling": Place(str(tmp_path / "nowhere"), beside=False),
    }
    # What nobody named is where it was, and gets a directory beside it.
    assert clone.tablespace_places(paths, ())["there"] == Place(paths["there"], beside=True)
    assert not clone.tablespace_places(paths, ())["free"].free


def test_places_where_nothing_can_be_made_are_named(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    paths = {
        "beside": f"{tmp_path}/there",
        "inside": f"{tmp_path}/there",
        "new": f"{tmp_path}/new",
        "nowhere": f"{tmp_path}/no/where",
        "file": f"{tmp_path}/there/a/b",
    }
    (tmp_path / "there" / "a").touch()
    found = clone.tablespace_places(paths, {"inside", "new", "nowhere"})
    assert sorted(clone.unusable(found)) == ["file", "nowhere"]


def test_the_configuration_is_outside_only_where_it_is_another_directory(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "link").symlink_to(data)
    directory = DataDirectory(str(data), str(data), "missing")
    assert clone.own_configuration(None, directory) is None
    assert clone.own_configuration(str(data), directory) is None
    assert clone.own_configuration(str(tmp_path / "link"), directory) is None
    assert clone.own_configuration("/etc/clone", directory) == "/etc/clone/postgresql.conf"


def test_a_configuration_beside_the_data_of_a_backup_is_seen(tmp_path: Path) -> None:
    assert not clone.has_copied_configuration(str(tmp_path))
    (tmp_path / "config" / "conf.d").mkdir(parents=True)
    (tmp_path / "config" / "pg_hba.conf").touch()
    assert not clone.has_copied_configuration(str(tmp_path))
    (tmp_path / "config" / "postgresql.conf").touch()
    assert clone.has_copied_configuration(str(tmp_path))


def check(tmp_path: Path, config_file: str | None = None) -> tuple[CheckConfiguration, list[str]]:
    staging, data = str(tmp_path / "data.restore"), str(tmp_path / "data")
    extra = [] if config_file is None else ["-c", f"config_file={config_file}"]
    return CheckConfiguration(staging, config_file, (staging, data)), [
        *("/bin/postgres", "-C", "data_directory", "-D", staging),
        *extra,
    ]


@pytest.mark.parametrize("config_file", [None, "/etc/clone/postgresql.conf"])
def test_postgresql_is_asked_where_it_would_work(config_file: str | None, tmp_path: Path) -> None:
    step, argv = check(tmp_path, config_file)
    os.symlink(tmp_path / "data", tmp_path / "link")
    for answer in ("data.restore", "data", "link"):
        clone.check_step(step, "/bin", FakeRunner((argv, Result(0, f"{tmp_path}/{answer}\n", ""))))
    with pytest.raises(Error, match="would work in /srv/source"):
        clone.check_step(step, "/bin", FakeRunner((argv, Result(0, "/srv/source\n", ""))))


def test_a_configuration_that_cannot_be_read_is_quoted(tmp_path: Path) -> None:
    step, argv = check(tmp_path)
    words = 'could not open configuration directory "/etc/postgresql/17/main/conf.d"'
    with pytest.raises(Error, match=f"the clone's configuration cannot be read: .*{words}"):
        clone.check_step(step, "/bin", FakeRunner((argv, Result(1, "", words))))
