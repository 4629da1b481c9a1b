# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that run side by side do not mix what they say, and do not outlive who runs them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.molecule.side_by_side import Ended, Job, side_by_side


@pytest.fixture
def place(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "meeting")
    return tmp_path


def start(place: Path, scripts: dict[str, str], at_once: int) -> Iterator[Ended]:
    jobs = [Job(name, ["/bin/sh", "-c", script], place / f"{name}.log") for name, script in scripts.items()]
    return side_by_side(jobs, at_once, directory=place, environment=os.environ)


def test_each_is_told_as_it_ends_and_what_it_said_is_apart(place: Path) -> None:
    # Each end of a pipe waits for the other to be opened, so neither could end without the other.
    scripts = {"reads": "cat meeting; exit 3", "writes": "echo hello > meeting; echo done"}
    ended = {end.job.name: end.passed for end in start(place, scripts, at_once=2)}
    assert ended == {"reads": False, "writes": True}
    assert (place / "reads.log").read_text() == "hello\n"
    assert (place / "writes.log").read_text() == "done\n"


def test_no_more_run_at_once_than_may(place: Path) -> None:
    scripts = dict.fromkeys(("one", "two", "three", "four"), "mkdir alone && rmdir alone")
    ended = [(end.job.name, end.passed) for end in start(place, scripts, at_once=1)]
    assert ended == [(name, True) for name in scripts]


def test_who_stops_early_ends_what_runs_and_what_that_started(place: Path) -> None:
    os.mkfifo(place / "held")
    reader = os.open(place / "held", os.O_RDONLY | os.O_NONBLOCK)
    scripts = {"lingers": "exec > held; sleep 1000 & echo started > meeting; wait", "ends": "cat meeting"}
    running = start(place, scripts, at_once=2)
    assert next(running).job.name == "ends"
    running.close()
    os.set_blocking(reader, True)
    # A pipe is at its end once nobody has it open for writing any more.
    assert os.read(reader, 1) == b""
    os.close(reader)
