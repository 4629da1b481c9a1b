# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing but the configuration of a server comes out of a backup beside its data, whoever wrote that."""

from __future__ import annotations

import re

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._configuration.files import Kept, KeptFile, Origin
from ansible_collections.pgark.postgres.plugins.module_utils._configuration.put_back import (
    Place,
    check_links,
    check_put_back,
    named_by,
    read_with,
    what_comes_back,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error

DATA, ETC, OTHER = "/var/lib/postgresql/17/main", "/etc/postgresql/17/main", "/var/lib/postgresql/17/other"
OURS = (DATA, "/srv/pgark")
MAIN = "include '../names'\ninclude_dir 'more.d'\nhba_file = '/srv/rules' # who\nident_file='users'\n"


def file(path: str, kind: str = "file", target: str | None = None) -> KeptFile:
    stored = "config/0001" if kind == "file" else None
    return KeptFile(path, kind, "postgres", "postgres", "0644", target, stored, stored and "ab" * 32)


def place(path: str) -> Place:
    """Give what a host has at a path: data of another cluster, and configurations."""
    real = path.replace("/srv/link", "/etc/postgresql/17/other/conf.d")
    configures = tuple(each for each in (ETC, "/srv/theirs") if path.startswith(f"{each}/"))
    return Place(real, OTHER if path.startswith(OTHER) else None, configures)


def check(*more: KeptFile, data: str = DATA) -> None:
    """Check a main file, what it names, and more files."""
    main = f"{ETC}/postgresql.conf"
    kept = Kept((file(main), *more), Origin(data, ETC, 5432))
    named = named_by(kept, {main: MAIN, **{each.path: "x @list\n" for each in more if each.path == "/srv/rules"}})
    places = {each.path: place(each.path) for each in kept.files}
    check_put_back(kept.files, kept, named, places, OURS)


@pytest.mark.parametrize(
    "files",
    [
        (file(ETC, "directory"), file(f"{ETC}/conf.d", "directory"), file(f"{ETC}/conf.d/1.conf")),
        (file("/srv/x", "directory"), file("/srv/x/shared.conf")),
        (file("/etc/postgresql/17/names"), file("/srv/rules"), file("/srv/list"), file(f"{ETC}/users")),
        (file(f"{ETC}/more.d", "directory"),),
        (file("/etc/postgresql/17/names", "link", "main/these"), file(f"{ETC}/these")),
        (file(f"{ETC}/more.d", "link", "/srv/y"), file("/srv/y", "directory"), file("/srv/y/1.conf")),
        (file(f"{ETC}/off.conf", "link", "/dev/null"), file(f"{ETC}/data.conf", "link", f"{DATA}/x.conf")),
    ],
)
def test_what_a_server_reads_is_put_back(files: tuple[KeptFile, ...]) -> None:
    check(*files)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ((file("/var/lib/postgresql/.ssh/authorized_keys"),), "begins with a dot"),
        ((file("/srv//x.conf"),), "or is none"),
        ((file(f"{DATA}/base/1/1259"),), f"is in {DATA}"),
        ((file("/srv/pgark/main/x.conf"),), "is in /srv/pgark"),
        ((file(f"{OTHER}/standby.signal"),), f"is in {OTHER}, where data or backups are"),
        ((file(f"{OTHER}/x.conf"),), f"is in {OTHER}, where data or backups are"),
        ((file("/etc/postgresql/17/other/conf.d/x.conf"),), "/17/other, where the configuration of another cluster is"),
        ((file("/etc/postgresql/16/main/x.conf"),), "/16/main, where the configuration of another cluster is"),
        ((file("/srv/theirs/conf.d/x.conf"),), "is in /srv/theirs, where the configuration of another cluster is"),
        ((file("/srv/link/x.conf"),), "/17/other, where the configuration of another cluster is"),
        ((file("/home/postgres/bin/psql.conf"),), "into a directory bin, where programs are"),
        ((file("/srv/anything"),), "not called *.conf"),
        ((file("/srv/empty", "directory"),), "not called *.conf"),
        ((file(f"{ETC}/pg_ctl.conf"),), "for pg_ctlcluster"),
        (
            (file(ETC, "directory"), file(f"{ETC}/more.d", "link", ETC), file(f"{ETC}/more.d/y.conf")),
            "is behind the link or file",
        ),
        ((file(f"{ETC}/x.conf", "link", "/etc/shadow"),), "a link to /etc/shadow, which the backup does not have"),
        ((file("/srv/profile", "link", f"{ETC}/postgresql.conf"),), "not called *.conf"),
    ],
)
def test_what_would_do_something_else_than_configure_a_server_is_refused(files: tuple[KeptFile, ...], why: str) -> None:
    with pytest.raises(Error, match=rf"the configuration in the backup names /.*{re.escape(why)}.*\nHINT: "):
        check(*files, data="/elsewhere")


