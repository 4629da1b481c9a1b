# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a restore is safe is read from its plan: what is refused, and the order of what is done."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import (
    DataDirectory,
    Place,
    Reservation,
    RestoreRecord,
    RestoreRequest,
)
from ansible_collections.pgark.postgres.plugins.module_utils._configuration.files import KeptFile
from ansible_collections.pgark.postgres.plugins.module_utils._configuration.steps import (
    PlaceLinks,
    RestoreConfiguration,
)
from ansible_collections.pgark.postgres.plugins.module_utils._dependents.connected import Dependents, Receiver
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._plan.plan import Plan, Step, report
from ansible_collections.pgark.postgres.plugins.module_utils._previous_data.plan import NoteKept
from ansible_collections.pgark.postgres.plugins.module_utils._repository.layout import Layout
from ansible_collections.pgark.postgres.plugins.module_utils._restore.left_segments import LeftSegment
from ansible_collections.pgark.postgres.plugins.module_utils._restore.plan import (
    Recovery,
    check_directory,
    left_to_do,
    made_by,
    place_links,
    plan_staging,
    plan_switch,
    with_undo,
)
from ansible_collections.pgark.postgres.plugins.module_utils._restore.space import Amount, BackupSizes, NoRoom
from ansible_collections.pgark.postgres.plugins.module_utils._restore.steps import (
    BeginStaging,
    CheckLabel,
    CompareWal,
    ConfigureRecovery,
    FinishStaging,
    MoveTablespaces,
    NoteUndo,
    PlaceLeftSegments,
    PutInPlace,
    ReleaseControl,
    RemoveStaging,
    ReserveAside,
    SaveWal,
    SetAside,
    SwapEntries,
    UnpackBackup,
    VerifyStaging,
)
from ansible_collections.pgark.postgres.plugins.module_utils._values.space import FreeSpace
from ansible_collections.pgark.postgres.plugins.module_utils._values.target import Target
from ansible_collections.pgark.postgres.plugins.module_utils._wal.identity import Identity
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn, SegmentName, TimelinePath
from ansible_collections.pgark.postgres.plugins.module_utils._windows.choice import Choice
from ansible_collections.pgark.postgres.plugins.module_utils._windows.route import Ends, Route
from tests.unit.examples import BACKUP, IDENTITY, minutes

LAYOUT = Layout("/srv/pgark", "main")
STAMP = "20261121T120000Z"
DATA = "/var/lib/pg data/17"
STORED = "/srv/pgark/main/backup/monday"
TARGET = Target("time", minutes(10))
RUN = Reservation(DATA, "an id", "/srv/pgark", "1f2e3d4c", "db1", 4712, "90210", "2026-11-21T12:00:00Z")
REQUEST = RestoreRequest(TARGET, "main", IDENTITY.system_identifier, reservation=RUN)
STAGED = RestoreRecord(
    TARGET.as_dict(),
    "monday",
    "main",
    IDENTITY.system_identifier,
    f"{DATA}.before-{STAMP}",
    complete=True,
    entries=("PG_VERSION", "base"),
    size=3_000_000,
    start_lsn=str(BACKUP.start_lsn),
    end_lsn="0/9000000",
    reservation=RUN,
    timeline=1,
)
RUNNING = DataDirectory("/pgdata", DATA, "cluster", room=FreeSpace(1, 1 << 40), mark="7")
MISSING = replace(RUNNING, kind="missing")
SETTINGS = {"restore_command": "get", "recovery_target_timeline": "1"}
OVERRIDES = {"listen_addresses": ""}
PARTS = BackupSizes(Amount(1_000_000, 1_200_000), Amount(2_000_000, 2_000_000))


def test_the_plan_names_a_long_command_without_its_text() -> None:
    settings = {"recovery_target_lsn": "0/3000028", "restore_command": "/srv/pgark-wal get " + "x" * 700}
    step = ConfigureRecovery(f"{DATA}.restore", settings, {"listen_addresses": "", "hot_standby": "on"}, {})
    assert step.text == (
        "write recovery settings: recovery_target_lsn = '0/3000028', restore_command, listen_addresses = '' and 1 more"
    )
    assert step.settings == settings


