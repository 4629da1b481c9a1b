# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host lacks is said at once, and nothing that a repository says is taken for a place without a look."""

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster.ground import (
    Lacking,
    Needed,
    check_ground,
    check_origin,
    needed_by,
)
from ansible_collections.pgark.postgres.plugins.module_utils._configuration.files import Kept, KeptFile, Origin
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error

ORIGIN = Origin("/var/lib/postgresql/17/main", "/etc/postgresql/17/main", 5432)


def directory(path: str, mode: str) -> KeptFile:
    return KeptFile(path, "directory", "postgres", "postgres", mode)


def test_all_that_is_missing_is_made_by_one_line() -> None:
    check_ground([], "postgres", "postgres")
    missing = [
        Lacking("/var/lib/postgresql/17", 0o755),
        Lacking("/var/lib/postgresql", 0o755),
        Lacking("/etc/postgresql", 0o755),
        Lacking("/etc/postgresql/17", 0o750),
        Lacking("/srv/a b", 0o755),
    ]
    with pytest.raises(Error) as caught:
        check_ground(missing, "postgres", "dba")
    assert caught.value.message.endswith(
        ": /etc/postgresql, /etc/postgresql/17, /srv/a b, /var/lib/postgresql, /var/lib/postgresql/17"
    )
    assert str(caught.value.hint).endswith(
        ": install -d -o postgres -g dba -m 0755 /etc/postgresql"
        " && install -d -o postgres -g dba -m 0750 /etc/postgresql/17"
        " && install -d -o postgres -g dba -m 0755 '/srv/a b' /var/lib/postgresql /var/lib/postgresql/17"
    )


def test_the_backup_knows_the_directories_of_the_configuration_and_gives_none_away() -> None:
    kept = Kept(
        (
            directory("/etc", "0755"),
            directory("/etc/postgresql", "0777"),
            KeptFile("/etc/postgresql/postgresql.conf", "file", "postgres", "postgres", "0644"),
            directory("/var/lib/postgresql/17/main/conf.d", "0700"),
        ),
        ORIGIN,
    )
    found = needed_by(kept, Needed("/var/lib/postgresql/17"))
    assert found == (Needed("/etc", 1), Needed("/etc/postgresql", 2), Needed("/var/lib/postgresql/17"))


@pytest.mark.parametrize(
    ("origin", "why"),
    [
        (ORIGIN, None),
        (Origin("/", "/etc/postgresql/17/main", 5432), "/, where it was by backup 'monday', is no place for one"),
        (Origin("/home/a/.ssh", "/home/a/.ssh", 5432), "is no place for one"),
        (Origin("/srv/db", "/etc/.conf", 5432), "/etc/.conf, where"),
        (Origin("/srv/pgark/db", "/srv/db", 5432), "is in /srv/pgark"),
    ],
)
def test_a_place_that_is_none_is_not_taken_from_a_backup(origin: Origin, why: str | None) -> None:
    if why is None:
        check_origin(origin, "monday", ["/srv/pgark"])
    else:
        with pytest.raises(Error, match=why):
            check_origin(origin, "monday", ["/srv/pgark"])
