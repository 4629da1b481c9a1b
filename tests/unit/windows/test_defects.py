# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is wrong is named once, with the file or the backup that it is about."""

from dataclasses import asdict, replace

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._repository.catalog import Catalog
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn
from ansible_collections.pgark.postgres.plugins.module_utils._windows.defects import defects, problems
from tests.unit.examples import SIZE, backup, catalog, fork
from tests.unit.replay import commit, wal_of, windows
from tests.unit.windows.test_spans import FORKED, HISTORY, MONDAY, TUESDAY, WHOLE, without
from tests.unit.windows.test_windows import BACKUPS

NEW_BACKUP = "what was archived after that can be restored once there is a new backup: run base_backup.yml"


def named(subject: Catalog) -> list[dict[str, str]]:
    return [asdict(defect) for defect in defects(subject, problems(subject), [])]


def test_nothing_is_wrong_with_a_whole_archive() -> None:
    assert named(catalog(BACKUPS, WHOLE)) == []
    assert named(catalog([], {})) == []
    assert named(catalog(BACKUPS, FORKED, HISTORY)) == []


@pytest.mark.parametrize(
    ("gone", "subject", "text"),
    [
        (
            [8],
            "000000010000000000000008",
            f"segment 000000010000000000000008 is missing from the archive; {NEW_BACKUP}",
        ),
        (
            [7, 8, 9],
            "000000010000000000000007",
            "3 segments from 000000010000000000000007 to 000000010000000000000009 are missing from the archive; "
            + NEW_BACKUP,
        ),
    ],
)
def test_a_gap_is_named_with_its_length(gone: list[int], subject: str, text: str) -> None:
    assert named(catalog([MONDAY], without(*gone))) == [{"kind": "gap", "subject": subject, "text": text}]


def test_a_gap_before_a_later_backup_asks_for_none() -> None:
    gap, *_others = named(catalog([MONDAY, TUESDAY], without(4)))
    assert gap["text"] == "segment 000000010000000000000004 is missing from the archive"


@pytest.mark.parametrize("gone", [[1], [2], [11, 12]])
def test_what_nobody_needs_is_no_gap(gone: list[int]) -> None:
    assert named(catalog([MONDAY], without(*gone))) == []


def test_a_gap_is_named_once_though_several_timelines_lead_through_it() -> None:
    segments = {place: arrived for place, arrived in FORKED.items() if place != (1, 5)}
    assert [defect["subject"] for defect in named(catalog([MONDAY], segments, HISTORY))] == ["000000010000000000000005"]


def test_a_missing_history_is_named_with_what_is_lost() -> None:
    thursday = backup("thursday", 190, 9, timeline=2)
    found = named(catalog([MONDAY, thursday], FORKED))
    assert found == [
        {
            "kind": "history",
            "subject": "00000002.history",
            "text": "the history file 00000002.history is missing, so the 4 segments of timeline 2 are of no use",
        },
        {
            "kind": "history",
            "subject": "thursday",
            "text": "backup 'thursday' is of timeline 2, whose history file is missing",
        },
    ]


def test_a_backup_can_be_used_on_the_way_to_a_later_timeline_whose_history_is_there() -> None:
    thursday = backup("thursday", 190, 8, timeline=2)
    assert problems(catalog([thursday], FORKED, {3: fork(1, 7.5) + fork(2, 9)})) == {}


@pytest.mark.parametrize(
    ("missing", "kind", "text"),
    [
        (["base.tar", "16385.tar"], "incomplete", "base.tar, 16385.tar of backup 'monday' is missing"),
        (["backup_manifest"], "incomplete", "backup_manifest of backup 'monday' is missing"),
        (["pg_wal.tar"], "wal", "pg_wal.tar of backup 'monday' is missing"),
    ],
)
def test_a_backup_without_its_files_cannot_be_used(missing: list[str], kind: str, text: str) -> None:
    subject = replace(catalog([MONDAY], WHOLE), incomplete={"monday": missing})
    assert named(subject) == [{"kind": kind, "subject": "monday", "text": text}]
    assert list(problems(subject)) == ["monday"]