COMPARE = CompareWal(DATA, f"{DATA}.restore", LAYOUT, IDENTITY.system_identifier)


def staging(directory: DataDirectory, aside: Mapping[str, str] | None = None, **changes: object) -> Plan:
    path = TimelinePath.parse(1, "")
    choice = Choice(replace(BACKUP, **changes), path, Lsn.parse("0/9000000"), 3, minutes(20))
    return plan_staging(directory, choice, REQUEST, LAYOUT, Recovery(SETTINGS, OVERRIDES), PARTS, STAMP, aside or {})


def kinds(plan: Plan) -> list[type[Step]]:
    return [type(step) for step in plan.steps]


@pytest.mark.parametrize("kind", ["missing", "empty", "cluster", "unfinished"])
def test_a_backup_is_staged_beside_the_data_whatever_is_there(kind: str) -> None:
    plan = staging(replace(RUNNING, kind=kind, postmaster=4711))
    begin = plan.steps[0]
    assert isinstance(begin, BeginStaging)
    record = replace(STAGED, complete=False, entries=(), given=begin.record.given)
    assert plan.steps == (
        BeginStaging(f"{DATA}.restore", record),
        UnpackBackup(STORED, f"{DATA}.restore", {}, (), None, BACKUP.manifest_sha256, 3_000_000),
        VerifyStaging(f"{DATA}.restore", STORED, BACKUP.manifest_sha256, 3_000_000),
        CheckLabel(
            *(f"{DATA}.restore", "monday", str(BACKUP.start_lsn), {}, str(BACKUP.stop_lsn), (1, 1)),
            Identity(BACKUP.system_identifier, BACKUP.version, PARTS.segment_size),
        ),
        ConfigureRecovery(f"{DATA}.restore", SETTINGS, OVERRIDES, {}),
        *([] if kind in ("missing", "empty") else [COMPARE]),
        FinishStaging(f"{DATA}.restore", replace(record, complete=True), None),
    )


@pytest.mark.parametrize(
    ("kind", "source", "old"), [("cluster", None, DATA), ("missing", None, None), ("cluster", "main", None)]
)
def test_segments_in_which_a_timeline_was_left_are_staged_with_it(
    kind: str, source: str | None, old: str | None
) -> None:
    size = IDENTITY.wal_segment_size
    path = TimelinePath.parse(2, f"1\t{Lsn(5 * size + 0x100)}\tx\n")
    choice = Choice(BACKUP, path, Lsn(6 * size), 3, minutes(20))
    request, parts = replace(REQUEST, source=source), replace(PARTS, segment_size=size)
    arguments = (choice, request, LAYOUT, Recovery(SETTINGS, OVERRIDES), parts, STAMP, {})
    plan = plan_staging(replace(RUNNING, kind=kind), *arguments)
    [step] = [step for step in plan.steps if isinstance(step, PlaceLeftSegments)]
    assert plan.steps.index(step) > kinds(plan).index(VerifyStaging)
    name, next_one = (SegmentName(timeline, 0, 5) for timeline in (1, 2))
    identity = replace(IDENTITY, version=BACKUP.version)
    assert step == PlaceLeftSegments(f"{DATA}.restore", (LeftSegment(name, next_one, 0x100),), identity, old)
    assert step.text == (
        f"put into {DATA}.restore/pg_wal what belongs to a timeline that was left in it: "
        "000000010000000000000005 (from 000000020000000000000005)"
    )
    room = PARTS.size + size
    with pytest.raises(NoRoom):
        plan_staging(replace(RUNNING, kind=kind, room=FreeSpace(1, room)), *arguments)


def test_in_a_mount_point_everything_stays_on_its_file_system() -> None:
    mount = replace(RUNNING, mount_point=True)
    plan = staging(mount)
    first, last = plan.steps[0], plan.steps[-1]
    assert isinstance(first, BeginStaging)
    assert isinstance(last, FinishStaging)
    assert (first.path, last.mount_point) == (f"{DATA}/pgark.restore", DATA)
    assert first.record.previous_directory == f"{DATA}/pgark.before-{STAMP}"


