# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environments with other releases of ansible-core, and other Pythons, than those of `.venv`.

Each is a virtual environment below .build/compat, made when it is first asked for from an interpreter that is found on
the PATH, in the usual places, or among those of pyenv.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.gates.setup import BUILD, ROOT, locked

ENVIRONMENTS = BUILD / "compat"
NEWEST = "newest"
# The Pythons that a controller may have, from the support matrix of ansible-core, by release from the oldest supported
# to the latest known; later ones say so to pip themselves.
CONTROLLERS = {
    "2.16": range(10, 13),
    "2.17": range(10, 13),
    "2.18": range(11, 14),
    "2.19": range(11, 14),
    "2.20": range(12, 15),
    "2.21": range(12, 15),
}
# Python 3.x that is looked for.
MINORS = range(9, 20)
PLACES = ("/usr/local/bin", "/usr/bin", "/opt/*/bin")
# pyenv's stand-ins exist for every version and run only the chosen ones.
USABLE = "import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, {}))"


def oldest_and_newest() -> list[str]:
    """Return the oldest and the newest of the known releases of ansible-core that a Python here can run."""
    runnable = [release for release, minors in CONTROLLERS.items() if find_interpreter(minors)]
    if not runnable:
        raise SystemExit(
            f"compat | found no Python for any ansible-core of {', '.join(CONTROLLERS)}. HINT: install one"
        )
    return list(dict.fromkeys([runnable[0], runnable[-1]]))


def make_controller(release: str) -> Path:
    """Return the environment with that release of ansible-core, such as 2.16, or the newest that can be had here."""
    minors = CONTROLLERS.get(release, MINORS)
    requirement = "ansible-core" if release == NEWEST else f"ansible-core=={release}.*"
    interpreter = newest_interpreter(minors, f"ansible-core {release}")
    return environment(f"ansible-{release}", interpreter, requirement, "--requirement", str(ROOT / "requirements.txt"))


def make_managed(version: str) -> Path:
    """Return the interpreter of the environment of a managed host with that Python, such as 3.9."""
    if not re.fullmatch(r"3\.\d+", version):
        raise SystemExit(f"compat | {version} is no version of Python; expected one such as 3.9")
    minor = int(version.partition(".")[2])
    interpreter = newest_interpreter(range(minor, minor + 1), "the managed side")
    return environment(f"python-{version}", interpreter, "psycopg[binary]") / "bin/python"


def environment(name: str, interpreter: Path, *requirements: str) -> Path:
    """Make a virtual environment unless a complete one is there, and return it."""
    directory = ENVIRONMENTS / name
    complete = directory / "complete"
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with locked(ENVIRONMENTS / f"{name}.lock"):
        if not complete.exists():
            say(f"making {directory.relative_to(ROOT)} with {interpreter}")
            shutil.rmtree(directory, ignore_errors=True)
            subprocess.run([interpreter, "-m", "venv", directory], check=True)
            pip = [str(directory / "bin/python"), "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
            subprocess.run([*pip, *requirements], check=True)
            complete.touch()
    return directory


def newest_interpreter(minors: range, purpose: str) -> Path:
    """Return the newest Python 3 whose minor version is in the range; leaves with a hint where there is none."""
    found = find_interpreter(minors)
    if found:
        return found
    wanted = f"3.{minors[0]}" if len(minors) == 1 else f"3.{minors[0]} to 3.{minors[-1]}"
    raise SystemExit(
        f"compat | found no Python {wanted} with venv for {purpose}; looked on the PATH, in {', '.join(PLACES)} and "
        f"in {pyenv()}/versions. HINT: install one, or put it on the PATH as python{wanted.rpartition(' ')[2]}"
    )


def find_interpreter(minors: range) -> Path | None:
    """Return the newest Python 3 whose minor version is in the range, or None."""
    for minor in reversed(minors):
        for candidate in candidates(minor):
            probe = [str(candidate), "-c", USABLE.format(minor)]
            if subprocess.run(probe, check=False, capture_output=True).returncode == 0:
                return candidate
    return None


def candidates(minor: int) -> Iterator[Path]:
    """Yield the places in which a Python of that minor version is, whether it works or not."""
    name = f"python3.{minor}"
    for place in PLACES:
        yield from sorted(Path("/").glob(f"{place}/{name}".lstrip("/")))
    yield from sorted(pyenv().glob(f"versions/3.{minor}.*/bin/{name}"), reverse=True)
    on_path = shutil.which(name)
    if on_path:
        yield Path(on_path)


def pyenv() -> Path:
    """Return pyenv's directory, which may not be there."""
    return Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")


def say(text: str) -> None:
    """Print one line of progress."""
    print(f"compat | {text}", file=sys.stderr, flush=True)
