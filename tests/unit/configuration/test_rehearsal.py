# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A configuration that is still to be put back is laid out so that PostgreSQL can read it as it will be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._configuration.files import KeptFile
from ansible_collections.pgark.postgres.plugins.module_utils._configuration.observe import copy_files, gather
from ansible_collections.pgark.postgres.plugins.module_utils._configuration.rehearsal import laid_out
from ansible_collections.pgark.postgres.plugins.module_utils._configuration.steps import PutBack
from ansible_collections.pgark.postgres.plugins.module_utils._errors import CommandFailed, Error
from ansible_collections.pgark.postgres.plugins.module_utils._host.runner import CommandRunner, Result
from ansible_collections.pgark.postgres.plugins.module_utils._restore import apply_fitting as fitting
from ansible_collections.pgark.postgres.plugins.module_utils._restore.fitting import CheckStartable
from tests.unit.synthetic import fill

MAIN = """include 'conf.d/more.conf'
include_dir '{etc}/linked'
include_if_exists '{etc}/nothing'
include '{data}/inside.conf'
"""


@pytest.fixture
def put_back(tmp_path: Path) -> PutBack:
    """Provide a configuration that a backup keeps and the host has lost, but for one file that is another one there."""
    etc, data = tmp_path / "etc", tmp_path / "data"
    fill(data, {"inside.conf": "", "postgresql.auto.conf": "", "pg_hba.conf": ""})
    fill(
        etc,
        {"main.conf": MAIN.format(etc=etc, data=data), "conf.d/more.conf": "port = 1\n", "dir/x.conf": "port = 2\n"},
    )
    (etc / "linked").symlink_to(etc / "dir")
    (tmp_path / "backup").mkdir()
    kept = copy_files(gather([str(etc / "main.conf")], [], str(data)), str(tmp_path / "backup"))
    etc.rename(tmp_path / "lost")
    fill(etc, {"conf.d/more.conf": "port = 3\n"})
    chosen = tuple(file.path for file in kept if file.path != f"{etc}/conf.d/more.conf")
    return PutBack(str(tmp_path / "backup"), kept, chosen, f"{etc}/main.conf", str(data))


def test_every_include_leads_to_what_the_server_will_read(put_back: PutBack, tmp_path: Path) -> None:
    staging, etc = tmp_path / "data.restore", tmp_path / "etc"
    with laid_out(put_back, str(staging)) as root:
        below = Path(f"{root}{etc}")
        assert (below / "main.conf").read_text() == MAIN.format(etc=below, data=staging)
        assert (below / "linked" / "x.conf").read_text() == "port = 2\n"
        assert (below / "linked").readlink() == below / "dir"
        assert (below / "conf.d" / "more.conf").read_text() == "port = 3\n", "the host's own"
        assert Path(root).stat().st_mode & 0o077 == 0
    assert not Path(root).exists()
    assert not (etc / "main.conf").exists()


def test_nothing_is_written_through_a_link(put_back: PutBack, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    stored = next(file for file in put_back.files if file.path.endswith("x.conf"))
    way = KeptFile("/way", "link", "postgres", "postgres", "0777", target=str(elsewhere))
    hostile = (way, replace(stored, path="/way/x.conf"))
    with laid_out(replace(put_back, files=hostile, chosen=("/way", "/way/x.conf")), str(tmp_path)) as root:
        assert (Path(root) / "way" / "x.conf").is_file()
    assert not list(elsewhere.iterdir())


def test_relative_links_lead_to_what_is_laid_out(put_back: PutBack, tmp_path: Path) -> None:
    stored = next(file for file in put_back.files if file.path.endswith("x.conf"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    base = ("link", "postgres", "postgres", "0777")
    hostile = (
        KeptFile("/way", *base, target="../" * 40 + str(elsewhere)[1:]),
        KeptFile("/way/.bashrc", *base, target="/etc/passwd"),
        KeptFile("/near.conf", *base, target="./dir/../dir/x.conf"),
        replace(stored, path="/dir/x.conf"),
    )
    chosen = tuple(file.path for file in hostile)
    with laid_out(replace(put_back, files=hostile, chosen=chosen), str(tmp_path)) as root:
        assert (Path(root) / "near.conf").readlink() == Path(root) / "dir/x.conf"
        assert (Path(root) / "near.conf").read_text() == "port = 2\n"
    assert not list(elsewhere.iterdir())


def test_of_what_is_not_put_back_this_host_says_what_it_is(put_back: PutBack, tmp_path: Path) -> None:
    """A path at which there is something is not put back, so nobody has looked at what the backup says of it."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    fill(home, {".bashrc": "honest"})
    elsewhere.mkdir()
    base = ("link", "postgres", "postgres", "0777")
    hostile = (
        KeptFile(str(home), *base, target="../" * 40 + str(elsewhere)[1:]),
        KeptFile(f"{home}/.bashrc", *base, target="/etc/passwd"),
        KeptFile(f"{home}/nothing", *base, target="/etc/passwd"),
    )
    with laid_out(replace(put_back, files=hostile, chosen=()), str(tmp_path)) as root:
        below = Path(root + str(home))
        assert not below.is_symlink()
        assert [(path.name, path.is_symlink()) for path in below.iterdir()] == [(".bashrc", False)]
    assert not list(elsewhere.iterdir())


def test_what_lies_behind_a_file_is_refused(put_back: PutBack, tmp_path: Path) -> None:
    stored = next(file for file in put_back.files if file.path.endswith("x.conf"))
    both = replace(put_back, files=(replace(stored, path="/a"), replace(stored, path="/a/b.conf")))
    refused = pytest.raises(Error, match="names /a as a file, and something behind it")
    with refused, laid_out(replace(both, chosen=("/a", "/a/b.conf")), str(tmp_path)):
        pass


def test_what_cannot_be_read_is_told_by_the_place_where_it_will_be(put_back: PutBack, tmp_path: Path) -> None:
    class Failing(CommandRunner):
        def run(self, argv: list[str], **_options: object) -> Result:
            main = next(word for word in argv if word.startswith("config_file=")).partition("=")[2]
            assert argv[:5] == ["/bin/postgres", "-C", "max_connections", "-D", str(tmp_path / "data.restore")]
            raise CommandFailed(f'postgres ended with status 1: syntax error in file "{main}" line 1')

    step = CheckStartable(str(tmp_path / "data.restore"), None, str(tmp_path / "data"), 18, put_back)
    with pytest.raises(Error) as error:
        fitting.check_step(step, "/bin", Failing())
    assert f"{tmp_path}/etc/main.conf, as it will be cannot be read: " in error.value.message
    assert f'syntax error in file "{tmp_path}/etc/main.conf" line 1' in error.value.message
    assert step.as_dict()["put_back"] == list(put_back.chosen)