@pytest.mark.parametrize("complete", [True, False])
def test_an_outdated_staging_goes_first_with_all_its_directories(complete: bool) -> None:
    outdated = replace(STAGED, complete=complete, places=("/ts/a.restored-1", "/wal.restored-1"))
    plan = staging(replace(RUNNING, staged=outdated))
    assert plan.steps[0] == RemoveStaging(f"{DATA}.restore", ("/ts/a.restored-1", "/wal.restored-1"))
    assert kinds(plan)[1] is BeginStaging


OWN = f"pgark-{STAMP}-1f2e3d4c"


@pytest.mark.parametrize(
    ("place", "renewed"),
    [
        (Place("/ts/a b"), f"/ts/a b.restored-{STAMP}-1f2e3d4c"),
        (Place("/ts/a.restored-20250101T000000Z-0a1b2c3d"), f"/ts/a.restored-{STAMP}-1f2e3d4c"),
        (Place("/ts/a.restored-by-hand"), f"/ts/a.restored-by-hand.restored-{STAMP}-1f2e3d4c"),
        (
            Place("/ts/x.restored-20250101T000000Z-0a1b2c3d/a"),
            f"/ts/x.restored-20250101T000000Z-0a1b2c3d/a.restored-{STAMP}-1f2e3d4c",
        ),
        # a mount point, or a directory that was named for it
        (Place("/ts/a", inside="/ts/a"), f"/ts/a/{OWN}"),
        # what an earlier restore has made there is followed by a neighbour
        (Place("/ts/a/pgark-20250101T000000Z-0a1b2c3d"), f"/ts/a/{OWN}"),
        # root has made a directory for it, beside
        (Place("/ts/a", inside="/ts/a.restored"), f"/ts/a.restored/{OWN}"),
    ],
)
def test_a_directory_outside_gets_a_neighbour_whose_name_does_not_grow(place: Place, renewed: str) -> None:
    assert place.renewed(STAMP, "1f2e3d4c") == renewed


def test_tablespaces_and_wal_outside_get_new_directories_that_the_record_names() -> None:
    directory = replace(
        RUNNING,
        wal=Place("/fast/wal", room=FreeSpace(2, 1 << 40)),
        tablespaces={
            "16384": Place("/ts/now", inside="/ts/now", room=FreeSpace(1, 1 << 40)),
            "16385": Place("/ts/gone", room=FreeSpace(1, 1 << 40)),
            "99": Place("/ts/not in the backup"),
        },
    )
    there = {"16384": "/ts/then", "16385": "/ts/gone", "16386": "pg_tblspc/16386"}
    plan, digest = staging(directory, tablespaces=there), BACKUP.manifest_sha256
    tablespaces = {"16384": f"/ts/now/{OWN}", "16385": f"/ts/gone.restored-{STAMP}-1f2e3d4c"}
    wal = f"/fast/wal.restored-{STAMP}-1f2e3d4c"
    assert UnpackBackup(STORED, f"{DATA}.restore", tablespaces, ("16386",), wal, digest, 3_000_000) in plan.steps
    assert ConfigureRecovery(f"{DATA}.restore", SETTINGS, OVERRIDES, tablespaces) in plan.steps
    assert isinstance(plan.steps[0], BeginStaging)
    assert plan.steps[0].record.places == (*tablespaces.values(), wal)


@pytest.mark.parametrize(
    ("kind", "identifier", "force", "message"),
    [
        ("unknown", None, False, "is not empty and is not a PostgreSQL data directory.*\nHINT: .*force: true"),
        ("unknown", None, True, None),
        ("cluster", IDENTITY.system_identifier, False, None),
        ("cluster", "1", False, "holds another cluster: its system identifier is 1, that of the backups is 73012345"),
        ("cluster", "1", True, "holds another cluster"),
        ("unfinished", "1", False, "holds another cluster"),
        ("unfinished", IDENTITY.system_identifier, False, None),
        ("missing", None, False, None),
        ("empty", None, False, None),
    ],
)
def test_only_this_clusters_data_is_replaced(
    kind: str, identifier: str | None, force: bool, message: str | None
) -> None:
    directory = replace(RUNNING, kind=kind, system_identifier=identifier)
    if message is None:
        check_directory(directory, IDENTITY, force)
    else:
        with pytest.raises(Error, match=message):
            check_directory(directory, IDENTITY, force)


