# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run `ansible-test sanity` on a clean copy of the checkout.

ansible-test wants to stand in `.../ansible_collections/pgark/postgres`, dislikes links, and looks at whatever lies
about. So it gets a copy of the files that belong to the project, and a home directory of its own, in which its
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
from importlib.util import find_spec
from pathlib import Path

from tests.gates.project import project_files
from tests.gates.setup import BUILD, ROOT, VENV, locked

HOME = BUILD / "sanity/home"
COPY = BUILD / "sanity/ansible_collections/pgark/postgres"
CONTROLLER_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
# The oldest Python of the managed hosts. Modules must compile and import there; the other tests do not depend on it.
OLDEST_PYTHON = "3.9"
SKIPPED = ("pslint",)  # needs PowerShell, and looks at PowerShell only: there is none here


def main() -> int:
    """Run all tests with the controller's Python, and those about old Pythons with the oldest if it is here."""
    with locked(BUILD / "sanity.lock"):
        copy_project()
        prepare_home()
        skips = [word for name in SKIPPED for word in ("--skip-test", name)]
        status = ansible_test("--python", CONTROLLER_PYTHON, *skips)
        if runs(f"python{OLDEST_PYTHON}"):
            status |= ansible_test("--python", OLDEST_PYTHON, "--test", "compile", "--test", "import")
        else:
            say(f"no python{OLDEST_PYTHON} here: compile and import ran on {CONTROLLER_PYTHON} only")
    return status


def copy_project() -> None:
    """Make the copy anew."""
    shutil.rmtree(COPY, ignore_errors=True)
    # Without a repository of its own, the copy would be a directory that the checkout's repository ignores.
    subprocess.run(["git", "init", "--quiet", COPY], check=True)
    for name in project_files():
        (COPY / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, COPY / name, follow_symlinks=False)


def prepare_home() -> None:
    """Give ansible-test what it wants to download, and pip's settings, which it does not pass on."""
    cache = HOME / ".ansible/test/cache"
    cache.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).with_name("get_pip.py"), cache / f"get_pip_{wanted_pip().replace('.', '_')}.py")
    config = HOME / ".config/pip/pip.conf"
    config.parent.mkdir(parents=True, exist_ok=True)
    with config.open("w") as file:
        pip_settings().write(file)


def wanted_pip() -> str:
    """Return the version of pip that this ansible-test puts into its environments."""
    spec = find_spec("ansible_test")
    places = spec.submodule_search_locations if spec else None
    source = Path(places[0], "_internal/python_requirements.py").read_text() if places else ""
    found = re.search(r"pip='([0-9.]+)'", source)
    if not found:
        raise SystemExit("sanity | cannot tell which pip ansible-test wants; see wanted_pip()")
    return found[1]


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


def runs(program: str) -> bool:
    """Tell whether a program is there and works: version managers leave stand-ins that do not."""
    found = shutil.which(program)
    return found is not None and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0


def ansible_test(*arguments: str) -> int:
    """Run ansible-test sanity in the copy; return its exit status."""
    argv = [str(VENV / "bin/ansible-test"), "sanity", "--requirements", "--color", "no", *arguments]
    # The checkout's ansible.cfg is for running playbooks; ansible-test brings its own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "GIT_"))}
    environment.update(HOME=str(HOME), XDG_CONFIG_HOME=str(HOME / ".config"))
    start = time.monotonic()
    status = subprocess.run(argv, cwd=COPY, env=environment, check=False).returncode
    say(f"{'passed' if status == 0 else 'FAILED'} in {time.monotonic() - start:.0f} s: {' '.join(arguments)}")
    return status


def say(text: str) -> None:
    """Print one line of progress."""
    print(f"sanity | {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
