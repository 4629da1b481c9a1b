# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration outside of a data directory is kept whole, and comes back where it was."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._configuration import observe as kept_files
from ansible_collections.pgark.postgres.plugins.module_utils._configuration.files import KeptFile
from ansible_collections.pgark.postgres.plugins.module_utils._configuration.put_back import Place
from ansible_collections.pgark.postgres.plugins.module_utils._configuration.steps import PlaceLinks
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from tests.unit.synthetic import fill


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data directory with a configuration inside."""
    fill(tmp_path / "data", {"postgresql.conf": "", "pg_hba.conf": "", "postgresql.auto.conf": ""})
    return tmp_path / "data"


def gather(data: Path, settings: Path, hba: Path | None = None) -> dict[str, KeptFile]:
    found = kept_files.gather([str(settings)], [str(hba or data / "pg_hba.conf")], str(data))
    below = f"{data.parent}/"
    return {file.path[len(below) :]: file for file in found if file.path.startswith(below)}


def test_without_configuration_outside_nothing_is_kept(data: Path) -> None:
    assert kept_files.gather([f"{data}/postgresql.conf"], [f"{data}/pg_hba.conf"], str(data)) == []


def test_every_file_that_is_read_is_kept_with_its_own_access_and_no_other_one(data: Path, tmp_path: Path) -> None:
    fill(
        tmp_path / "etc",
        {
            "main/postgresql.conf": "include '../shared/a.conf'\ninclude_dir 'conf.d'\ninclude_dir 'empty'\n"
            "include_if_exists 'not there'\n#include 'comment'\n",
            "main/comment": "",
            "main/conf.d/1.conf": "include '2.inc'\n",
            "main/conf.d/2.inc": "",
            "main/conf.d/3.conf~": "",
            "main/conf.d/.4.conf": "",
            "main/pg_hba.conf": "include hba.d/x\nlocal @names all peer\n",
            "main/hba.d/x": "",
            "main/names": "bob",
            "shared/a.conf": "include 'a.conf'\n",
        },
    )
    (tmp_path / "etc/main/empty").mkdir(mode=0o750)
    (tmp_path / "etc/main/pg_hba.conf").chmod(0o640)
    (tmp_path / "etc/main").chmod(0o755)
    found = gather(data, tmp_path / "etc/main/postgresql.conf", tmp_path / "etc/main/pg_hba.conf")
    assert sorted(path for path, file in found.items() if file.kind == "file") == [
        *("etc/main/conf.d/1.conf", "etc/main/conf.d/2.inc", "etc/main/hba.d/x", "etc/main/names"),
        *("etc/main/pg_hba.conf", "etc/main/postgresql.conf", "etc/shared/a.conf"),
    ]
    assert found["etc/main/pg_hba.conf"].mode == "0640"
    assert (found["etc/main"].kind, found["etc/main"].mode) == ("directory", "0755")
    assert (found["etc/main/empty"].kind, found["etc/main/empty"].mode) == ("directory", "0750")
    assert (
        list(found).index("etc/main")
        < list(found).index("etc/main/conf.d")
        < list(found).index("etc/main/conf.d/1.conf")
    )


def test_links_out_of_the_data_directory_are_kept_with_what_they_lead_to(data: Path, tmp_path: Path) -> None:
    fill(tmp_path / "etc", {"hba": "", "conf.d/x.conf": ""})
    (tmp_path / "way").symlink_to("etc")
    (data / "postgresql.conf").write_text("include_dir = 'conf.d'\n")
    for name, target in {
        "conf.d": "../way/conf.d",
        "pg_hba.conf": tmp_path / "way/hba",
        "postgresql.auto.conf": "/dev/null",
    }.items():
        (data / name).unlink(missing_ok=True)
        (data / name).symlink_to(target)
    found = gather(data, data / "postgresql.conf")
    assert {path: file.target for path, file in found.items() if file.kind == "link"} == {
        "data/conf.d": "../way/conf.d",
        "data/pg_hba.conf": f"{tmp_path}/way/hba",
        "data/postgresql.auto.conf": "/dev/null",
        "way": "etc",
    }
    assert sorted(path for path, file in found.items() if file.kind == "file") == ["etc/conf.d/x.conf", "etc/hba"]


def test_a_fifo_and_a_circle_of_links_are_in_nobodys_way(data: Path, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    os.mkfifo(tmp_path / "etc/a.conf")
    (tmp_path / "etc/b.conf").symlink_to("b.conf")
    (data / "postgresql.conf").write_text(f"include_dir '{tmp_path}/etc'\n")
    assert "etc/a.conf" not in gather(data, data / "postgresql.conf")


@pytest.mark.parametrize("way", ["include '{}'", "include_dir 'd'\ninclude_if_exists '/dev/ptmx'"])
def test_what_nobody_gets_to_the_end_of_is_refused_before_a_program_reads_it(
    data: Path, tmp_path: Path, way: str
) -> None:
    (data / "d").mkdir()
    os.mkfifo(tmp_path / "fifo")
    main = data / "postgresql.conf"
    main.write_text("include 'd'\ninclude_if_exists 'not there'\n")
    kept_files.check_readable([str(main)], [str(data / "pg_hba.conf")], str(data))
    main.write_text(way.format(tmp_path / "fifo"))
    with pytest.raises(Error, match=r"has (.*/fifo|/dev/ptmx) read, which is no regular file; a server would wait"):
        kept_files.check_readable([str(main)], [], str(data))
    (data / "pg_hba.conf").write_text(f"local all @{tmp_path}/fifo peer\n")
    with pytest.raises(Error, match=r"has .*/fifo read"):
        kept_files.check_readable([], [str(data / "pg_hba.conf")], str(data))


@pytest.fixture
def kept(data: Path, tmp_path: Path) -> tuple[KeptFile, ...]:
    """Keep a configuration of two directories and a link in a backup."""
    fill(tmp_path / "etc", {"main/postgresql.conf": "include_dir '../link'\n", "conf.d/x.conf": "work_mem = 4MB\n"})
    (tmp_path / "etc/link").symlink_to("conf.d")
    (tmp_path / "etc/main/postgresql.conf").chmod(0o644)
    (tmp_path / "etc/conf.d").chmod(0o750)
    (tmp_path / "backup").mkdir()
    found = kept_files.gather([f"{tmp_path}/etc/main/postgresql.conf"], [], str(data))
    return kept_files.copy_files(found, str(tmp_path / "backup"))


def modes(directory: Path) -> dict[str, int]:
    return {str(path.relative_to(directory)): stat.S_IMODE(path.lstat().st_mode) for path in directory.rglob("*")}


def put_back(tmp_path: Path, kept: tuple[KeptFile, ...]) -> list[str]:
    missing = [file for file in kept if kept_files.states(kept)[file.path] != "same"]
    kept_files.check_places(missing)
    return kept_files.put_back(str(tmp_path / "backup"), missing, ".before-x")


def test_what_is_lost_comes_back_as_it_was(tmp_path: Path, kept: tuple[KeptFile, ...]) -> None:
    before = modes(tmp_path / "etc")
    (tmp_path / "etc").rename(tmp_path / "lost")
    assert put_back(tmp_path, kept) == []
    assert modes(tmp_path / "etc") == before
    assert (tmp_path / "etc/link/x.conf").read_text() == "work_mem = 4MB\n"
    assert set(kept_files.states(kept).values()) == {"same"}


def test_what_is_replaced_is_kept_beside_it(tmp_path: Path, kept: tuple[KeptFile, ...]) -> None:
    path = tmp_path / "etc/conf.d/x.conf"
    path.write_text("work_mem = 9MB\n")
    put_back(tmp_path, kept)
    put_back(tmp_path, kept)
    assert path.read_text() == "work_mem = 4MB\n"
    assert path.with_name("x.conf.before-x").read_text() == "work_mem = 9MB\n"


def test_a_changed_copy_is_refused_before_anything_is_written(tmp_path: Path, kept: tuple[KeptFile, ...]) -> None:
    (tmp_path / "etc").rename(tmp_path / "lost")
    [last] = [file for file in kept if file.path.endswith("x.conf")]
    (tmp_path / "backup" / str(last.stored)).write_text("archive_command = 'rm'\n")
    with pytest.raises(Error, match=rf"the copy of {last.path}, was changed: .*\nHINT: this backup cannot"):
        put_back(tmp_path, kept)
    assert not (tmp_path / "etc").exists()


def test_a_place_that_is_not_there_is_refused_with_all_that_is_missing(tmp_path: Path) -> None:
    file = KeptFile(f"{tmp_path}/nowhere/a.conf", "file", "x", "x", "0644", None, "config/0001", "ab" * 32)
    with pytest.raises(Error, match=r"a.conf of the configuration is missing, and .*/nowhere is not there\nHINT: "):
        kept_files.check_places([file, replace(file, path=f"{tmp_path}/nowhere/b.conf")])


def test_whom_it_belonged_to_is_said_where_it_cannot_be_given_to_them(tmp_path: Path) -> None:
    content = b"x"
    (tmp_path / "config").mkdir()
    (tmp_path / "config/0001").write_bytes(content)
    file = KeptFile(
        *(f"{tmp_path}/a", "file", "nobody-of-this-name", "nobody-of-this-name", "0640", None, "config/0001"),
        hashlib.sha256(content).hexdigest(),
    )
    [said] = kept_files.put_back(str(tmp_path), [file], ".x")
    assert said.endswith("and belonged to nobody-of-this-name:nobody-of-this-name")


def test_a_clone_gets_copies_in_the_place_of_links(tmp_path: Path, kept: tuple[KeptFile, ...]) -> None:
    [file] = [file for file in kept if file.path.endswith("x.conf")]
    (tmp_path / "staging").mkdir()
    kept_files.place_links(PlaceLinks(f"{tmp_path}/staging", f"{tmp_path}/backup", {"a": "/etc/a"}, {"b": file}))
    assert os.readlink(tmp_path / "staging/a") == "/etc/a"
    assert (tmp_path / "staging/b").read_text() == "work_mem = 4MB\n"


def test_nothing_is_made_in_a_staging_through_a_link(tmp_path: Path, kept: tuple[KeptFile, ...]) -> None:
    [file] = [file for file in kept if file.path.endswith("x.conf")]
    staging, elsewhere = tmp_path / "staging", tmp_path / "elsewhere"
    fill(staging, {"real/y.conf": "", "plain": ""})
    elsewhere.mkdir()
    (staging / "pg_tblspc").mkdir()
    (staging / "pg_tblspc/16384").symlink_to(elsewhere)
    backup = f"{tmp_path}/backup"
    for path in ("made/keys", "pg_tblspc/16384/x.conf", "plain/x.conf", "nowhere/x.conf"):
        for step in (
            PlaceLinks(str(staging), backup, {"made": str(elsewhere), path: "/etc/a"}),
            PlaceLinks(str(staging), backup, {}, {path: file}),
        ):
            with pytest.raises(Error, match=f"has a link {path} in the data directory, which is in no directory there"):
                kept_files.place_links(step)
    assert not list(elsewhere.iterdir())
    kept_files.place_links(PlaceLinks(str(staging), backup, {"real/x.conf": "/etc/a", "real/y.conf": "/etc/b"}))
    assert os.readlink(staging / "real/x.conf") == "/etc/a"
    assert not (staging / "real/y.conf").is_symlink()


def test_whose_configuration_a_place_is_in_is_seen_through_links(tmp_path: Path) -> None:
    others, way = tmp_path / "other" / "conf.d", tmp_path / "way"
    others.mkdir(parents=True)
    (tmp_path / "other" / "postgresql.conf").touch()
    way.symlink_to(others)
    file = KeptFile(f"{way}/x.conf", "file", "x", "x", "0644", None, "config/0001", "ab" * 32)
    [place] = kept_files.places_of([file]).values()
    assert place == Place(f"{others}/x.conf", None, (f"{tmp_path}/other",))