@pytest.mark.parametrize(
    ("used", "asked", "message"),
    [
        ((), True, None),
        ((), False, "It is new: nobody has written to it since it was made\nHINT: .* replace_new_cluster: true"),
        (
            ("it has the role app",),
            True,
            "It cannot be taken for a new one: it has the role app\nHINT",
        ),
        (("it has the role app",), False, "that of the backups is 7301234567890123456\nHINT"),
        (None, True, "holds another cluster"),
    ],
)
def test_another_cluster_is_replaced_only_when_it_is_new_and_that_is_asked_for(
    used: tuple[str, ...] | None, asked: bool, message: str | None
) -> None:
    directory = replace(RUNNING, system_identifier="1", used=used)
    if message is None:
        check_directory(directory, IDENTITY, False, asked)
    else:
        with pytest.raises(Error, match=message):
            check_directory(directory, IDENTITY, True, asked)


def test_the_wal_of_a_new_cluster_is_none_to_save() -> None:
    plan = switch(replace(RUNNING, system_identifier="1", used=(), staged=STAGED))
    assert plan.steps == (NOTE, KEPT, ASIDE, IN_PLACE, RELEASE)


def switch(directory: DataDirectory, configuration: tuple[KeptFile, ...] = ()) -> Plan:
    return plan_switch(directory, REQUEST, LAYOUT, configuration)


SAVE = SaveWal(DATA, f"{DATA}.restore", LAYOUT, system_identifier=IDENTITY.system_identifier)
NOTE = NoteUndo(f"{DATA}.restore", replace(STAGED, undo_directory=f"{DATA}.before-{STAMP}", undo_mark="7"))
KEPT = NoteKept(DATA, f"{DATA}.before-{STAMP}", False, made_by(STAGED))
ASIDE = SetAside(DATA, f"{DATA}.before-{STAMP}")
IN_PLACE = PutInPlace(f"{DATA}.restore", DATA)
RELEASE = ReleaseControl(DATA)


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        ("cluster", (SAVE, NOTE, KEPT, ASIDE, IN_PLACE, RELEASE)),
        ("unknown", (SAVE, NOTE, KEPT, ASIDE, IN_PLACE, RELEASE)),
        ("unfinished", (SAVE, NOTE, KEPT, ASIDE, IN_PLACE, RELEASE)),
        ("empty", (KEPT, ASIDE, IN_PLACE, RELEASE)),
        ("missing", (IN_PLACE, RELEASE)),
    ],
)
def test_wal_is_saved_before_the_switch_and_the_control_file_comes_last(kind: str, steps: tuple[Step, ...]) -> None:
    assert switch(replace(RUNNING, kind=kind, staged=STAGED)).steps == steps


def test_a_tablespace_that_moves_aside_says_which_host_has_made_its_place() -> None:
    steps = switch(replace(RUNNING, staged=replace(STAGED, aside={"/fast": "/fast.before"}))).steps
    reserved, move = steps[steps.index(SAVE) + 1], next(step for step in steps if isinstance(step, MoveTablespaces))
    assert reserved == ReserveAside(move.moves, move.mark, last=True)
    mark = {"host": "db1", "repository": "/srv/pgark", "run": "1f2e3d4c", "cluster": "main", "data_directory": DATA}
    assert mark.items() <= move.mark.items()


def test_whether_a_tablespace_can_go_aside_is_tried_while_the_server_runs() -> None:
    reserved, begin = staging(replace(RUNNING, kind="cluster"), aside={"/fast": "/fast/pgark-1"}).steps[:2]
    assert isinstance(reserved, ReserveAside)
    assert (dict(reserved.moves), reserved.last) == ({"/fast": "/fast/pgark-1"}, False)
    assert isinstance(begin, BeginStaging)


