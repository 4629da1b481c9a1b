# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import doctest
import socket
from types import ModuleType

import pytest

from tests.gates.setup import REQUIREMENTS, SERVERS, pins
from tests.support import interpreter, playbooks
from tests.support.marks import since
from tests.support.postgres import VERSIONS, WHEELS, free_port, versions
from tests.support.waiting import wait_until

OUTPUT = """
TASK [wal_archiving : apply | enable archiving] *********
changed: [main]
changed: [other]

TASK [wal_archiving : check | wait] ***
ok: [main]
fatal: [other]: FAILED! => {"msg": "PLAY RECAP of an earlier run"}

PLAY RECAP **********************************************
main                       : ok=2    changed=1    unreachable=0    failed=0
other                      : ok=1    changed=1    unreachable=0    failed=1
"""


@pytest.mark.parametrize("module", [interpreter, playbooks])
def test_examples_in_docstrings(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_the_recap_is_read_for_each_host() -> None:
    counts = playbooks.recap(OUTPUT)
    assert counts["main"] == {"ok": 2, "changed": 1, "unreachable": 0, "failed": 0}
    assert counts["other"]["failed"] == 1


def test_output_without_a_recap_has_no_hosts() -> None:
    assert playbooks.recap("ERROR! the playbook could not be found") == {}


@pytest.mark.parametrize(
    ("outcome", "names"),
    [
        ("changed", ["wal_archiving : apply | enable archiving"]),
        ("fatal", ["wal_archiving : check | wait"]),
        ("skipping", []),
    ],
)
def test_tasks_are_found_by_their_outcome(outcome: str, names: list[str]) -> None:
    assert playbooks.tasks(OUTPUT, outcome) == names


def test_a_free_port_can_be_listened_on() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", free_port()))


def test_a_taken_port_is_not_offered_nor_one_that_was_offered_before(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        taken, offered = server.getsockname()[1], free_port()
        monkeypatch.setattr("random.sample", lambda *_: [taken, offered, 19999])
        assert free_port() == 19999


def test_a_test_runs_on_the_newest_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGARK_TEST_VERSIONS", raising=False)
    assert versions() == ["18"]


@pytest.mark.parametrize(("chosen", "expected"), [("17", ["17"]), ("18,14", ["18", "14"])])
def test_other_versions_can_be_chosen(monkeypatch: pytest.MonkeyPatch, chosen: str, expected: list[str]) -> None:
    monkeypatch.setenv("PGARK_TEST_VERSIONS", chosen)
    assert versions() == expected


def test_a_server_that_is_too_old_for_a_test_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGARK_TEST_VERSIONS", "14,16,18")
    assert since(16).args == ("version", ["16", "18"])


def test_every_version_comes_with_the_development_environment() -> None:
    archives = [pin.partition("==")[2].partition(".")[0] for pin in pins(SERVERS)]
    assert (*archives, *WHEELS) == VERSIONS
    wheels = "\n".join(pin.replace("-", "_") for pin in pins(REQUIREMENTS))
    assert all(f"{name}=={version}." in wheels for version, name in WHEELS.items())


def test_an_unknown_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGARK_TEST_VERSIONS", "17,9.6")
    with pytest.raises(ValueError, match=r"9\.6"):
        versions()


def test_waiting_returns_what_it_waited_for() -> None:
    answers = iter([None, 0, "", "found"])
    assert wait_until(lambda: next(answers), message="an answer") == "found"


def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(TimeoutError, match="waited 0 s for the moon"):
        wait_until(lambda: False, timeout=0, message="the moon")
