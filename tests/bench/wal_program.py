# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pgark-wal on a throw-away host, and the commands that PostgreSQL calls it with."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.pgark.postgres.plugins.module_utils._archiving import commands
from ansible_collections.pgark.postgres.plugins.module_utils._archiving.plan_program import InstallProgram
from ansible_collections.pgark.postgres.plugins.module_utils._archiving.program import install_program
from tests.support.sandbox import Sandbox

CLUSTER = "main"
quote_word = commands.quote_word


def install(sandbox: Sandbox, directory: Path) -> Path:
    """Put the program into a directory, as the modules do, but for the servers' user to read."""
    program = directory / "pgark-wal"
    install_program(InstallProgram(str(program), str(sandbox.python), False))
    for path in (
        program,
        program.with_name("pgark_wal.py"),
        *directory.glob("__pycache__"),
        *directory.glob("*/*.pyc"),
    ):
        path.chmod(path.stat().st_mode | 0o055)
    return program


def push_command(program: Path, repository: Path, codec: str, jobs: int) -> str:
    """Write the archive_command."""
    return commands.push_command(str(program), [str(repository)], CLUSTER, codec, jobs)


def get_command(program: Path, repository: Path, jobs: int) -> str:
    """Write the restore_command."""
    return commands.get_command(str(program), [str(repository)], CLUSTER, jobs)


def status_command(program: Path, repository: Path, data: Path) -> list[str]:
    """Return how a monitoring system calls the program."""
    return [str(program), "status", "--repository", str(repository), "--cluster", CLUSTER, str(data)]
