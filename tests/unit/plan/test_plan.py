# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans are data: whether they change anything, and what of them is reported, follows from their steps."""

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._plan.plan import (
    AlterSystem,
    MakeDirectory,
    Plan,
    ReloadServer,
    SetAccess,
    Step,
    WriteDocument,
    report,
)


def test_a_plan_without_steps_changes_nothing() -> None:
    assert not Plan(before={"a": 1}, after={"a": 2}).changed
    assert Plan((ReloadServer(),)).changed


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (MakeDirectory("/srv/a b", 0o750, "backup"), "create directory /srv/a b with mode 0750"),
        (SetAccess("/srv/a", 0o750), "set mode 0750 on /srv/a"),
        (SetAccess("/srv/a", 0o2750, "backup"), "set mode 2750 and group backup on /srv/a"),
        (WriteDocument("/srv/x.json", {}, 0o640), "write /srv/x.json"),
        (AlterSystem("work_mem", "4MB"), "set work_mem = '4MB'"),
        (AlterSystem("work_mem", None), "reset work_mem"),
        (ReloadServer(), "reload the server's configuration"),
    ],
)
def test_a_step_says_what_it_does(step: Step, text: str) -> None:
    assert step.text == text


def test_the_report_holds_every_value_of_a_step() -> None:
    assert report(Plan((AlterSystem("work_mem", None), SetAccess("/a", 0o700)))) == [
        {"step": "AlterSystem", "text": "reset work_mem", "name": "work_mem", "value": None},
        {"step": "SetAccess", "text": "set mode 0700 on /a", "path": "/a", "mode": 0o700, "group": None},
    ]
