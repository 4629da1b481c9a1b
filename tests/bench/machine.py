# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine and the versions that a measurement is of."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

from tests.support import controller
from tests.support.postgres import Cluster
from tests.support.sandbox import CHECKOUT, Sandbox


def describe(sandbox: Sandbox, cluster: Cluster) -> dict[str, str]:
    """Return what has to be known beside the numbers."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "revision": _revision(),
        "cores": f"{os.cpu_count()}, {_processor()}",
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": platform.freedesktop_os_release()["PRETTY_NAME"],
        "ansible-core": f"{controller.ansible_version()}, Python {controller.python_version()}",
        "managed side": f"Python {_managed_python(sandbox)}, connection local, user {_kind(sandbox)}",
        "PostgreSQL": str(cluster.value("SHOW server_version")),
    }


def _revision() -> str:
    """Return the commit; git does not tell it to others than the owner of a checkout."""
    argv = ["git", "describe", "--always", "--dirty=, with uncommitted changes"]
    done = subprocess.run(argv, cwd=CHECKOUT, check=False, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def _managed_python(sandbox: Sandbox) -> str:
    return sandbox.run([sandbox.python, "-c", "import platform; print(platform.python_version())"]).stdout.strip()


def _kind(sandbox: Sandbox) -> str:
    return "the caller" if sandbox.account.is_caller else f"{sandbox.user} by su"


def _processor() -> str:
    found = re.search(r"(?m)^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return found[1] if found else platform.machine()
