# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control file of what is staged, which does not have its name yet, so that no server can start."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from .._cluster.control_file import checksum_offset
from .._host.files import read_small, write_file
from .._host.runner import CommandRunner
from .._host.tools import ANSWER_SECONDS, effective_setting_cmd
from .._values.markers import HELD_CONTROL

# Which a server takes from the control file when it is asked for it: GUC_RUNTIME_COMPUTED, since PostgreSQL 15.
_SETTING, _ASKED_SINCE = "data_checksums", 15


@contextmanager
def as_it_will_be(staging: str) -> Iterator[str]:
    """Give a directory in which programs find the control file under its name."""
    with tempfile.TemporaryDirectory(prefix="pgark-") as scratch:
        os.mkdir(f"{scratch}/global")
        os.symlink(f"{staging}/{HELD_CONTROL}", f"{scratch}/global/pg_control")
        yield scratch


def check_whole(directory: str, major: int, bin_directory: str, runner: CommandRunner) -> None:
    """Have the server itself read it, which refuses that of another version or build, where it can be asked."""
    checksum_offset(read_small(f"{directory}/global/pg_control", follow=True))
    if major < _ASKED_SINCE:
        return
    write_file(f"{directory}/PG_VERSION", f"{major}\n", 0o600)
    for name in ("postgresql.conf", "postgresql.auto.conf"):
        write_file(f"{directory}/{name}", "", 0o600)
    argv = effective_setting_cmd(bin_directory, _SETTING, directory, f"{directory}/postgresql.conf")
    runner.run(argv, limit=ANSWER_SECONDS)
