# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A staging is gone on with by the restore that has begun it, and by nobody while another run is at it."""

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import (
    DataDirectory,
    Reservation,
    RestoreRecord,
    RestoreRequest,
)
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.reservation import check_reservation
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Busy, Error
from ansible_collections.pgark.postgres.plugins.module_utils._values.target import Target

ASKING = Reservation("/data", "an id", "/srv/pgark", "1f2e3d4c", "db1", 4712, "90210", "2026-11-21T12:00:00Z")
EARLIER = replace(ASKING, run="0a1b2c3d", pid=4711, started="80210", at="2026-11-21T11:00:00Z")
WANTED = Target("xid", "750")
REQUEST = RestoreRequest(WANTED, "main", "73", reservation=ASKING)
RECORD = RestoreRecord(
    WANTED.as_dict(), "monday", "main", "73", "/data.before-x", complete=True, reservation=EARLIER, undo_mark="7"
)
MOVED = replace(RECORD, undo_directory="/data.before-x")
OTHER = {"target": Target("xid", "700").as_dict()}
ELSEWHERE = {"reservation": replace(EARLIER, repository="/mnt/copy")}
RUNNING = DataDirectory("/data", "/data", "cluster", staged=RECORD)


@pytest.mark.parametrize(
    "directory",
    [
        replace(RUNNING, staged=None),
        RUNNING,
        # begun and left half-done, by whomever: it is staged anew
        replace(RUNNING, staged=replace(RECORD, complete=False, **OTHER)),
        replace(RUNNING, staged=replace(RECORD, complete=False, **ELSEWHERE)),
        # nothing is left to do for what is in place
        replace(RUNNING, record=RECORD, staged=replace(RECORD, **OTHER)),
        # forward
        replace(RUNNING, kind="missing", staged=MOVED),
        replace(RUNNING, kind="empty", staged=MOVED),
        replace(RUNNING, kind="unfinished", staged=None, record=RECORD),
        replace(RUNNING, kind="unfinished", exchanging=True, mount_point=True, staged=MOVED),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_the_same_restore_goes_on(directory: DataDirectory, force: bool) -> None:
    check_reservation(directory, REQUEST, alive=False, force=force)


@pytest.mark.parametrize("changes", [OTHER, ELSEWHERE, {"source": "another"}, {"cluster": "another"}])
def test_what_another_run_may_be_about_to_put_in_place_is_discarded_by_force_only(changes: dict[str, Any]) -> None:
    directory = replace(RUNNING, staged=replace(RECORD, **changes))
    message = r"/data.restore holds a complete staging of xid .* by process 4711 on db1 .*\nHINT: .*previous_data.yml"
    with pytest.raises(Error, match=message):
        check_reservation(directory, REQUEST, alive=False, force=False)
    check_reservation(directory, REQUEST, alive=False, force=True)


def test_what_another_host_has_begun_is_not_taken_for_left_over() -> None:
    """On storage that they share, its processes cannot be seen."""
    elsewhere = replace(RECORD, complete=False, reservation=replace(EARLIER, host="db2"))
    directory = replace(RUNNING, staged=elsewhere)
    message = r"was begun by process 4711 on db2 .*, and is not complete; whether .* be seen from db1\nHINT: make sure"
    with pytest.raises(Error, match=message):
        check_reservation(directory, REQUEST, alive=False, force=False)
    check_reservation(directory, REQUEST, alive=False, force=True)


@pytest.mark.parametrize("record", [RECORD, replace(RECORD, complete=False)])
def test_nothing_is_done_beside_the_run_that_has_begun_it(record: RestoreRecord) -> None:
    with pytest.raises(Busy, match=r"/data.restore is being staged by process 4711 on db1 \(2026-11-21T11"):
        check_reservation(replace(RUNNING, staged=record), REQUEST, alive=True, force=True)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    "changes",
    [OTHER, ELSEWHERE, {"reservation": replace(EARLIER, repository_id="another")}, {"reservation": None}],
)
@pytest.mark.parametrize(
    "directory",
    [
        replace(RUNNING, kind="missing", staged=MOVED),
        replace(RUNNING, kind="empty", staged=MOVED),
        replace(RUNNING, kind="unfinished", staged=None, record=RECORD),
        replace(RUNNING, kind="unfinished", exchanging=True, mount_point=True, staged=MOVED),
    ],
)
def test_once_data_has_been_moved_there_is_only_forward_or_back(
    directory: DataDirectory, changes: dict[str, Any], force: bool
) -> None:
    """The same target from another repository is another restore, too; nobody is told to discard what tells the way."""
    staged, record = (found and replace(found, **changes) for found in (directory.staged, directory.record))
    with pytest.raises(
        Error, match=r"was interrupted .*750 from /srv/pgark is asked for\nHINT: finish it .*rollback.yml"
    ) as found:
        check_reservation(replace(directory, staged=staged, record=record), REQUEST, alive=False, force=force)
    assert "discard" not in str(found.value)