def test_the_tablespaces_of_data_in_a_mount_point_go_aside_before_its_new_data_can_start() -> None:
    """A switch that was killed between the exchange and their move: recovery would write into them."""
    put = replace(STAGED, aside={"/fast": "/fast/pgark-1"})
    directory = replace(RUNNING, kind="unfinished", record=put, mount_point=True)
    move, release = switch(directory).steps
    assert isinstance(move, MoveTablespaces)
    assert (move.previous, dict(move.moves), release) == (put.previous_directory, dict(put.aside), RELEASE)


@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_what_was_made_in_the_place_of_data_that_was_moved_is_replaced(kind: str) -> None:
    """The old data is where the record says, whose note stays as it is."""
    directory = replace(RUNNING, kind=kind, staged=NOTE.record)
    assert switch(directory).steps == (replace(SAVE, old=f"{DATA}.before-{STAMP}"), IN_PLACE, RELEASE)


def test_what_is_staged_anew_after_data_was_moved_knows_where_that_is() -> None:
    _remove, begin, *_others = staging(replace(MISSING, staged=replace(NOTE.record, complete=False))).steps
    assert isinstance(begin, BeginStaging)
    assert (begin.record.undo_directory, begin.record.undo_mark) == (f"{DATA}.before-{STAMP}", "7")


@pytest.mark.parametrize("kind", ["cluster", "unfinished", "empty"])
def test_a_mount_point_is_never_renamed(kind: str) -> None:
    inside = replace(STAGED, previous_directory=f"{DATA}/pgark.before-{STAMP}")
    directory = replace(RUNNING, kind=kind, mount_point=True, staged=inside)
    noted = replace(inside, undo_directory=inside.previous_directory, undo_mark="7")
    first = (replace(SAVE, staging=f"{DATA}/pgark.restore"), NoteUndo(f"{DATA}/pgark.restore", noted))
    assert switch(directory).steps == (
        *(() if kind == "empty" else first),
        NoteKept(DATA, f"{DATA}/pgark.before-{STAMP}", True, made_by(inside)),
        SwapEntries(DATA, f"{DATA}/pgark.restore", f"{DATA}/pgark.before-{STAMP}", ("PG_VERSION", "base")),
        RELEASE,
    )


LOST = KeptFile("/etc/postgresql/17/main/postgresql.conf", "file", "postgres", "postgres", "0644")


def test_configuration_is_restored_before_the_switch_where_it_is_missing() -> None:
    steps = switch(replace(RUNNING, staged=STAGED), (LOST,)).steps
    put_back = RestoreConfiguration(STORED, (LOST,), f".before-{STAMP}")
    assert steps == (SAVE, put_back, NOTE, KEPT, ASIDE, IN_PLACE, RELEASE)


LINKED = replace(
    BACKUP,
    configuration=(
        replace(LOST, path=f"{BACKUP.origin.data_directory}/pg_hba.conf", kind="link", target="/etc/hba"),
        replace(LOST, path=f"{BACKUP.origin.data_directory}/postgresql.auto.conf", kind="link", target="/dev/null"),
        replace(LOST, path="/etc/hba"),
    ),
)


def test_links_are_made_again_and_that_of_the_automatic_file_waits() -> None:
    assert place_links(BACKUP, STORED, DATA, clone=False) == ()
    assert place_links(LINKED, STORED, DATA, clone=False) == (PlaceLinks(DATA, STORED, {"pg_hba.conf": "/etc/hba"}),)


def test_a_clone_gets_a_copy_in_the_place_of_a_link_to_its_sources_file() -> None:
    [step] = place_links(LINKED, STORED, DATA, clone=True)
    assert step == PlaceLinks(DATA, STORED, {}, {"pg_hba.conf": LINKED.configuration[2]})


