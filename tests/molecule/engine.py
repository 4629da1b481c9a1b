# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that make hosts out of containers: installed where that is possible, else asked for by name."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

# What each program comes with on Debian; podman's network needs more than podman depends on.
PACKAGES = {
    "docker": "docker.io",
    "mmdebstrap": "mmdebstrap",
    "podman": "podman netavark aardvark-dns iptables",
    "runc": "runc",
    "ssh": "openssh-client",
}
UNIFIED_CGROUPS = Path("/sys/fs/cgroup/cgroup.controllers")


class Unusable(Exception):
    """Containers cannot be run here; the message says why, and what would help."""


def provide() -> None:
    """Install what is missing, as root on Debian; raises Unusable where that, or running containers, is impossible."""
    engine = os.environ.get("MOLECULE_ENGINE") or "podman"
    if engine not in ("podman", "docker"):
        raise Unusable(f"there is no engine {engine}. HINT: set MOLECULE_ENGINE to podman or docker")
    _install(_missing(engine))
    _ask(engine)


def _missing(engine: str) -> list[str]:
    """Return the packages of programs that are not there."""
    wanted = ["ssh", engine]
    if not os.environ.get("MOLECULE_BASE_IMAGE"):
        wanted.append("mmdebstrap")
    if engine == "podman" and not UNIFIED_CGROUPS.exists():
        wanted.append("runc")
    # Some are in sbin, which an ordinary user's PATH may lack.
    path = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin"
    return [PACKAGES[program] for program in wanted if not shutil.which(program, path=path)]


def _install(packages: list[str]) -> None:
    if not packages:
        return
    if os.getuid() != 0 or not shutil.which("apt-get"):
        raise Unusable(f"packages are missing. HINT: install {' '.join(packages)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "--yes", "--no-install-recommends", *" ".join(packages).split()]):
        done = subprocess.run(["apt-get", "-qq", *words], env=environment, check=False)
        if done.returncode != 0:
            raise Unusable(f"apt-get {words[0]} failed. HINT: install {' '.join(packages)}")


def _ask(engine: str) -> None:
    """Ask the engine whether it works; an ordinary user's may not."""
    asked = subprocess.run([engine, "info"], capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        raise Unusable(f"{engine} does not work: {asked.stderr.strip()}. HINT: start it, or run this as root")
    if engine == "podman" and os.getuid() != 0 and not UNIFIED_CGROUPS.exists():
        raise Unusable(
            "only root can boot systemd in containers on a machine with cgroups of version 1. HINT: run this as root"
        )
