# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who looks beside the work shows what it sees, and leaves nothing behind, however the work ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.plugin_utils import looking as subject
from ansible_collections.pgark.postgres.plugins.plugin_utils.looking import looking
from tests.support.processes import descendants, is_working
from tests.support.waiting import wait_until

EVERY = 0.02


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    """Return the file that the child writes what it shows to."""
    return tmp_path / "seen"


def to(path: Path) -> Callable[[str], None]:
    def show(text: str) -> None:
        with path.open("a") as file:
            file.write(f"{text}\n")

    return show


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def children() -> list[int]:
    return descendants(os.getpid())


def test_looks_are_shown_while_the_block_runs(seen: Path) -> None:
    with looking(lambda: "moving", to(seen), EVERY, 5):
        wait_until(lambda: len(lines(seen)) > 2, message="three looks")
    shown = lines(seen)
    assert set(shown) == {"moving"}
    assert not children()
    assert lines(seen) == shown


def test_a_short_block_is_not_looked_at(seen: Path) -> None:
    with looking(lambda: "moving", to(seen), 60, 5):
        pass
    assert not lines(seen)
    assert not children()


def test_nothing_is_shown_of_a_look_that_saw_nothing_or_failed(seen: Path, tmp_path: Path) -> None:
    looks = tmp_path / "looks"

    def look() -> str | None:
        to(looks)("look")
        number = len(lines(looks))
        if number == 1:
            raise ConnectionError("the host does not answer")
        return None if number == 2 else "moving"

    with looking(look, to(seen), EVERY, 5):
        wait_until(lambda: lines(seen), message="the third look")
    assert len(lines(looks)) == len(lines(seen)) + 2


def test_a_look_that_is_not_finished_when_the_block_ends_is_not_shown(seen: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    def look() -> str:
        begun.touch()
        time.sleep(0.5)
        return "late"

    with looking(look, to(seen), EVERY, 5):
        wait_until(begun.exists, message="a look")
    assert not lines(seen)
    assert not children()


def hang(begun: Path) -> Callable[[], str]:
    def look() -> str:
        subprocess.run(["sh", "-c", f'touch "{begun}" && sleep 60'], check=True)
        return "never"

    return look


@pytest.mark.parametrize("patience", [0, 0.3])
def test_what_a_look_has_started_is_ended_with_it(seen: Path, tmp_path: Path, patience: float) -> None:
    begun = tmp_path / "begun"
    with looking(hang(begun), to(seen), EVERY, patience):
        wait_until(begun.exists, message="a look")
        found = children()
    assert len(found) > 1
    assert not is_working(found[0])
    wait_until(lambda: not any(map(is_working, found)), message="what was sent a signal to end")
    assert not lines(seen)


def test_what_the_block_raises_arrives_at_once(seen: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    began = time.monotonic()

    def interrupted() -> None:
        with looking(hang(begun), to(seen), EVERY, 60):
            wait_until(begun.exists, message="a look")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert time.monotonic() - began < 30
    assert not children()


def test_a_child_that_hangs_in_itself_is_killed(seen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "KILL_SECONDS", 0.3)
    begun = tmp_path / "begun"

    def look() -> str:
        begun.touch()
        time.sleep(60)
        return "never"

    with looking(look, to(seen), EVERY, 0):
        wait_until(begun.exists, message="a look")
    assert not children()


def test_the_block_runs_where_no_process_can_be_started(seen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    open_before = os.listdir("/proc/self/fd")
    with looking(lambda: "moving", to(seen), EVERY, 5):
        pass
    assert os.listdir("/proc/self/fd") == open_before


PARENT = """
import os, sys, time
from ansible_collections.pgark.postgres.plugins.plugin_utils.looking import looking
def show(text):
    with open(sys.argv[1], "a") as file:
        file.write(text + "\\n")
with looking(lambda: str(os.getpid()), show, 0.02, 5):
    time.sleep(60)
"""


def test_a_child_ends_by_itself_when_its_parent_is_killed(seen: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, "-c", PARENT, str(seen)], env=environment) as parent:
        wait_until(lambda: lines(seen), message="a look")
        child = int(lines(seen)[0])
        assert is_working(child)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_working(child), message=f"child {child} to end")