def test_the_diff_shows_what_is_replaced() -> None:
    earlier = replace(STAGED, target=Target().as_dict())
    plan = switch(replace(RUNNING, staged=STAGED, record=earlier))
    assert plan.before == {"data_directory": "cluster", "restored_to": Target().as_dict()}
    assert plan.after == {"data_directory": "cluster", "restored_to": TARGET.as_dict()}


@pytest.mark.parametrize("kind", ["cluster", "unfinished", "unknown", "empty", "missing"])
def test_a_running_server_stops_the_switch(kind: str) -> None:
    with pytest.raises(Error, match=r"a server \(process 4711\) is running on /pgdata\nHINT: stop it first"):
        switch(replace(RUNNING, kind=kind, staged=STAGED, postmaster=4711))


@pytest.mark.parametrize(
    "staged",
    [
        None,
        replace(STAGED, complete=False),
        replace(STAGED, target=Target().as_dict()),
        replace(STAGED, target=Target("time", minutes(10), inclusive=False).as_dict()),
        replace(STAGED, target=Target("time", minutes(10), timeline=1).as_dict()),
        replace(STAGED, cluster="other"),
        replace(STAGED, system_identifier="1"),
    ],
)
@pytest.mark.parametrize("kind", ["cluster", "missing", "unfinished"])
def test_what_is_not_staged_completely_is_not_put_in_place(kind: str, staged: RestoreRecord | None) -> None:
    with pytest.raises(
        Error, match=rf"{DATA}.restore holds no complete staging of this restore\nHINT: run pitr_restore"
    ):
        switch(replace(RUNNING, kind=kind, staged=staged))


def test_another_label_needs_another_staging() -> None:
    labelled = replace(REQUEST, label="tuesday")
    with pytest.raises(Error, match="no complete staging"):
        plan_switch(replace(RUNNING, staged=STAGED), labelled, LAYOUT, None)
    assert plan_switch(replace(RUNNING, staged=STAGED), replace(REQUEST, label="monday"), LAYOUT, None).changed


def test_a_restore_that_is_in_place_is_not_repeated_though_its_server_runs() -> None:
    in_place = replace(RUNNING, record=STAGED, postmaster=4711)
    assert REQUEST.in_place(in_place)
    assert not switch(in_place).changed


def test_an_interrupted_release_is_all_that_is_left_to_do() -> None:
    assert switch(replace(RUNNING, kind="unfinished", record=STAGED)).steps == (RELEASE,)


@pytest.mark.parametrize("kind", ["missing", "empty", "unknown"])
def test_a_record_without_data_is_no_restore(kind: str) -> None:
    assert not REQUEST.in_place(replace(RUNNING, kind=kind, record=STAGED))


def test_a_restore_staged_anew_replaces_the_one_in_place() -> None:
    assert kinds(switch(replace(RUNNING, record=STAGED, staged=STAGED))) == [
        SaveWal,
        NoteUndo,
        NoteKept,
        SetAside,
        PutInPlace,
        ReleaseControl,
    ]


NOTED = replace(STAGED, undo_directory=f"{DATA}.before-{STAMP}", undo_mark="7")
ATTEMPT = replace(STAGED, previous_directory=f"{DATA}.before-1", undo_directory=f"{DATA}.before-1", undo_mark="5")
NEXT = replace(STAGED, previous_directory=f"{DATA}.before-2")


@pytest.mark.parametrize(
    ("found", "undo"),
    [
        # what has been written to is what a rollback puts back
        ({}, (f"{DATA}.before-2", "7")),
        ({"kind": "unknown"}, (f"{DATA}.before-2", "7")),
        ({"record": ATTEMPT}, (f"{DATA}.before-2", "7")),
        # an attempt that nobody has promoted is not
        ({"record": ATTEMPT, "recovering": True}, (f"{DATA}.before-1", "5")),
        ({"record": ATTEMPT, "kind": "unfinished"}, (f"{DATA}.before-1", "5")),
        # unless it is all that there ever was here
        (
            {"record": replace(ATTEMPT, undo_directory=None, undo_mark=None), "recovering": True},
            (f"{DATA}.before-2", "7"),
        ),
        # a standby of the user's own is recovering as well
        ({"recovering": True}, (f"{DATA}.before-2", "7")),
        ({"kind": "missing"}, (None, None)),
        ({"kind": "empty"}, (None, None)),
    ],
)
def test_a_rollback_puts_back_what_was_last_written_to(
    found: dict[str, Any], undo: tuple[str | None, str | None]
) -> None:
    noted = with_undo(replace(RUNNING, **found), NEXT)
    assert (noted.undo_directory, noted.undo_mark) == undo
    assert replace(noted, undo_directory=None, undo_mark=None) == NEXT


