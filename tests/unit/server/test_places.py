# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repositories are apart from each other, and from what they hold copies of."""

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import InvalidValue
from ansible_collections.pgark.postgres.plugins.module_utils._server.places import (
    Directory,
    check_apart,
    check_distinct,
)

FIRST = Directory("/srv/pgark", "/srv/pgark", (8, 100))


@pytest.mark.parametrize(
    "further",
    [
        Directory("/srv//pgark", "/srv/pgark", (8, 100)),
        Directory("/mnt/link", "/srv/pgark", (8, 100)),
        Directory("/mnt/bind", "/mnt/bind", (8, 100)),
        Directory("/srv/./pgark", "/srv/pgark"),
    ],
)
def test_the_first_repository_is_no_further_one(further: Directory) -> None:
    with pytest.raises(InvalidValue, match=f"repository {further.path} is the directory /srv/pgark, expected another"):
        check_distinct([FIRST, Directory("/mnt/second", "/mnt/second", (9, 100)), further])


def test_repositories_that_differ_may_not_be_there_yet() -> None:
    check_distinct([FIRST, Directory("/mnt/a", "/mnt/a"), Directory("/mnt/b", "/mnt/b")])


@pytest.mark.parametrize(
    ("repository", "where"),
    [
        ("/var/lib/pg/17/main", "lies in the data directory, /var/lib/pg/17/main"),
        ("/var/lib/pg/17/main/backups", "lies in the data directory, /var/lib/pg/17/main"),
        ("/var/lib/pg", "holds the data directory, /var/lib/pg/17/main"),
        ("/", "holds the data directory, /var/lib/pg/17/main"),
        ("/fast/space/x", "lies in tablespace 16385, /fast/space"),
        ("/var/lib/pg/17/main.restore/x", "lies in the place where a restore is staged, /var/lib/pg/17/main.restore"),
    ],
)
def test_a_repository_and_what_it_holds_copies_of_are_not_one_in_the_other(repository: str, where: str) -> None:
    with pytest.raises(InvalidValue, match=f"repository {repository} {where}; expected a place apart from it"):
        check_apart([Directory(repository, repository)], TAKEN)


@pytest.mark.parametrize("repository", ["/var/lib/pg/17/main2", "/var/lib/pg/17/mai", "/fast/spaces", "/srv/pgark"])
def test_a_neighbour_is_apart(repository: str) -> None:
    check_apart([Directory(repository, repository)], TAKEN)


TAKEN = {
    "the data directory": Directory("/x", "/var/lib/pg/17/main", (8, 1)),
    "the place where a restore is staged": Directory("/x", "/var/lib/pg/17/main.restore"),
    "tablespace 16385": Directory("/x", "/fast/space", (8, 2)),
}
