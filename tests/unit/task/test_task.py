# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module ends with a result or a sentence, whatever goes wrong in it."""

from __future__ import annotations

import errno
from typing import Any, ClassVar, NoReturn

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._task import task


class Failed(BaseException):
    """The module has ended with this message."""


class FakeModule:
    """Stands for AnsibleModule, which would end the process."""

    _name = "pgark.postgres.pitr_restore"
    check_mode = False
    params: ClassVar[dict[str, Any]] = {"called_by": "module"}

    def __init__(self, **_options: Any) -> None:
        pass

    def fail_json(self, msg: str) -> NoReturn:
        raise Failed(msg)


class FakeOfAPlaybook(FakeModule):
    """Stands for a module that a playbook has called."""

    params: ClassVar[dict[str, Any]] = {"called_by": "playbook"}


def message(monkeypatch: pytest.MonkeyPatch, error: Exception, fake: type[FakeModule] = FakeModule) -> str:
    def perform(_task: task.Task) -> NoReturn:
        raise error

    monkeypatch.setattr(task, "AnsibleModule", fake)
    with pytest.raises(Failed) as failure:
        task.run({}, perform)
    return str(failure.value)


def test_an_error_of_ours_and_one_of_the_operating_system_are_told_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert message(monkeypatch, Error("the reason", "what to do")) == "the reason\nHINT: what to do"
    assert message(monkeypatch, OSError(13, "Permission denied", "/x", None, "/y")) == "/x -> /y: Permission denied"
    assert message(monkeypatch, OSError("cannot")) == "the operating system: cannot"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize(
    ("names", "where", "room"),
    [
        (("/x",), "/x", "the file system of /x"),
        (("/x", None, "/y"), "/x -> /y", "the file system of /y"),
        (("/x\udcff",), r"/x\udcff", r"the file system of /x\udcff"),
        ((), "the operating system", "the file systems of the data and of the repository"),
    ],
)
def test_where_there_is_no_room_and_what_to_do_is_said(
    monkeypatch: pytest.MonkeyPatch, number: int, names: tuple[str, ...], where: str, room: str
) -> None:
    told, hint = message(monkeypatch, OSError(number, "No space", *names)).split("\n")
    assert told == f"{where}: No space"
    assert hint.startswith(f"HINT: make room on {room}, for this user, and run it again; previous_data.yml lists")


@pytest.mark.parametrize(
    "error", [KeyError("start_lsn"), RecursionError("too\ndeep"), MemoryError(), ValueError("x" * 999)]
)
def test_what_nobody_has_thought_of_is_a_sentence(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    told, hint = message(monkeypatch, error).split("\n")
    assert told.startswith("something that is not foreseen went wrong in test_task.py, line ")
    assert type(error).__name__ in told
    assert len(told) < 450
    assert hint.startswith("HINT: this is a fault of the collection; report it")


def test_a_hint_is_in_the_words_of_whoever_has_called(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Error("there is no place", "map it with tablespace_mapping, or give force: true")
    asked = "there is no place\nHINT: map it with pitr_restore_tablespace_mapping, or give force=true"
    assert message(monkeypatch, refused) == str(refused)
    assert message(monkeypatch, refused, FakeOfAPlaybook) == asked
