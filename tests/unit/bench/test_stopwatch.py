# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stopwatch runs as a program of its own, on the standard library alone."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.bench import stopwatch
from tests.bench.stopwatch import Clocked, Command


@pytest.mark.parametrize("jobs", [1, 2])
def test_commands_are_run_where_and_as_wanted(tmp_path: Path, jobs: int) -> None:
    commands = [
        Command(["echo", "a word"], output=str(tmp_path / "output")),
        Command(["touch", "written"], written=str(tmp_path / "written")),
    ]
    clocked = _run(commands, jobs=jobs, sync=True, cwd=str(tmp_path))
    assert clocked.statuses == [0, 0]
    assert clocked.seconds > 0
    assert (tmp_path / "output").read_text(encoding="utf-8") == "a word\n"
    assert (tmp_path / "written").exists()


def test_a_command_that_fails_is_told() -> None:
    assert _run([Command(["false"])], jobs=1, sync=False, cwd="/").statuses == [1]


def _run(commands: list[Command], **wanted: object) -> Clocked:
    words = json.dumps({"commands": [asdict(command) for command in commands], **wanted})
    argv = [sys.executable, "-IS", str(stopwatch.__file__)]
    done = subprocess.run(argv, input=words, capture_output=True, text=True, timeout=30, check=True)
    return Clocked(**json.loads(done.stdout))
