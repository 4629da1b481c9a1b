# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mount a small file system of its own, as root or, in a namespace of its own, as an ordinary user."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import processes
from tests.support.sandbox import Sandbox

MODE = "mode=0700"


@contextmanager
def mounted(sandbox: Sandbox, path: Path, size: str = "512m", bind: Path | None = None) -> Iterator[None]:
    """Mount an empty tmpfs that the servers' user owns, or with `bind` a directory of the same file system.

    For an ordinary user only what the sandbox runs can see it.
    """
    owner = f",uid={sandbox.account.uid},gid={sandbox.account.gid}" if os.getuid() == 0 else ""
    tmpfs = ["mount", "-t", "tmpfs", "-o", f"size={size},{MODE}{owner}", "tmpfs", str(path)]
    mount = tmpfs if bind is None else ["mount", "--bind", str(bind), str(path)]
    if os.getuid() == 0:
        subprocess.run(mount, check=True)
        try:
            yield
        finally:
            processes.end_below(path)  # nobody would find it later: its working directory is nowhere then
            subprocess.run(["umount", "--lazy", path], check=True)
        return
    script = '"$@" && echo mounted && exec cat'
    namespace = ["unshare", "--user", "--mount", "--map-current-user", "--keep-caps", "sh", "-c", script, "sh", *mount]
    with subprocess.Popen(namespace, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"mounted\n", "no file system could be mounted in a namespace"
        enter = ["nsenter", "--target", str(holder.pid), "--user", "--mount", "--preserve-credentials", "--wd=/"]
        with sandbox.through(enter):
            yield
