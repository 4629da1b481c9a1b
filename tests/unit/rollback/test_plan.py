# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rollback puts back is what the restore in place has replaced, and nothing that is in doubt."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import (
    Damaged,
    DataDirectory,
    RestoreRecord,
    check_records_readable,
    check_stopped,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._plan.plan import Plan, report
from ansible_collections.pgark.postgres.plugins.module_utils._previous_data.plan import NoteKept, made_by
from ansible_collections.pgark.postgres.plugins.module_utils._restore.steps import (
    MoveTablespaces,
    MoveTablespacesBack,
    PutInPlace,
    ReleaseControl,
    SetAside,
    SwapEntries,
)
from ansible_collections.pgark.postgres.plugins.module_utils._rollback.new_timeline import Anew
from ansible_collections.pgark.postgres.plugins.module_utils._rollback.plan import (
    BringBack,
    ForgetRollback,
    NoteRollback,
    Rollback,
    plan_rollback,
)
from ansible_collections.pgark.postgres.plugins.module_utils._rollback.situation import (
    Journal,
    Kept,
    Situation,
    check_no_rollback,
    free_stamp,
)
from ansible_collections.pgark.postgres.plugins.module_utils._values.space import FreeSpace
from ansible_collections.pgark.postgres.plugins.module_utils._values.target import Target
from tests.unit.examples import NOON, minutes

DATA = "/var/lib/pg data/17"
STAMP = "20261121T120000Z"
JOURNAL = f"{DATA}.rollback.json"
IDENTIFIER = "7301"


def before(name: str) -> str:
    return f"{DATA}.before-{name}"


def record(replaced: str, mark: str, **changes: Any) -> RestoreRecord:
    """Make the record of a restore that set its data aside under a name, which a rollback puts back."""
    target = Target("time", minutes(10)).as_dict()
    made = RestoreRecord(target, "monday", "main", IDENTIFIER, before(replaced), undo_directory=before(replaced))
    return replace(made, complete=True, undo_mark=mark, **changes)


FIRST = record("1", mark="5")
RESTORED = DataDirectory(
    *("/pgdata", DATA, "cluster"), system_identifier=IDENTIFIER, record=FIRST, mark="6 first", room=FreeSpace(1, 0)
)
ORIGINAL = Kept(before("1"), "cluster", "5", system_identifier=IDENTIFIER, device=1)
ASIDE = Kept(before("2"), "cluster", "6 first", FIRST, IDENTIFIER, device=1)
BACK = replace(RESTORED, record=None, mark="5")
GONE = replace(RESTORED, kind="missing", record=None, mark="", system_identifier=None)


def keep_note(aside: str, found: RestoreRecord | None, source: str, mount_point: bool = False) -> NoteKept:
    return NoteKept(DATA, aside, mount_point, {**made_by(found), "rolled_back": source})


MOVES = (keep_note(before(STAMP), FIRST, before("1")), SetAside(DATA, before(STAMP)), PutInPlace(before("1"), DATA))
FORGET = ForgetRollback(JOURNAL)


def roll_back(
    directory: DataDirectory,
    *kept: Kept,
    wanted: str | None = None,
    force: bool = False,
    journal: Journal | None = None,
    identifier: str | None = None,
) -> Rollback:
    return plan_rollback(Situation(directory, kept, journal, identifier), wanted, force, STAMP, Anew())


def test_two_renames_between_a_note_and_its_removal() -> None:
    found = roll_back(RESTORED, ORIGINAL)
    assert found.plan.steps == (NoteRollback(JOURNAL, before("1"), before(STAMP)), *MOVES, FORGET)
    assert (found.source, found.aside, found.startable) == (before("1"), before(STAMP), True)
    assert found.plan.before == {"data_directory": "cluster", "restored_to": FIRST.target}
    assert found.plan.after == {"data_directory": "cluster", "restored_to": None}


def test_what_has_been_rolled_back_stays() -> None:
    assert roll_back(BACK, ASIDE) == Rollback(
        Plan(
            (), {"data_directory": "cluster", "restored_to": None}, {"data_directory": "cluster", "restored_to": None}
        ),
        *(None, before("2"), True),
    )


