# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python of a throw-away managed host: the base interpreter of an environment, with psycopg and nothing else.

The environment is the one that runs the tests, unless PGARK_TEST_PYTHON names the interpreter of another. The path of
what is made from it holds no space, for it ends up behind a `#!`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Not every Python needs the last one, not every psycopg comes with its libraries.
PACKAGES = ("psycopg", "psycopg_binary", "psycopg_binary.libs", "typing_extensions.py")
NOT_NEEDED = ("test", "idlelib", "tkinter", "turtledemo", "site-packages", "config-*")
# What modules are sent as is one archive of sources, of a new name each time, which Python compiles each time: half of
# what a short module takes. Here it does so once; everything else about them is as on any host.
REMEMBERED = """
import hashlib, marshal, os, sys, zipimport

compile_source = zipimport._compile_source

def remembered(path, source):
    name = hashlib.sha256(source).hexdigest() + ".code"
    try:
        with open(os.path.join(PLACE, name), "rb") as file:
            return marshal.load(file)
    except (OSError, EOFError, ValueError, TypeError):
        code = compile_source(path, source)
    try:
        written = os.path.join(PLACE, f"{name}.{os.getpid()}")
        with open(written, "wb") as file:
            marshal.dump(code, file)
        os.rename(written, os.path.join(PLACE, name))
    except OSError:
        pass
    return code

zipimport._compile_source = remembered
"""
# typeshed leaves _base_executable out; venv uses it.
DESCRIBE = """
import importlib.util, json, sys
found = importlib.util.find_spec("psycopg")
print(json.dumps([sys._base_executable, sys.base_prefix, "python%d.%d" % sys.version_info[:2], found and found.origin]))
"""


@dataclass(frozen=True)
class Source:
    """An interpreter to make the managed side's from: the base of an environment, and where its packages are."""

    program: Path
    prefix: Path
    name: str
    packages: Path

    @classmethod
    def of(cls, executable: str | Path) -> Source:
        """Ask an interpreter for what it stands on; raises AssertionError when it has no psycopg."""
        said = subprocess.run([executable, "-c", DESCRIBE], check=True, capture_output=True, text=True).stdout
        program, prefix, name, psycopg = json.loads(said)
        assert psycopg, f"{executable} has no psycopg"
        return cls(Path(program).resolve(), Path(prefix), name, Path(psycopg).parents[1])


def chosen() -> Source:
    """Return what the managed side's interpreter is made from."""
    return Source.of(os.environ.get("PGARK_TEST_PYTHON") or sys.executable)


def create(
    directory: Path, source: Source, provide: Callable[[Path, Path], Path], reachable: Callable[[Path], bool]
) -> Path:
    """Lay out a virtual environment in the directory and return its interpreter.

    `provide(source, destination)` links or copies; the base interpreter is copied when it is not `reachable`.
    """
    program = source.program
    if not reachable(program):
        program = _copy(source, directory / "base")
    packages = directory / "lib" / source.name / "site-packages"
    packages.mkdir(parents=True)
    for package in PACKAGES:
        if (source.packages / package).exists():
            provide(source.packages / package, packages / package)
    remember(directory / "compiled", packages)
    # A package brings what it was compiled to, a single file does not, and modules' users could not write it.
    subprocess.run([program, "-m", "compileall", "-q", "-l", packages], check=True)
    (directory / "pyvenv.cfg").write_text(f"home = {program.parent}\ninclude-system-site-packages = false\n")
    interpreter = directory / "bin" / source.name
    interpreter.parent.mkdir()
    interpreter.symlink_to(program)
    return interpreter


def remember(place: Path, packages: Path) -> None:
    """Have the interpreter that takes these packages remember what it has compiled out of archives in a place."""
    place.mkdir()
    place.chmod(0o1777)  # modules run as more than one user
    (packages / "remembered.py").write_text(f"PLACE = {str(place)!r}\n{REMEMBERED}", encoding="utf-8")
    (packages / "remembered.pth").write_text("import remembered\n", encoding="utf-8")


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


def _copy(source: Source, destination: Path) -> Path:
    ignore = shutil.ignore_patterns(*NOT_NEEDED)
    library = Path("lib", source.name)
    shutil.copytree(source.prefix / library, destination / library, symlinks=True, ignore=ignore)
    copy = destination / "bin" / source.program.name
    copy.parent.mkdir()
    for shared in source.prefix.glob("lib/libpython*.so*"):
        shutil.copy2(shared, copy.parent, follow_symlinks=False)
    copy.write_bytes(relocated(source.program.read_bytes(), source.prefix / "lib"))
    copy.chmod(0o755)
    return copy
