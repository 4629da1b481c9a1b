# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When pgark-wal is installed, what is shown of it, and which interpreter its first line may name."""

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._archiving.plan_program import (
    InstallProgram,
    ProgramFile,
    ProgramPlace,
    plan_program,
    shebang,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import InvalidValue
from ansible_collections.pgark.postgres.plugins.module_utils._plan.plan import AlterSystem, MakeDirectory, Plan, report

PATH, PYTHON = "/home/postgres/pgark/pgark-wal", "/usr/bin/python3.11"
WANTED = ProgramFile("sha256:new", 0o750)
AFTER = {"pgark-wal": "sha256:new, mode 0750"}


@pytest.mark.parametrize(
    ("found", "shown", "text"),
    [
        (None, "absent", f"install pgark-wal at {PATH}"),
        (ProgramFile("sha256:old", 0o750), "sha256:old, mode 0750", f"replace pgark-wal at {PATH}"),
        (ProgramFile("sha256:new", 0o755), "sha256:new, mode 0755", f"replace pgark-wal at {PATH}"),
        (ProgramFile("link to /x", 0o777), "link to /x, mode 0777", f"replace pgark-wal at {PATH}"),
    ],
)
def test_what_differs_is_replaced(found: ProgramFile | None, shown: str, text: str) -> None:
    plan = plan_program(ProgramPlace(PATH, PYTHON, None, found, WANTED))
    assert (plan.before, plan.after) == ({"pgark-wal": shown}, AFTER)
    assert [step["text"] for step in report(plan)] == [text]


def test_the_very_same_program_is_left_alone() -> None:
    assert plan_program(ProgramPlace(PATH, PYTHON, None, WANTED, WANTED)) == Plan()


def test_a_missing_directory_comes_first() -> None:
    plan = plan_program(ProgramPlace(PATH, PYTHON, "/home/postgres/pgark", None, WANTED))
    assert plan.steps == (MakeDirectory("/home/postgres/pgark", 0o750), InstallProgram(PATH, PYTHON, False))


def test_the_program_comes_before_what_calls_it() -> None:
    program = plan_program(ProgramPlace(PATH, PYTHON, None, None, WANTED))
    calling = Plan((AlterSystem("archive_command", PATH),), {"archive_command": ""}, {"archive_command": PATH})
    both = program.then(calling)
    assert both.steps == (InstallProgram(PATH, PYTHON, False), AlterSystem("archive_command", PATH))
    assert both.before == {"pgark-wal": "absent", "archive_command": ""}
    assert both.after == {**AFTER, "archive_command": PATH}


LONGEST = "/" + "p" * (127 - len("#!/ -IS"))


@pytest.mark.parametrize("interpreter", ["/usr/bin/python3", "/opt/\u00e9/python", LONGEST])
def test_an_absolute_path_can_stand_in_the_first_line(interpreter: str) -> None:
    assert shebang(interpreter) == f"#!{interpreter} -IS"


@pytest.mark.parametrize(
    "interpreter",
    ["", "python3", "./python3", "/opt/my python/bin/python", "/opt/python\n", "/opt/\tpython", " /usr/bin/python3",
     LONGEST + "p", "/" + "\u00e9" * 61],
)  # fmt: skip
def test_any_other_interpreter_is_refused(interpreter: str) -> None:
    with pytest.raises(InvalidValue, match=r"cannot stand in the first line .*\n?.*HINT: set ansible_python_interp"):
        shebang(interpreter)
