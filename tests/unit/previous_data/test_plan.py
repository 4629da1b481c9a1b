# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be removed is what is ours, in use by nobody, and needed by nothing that stays."""

from dataclasses import replace

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._previous_data.plan import (
    Directory,
    Item,
    RemoveKept,
    Users,
    plan_removal,
    reason,
    sized,
    without_owned,
)

DATA = "/data"
KEPT = "/data.before-1"
OLD_SPACE = Directory("/fast/PG_17_1", 1, 11, "tablespace")
NEW_SPACE = Directory("/fast/pgark-1", 1, 12)
PREVIOUS = Item("previous", KEPT, Directory(KEPT, 1, 10), (OLD_SPACE,), size=2048, note=f"{KEPT}.json")
STAGING = Item("staging", "/data.restore", Directory("/data.restore", 1, 20), (Directory("/wal.restored-2", 2, 21),))
PLACE = Item("place", "/fast/pgark-0", Directory("/fast/pgark-0", 1, 30))
LIVE = (Directory(DATA, 1, 1), Directory("/fast", 1, 2), NEW_SPACE)
USERS = Users({DATA: LIVE})


@pytest.mark.parametrize("item", [PREVIOUS, STAGING, PLACE])
def test_what_is_needed_by_nobody_can_go(item: Item) -> None:
    assert reason(item, [other for other in (PREVIOUS, STAGING, PLACE) if other != item], USERS) is None


@pytest.mark.parametrize(
    ("item", "users", "why"),
    [
        (replace(PREVIOUS, postmaster=4711), USERS, "a server (process 4711) is running in it"),
        (replace(PREVIOUS, marked=False), USERS, "it has no mark of a restore, so it may be somebody else's"),
        (
            PREVIOUS,
            replace(USERS, waiting=KEPT),
            "a rollback puts it back, and the restore in place has not been promo",
        ),
        (
            STAGING,
            replace(USERS, interrupted=True),
            "a restore was interrupted while the data was being exchanged for it",
        ),
        # the very directory, under whatever path
        (PREVIOUS, Users({DATA: (Directory("/mnt/here", 1, 11),)}), "/mnt/here is in use by /data"),
        # one in which something of the live data lies
        (
            replace(PREVIOUS, belongs=(Directory("/fast", 1, 5),)),
            USERS,
            "/fast/pgark-1 is in use by /data",
        ),
        (
            PLACE,
            Users({"/renamed": (Directory("/renamed", 1, 40), Directory("/fast/pgark-0", 1, 30))}),
            "/fast/pgark-0 is ",
        ),
        (PREVIOUS, Users({f"{KEPT}/inside": (Directory(f"{KEPT}/inside", 1, 50),)}), f"{KEPT}/inside is in use"),
    ],
)
def test_what_is_in_use_stays(item: Item, users: Users, why: str) -> None:
    assert (reason(item, [], users) or "").startswith(why)


ELSEWHERE = {"cluster": "main", "repository": "/srv/pgark", "host": "db2"}


def test_what_another_host_has_made_on_shared_storage_stays() -> None:
    """Whether it is in use there cannot be seen from here; what this host has made, and what does not say, can go."""
    users = replace(USERS, host="db1")
    place = replace(PLACE, made_by=ELSEWHERE, since="2026-11-21T12:00:00Z")
    with pytest.raises(
        Error, match=r"/fast/pgark-0: db2 has made it \(2026-11-21T12:00:00Z, for main from /srv/pgark\)"
    ):
        plan_removal([place], [place.path], [], users)
    for host in ("db1", None):
        assert reason(replace(place, made_by={**ELSEWHERE, "host": host}), [], users) is None


def test_a_directory_of_somebodys_keeps_what_is_not_wal() -> None:
    wal = replace(PREVIOUS, belongs=(Directory("/wal", 2, 60, "wal"),))
    assert reason(wal, [], Users({DATA: (Directory("/wal/pgark-1", 2, 61),)})) is None
    assert reason(wal, [], Users({DATA: (Directory("/elsewhere", 2, 60),)})) == "/elsewhere is in use by /data"


def test_what_something_needs_that_is_kept_stays_unless_that_goes_too() -> None:
    sharing = Item("previous", "/data.before-2", Directory("/data.before-2", 1, 70), (OLD_SPACE,))
    with pytest.raises(Error, match=rf"{KEPT}: /fast/PG_17_1 is in use by /data.before-2\nHINT: .*nothing has been"):
        plan_removal([PREVIOUS, sharing], [KEPT], [], USERS)
    assert len(plan_removal([PREVIOUS, sharing], [KEPT, "/data.before-2"], [], USERS).steps) == 2


def test_all_that_is_named_is_removed_once_or_nothing_is() -> None:
    plan = plan_removal([PREVIOUS, STAGING], [f"{KEPT}/", KEPT, "/gone"], ["/gone"], USERS)
    assert plan.steps == (RemoveKept(KEPT, PREVIOUS),)
    assert (plan.before, plan.after) == ({"kept": [KEPT, "/data.restore"]}, {"kept": ["/data.restore"]})
    assert plan.steps[0].text == f"remove {KEPT} with /fast/PG_17_1 (2 kB)"
    with pytest.raises(Error, match=r"this cannot be removed: /data.restore: it has no mark"):
        plan_removal([PREVIOUS, replace(STAGING, marked=False)], [KEPT, "/data.restore"], [], USERS)


@pytest.mark.parametrize("path", ["/data", "/fast", "/home/precious"])
def test_what_no_restore_has_left_is_not_touched(path: str) -> None:
    with pytest.raises(Error, match=rf"{path} is nothing that a restore has left; what was left: {KEPT}\nHINT: "):
        plan_removal([PREVIOUS], [path], [], USERS)
    with pytest.raises(Error, match="what was left: nothing"):
        plan_removal([], [path], [], USERS)


def test_what_belongs_to_something_goes_with_that() -> None:
    with pytest.raises(Error, match=rf"/fast/PG_17_1 belongs to {KEPT}, which is of no use without it\nHINT: name"):
        plan_removal([PREVIOUS], ["/fast/PG_17_1"], [], USERS)
    owned = replace(PREVIOUS, belongs=(Directory("/fast/pgark-0", 1, 30),))
    assert without_owned([owned, PLACE, STAGING]) == [owned, STAGING]
    assert without_owned([PREVIOUS, PLACE]) == [PREVIOUS, PLACE]


def test_the_size_is_that_of_all_that_goes() -> None:
    [found] = sized([replace(PREVIOUS, size=0)], {KEPT: 5, "/fast/PG_17_1": 7})
    assert found.size == 12
    [gone] = sized([replace(PREVIOUS, directory=None)], {"/fast/PG_17_1": 7})
    assert gone.size == 7
