# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install pgark-wal, which PostgreSQL calls, from the copy that the modules carry.

These are three files: ``pgark-wal``, which PostgreSQL executes, names the interpreter and does nothing but call
``pgark_wal.py`` beside it, which is the program; and what the interpreter has compiled of that.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import marshal
import os
import stat
import sys

from .._errors import Error
from .._host import files
from .._host.processes import interpreter
from .plan_program import MODE, READABLE, InstallProgram, ProgramFile, ProgramPlace, shebang

_SOURCE = "pgark_wal.py"
_LAUNCHER = """\
# Calls pgark_wal.py, beside this file, which is the program and can be run by itself. Python keeps what it compiled of
# a file that is imported, not of one that is executed, and compiling would be half of each call.
import sys

sys.dont_write_bytecode = True  # it was written when this was installed, and synced
sys.path.append(__file__.rpartition("/")[0])

import pgark_wal

raise SystemExit(pgark_wal.main(sys.argv[1:]))
"""
# The header of a compiled file whose source is compared by a hash, not by its time: PEP 552.
_CHECKED_HASH = (3).to_bytes(4, "little")


def observe_program(path: str) -> ProgramPlace:
    """Look at what is where pgark-wal belongs, and work out what belongs there."""
    directory, python = os.path.dirname(path), interpreter()
    wanted = _checksum(_launcher(python), _source(), _compiled_header())
    there = os.path.isdir(directory)
    if not there and not os.path.isdir(os.path.dirname(directory)):
        raise Error(
            f"pgark-wal cannot be installed at {path}: {os.path.dirname(directory)} is not a directory",
            "create it, or choose another path; only the last directory of the path is created",
        )
    return ProgramPlace(path, python, None if there else directory, _found(path), ProgramFile(wanted, MODE))


def install_program(step: InstallProgram) -> None:
    """Replace the program; what PostgreSQL executes comes last, since it does so at any time, and after a crash."""
    source = os.path.join(os.path.dirname(step.path), _SOURCE)
    files.write_file(source, _source(), READABLE)
    cache = _cache(step.path)
    if not os.path.isdir(os.path.dirname(cache)):
        files.make_directory(os.path.dirname(cache), MODE)
    files.write_file(cache, _compiled_header() + marshal.dumps(compile(_source(), source, "exec")), READABLE)
    files.write_file(step.path, _launcher(step.interpreter), MODE)


def _found(path: str) -> ProgramFile | None:
    """Describe the file at a path, and those that belong to it; a link differs from every file, and is not followed."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(status.st_mode):
        return ProgramFile(f"link to {os.readlink(path)}", stat.S_IMODE(status.st_mode))
    if not stat.S_ISREG(status.st_mode):
        raise Error(f"pgark-wal cannot be installed at {path}: what is there is not a file", "choose another path")
    source, header = os.path.join(os.path.dirname(path), _SOURCE), len(_compiled_header())
    content = _checksum(_read(path), _read(source), _read(_cache(path))[:header])
    return ProgramFile(content, stat.S_IMODE(status.st_mode))


def _read(path: str) -> bytes:
    """Give the content of a file, and nothing for what is no file."""
    if os.path.islink(path) or not os.path.isfile(path):
        return b""
    with open(path, "rb") as file:
        return file.read()


def _checksum(*contents: bytes) -> str:
    return f"sha256:{hashlib.sha256(b''.join(contents)).hexdigest()}"


def _launcher(python: str) -> bytes:
    return f"{shebang(python)}\n{_LAUNCHER}".encode()


def _source() -> bytes:
    """Give the program; its source comes from a directory or, as Ansible sends modules, from a zip archive."""
    # Ansible packs what is imported, wherever the import stands; here it costs nothing where nothing is installed.
    from .._program import pgark_wal  # noqa: PLC0415 -- see above

    return inspect.getsource(pgark_wal).encode()


def _cache(path: str) -> str:
    """Give the place where the interpreter looks for what it has compiled."""
    name = f"{_SOURCE[:-3]}.{sys.implementation.cache_tag}.pyc"
    return os.path.join(os.path.dirname(path), "__pycache__", name)


def _compiled_header() -> bytes:
    """Give what a compiled file of the program begins with; the rest is not the same every time."""
    return importlib.util.MAGIC_NUMBER + _CHECKED_HASH + importlib.util.source_hash(_source())
