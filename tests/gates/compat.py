# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command, such as the integration tests, with another ansible-core and another Python on the managed side.

    python -m tests.gates.compat --ansible-core 2.16 --managed 3.9 COMMAND...

Each is a virtual environment below .build/compat, made when it is first asked for from an interpreter that is found on
the PATH, in the usual places, or among those of pyenv. tests/support reads which ones from the environment.
"""

from __future__ import annotations

import argparse
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
# The Pythons that a controller may have, from the support matrix of ansible-core; later ones say so to pip themselves.
CONTROLLERS = {"2.16": (10, 12), "2.17": (10, 12), "2.18": (11, 13), "2.19": (11, 13)}
# Python 3.x that is looked for.
MINORS = range(9, 20)
PLACES = ("/usr/local/bin", "/usr/bin", "/opt/*/bin")
# pyenv's stand-ins exist for every version and run only the chosen ones.
USABLE = "import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, {}))"


def main() -> int:
    """Make both environments, and run the command with them; returns its exit status."""
    options = _parser().parse_args()
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    try:
        with locked(ENVIRONMENTS / "lock"):
            controller = make_controller(options.ansible_core)
            managed = make_managed(options.managed)
    except subprocess.CalledProcessError as error:
        say(f"FAILED: {' '.join(map(str, error.cmd))} (exit status {error.returncode})")
        return 1
    chosen = {"PGARK_TEST_ANSIBLE": str(controller / "bin/ansible-playbook"), "PGARK_TEST_PYTHON": str(managed)}
    say(" ".join(f"{name}={value}" for name, value in chosen.items()))
    return subprocess.run(options.command, env=os.environ | chosen, check=False).returncode


def make_controller(release: str) -> Path:
    """Return the environment with that release of ansible-core, such as 2.16, or the newest that can be had here."""
    minors = range(MINORS.start, MINORS.stop)
    if release in CONTROLLERS:
        oldest, latest = CONTROLLERS[release]
        minors = range(oldest, latest + 1)
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
    if complete.exists():
        return directory
    say(f"making {directory.relative_to(ROOT)} with {interpreter}")
    shutil.rmtree(directory, ignore_errors=True)
    subprocess.run([interpreter, "-m", "venv", directory], check=True)
    pip = [str(directory / "bin/python"), "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
    subprocess.run([*pip, *requirements], check=True)
    complete.touch()
    return directory


def newest_interpreter(minors: range, purpose: str) -> Path:
    """Return the newest Python 3 whose minor version is in the range."""
    for minor in reversed(minors):
        for candidate in candidates(minor):
            probe = [str(candidate), "-c", USABLE.format(minor)]
            if subprocess.run(probe, check=False, capture_output=True).returncode == 0:
                return candidate
    wanted = f"3.{minors[0]}" if len(minors) == 1 else f"3.{minors[0]} to 3.{minors[-1]}"
    raise SystemExit(
        f"compat | found no Python {wanted} with venv for {purpose}; looked on the PATH, in {', '.join(PLACES)} and "
        f"in {pyenv()}/versions. HINT: install one, or put it on the PATH as python{wanted.rpartition(' ')[2]}"
    )


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.gates.compat", description=__doc__.splitlines()[0])
    parser.add_argument("--ansible-core", metavar="RELEASE", required=True, help=f"such as 2.16, or {NEWEST}")
    parser.add_argument("--managed", metavar="VERSION", required=True, help="Python of the managed side, such as 3.9")
    parser.add_argument("command", nargs="+", help="what to run")
    return parser


if __name__ == "__main__":
    sys.exit(main())
