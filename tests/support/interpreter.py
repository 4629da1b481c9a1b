# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python of a throw-away managed host: the base interpreter of the environment, with psycopg and nothing else.

Its path holds no space, for it ends up behind a `#!`.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

NAME = f"python{sys.version_info.major}.{sys.version_info.minor}"
PACKAGES = ("psycopg", "psycopg_binary", "psycopg_binary.libs", "typing_extensions.py")
NOT_NEEDED = ("test", "idlelib", "tkinter", "turtledemo", "site-packages", "config-*")


def create(directory: Path, provide: Callable[[Path, Path], Path], reachable: Callable[[Path], bool]) -> Path:
    """Lay out a virtual environment in the directory and return its interpreter.

    `provide(source, destination)` links or copies; the base interpreter is copied when it is not `reachable`.
    """
    base = Path(sys.base_prefix)
    program = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]  # typeshed leaves it out; venv uses it
    if not reachable(program):
        program = _copy(program, base, directory / "base")
    packages = directory / "lib" / NAME / "site-packages"
    packages.mkdir(parents=True)
    for package in PACKAGES:
        provide(site_packages() / package, packages / package)
    (directory / "pyvenv.cfg").write_text(f"home = {program.parent}\ninclude-system-site-packages = false\n")
    interpreter = directory / "bin" / NAME
    interpreter.parent.mkdir()
    interpreter.symlink_to(program)
    return interpreter


def relocated(program: bytes, libraries: Path) -> bytes:
    r"""Return the program with its search path for shared libraries turned into one beside itself.

    A Python built with --enable-shared has the absolute directory of libpython in its ELF header.

    >>> relocated(b"ELF\0/opt/python/lib\0rest", Path("/opt/python/lib"))
    b'ELF\x00$ORIGIN\x00\x00\x00\x00\x00\x00\x00\x00\x00rest'
    >>> relocated(b"a static one", Path("/opt/python/lib"))
    b'a static one'
    """
    absolute, relative = str(libraries).encode() + b"\0", b"$ORIGIN\0"
    return program.replace(absolute, relative.ljust(len(absolute), b"\0"))


def site_packages() -> Path:
    """Return the directory that the development environment's packages are installed in."""
    specification = importlib.util.find_spec("psycopg")
    assert specification is not None, "psycopg is not installed"
    return Path(str(specification.origin)).parents[1]


def _copy(program: Path, base: Path, destination: Path) -> Path:
    ignore = shutil.ignore_patterns(*NOT_NEEDED)
    shutil.copytree(base / "lib" / NAME, destination / "lib" / NAME, symlinks=True, ignore=ignore)
    copy = destination / "bin" / program.name
    copy.parent.mkdir()
    for shared in base.glob("lib/libpython*.so*"):
        shutil.copy2(shared, copy.parent, follow_symlinks=False)
    copy.write_bytes(relocated(program.read_bytes(), base / "lib"))
    copy.chmod(0o755)
    return copy
