# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Ansible that the tests run: the development environment's, unless PGARK_TEST_ANSIBLE names another.

It is the path of an `ansible-playbook` in a virtual environment, whose interpreter lies beside it.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

LOCATE = "import os, ansible; print(os.path.dirname(ansible.__file__))"


def ansible_playbook() -> Path:
    """Return the program that runs playbooks."""
    return Path(os.environ.get("PGARK_TEST_ANSIBLE") or Path(sys.executable).with_name("ansible-playbook"))


def ansible_package() -> Path:
    """Return the directory of ansible-core's Python package."""
    interpreter = ansible_playbook().with_name("python")
    done = subprocess.run([interpreter, "-c", LOCATE], check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())


def ansible_version() -> str:
    """Return the version of ansible-core, such as 2.19.14."""
    package = ansible_package()
    text = (package / "release.py").read_text(encoding="utf-8")
    [version] = [line.split("'")[1] for line in text.splitlines() if line.startswith("__version__")]
    return version


def site_packages() -> Path:
    """Return the directory that the packages of the environment that runs this are installed in."""
    specification = importlib.util.find_spec("psycopg")
    assert specification is not None, "psycopg is not installed"
    return Path(str(specification.origin)).parents[1]
