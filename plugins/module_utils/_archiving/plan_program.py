# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan the installation of pgark-wal: its first line names the interpreter, and only what differs is replaced."""

from __future__ import annotations

from dataclasses import dataclass

from .._errors import InvalidValue
from .._plan.plan import MakeDirectory, Plan, Step

MODE, READABLE = 0o750, 0o640
_LONGEST_SHEBANG = 127  # older kernels cut off what is longer: BINPRM_BUF_SIZE in include/uapi/linux/binfmts.h


@dataclass(frozen=True)
class ProgramFile:
    """What there is of a program, or is to be; ``content`` is ``sha256:...`` of its files, or says what is there."""

    content: str
    mode: int

    def __str__(self) -> str:
        return f"{self.content}, mode {self.mode:04o}"


@dataclass(frozen=True)
class ProgramPlace:
    """Where pgark-wal belongs; ``directory`` is the one to create first, None when it is there."""

    path: str
    interpreter: str
    directory: str | None
    found: ProgramFile | None
    wanted: ProgramFile


@dataclass(frozen=True)
class InstallProgram(Step):
    """Write pgark-wal for an interpreter: each of its files beside its place, synced, then renamed."""

    path: str
    interpreter: str
    replaces: bool

    @property
    def text(self) -> str:
        return f"{'replace' if self.replaces else 'install'} pgark-wal at {self.path}"


def shebang(interpreter: str) -> str:
    """Write the first line of a program; -I and -S keep the environment and site-packages out.

    >>> shebang("/usr/bin/python3.11")
    '#!/usr/bin/python3.11 -IS'
    """
    line = f"#!{interpreter} -IS"
    fits = len(line.encode(errors="surrogateescape")) <= _LONGEST_SHEBANG
    if not interpreter.startswith("/") or interpreter.split() != [interpreter] or not fits:
        raise InvalidValue(
            f"the interpreter '{interpreter}' cannot stand in the first line of pgark-wal; expected an absolute path "
            f"without spaces, and a line of at most {_LONGEST_SHEBANG} bytes",
            "set ansible_python_interpreter for this host",
        )
    return line


def plan_program(place: ProgramPlace) -> Plan:
    """Plan what brings the wanted program to its place."""
    if place.found == place.wanted:
        return Plan()
    before = {"pgark-wal": "absent" if place.found is None else str(place.found)}
    install = InstallProgram(place.path, place.interpreter, place.found is not None)
    directory = () if place.directory is None else (MakeDirectory(place.directory, MODE),)
    return Plan((*directory, install), before, {"pgark-wal": str(place.wanted)})
