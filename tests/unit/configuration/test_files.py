# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is put back of a configuration, where, and what is left alone."""

from dataclasses import replace

from ansible_collections.pgark.postgres.plugins.module_utils._configuration.files import (
    Kept,
    KeptFile,
    Origin,
    to_put_back,
    what_differs,
)

DATA, ETC = "/var/lib/postgresql/17/main", "/etc/postgresql/17/main"
ORIGIN = Origin(DATA, ETC, 5432)


def file(path: str, kind: str = "file", target: str | None = None) -> KeptFile:
    stored = "config/0001" if kind == "file" else None
    return KeptFile(path, kind, "postgres", "postgres", "0644", target, stored, stored and "ab" * 32)


DEBIAN = Kept(
    (
        file(ETC, "directory"),
        file(f"{ETC}/postgresql.conf"),
        file(f"{ETC}/conf.d", "directory"),
        file("/srv/shared.conf"),
    ),
    ORIGIN,
)
LINKED = Kept(
    (
        file(f"{DATA}/postgresql.conf", "link", "../../../../../srv/x/pg.conf"),
        file(f"{DATA}/postgresql.auto.conf", "link", "/dev/null"),
        file("/srv/x", "link", "/srv/y"),
        file("/srv/y/pg.conf"),
    ),
    replace(ORIGIN, config_directory=DATA),
)


def put_back(kept: Kept, *others: str, missing: bool = True, replacing: bool = False) -> list[str]:
    there = {each.path: "missing" if missing else "same" for each in kept.outside}
    there.update(dict.fromkeys(others, "other"))
    return [each.path for each in to_put_back(kept, there, replacing)]


def test_all_that_is_missing_is_put_back() -> None:
    assert put_back(DEBIAN) == [each.path for each in DEBIAN.files]
    assert put_back(DEBIAN, missing=False) == []


def test_a_host_with_another_main_file_has_a_configuration_of_its_own() -> None:
    assert put_back(DEBIAN, f"{ETC}/postgresql.conf") == []
    assert put_back(DEBIAN, "/srv/shared.conf") == [each.path for each in DEBIAN.files[:-1]]


def test_all_that_differs_is_replaced_where_that_is_asked_for() -> None:
    other = f"{ETC}/postgresql.conf"
    assert put_back(DEBIAN, other, missing=False, replacing=True) == [other]


def test_links_in_the_data_directory_are_followed_and_nothing_there_is_outside() -> None:
    assert LINKED.links == {"postgresql.conf": "../../../../../srv/x/pg.conf", "postgresql.auto.conf": "/dev/null"}
    assert LINKED.main == LINKED.files[3]
    assert [each.path for each in LINKED.outside] == ["/srv/x", "/srv/y/pg.conf"]
    assert Kept((), replace(ORIGIN, config_directory=DATA)).main is None


def test_links_that_go_round_in_circles_lead_nowhere() -> None:
    circle = Kept((file("/a", "link", "/b"), file("/b", "link", "a")), ORIGIN)
    assert circle.file_at("/a/x") is None


def test_the_directory_of_the_configuration_can_be_another_one() -> None:
    moved = DEBIAN.moved_to("/srv/conf")
    assert [each.path for each in moved.files] == [
        *("/srv/conf", "/srv/conf/postgresql.conf", "/srv/conf/conf.d", "/srv/shared.conf")
    ]
    assert moved.main == moved.files[1]
    assert DEBIAN.moved_to(None) == DEBIAN.moved_to(ETC) == DEBIAN


def test_what_differs_is_named_with_where_the_backups_own_lies() -> None:
    there = {each.path: "same" for each in DEBIAN.outside}
    assert what_differs(DEBIAN, there, (), "/repo/b") == ()
    [text] = what_differs(DEBIAN, {**there, "/srv/shared.conf": "other"}, (), "/repo/b")
    assert "which lies in /repo/b: /srv/shared.conf (config/0001); pitr_restore_configuration=backup" in text
