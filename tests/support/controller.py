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


def ansible_playbook() -> Path:
    """Return the program that runs playbooks."""
    return Path(os.environ.get("PGARK_TEST_ANSIBLE") or Path(sys.executable).with_name("ansible-playbook"))


def ansible_package() -> Path:
    """Return the directory of ansible-core's Python package."""
    return Path(_python("import os, ansible; print(os.path.dirname(ansible.__file__))"))


def ansible_version() -> str:
    """Return the version of ansible-core, such as 2.19.14."""
    return _python("import ansible.release; print(ansible.release.__version__)")


def python_version() -> str:
    """Return the version of the Python that Ansible runs on, such as 3.11.7."""
    return _python("import platform; print(platform.python_version())")


def site_packages() -> Path:
    """Return the directory that the packages of the environment that runs this are installed in."""
    specification = importlib.util.find_spec("psycopg")
    assert specification is not None, "psycopg is not installed"
    return Path(str(specification.origin)).parents[1]


def _python(program: str) -> str:
    interpreter = ansible_playbook().with_name("python")
    return subprocess.run([interpreter, "-c", program], check=True, capture_output=True, text=True).stdout.strip()
