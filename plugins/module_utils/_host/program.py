# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install pgark-wal, which PostgreSQL calls, from the copy that the modules carry."""

from __future__ import annotations

import hashlib
import inspect
import os
import stat

from .._core.plan_program import MODE, InstallProgram, ProgramFile, ProgramPlace, shebang
from .._errors import Error
from . import files
from .processes import interpreter


def observe_program(path: str) -> ProgramPlace:
    """Look at what is where pgark-wal belongs, and work out what belongs there."""
    directory, python = os.path.dirname(path), interpreter()
    wanted = _checksum(_content(python).encode())
    there = os.path.isdir(directory)
    if not there and not os.path.isdir(os.path.dirname(directory)):
        raise Error(
            f"pgark-wal cannot be installed at {path}: {os.path.dirname(directory)} is not a directory",
            "create it, or choose another path; only the last directory of the path is created",
        )
    return ProgramPlace(path, python, None if there else directory, _found(path), ProgramFile(wanted, MODE))


def install_program(step: InstallProgram) -> None:
    """Replace the program as a whole: PostgreSQL calls it at any time, and after a crash as well."""
    files.write_file(step.path, _content(step.interpreter), MODE)


def _found(path: str) -> ProgramFile | None:
    """Describe the file at a path; a link differs from every file, and is replaced, not followed."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(status.st_mode):
        return ProgramFile(f"link to {os.readlink(path)}", stat.S_IMODE(status.st_mode))
    if not stat.S_ISREG(status.st_mode):
        raise Error(f"pgark-wal cannot be installed at {path}: what is there is not a file", "choose another path")
    with open(path, "rb") as file:
        return ProgramFile(_checksum(file.read()), stat.S_IMODE(status.st_mode))


def _checksum(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _content(python: str) -> str:
    """Give the whole program; its source comes from a directory or, as Ansible sends modules, from a zip archive."""
    # Ansible packs what is imported, wherever the import stands; here it costs nothing where nothing is installed.
    from .._program import pgark_wal  # noqa: PLC0415 -- see above

    return f"{shebang(python)}\n{inspect.getsource(pgark_wal)}"