def test_the_restore_before_the_one_that_was_rolled_back_is_not_undone_as_well() -> None:
    """Restored, restored again, rolled back once: to go back further has to be asked for by name."""
    second = Kept(before("3"), "cluster", "8 x", record("2", mark="6 first"), IDENTIFIER, device=1)
    assert not roll_back(RESTORED, ORIGINAL, second).plan.changed
    assert roll_back(RESTORED, ORIGINAL, second, wanted=before("1")).source == before("1")


def test_a_directory_with_the_inode_of_one_that_is_gone_is_not_taken_for_it() -> None:
    """The data that the first restore replaced was removed, and the second one got its inode."""
    again = replace(RESTORED, mark="5 second", record=record("2", mark="6 first"))
    assert roll_back(again, ASIDE).source == before("2")


def test_undoing_a_rollback_gives_everything_its_name_back() -> None:
    found = roll_back(BACK, ASIDE, wanted=before("2"))
    assert found.plan.steps == (
        NoteRollback(JOURNAL, before("2"), before("1")),
        keep_note(before("1"), None, before("2")),
        SetAside(DATA, before("1")),
        PutInPlace(before("2"), DATA),
        FORGET,
    )
    taken = replace(ORIGINAL, mark="99")
    assert roll_back(BACK, ASIDE, taken, wanted=before("2")).aside == before(STAMP)
    other = replace(BACK, mark="77")
    assert roll_back(other, ASIDE, wanted=before("2")).aside == before(STAMP)


def test_what_was_replaced_is_known_by_its_mark_under_any_name() -> None:
    renamed = replace(ORIGINAL, path=before("renamed"))
    impostor = replace(ORIGINAL, mark="99")
    assert roll_back(RESTORED, renamed).source == before("renamed")
    assert roll_back(RESTORED, impostor, renamed).source == before("renamed")
    assert roll_back(RESTORED, impostor).source == before("1")


def test_a_record_that_knows_of_no_rollback_names_what_was_set_aside() -> None:
    earlier = replace(FIRST, undo_directory=None, undo_mark=None)
    assert roll_back(replace(RESTORED, record=earlier), ORIGINAL).source == before("1")


def test_after_several_attempts_what_was_last_written_to_comes_back() -> None:
    attempt = Kept(before("2"), "cluster", "6 first", FIRST, IDENTIFIER, device=1)
    second = replace(RESTORED, mark="8 second", record=replace(FIRST, previous_directory=before("2")))
    assert roll_back(second, ORIGINAL, attempt).source == before("1")


def test_data_whose_switch_was_never_finished_can_start_at_the_end() -> None:
    held = replace(ASIDE, kind="unfinished", system_identifier=None)
    found = roll_back(BACK, held, wanted=before("2"))
    assert found.plan.steps[-2:] == (ReleaseControl(DATA), FORGET)
    assert found.startable


@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_where_there_is_no_data_nothing_is_set_aside(kind: str) -> None:
    found = roll_back(replace(GONE, kind=kind), ORIGINAL, wanted=before("1"))
    assert found.plan.steps == (NoteRollback(JOURNAL, before("1"), None), PutInPlace(before("1"), DATA), FORGET)
    assert found.aside is None


def test_a_switch_that_was_interrupted_between_its_renames_is_undone() -> None:
    found = roll_back(replace(GONE, staged=FIRST), ORIGINAL)
    assert (found.source, found.aside) == (before("1"), None)


@pytest.mark.parametrize("kind", ["missing", "unfinished"])
def test_tablespaces_whose_move_was_interrupted_go_back_and_not_on(kind: str) -> None:
    """Where they cannot be moved aside, a way back that begins with moving them would be none."""
    moving = replace(FIRST, aside={"/fast": "/fast/pgark-1"})
    half = replace(GONE, staged=moving) if kind == "missing" else replace(RESTORED, kind=kind, record=moving)
    first, second, *_moves = roll_back(half, ORIGINAL).plan.steps
    assert first == MoveTablespacesBack(before("1"), {"/fast": "/fast/pgark-1"}, "")
    assert isinstance(second, NoteRollback)
    assert not any(isinstance(step, MoveTablespaces) for step in roll_back(half, ORIGINAL).plan.steps)


