# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When data that is put back leaves its timeline, and what is said where it stays."""

from __future__ import annotations

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._rollback.new_timeline import (
    Anew,
    Lineage,
    NewTimeline,
    StayOnTimeline,
)

FOLLOWED = Lineage(1, ("follower",))
ALONE = Lineage(1)
STANDBY = Lineage(1, ("follower",), recovering=True)


@pytest.mark.parametrize(
    ("wanted", "lineage", "archived", "needed"),
    [
        ("auto", FOLLOWED, 2, True),
        ("auto", ALONE, 2, False),
        ("auto", STANDBY, 2, False),
        ("auto", FOLLOWED, 1, False),
        ("auto", FOLLOWED, None, False),
        ("auto", None, 2, False),
        ("always", ALONE, 2, True),
        ("always", ALONE, 1, False),
        ("always", None, 2, False),
        ("never", FOLLOWED, 2, False),
    ],
)
def test_it_is_left_where_something_follows_and_the_archive_has_gone_on(
    wanted: str, lineage: Lineage | None, archived: int | None, needed: bool
) -> None:
    anew = Anew(wanted, archived, "fetch %f %p")
    assert anew.needed(lineage) == needed
    said = anew.warning(lineage)
    stays = lineage is not None and not lineage.recovering and archived == 2 and not needed
    assert (said is not None) == stays
    if said is not None:
        assert "on timeline 1, and the archive has timeline 2" in said


@pytest.mark.parametrize(
    ("anew", "lineage", "reason"),
    [
        (Anew("always", 2, "fetch"), STANDBY, "is in recovery"),
        (Anew("always", None, "fetch"), ALONE, "no repository could be read"),
        (Anew("always", 2), ALONE, "program, which fetches from the archive"),
    ],
)
def test_what_was_asked_for_and_cannot_be_is_refused(anew: Anew, lineage: Lineage, reason: str) -> None:
    with pytest.raises(Error, match=f"a new timeline was asked for, and .*{reason}"):
        anew.needed(lineage)


def test_an_attempt_that_is_not_wanted_any_more_is_undone() -> None:
    assert Anew("never", 4).step("/pgdata", 1) == StayOnTimeline("/pgdata")
    assert Anew("auto", 4, "fetch %f %p").step("/pgdata", 1) == NewTimeline("/pgdata", 1, 4, "fetch %f %p")
    planned = r"as planned by the rollback that was interrupted, and {}.*\nHINT: with new_timeline: never"
    with pytest.raises(Error, match=planned.format("program")):
        Anew("auto", 4).step("/pgdata", 1)
    with pytest.raises(Error, match=planned.format("no repository could be read")):
        Anew("auto", None, "fetch %f %p").step("/pgdata", 1)


def test_nothing_that_was_left_in_a_file_moves_its_end() -> None:
    settings = NewTimeline("/pgdata", 3, 4, 'fetch --spool "$s" %f %p').settings(3)
    assert {name: value for name, value in settings.items() if value} == {
        "recovery_target_inclusive": "on",
        "recovery_target_timeline": "3",
        "recovery_target_action": "promote",
        "recovery_min_apply_delay": "0",
        "restore_command": 'fetch --timeline 3 --spool "$s" %f %p',
        "hot_standby": "off",
        "logging_collector": "off",
        "log_destination": "stderr",
    }
