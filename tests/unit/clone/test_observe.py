# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a clone's tablespaces can go, which configuration it has, and what PostgreSQL makes of that."""

import os
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._clone import observe as clone
from ansible_collections.pgark.postgres.plugins.module_utils._cluster import observe as cluster
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import DataDirectory, Place
from ansible_collections.pgark.postgres.plugins.module_utils._configuration import check as configuration_check
from ansible_collections.pgark.postgres.plugins.module_utils._configuration.own_places import NAMES_OF_PLACES
from ansible_collections.pgark.postgres.plugins.module_utils._configuration.steps import CheckConfiguration
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._host.runner import Result
from tests.unit.fakes import FakeRunner


def test_a_path_that_is_named_is_gone_into(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    paths = {name: str(tmp_path / name) for name in ("there", "free", "dangling")}
    assert clone.tablespace_places(paths, paths) == {
        "there": Place(paths["there"], inside=paths["there"]),
        "free": Place(paths["free"], inside=paths["free"]),
        "dangling": Place(str(tmp_path / "nowhere"), inside=str(tmp_path / "nowhere")),
    }
    # What nobody named is where it was, and gets a directory beside it.
    assert clone.tablespace_places(paths, ())["there"] == Place(paths["there"])


def test_what_holds_a_tablespace_is_no_directory_to_go_into(tmp_path: Path) -> None:
    for name in ("other/notes", "ours/pgark-20261121T120000Z-1f2e3d4c", "theirs/PG_17_202406281"):
        (tmp_path / name).mkdir(parents=True)
    paths = {name: f"{tmp_path}/{name}" for name in ("other", "ours", "theirs", "missing")}
    assert clone.holding_data(clone.tablespace_places(paths, paths), paths) == ["theirs"]
    assert clone.holding_data(clone.tablespace_places(paths, paths), ()) == []


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
    assert cluster.own_configuration(None, directory) is None
    assert cluster.own_configuration(str(data), directory) is None
    assert cluster.own_configuration(str(tmp_path / "link"), directory) is None
    assert cluster.own_configuration("/etc/clone", directory) == "/etc/clone/postgresql.conf"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no server run here."""
    monkeypatch.setattr(configuration_check, "servers_running", dict)


def check(tmp_path: Path, config_file: str | None = None) -> tuple[CheckConfiguration, list[str]]:
    staging, data = str(tmp_path / "data.restore"), str(tmp_path / "data")
    extra = [] if config_file is None else ["-c", f"config_file={config_file}"]
    return CheckConfiguration(staging, config_file, (staging, data)), [
        *("/bin/postgres", "-C", "data_directory", "-D", staging),
        *extra,
    ]


def answering(tmp_path: Path, argv: list[str], first: Result, *others: tuple[list[str], Result]) -> FakeRunner:
    """Answer what is asked about the data directory, and that the rules of authentication are there."""
    rules = tmp_path / "pg_hba.conf"
    rules.touch()
    second = [word if word != "data_directory" else "hba_file" for word in argv]
    return FakeRunner((argv, first), (second, Result(0, f"{rules}\n", "")), *others)


def test_a_configuration_without_rules_for_clients_is_refused(tmp_path: Path) -> None:
    step, argv = check(tmp_path)
    runner = answering(tmp_path, argv, Result(0, f"{tmp_path}/data\n", ""))
    (tmp_path / "pg_hba.conf").unlink()
    with pytest.raises(Error, match="which is not there, and without it no server starts"):
        configuration_check.check_step(step, "/bin", runner)


@pytest.mark.parametrize("config_file", [None, "/etc/clone/postgresql.conf"])
def test_postgresql_is_asked_where_it_would_work(config_file: str | None, tmp_path: Path) -> None:
    step, argv = check(tmp_path, config_file)
    os.symlink(tmp_path / "data", tmp_path / "link")
    for answer in ("data.restore", "data", "link"):
        configuration_check.check_step(step, "/bin", answering(tmp_path, argv, Result(0, f"{tmp_path}/{answer}\n", "")))
    with pytest.raises(Error, match="would work in /srv/source"):
        configuration_check.check_step(step, "/bin", FakeRunner((argv, Result(0, "/srv/source\n", ""))))


def test_a_configuration_that_cannot_be_read_is_quoted(tmp_path: Path) -> None:
    step, argv = check(tmp_path)
    words = 'could not open configuration directory "/etc/postgresql/17/main/conf.d"'
    with pytest.raises(Error, match=f"the configuration in .* cannot be read: .*{words}"):
        configuration_check.check_step(step, "/bin", FakeRunner((argv, Result(1, "", words))))


def test_a_clone_that_would_write_where_a_running_server_does_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, argv = check(tmp_path)
    monkeypatch.setattr(
        configuration_check, "servers_running", lambda: {"/srv/source": ["/bin/postgres", "-D", "/srv/source"]}
    )
    answers = {"external_pid_file": "/run/source.pid", "port": "5432"}
    own = [([*argv[:2], name, *argv[3:]], Result(0, f"{answers.get(name, '')}\n", "")) for name in NAMES_OF_PLACES]
    theirs = [
        (["/bin/postgres", "-D", "/srv/source", "-C", name], Result(0, f"{answers.get(name, '')}\n", ""))
        for name in NAMES_OF_PLACES
    ]
    runner = answering(tmp_path, argv, Result(0, f"{tmp_path}/data\n", ""), *own, *theirs)
    with pytest.raises(
        Error, match=r"would write where that of /srv/source does: external_pid_file = '/run/source.pid'"
    ):
        configuration_check.check_step(step, "/bin", runner)
