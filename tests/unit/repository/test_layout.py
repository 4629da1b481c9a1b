# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names are checked before they become paths, and everything in a repository has one place."""

from datetime import datetime, timedelta, timezone

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import InvalidValue
from ansible_collections.pgark.postgres.plugins.module_utils._repository.layout import (
    Layout,
    check_name,
    check_path,
    check_repositories,
    default_label,
    parse_mode,
    utc_stamp,
)

HOSTILE_NAMES = [
    "",
    ".",
    "..",
    ".hidden",
    "-rf",
    "a/b",
    "../a",
    "a b",
    "a\nb",
    "a\n",
    "a\x00b",
    "a'b",
    'a"b',
    "a%b",
    "a$b",
    "a;b",
    "a*",
    "ä",
    "x" * 64,
]
LAYOUT = Layout("/srv/pg ark", "main")


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_hostile_name_becomes_no_path(name: str) -> None:
    with pytest.raises(InvalidValue, match=r"thing .* cannot be used as a directory name"):
        check_name("thing", name)
    with pytest.raises(InvalidValue, match=r"cluster .* cannot be used"):
        Layout("/srv/pgark", name)
    for place in (LAYOUT.backup, LAYOUT.partial):
        with pytest.raises(InvalidValue, match=r"backup label .* cannot be used"):
            place(name)


@pytest.mark.parametrize("name", ["a", "21-11-2026", "20261121T011500Z-full", "_x", "a.b", "a..b", "x" * 63])
def test_a_plain_name_is_taken_as_it_is(name: str) -> None:
    assert check_name("thing", name) == name


@pytest.mark.parametrize(
    "path", ["", "srv", "./srv", "~/srv", "/srv/../etc", "/srv/..", "/..", "/a\nb", "/a\x1bb", "/a\x7f", "/a\udcff"]
)
def test_a_hostile_path_is_refused(path: str) -> None:
    with pytest.raises(InvalidValue, match=r"repository .* is not usable; expected an absolute path"):
        Layout(path, "main")


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        ("/srv", "/srv"),
        ("/srv/", "/srv"),
        ("/", "/"),
        ("/srv/with space", "/srv/with space"),
        ('/srv/it\'s 100% "safe" $HOME;&', '/srv/it\'s 100% "safe" $HOME;&'),
        ("/srv/grün", "/srv/grün"),
        ("/srv/a..b", "/srv/a..b"),
    ],
)
def test_a_path_may_hold_all_that_can_be_printed(path: str, taken: str) -> None:
    assert check_path("repository", path) == taken


def test_every_thing_has_its_place() -> None:
    segment = "0000000200000000000000AB"
    assert LAYOUT.marker == "/srv/pg ark/repository.json"
    assert LAYOUT.identity == "/srv/pg ark/main/cluster.json"
    assert LAYOUT.lock == "/srv/pg ark/main/lock"
    assert LAYOUT.backup("x") == "/srv/pg ark/main/backup/x"
    assert LAYOUT.partial("x") == "/srv/pg ark/main/backup/.x.partial"
    assert LAYOUT.wal_file(segment) == f"/srv/pg ark/main/wal/0000000200000000/{segment}"
    assert LAYOUT.wal_file(f"{segment}.partial") == f"/srv/pg ark/main/wal/0000000200000000/{segment}.partial"
    assert LAYOUT.wal_file("00000002.history") == "/srv/pg ark/main/wal/00000002.history"


@pytest.mark.parametrize("name", ["", "../../x", "passwd", "00000002.histor", "0000000200000000000000AB.zst"])
def test_a_file_that_postgresql_does_not_archive_has_no_place(name: str) -> None:
    with pytest.raises(InvalidValue, match="is not the name of a file that PostgreSQL archives"):
        LAYOUT.wal_file(name)


@pytest.mark.parametrize(("text", "mode"), [("0750", 0o750), ("750", 0o750), ("0700", 0o700), ("2770", 0o2770)])
def test_a_mode_that_is_closed_to_others_is_taken(text: str, mode: int) -> None:
    assert parse_mode(text) == mode


@pytest.mark.parametrize(
    "text", ["", "0755", "0751", "0754", "777", "0650", "0550", "488", "75", "u=rwx", "0o750", "-750"]
)
def test_a_mode_that_opens_a_repository_or_locks_its_owner_out_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"mode .* is not fit for a repository"):
        parse_mode(text)


def test_labels_are_in_utc_whatever_the_zone() -> None:
    summer = timezone(timedelta(hours=2))
    moment = datetime(2026, 3, 29, 1, 59, 59, 999999, tzinfo=summer)
    assert utc_stamp(moment) == "20260328T235959Z"
    assert default_label(moment, "full") == "20260328T235959Z-full"
    assert default_label(moment, "incremental") == "20260328T235959Z-incr"
    assert check_name("backup label", default_label(moment, "full"))


def test_a_cluster_does_not_take_the_name_of_the_repositorys_own_file() -> None:
    with pytest.raises(InvalidValue, match=r"a cluster cannot be called repository\.json"):
        Layout("/srv/pgark", "repository.json")


def test_repositories_are_checked_like_the_first_and_named_once() -> None:
    assert check_repositories("/srv/pgark/", ["/mnt/second", "/mnt/third/"]) == (
        *("/srv/pgark", "/mnt/second", "/mnt/third"),
    )
    for further in (["relative"], ["/srv/../etc"], ["/srv/a\nb"]):
        with pytest.raises(InvalidValue, match="is not usable"):
            check_repositories("/srv/pgark", further)
    with pytest.raises(InvalidValue, match="repository /srv/pgark is given twice"):
        check_repositories("/srv/pgark", ["/mnt/second", "/srv/pgark/"])
