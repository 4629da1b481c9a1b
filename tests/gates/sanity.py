# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run `ansible-test sanity` of the oldest and of the newest ansible-core that a Python here can run, side by side.

ansible-test wants to stand in `.../ansible_collections/pgark/postgres`, dislikes links, and looks at whatever lies
about. So each gets a copy of the files that belong to the project, and a home directory of its own, in which its
virtual environments stay from run to run and the user's home stays untouched.
"""

from __future__ import annotations

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tests.gates.environments import CONTROLLERS, find_interpreter, make_controller, oldest_and_newest
from tests.gates.project import project_files
from tests.gates.setup import BUILD, ROOT, locked

PLACE = BUILD / "sanity"
# The oldest Python of the managed hosts. Modules must compile and import there; the other tests do not depend on it.
OLDEST_PYTHON = range(9, 10)
OLD_TESTS = ("--test", "compile", "--test", "import")
SKIPPED = ("pslint",)  # needs PowerShell, and looks at PowerShell only: there is none here
# Takes as long as all others, looks at text that is the same for both, and the newer one knows more.
NEWEST_ONLY = ("pylint",)


@dataclass(frozen=True)
class Outcome:
    """How a run of ansible-test ended."""

    title: str
    passed: bool
    output: str
    seconds: float


def main() -> int:
    """Run all tests with both releases, and those about old Pythons with the oldest Python if it is here."""
    PLACE.mkdir(parents=True, exist_ok=True)
    releases = oldest_and_newest()
    say(f"ansible-core {' and '.join(releases)}, side by side; each is shown when it has ended")
    outcomes = []
    with locked(PLACE / "lock"), ThreadPoolExecutor() as threads:
        for running in as_completed([threads.submit(run, release, release == releases[0]) for release in releases]):
            for outcome in running.result():
                say(f"{outcome.title}\n{outcome.output.rstrip()}")
                outcomes.append(outcome)
    for outcome in outcomes:
        say(f"{'passed' if outcome.passed else 'FAILED'} in {outcome.seconds:.0f} s: {outcome.title}")
    missing = not_tried(releases)
    if missing:
        say(f"NOT TRIED, since there is no Python for it here: {', '.join(missing)}")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def not_tried(releases: list[str]) -> list[str]:
    """Return what this machine has no Python for, when these releases are tried."""
    known = list(CONTROLLERS)
    outside = known[: known.index(releases[0])] + known[known.index(releases[-1]) + 1 :]
    cores = [f"ansible-core {release}" for release in outside]
    return cores if find_interpreter(OLDEST_PYTHON) else [*cores, f"modules on Python 3.{OLDEST_PYTHON[0]}"]


def run(release: str, oldest: bool) -> list[Outcome]:
    """Run one release's tests; the oldest of those that are tried has the old Python to look at, too."""
    controller = Controller(release, make_controller(release))
    controller.prepare()
    skipped = (*SKIPPED, *NEWEST_ONLY) if oldest else SKIPPED
    skips = [word for name in skipped for word in ("--skip-test", name)]
    outcomes = [controller.ansible_test(controller.python, *skips)]
    if oldest and find_interpreter(OLDEST_PYTHON):
        outcomes.append(controller.ansible_test(f"3.{OLDEST_PYTHON[0]}", *OLD_TESTS))
    return outcomes


@dataclass(frozen=True)
class Controller:
    """A release of ansible-core in its virtual environment, and where its ansible-test works."""

    release: str
    environment: Path

    @property
    def home(self) -> Path:
        """Return its home directory."""
        return PLACE / self.release / "home"

    @property
    def copy(self) -> Path:
        """Return where its copy of the project is."""
        return PLACE / self.release / "ansible_collections/pgark/postgres"

    @property
    def packages(self) -> Path:
        """Return where its Python's packages are."""
        return next(self.environment.glob("lib/python3.*/site-packages"))

    @property
    def python(self) -> str:
        """Return the version of its Python, such as 3.13."""
        return self.packages.parent.name.removeprefix("python")

    @property
    def version(self) -> str:
        """Return the version of its ansible-core, such as 2.21.5."""
        return next(self.packages.glob("ansible_core-*.dist-info")).name.split("-")[1].removesuffix(".dist")

    def prepare(self) -> None:
        """Make the copy anew, and give ansible-test what it wants to download and pip's settings."""
        copy_project(self.copy)
        cache = self.home / ".ansible/test/cache"
        cache.mkdir(parents=True, exist_ok=True)
        source = self.packages / "ansible_test/_internal/python_requirements.py"
        for version in wanted_pips(source.read_text()):
            shutil.copy(Path(__file__).with_name("get_pip.py"), cache / f"get_pip_{version.replace('.', '_')}.py")
        config = self.home / ".config/pip/pip.conf"
        config.parent.mkdir(parents=True, exist_ok=True)
        with config.open("w") as file:
            pip_settings().write(file)

    def ansible_test(self, python: str, *arguments: str) -> Outcome:
        """Run ansible-test sanity in the copy."""
        # The first line of a script cannot name an interpreter whose path has a space.
        argv = [str(self.environment / "bin" / name) for name in ("python", "ansible-test")]
        argv += ["sanity", "--requirements", "--color", "no", "--python", python]
        start = time.monotonic()
        done = subprocess.run(
            [*argv, *arguments],
            cwd=self.copy,
            env=self._variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        title = (
            f"ansible-core {self.version} on Python {self.python}, modules on Python {python}, {' '.join(arguments)}"
        )
        return Outcome(title, done.returncode == 0, done.stdout, time.monotonic() - start)

    def _variables(self) -> dict[str, str]:
        # The checkout's ansible.cfg is for running playbooks; ansible-test brings its own.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "GIT_"))}
        old = find_interpreter(OLDEST_PYTHON)
        # Where pyenv has it, what is on the PATH is a stand-in that does not work.
        path = f"{old.parent}{os.pathsep}{kept['PATH']}" if old else kept["PATH"]
        return kept | {"HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / ".config"), "PATH": path}


def copy_project(place: Path) -> None:
    """Copy the files that belong to the project to a place that has nothing else then."""
    shutil.rmtree(place, ignore_errors=True)
    # Without a repository of its own, the copy would be a directory that the checkout's repository ignores.
    subprocess.run(["git", "init", "--quiet", place], check=True)
    for name in project_files():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, place / name, follow_symlinks=False)


def wanted_pips(source: str) -> list[str]:
    """Return the versions of pip that an ansible-test puts into its environments, by its source."""
    found = re.findall(r"\bpip='([0-9.]+)'", source)
    if not found:
        raise SystemExit("sanity | cannot tell which pip ansible-test wants; see wanted_pips()")
    return found


def pip_settings() -> configparser.RawConfigParser:
    """Return pip's settings in force here, those from the environment included, as one configuration file."""
    config = configparser.RawConfigParser()
    config.read_dict({"global": {"quiet": "1"}})
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True)
    for line in listed.stdout.splitlines():
        name, value = line.split("=", 1)
        section, option = name.rsplit(".", 1)
        section = "global" if section == ":env:" else section
        if option != "config-file":
            if not config.has_section(section):
                config.add_section(section)
            config.set(section, option, ast.literal_eval(value).replace("\n", "\n  "))
    return config


def say(text: str) -> None:
    """Print a message."""
    print(f"sanity | {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
