# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pgark-wal on a throw-away host, and the commands that PostgreSQL calls it with."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

from ansible_collections.pgark.postgres.plugins.module_utils._core import settings
from tests.support.sandbox import Sandbox
from tests.unit.wal_program.harness import PROGRAM

CLUSTER = "main"
quote_word = settings.quote_word


def install(sandbox: Sandbox, directory: Path) -> Path:
    """Put the program into a directory, as the modules do."""
    program = directory / "pgark-wal"
    program.write_text(f"#!{sandbox.python} -IS\n{PROGRAM.read_text(encoding='utf-8')}", encoding="utf-8")
    program.chmod(0o755)
    return program


def push_command(program: Path, repository: Path, codec: str, jobs: int) -> str:
    """Write the archive_command."""
    return _command(settings.push_command, program, repository, jobs, codec)


def get_command(program: Path, repository: Path, jobs: int) -> str:
    """Write the restore_command."""
    return _command(settings.get_command, program, repository, jobs)


def status_command(program: Path, repository: Path, data: Path) -> list[str] | None:
    """Return how a monitoring system calls the program, if it has something for that."""
    if "pgark-wal status" not in PROGRAM.read_text(encoding="utf-8"):
        return None
    return [str(program), "status", "--repository", str(repository), "--cluster", CLUSTER, str(data)]


def _command(write: Callable[..., str], program: Path, repository: Path, jobs: int, *codec: str) -> str:
    """Write a command for one repository, also where the collection knows of neither several nor of jobs."""
    if "repositories" in inspect.signature(write).parameters:
        return write(str(program), [str(repository)], CLUSTER, *codec, jobs)
    return write(str(program), str(repository), CLUSTER, *codec)