def test_what_is_noted_already_is_not_written_again() -> None:
    assert kinds(switch(replace(RUNNING, staged=NOTED))) == [SaveWal, NoteKept, SetAside, PutInPlace, ReleaseControl]


def test_what_was_noted_before_the_data_was_set_aside_stays() -> None:
    """Between the two renames, and among the entries of a mount point, there is nothing to look at any more."""
    assert switch(replace(MISSING, staged=NOTED)).steps == (
        replace(SAVE, old=f"{DATA}.before-{STAMP}"),
        IN_PLACE,
        RELEASE,
    )
    exchanging = replace(RUNNING, kind="unfinished", mount_point=True, exchanging=True, mark="99", staged=NOTED)
    assert NoteUndo not in kinds(switch(exchanging))


def test_a_staging_that_was_begun_and_given_up_does_not_hide_the_restore_in_place() -> None:
    in_place = replace(RUNNING, record=STAGED, staged=replace(STAGED, complete=False))
    assert not switch(in_place).changed


def test_every_step_says_what_it_does_to_which_path() -> None:
    mount = replace(RUNNING, mount_point=True, staged=STAGED)
    plans = [
        staging(replace(RUNNING, staged=STAGED)),
        switch(replace(RUNNING, staged=STAGED), (LOST,)),
        switch(mount),
        switch(replace(RUNNING, staged=STAGED)),
    ]
    for step in (step for plan in plans for step in report(plan)):
        named = [value for name, value in step.items() if name in ("path", "old", "staging", "backup", "settings")]
        assert any(
            str(part) in step["text"] for value in named for part in ([value] if isinstance(value, str) else value)
        )


def test_where_a_recovery_to_a_moment_stops_is_noted() -> None:
    reached = Route(Lsn.parse("0/8000060"), Ends(3, minutes(1), minutes(9), Lsn.parse("0/8000028"), minutes(8)))
    choice = Choice(BACKUP, TimelinePath.parse(1, ""), reached.stop, 3, minutes(20), route=reached)
    for target, noted in (
        (Target("time", minutes(10)), ("0/8000060", "2026-11-21T12:08:00.000000Z")),
        (Target("lsn", Lsn.parse("0/8000060")), (None, None)),
    ):
        request = replace(REQUEST, target=target)
        plan = plan_staging(MISSING, choice, request, LAYOUT, Recovery(SETTINGS, OVERRIDES), PARTS, STAMP, {})
        (record,) = [step.record for step in plan.steps if isinstance(step, BeginStaging)]
        assert (record.stop_lsn, record.last_time) == noted


STANDBY = "standby db2 goes on serving the old history: make it anew, or use pg_rewind"


@pytest.mark.parametrize(
    ("directory", "found", "to_do"),
    [
        (RUNNING, Dependents(standbys=(Receiver("db2"),)), (STANDBY,)),
        (RUNNING, Dependents(), ()),
        (MISSING, None, ()),
        (replace(RUNNING, record=replace(STAGED, to_do=(STANDBY,)), recovering=True), Dependents(), (STANDBY,)),
        (replace(RUNNING, record=replace(STAGED, to_do=(STANDBY,))), Dependents(), ()),
    ],
    ids=["standby", "nobody", "no data", "an attempt that nobody has promoted", "an earlier restore"],
)
def test_what_is_left_to_do_outlasts_an_attempt(
    directory: DataDirectory, found: Dependents | None, to_do: tuple[str, ...]
) -> None:
    assert left_to_do(directory, found) == to_do