def test_data_that_begins_a_recovery_is_put_back_with_a_warning() -> None:
    """It comes back as it was; what a restore that is not finished begins is known."""
    found = roll_back(RESTORED, replace(ORIGINAL, signs=("standby.signal", "backup_label")))
    assert "the data that is put back has standby.signal and backup_label, as it had" in found.warnings[0]
    assert roll_back(BACK, replace(ASIDE, signs=("recovery.signal",)), wanted=before("2")).warnings == ()
    assert roll_back(RESTORED, ORIGINAL).warnings == ()


def test_what_is_staged_beside_the_data_is_no_restore_to_be_undone() -> None:
    with pytest.raises(Error, match="there is no restore to undo"):
        roll_back(replace(BACK, staged=FIRST), ORIGINAL)


@pytest.mark.parametrize(
    ("directory", "kept", "options", "message"),
    [
        (BACK, (), {}, "no restore to undo in /pgdata; nothing is kept beside it\nHINT: .*previous_directory"),
        (
            BACK,
            (ORIGINAL,),
            {},
            f"no restore to undo in /pgdata; what is kept: {before('1')}\nHINT: to put one of these",
        ),
        (GONE, (ORIGINAL,), {}, f"no restore to undo in /pgdata; what is kept: {before('1')}"),
        (RESTORED, (ASIDE,), {}, f"{before('1')}, which is to be put back, is not there; what is kept: {before('2')}"),
        (RESTORED, (replace(ORIGINAL, kind="empty"),), {}, "is empty; nothing is kept"),
        (RESTORED, (ORIGINAL,), {"wanted": "/nowhere"}, "/nowhere, which is to be put back, is not there"),
        (
            RESTORED,
            (replace(ORIGINAL, postmaster=4711),),
            {},
            r"a server \(process 4711\) is running on .*before-1, whi",
        ),
        (RESTORED, (replace(ORIGINAL, device=2),), {}, "is on another file system than"),
        (RESTORED, (replace(ORIGINAL, kind="unknown"),), {}, "only what is left of one\nHINT: with force: true"),
        (
            RESTORED,
            (replace(ORIGINAL, mark="9", system_identifier="1"),),
            {"force": True},
            f"holds another cluster: its system identifier is 1, that of /pgdata is {IDENTIFIER}",
        ),
        (
            GONE,
            (replace(ORIGINAL, system_identifier="1"),),
            {"wanted": before("1"), "identifier": "2"},
            "is 1, .* is 2",
        ),
        (RESTORED, (Kept(DATA, "cluster", device=1),), {"wanted": DATA}, "cannot become the data directory"),
        (RESTORED, (Kept(f"{DATA}/base", "unknown"),), {"wanted": f"{DATA}/base"}, "cannot become the data directory"),
        (RESTORED, (Kept("/var/lib", "unknown"),), {"wanted": "/var/lib"}, "cannot become the data directory"),
    ],
)
def test_what_is_in_doubt_is_refused(
    directory: DataDirectory, kept: tuple[Kept, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(Error, match=message):
        roll_back(directory, *kept, **options)


def test_with_force_what_is_left_of_a_data_directory_is_put_back() -> None:
    remains = replace(ORIGINAL, kind="unknown", system_identifier=None)
    found = roll_back(RESTORED, remains, force=True)
    assert (found.source, found.startable) == (before("1"), False)
    assert found.plan.after["data_directory"] == "unknown"


def test_clones_of_one_cluster_may_differ_in_their_identity() -> None:
    """The one in place has its own, the one that it replaced has none yet, or the other way round."""
    clone = replace(RESTORED, record=replace(FIRST, source="main", undo_mark="gone"), system_identifier="99")
    older = replace(ORIGINAL, record=record("0", mark="4", source="main"))
    assert roll_back(clone, older).source == before("1")
    with pytest.raises(Error, match="holds another cluster"):
        roll_back(clone, replace(older, record=record("0", mark="4", source="other")))
    detached = replace(clone, record=replace(FIRST, source="main"))
    assert roll_back(detached, ORIGINAL).source == before("1")


NOTED = Journal(before("1"), before("2"), "5", "cluster")


@pytest.mark.parametrize(
    ("directory", "kept", "steps"),
    [
        (
            RESTORED,
            (ORIGINAL,),
            (
                keep_note(before("2"), FIRST, before("1")),
                SetAside(DATA, before("2")),
                PutInPlace(before("1"), DATA),
                FORGET,
            ),
        ),
        (GONE, (ORIGINAL, ASIDE), (PutInPlace(before("1"), DATA), FORGET)),
        (replace(GONE, kind="empty"), (ORIGINAL, ASIDE), (PutInPlace(before("1"), DATA), FORGET)),
        (BACK, (ASIDE,), (FORGET,)),
        (replace(BACK, kind="unfinished"), (ASIDE,), (ReleaseControl(DATA), FORGET)),
    ],
)
@pytest.mark.parametrize("wanted", [None, before("1")])
def test_an_interrupted_rollback_goes_on_from_where_it_was(
    directory: DataDirectory, kept: tuple[Kept, ...], steps: tuple[Any, ...], wanted: str | None
) -> None:
    found = roll_back(directory, *kept, journal=NOTED, wanted=wanted)
    assert found.plan.steps == steps
    assert (found.source, found.aside) == (before("1"), before("2"))


def test_a_server_is_in_nobodys_way_where_no_data_is_moved() -> None:
    assert roll_back(RESTORED, ORIGINAL).moves_data
    assert roll_back(GONE, ORIGINAL, wanted=before("1")).moves_data
    assert not roll_back(BACK, ASIDE).moves_data
    assert not roll_back(BACK, ASIDE, journal=NOTED).moves_data


def test_an_interrupted_rollback_is_not_mixed_with_another() -> None:
    with pytest.raises(Error, match=r"before-1 back was interrupted, and .*before-2 is asked for"):
        roll_back(GONE, ORIGINAL, ASIDE, journal=NOTED, wanted=before("2"))
    with pytest.raises(Error, match=r"was missing when a rollback was interrupted, and something is there now"):
        roll_back(BACK, ORIGINAL, ASIDE, journal=NOTED)


def test_a_journal_that_is_about_other_data_is_removed_on_the_way() -> None:
    found = roll_back(RESTORED, ORIGINAL, journal=replace(NOTED, source=before("0"), mark="3"))
    assert found.plan.steps[:2] == (FORGET, NoteRollback(JOURNAL, before("1"), before(STAMP)))
    assert roll_back(BACK, ASIDE, journal=replace(NOTED, mark="3")).plan.steps == (FORGET,)


def test_a_restore_waits_for_a_rollback_that_is_half_done() -> None:
    check_no_rollback(RESTORED, None)
    with pytest.raises(
        Error, match=r"a rollback of /pgdata was interrupted: .*before-1 is to be put back\nHINT: finish"
    ):
        check_no_rollback(RESTORED, NOTED)


@pytest.mark.parametrize(
    ("kind", "mount_point", "name", "hint"),
    [
        ("cluster", False, f"{DATA}/x.json", f"move {DATA}/x.json away, and run this again; or pitr_rollback.yml, or "),
        ("cluster", False, f"{DATA}.restore/x.json", f"move {DATA}.restore away, and run this again; or "),
        (
            "missing",
            False,
            f"{DATA}.restore/x.json",
            "pitr_rollback.yml, or pitr_restore with state: ",
        ),
        ("cluster", True, f"{DATA}/x.json", f"move {DATA}/x.json away, and run this again; or "),
        ("unknown", True, f"{DATA}/pgark.restore/x.json", "without it nothing tells whose the entries are"),
        ("cluster", True, f"{DATA}/pgark.rollback.json", "without it nothing tells whose the entries are"),
    ],
)
def test_a_record_that_cannot_be_read_is_no_dead_end(kind: str, mount_point: bool, name: str, hint: str) -> None:
    seen = replace(RESTORED, kind=kind, mount_point=mount_point)
    check_records_readable(seen, [before("1")])
    with pytest.raises(Error, match=re.escape(f"{name} is empty. It tells how far")) as caught:
        check_records_readable(replace(seen, damaged=(Damaged(name, f"{name} is empty"),)), [before("1"), before("2")])
    assert f"is as it was left, and what was set aside is in {before('1')}, {before('2')}" in caught.value.message
    assert str(caught.value.hint).startswith(hint)
    back = f"with previous_directory={before('2')} that is put back"
    assert (back in str(caught.value.hint)) is ("nothing" not in hint)


def test_data_is_not_moved_under_a_server() -> None:
    check_stopped(RESTORED)
    with pytest.raises(Error, match=r"a server \(process 4711\) is running on /pgdata\nHINT: stop it first"):
        check_stopped(replace(RESTORED, postmaster=4711))


INSIDE = f"{DATA}/pgark.before-"
MOUNTED = replace(
    RESTORED,
    mount_point=True,
    record=replace(FIRST, previous_directory=f"{INSIDE}1", undo_directory=f"{INSIDE}1"),
)
IN_JOURNAL = f"{DATA}/pgark.rollback.json"


def test_a_mount_point_exchanges_its_entries() -> None:
    found = roll_back(MOUNTED, replace(ORIGINAL, path=f"{INSIDE}1"))
    assert found.plan.steps == (
        NoteRollback(IN_JOURNAL, f"{INSIDE}1", f"{INSIDE}{STAMP}"),
        keep_note(f"{INSIDE}{STAMP}", MOUNTED.record, f"{INSIDE}1", mount_point=True),
        BringBack(DATA, f"{INSIDE}1", f"{INSIDE}{STAMP}", IN_JOURNAL),
        ForgetRollback(IN_JOURNAL),
    )
    journal = Journal(f"{INSIDE}1", f"{INSIDE}2", "5", "unfinished", ("base",))
    half = roll_back(MOUNTED, replace(ORIGINAL, path=f"{INSIDE}1", kind="unknown"), journal=journal)
    assert half.plan.steps == (
        keep_note(f"{INSIDE}2", MOUNTED.record, f"{INSIDE}1", mount_point=True),
        BringBack(DATA, f"{INSIDE}1", f"{INSIDE}2", IN_JOURNAL),
        ReleaseControl(DATA),
        ForgetRollback(IN_JOURNAL),
    )
    assert half.startable


@pytest.mark.parametrize("path", [f"{DATA}/base", f"{INSIDE}1/base", "/var/lib/pg data/other"])
def test_in_a_mount_point_only_what_was_set_aside_there_is_put_back(path: str) -> None:
    with pytest.raises(Error, match=r"is among the data in|cannot become the data directory"):
        roll_back(MOUNTED, replace(ORIGINAL, path=path), wanted=path)


def test_a_half_done_exchange_is_finished_before_it_is_undone() -> None:
    staged = replace(FIRST, previous_directory=f"{INSIDE}1", undo_directory=f"{INSIDE}1", entries=("base",))
    half = replace(MOUNTED, kind="unfinished", exchanging=True, staged=staged, record=None)
    partly = replace(ORIGINAL, path=f"{INSIDE}1", mark="other", kind="unknown", system_identifier=None)
    found = roll_back(half, partly)
    assert found.plan.steps[:4] == (
        SwapEntries(DATA, f"{DATA}/pgark.restore", f"{INSIDE}1", ("base",)),
        NoteRollback(IN_JOURNAL, f"{INSIDE}1", f"{INSIDE}{STAMP}"),
        keep_note(f"{INSIDE}{STAMP}", None, f"{INSIDE}1", mount_point=True),
        BringBack(DATA, f"{INSIDE}1", f"{INSIDE}{STAMP}", IN_JOURNAL),
    )


def test_a_new_name_is_one_that_is_free() -> None:
    directory = replace(RESTORED, staged=None)
    assert free_stamp(directory, [], NOON) == "20261121T120000Z"
    taken = [before("20261121T120000Z"), before("20261121T120001Z")]
    assert free_stamp(directory, taken, NOON) == "20261121T120002Z"
    assert free_stamp(directory, taken, NOON + timedelta(seconds=1)) == "20261121T120002Z"


def test_every_step_says_what_it_does_to_which_path() -> None:
    plans = [
        roll_back(RESTORED, ORIGINAL).plan,
        roll_back(MOUNTED, replace(ORIGINAL, path=f"{INSIDE}1")).plan,
        roll_back(replace(MOUNTED, kind="empty"), replace(ORIGINAL, path=f"{INSIDE}1")).plan,
    ]
    for step in (step for plan in plans for step in report(plan)):
        named = [step[name] for name in ("path", "source", "aside", "staging", "previous") if step.get(name)]
        assert all(name in step["text"] for name in named)