@pytest.mark.parametrize(
    ("path", "target", "refused"),
    [
        ("postgresql.conf", "/srv/pg", False),
        ("conf.d", "../../../../../srv/pg", False),
        ("users.txt", "/srv/pg", False),
        ("pg_hba.conf", "/dev/null", False),
        ("conf.d/x.conf", f"{DATA}/y.conf", False),
        ("postmaster.opts", "/srv/pg", True),
        ("postgresql.auto.conf.tmp", "/srv/pg", True),
        ("standby.signal", "/srv/pg", True),
        ("base/1/1259", "/srv/pg", True),
        ("postgresql.conf", "/dev/ptmx", True),
        ("pg_tblspc/16384/x.conf", "/srv/pg", True),
        ("pg_wal/x.conf", "/srv/pg", True),
    ],
)
def test_links_in_the_data_directory_lead_to_configuration_only(path: str, target: str, refused: bool) -> None:
    kept = Kept((file(f"{DATA}/{path}", "link", target), file("/srv/pg")), Origin(DATA, DATA, 5432))
    if refused:
        with pytest.raises(Error, match=rf"has a link {path} in the data directory, .*\nHINT: this backup cannot"):
            check_links(kept, OURS)
    else:
        check_links(kept, OURS)


def test_nothing_is_made_behind_a_link_that_was_made_just_before() -> None:
    through = file(f"{DATA}/ssh.conf", "link", "/srv/pg"), file(f"{DATA}/ssh.conf/keys.conf", "link", "/srv/pg/x.conf")
    kept = Kept((*through, file("/srv/pg", "directory"), file("/srv/pg/x.conf")), Origin(DATA, DATA, 5432))
    with pytest.raises(Error, match=f"keys.conf in the data directory, which is behind the link or file {DATA}/ssh"):
        check_links(kept, OURS)


def test_a_rehearsal_has_what_is_put_back_and_what_a_server_reads_beside_it() -> None:
    main, more = file(f"{ETC}/postgresql.conf"), file(f"{ETC}/more.d/1.conf")
    link = file("/home/pg", "link", "/srv/pg")
    kept = Kept((main, more, file("/home/pg/.bashrc"), link, file("/home/pg/x.conf")), Origin(DATA, ETC, 5432))
    assert read_with((main,), kept, named_by(kept, {main.path: MAIN})) == (main, more)


def test_paths_of_a_backup_are_shown_on_one_line() -> None:
    hostile = file("/srv/x\nHINT: all is well \x1b[2J.sh")
    with pytest.raises(Error) as refused:
        check(hostile)
    assert "names /srv/x\\nHINT: all is well \\x1b[2J.sh, " in refused.value.message
    assert what_comes_back([hostile], "/stored")[0].isprintable()
    named = file(f"{DATA}/x\ny.conf", "link", "/nowhere")
    with pytest.raises(Error, match=r"has a link x\\ny\.conf in the data directory"):
        check_links(Kept((named,), Origin(DATA, DATA, 5432)), OURS)
