# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a backup is due, what it takes, and why it is refused."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._backup.plan import (
    BackupRequest,
    CompressWal,
    CopyConfiguration,
    ProveArchiving,
    PublishBackup,
    RemoveLeftover,
    TakeBaseBackup,
    VerifyBackup,
    plan_backup,
    satisfying,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error, InvalidValue
from ansible_collections.pgark.postgres.plugins.module_utils._plan.plan import Plan
from ansible_collections.pgark.postgres.plugins.module_utils._repository.catalog import Catalog
from ansible_collections.pgark.postgres.plugins.module_utils._repository.layout import Layout
from tests.unit.examples import backup, catalog, minutes

LAYOUT = Layout("/srv/pgark", "main")
NOW = minutes(75)
REQUEST = BackupRequest("full", None, None, "zstd", "fast")
YOUNGEST_LAST = catalog([backup("old", 0, 3), backup("new", 60, 6)], {})


def plan(
    request: BackupRequest = REQUEST,
    held: Catalog = YOUNGEST_LAST,
    now: datetime = NOW,
    problems: tuple[str, ...] = (),
    leftovers: tuple[str, ...] = (),
) -> Plan:
    return plan_backup(LAYOUT, held, request, problems, leftovers, now, 60)


def test_a_backup_is_hidden_until_it_is_verified() -> None:
    partial = "/srv/pgark/main/backup/.20261121T131500Z-full.partial"
    found = plan(leftovers=("/srv/pgark/main/backup/.x.partial",))
    assert found.steps == (
        RemoveLeftover("/srv/pgark/main/backup/.x.partial"),
        ProveArchiving(60),
        TakeBaseBackup(partial, "20261121T131500Z-full", "zstd", "fast"),
        CompressWal(partial, "zstd"),
        CopyConfiguration(partial),
        VerifyBackup(partial, "20261121T131500Z-full", "full", "zstd", 60),
        PublishBackup(partial, "/srv/pgark/main/backup/20261121T131500Z-full"),
    )
    assert found.before == {"backups": ["old", "new"]}
    assert found.after == {"backups": ["old", "new", "20261121T131500Z-full"]}


def test_what_is_not_to_be_compressed_is_not() -> None:
    found = plan(replace(REQUEST, compression="none"))
    assert not [step for step in found.steps if isinstance(step, CompressWal)]


@pytest.mark.parametrize(
    ("now", "max_age", "label"),
    [
        (75, 15, "new"),
        (75, 14.99, None),
        (75, 24 * 60, "new"),
        (60, 0, "new"),
        (59.99, 24 * 60, "old"),
        (-1, 24 * 60, None),
        (75, None, None),
    ],
)
def test_a_backup_that_is_young_enough_makes_a_new_one_unnecessary(
    now: float, max_age: float | None, label: str | None
) -> None:
    """Before 60 the clock has been set back behind the stop of the newest backup, before 0 behind that of both."""
    age = None if max_age is None else timedelta(minutes=max_age)
    request = replace(REQUEST, max_age=age)
    found = satisfying(YOUNGEST_LAST, request, minutes(now))
    assert (None if found is None else found.label) == label
    assert plan(request, now=minutes(now)).changed is (label is None)


def test_youth_does_not_depend_on_the_order_in_the_catalog() -> None:
    reverse = replace(YOUNGEST_LAST, backups=YOUNGEST_LAST.backups[::-1])
    found = satisfying(reverse, replace(REQUEST, max_age=timedelta(days=9)), minutes(75))
    assert found is not None
    assert found.label == "new"


def test_only_a_backup_of_that_type_satisfies() -> None:
    held = catalog([backup("incr", 60, 6, type="incremental")], {})
    assert satisfying(held, replace(REQUEST, max_age=timedelta(days=1)), minutes(61)) is None


def test_the_longest_age_is_no_overflow() -> None:
    request = replace(REQUEST, max_age=timedelta(weeks=9999999))
    assert satisfying(YOUNGEST_LAST, request, minutes(75)) is not None


def test_a_label_that_is_there_satisfies_at_any_age() -> None:
    request = replace(REQUEST, label="old", max_age=timedelta(0))
    assert not plan(request, now=minutes(999)).changed
    assert not plan(request, problems=("archive_mode is off",)).changed


def test_a_label_that_is_not_there_is_taken_however_young_the_others_are() -> None:
    found = plan(replace(REQUEST, label="21-11-2026", max_age=timedelta(days=1)))
    assert found.after == {"backups": ["old", "new", "21-11-2026"]}


def test_a_backup_is_refused_with_the_reasons_when_archiving_does_not_work() -> None:
    with pytest.raises(Error, match=r"archiving does not work: a; b\nHINT: .*run setup_archiving.yml"):
        plan(problems=("a", "b"))


@pytest.mark.parametrize("label", ["../x", ".hidden", "a b"])
def test_a_hostile_label_is_refused_before_anything_is_done(label: str) -> None:
    with pytest.raises(InvalidValue, match=r"backup label .* cannot be used"):
        plan(replace(REQUEST, label=label))


@pytest.mark.parametrize(
    ("held", "why"),
    [
        ({"broken": {"21-11-2026": "its backup.json is empty"}}, "its backup.json is empty"),
        ({"incomplete": {"21-11-2026": ["backup.json"]}}, "it was not finished"),
        ({"incomplete": {"new": ["base.tar"]}}, "its files were removed"),
    ],
)
def test_a_label_is_taken_also_by_what_cannot_be_used(held: dict[str, Any], why: str) -> None:
    [(label, _why)] = [item for things in held.values() for item in things.items()]
    with pytest.raises(Error, match=rf"there is a backup '{label}' already.*{why}.*\nHINT: choose another label"):
        plan(replace(REQUEST, label=label), replace(YOUNGEST_LAST, **held))


def test_a_backup_that_cannot_be_used_makes_no_other_one_unnecessary() -> None:
    held = replace(YOUNGEST_LAST, incomplete={"new": ["base.tar"]})
    assert plan(replace(REQUEST, max_age=timedelta(minutes=30)), held).changed


def test_a_default_label_gives_way_to_one_that_cannot_be_used() -> None:
    held = replace(YOUNGEST_LAST, broken={"20261121T131500Z-full": "it is empty"})
    assert plan(held=held).after["backups"][-1] == "20261121T131500Z-full.2"