def test_a_backup_that_was_never_finished_is_named() -> None:
    subject = replace(catalog([], {}), incomplete={".tuesday.partial": ["backup.json"]})
    assert named(subject) == [
        {
            "kind": "incomplete",
            "subject": ".tuesday.partial",
            "text": "a backup was begun in .tuesday.partial and is not finished: it has no backup.json",
        }
    ]


def test_what_cannot_be_believed_is_named_with_the_reason() -> None:
    thursday = backup("thursday", 190, 9, timeline=2)
    subject = replace(
        catalog([MONDAY, thursday], FORKED), broken={"friday": "it is empty"}, broken_histories={2: "it is a FIFO"}
    )
    assert named(subject) == [
        {
            "kind": "history",
            "subject": "00000002.history",
            "text": "the history file 00000002.history cannot be used (it is a FIFO), so the 4 segments of timeline 2 "
            "are of no use",
        },
        {"kind": "broken", "subject": "friday", "text": "backup 'friday' is broken: it is empty"},
        {
            "kind": "history",
            "subject": "thursday",
            "text": "backup 'thursday' is of timeline 2, whose history file cannot be used",
        },
    ]
    assert subject.latest_timeline == 2, "one whose history cannot be read is not taken for one that never was"


def chain(*links: tuple[str, str | None]) -> Catalog:
    return catalog([backup(label, 30, 3, parent=parent) for label, parent in links], WHOLE)


@pytest.mark.parametrize(
    ("subject", "texts"),
    [
        (chain(("a", None), ("b", "a"), ("c", "b")), {}),
        (chain(("b", "a")), {"b": "backup 'b' needs 'a', which is missing"}),
        (
            chain(("c", "b"), ("b", "a")),
            {"c": "backup 'c' needs 'a', which is missing", "b": "backup 'b' needs 'a', which is missing"},
        ),
        (
            chain(("a", "b"), ("b", "a")),
            {"a": "backup 'a' needs 'a', which needs it in turn", "b": "backup 'b' needs 'b', which needs it in turn"},
        ),
        (
            replace(chain(("a", None), ("b", "a"), ("x", None)), incomplete={"a": ["base.tar"]}),
            {
                "a": "base.tar of backup 'a' is missing",
                "b": "backup 'b' needs 'a', which cannot be used: base.tar of backup 'a' is missing",
            },
        ),
        (
            replace(chain(("b", "a"), ("c", "b")), broken={"a": "it is empty"}),
            {
                "a": "backup 'a' is broken: it is empty",
                "b": "backup 'b' needs 'a', which cannot be used: backup 'a' is broken: it is empty",
                "c": "backup 'c' needs 'a', which cannot be used: backup 'a' is broken: it is empty",
            },
        ),
    ],
)
def test_a_chain_is_as_good_as_its_weakest_link(subject: Catalog, texts: dict[str, str]) -> None:
    assert {label: defect.text for label, defect in problems(subject).items()} == texts


def test_an_incremental_backup_is_not_restored() -> None:
    found = problems(catalog([backup("monday", 10, 2), backup("tuesday", 20, 3, type="incremental")], {}))
    assert {label: defect.kind for label, defect in found.items()} == {"tuesday": "chain"}
    assert found["tuesday"].text == "backup 'tuesday' is incremental, and this version restores full ones"


def test_a_gap_within_a_backup_is_named_and_its_own_wal_makes_up_for_it() -> None:
    long = backup("long", 90, 9, start_lsn=Lsn(4 * SIZE + 40))
    subject = catalog([long], without(6, 7))
    assert named(subject) == [
        {
            "kind": "wal",
            "subject": "long",
            "text": "2 segments from 000000010000000000000006 on are missing from the archive between start and end of "
            "backup 'long'; only its own copy is left",
        }
    ]
    assert problems(subject) == {}


def test_a_damaged_segment_is_named() -> None:
    subject = catalog([TUESDAY], WHOLE)
    found = windows(subject, wal_of((1, commit(6.75, 61)), damaged={(1, 7): "invalid magic number 0000"}))
    assert [asdict(defect) for defect in defects(subject, {}, found)] == [
        {
            "kind": "wal",
            "subject": "000000010000000000000007",
            "text": "segment 000000010000000000000007 is damaged: invalid magic number 0000",
        }
    ]
