# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at what can be restored, in the places that a module's options name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .._host.processes import find_postmaster, real_path
from .._host.tools import find_bin_directory
from .._server.driver import psycopg_version
from .._task.task import Task
from .observe import WindowReader


@contextmanager
def surveyed(task: Task, major: int) -> Iterator[WindowReader]:
    """Give the survey of the repositories, and of the data directory and its server where the options name one."""
    first, *further = task.layouts
    if task.options["data_directory"] is None:
        bin_directory = task.options["bin_directory"] or find_bin_directory(major)
        yield WindowReader(first, bin_directory, task.runner, further=tuple(further))
        return
    directory = real_path(task.options["data_directory"])
    bin_directory = task.bin_directory(major)
    if find_postmaster(directory) is None:
        yield WindowReader(first, bin_directory, task.runner, directory, further=tuple(further))
        return
    if psycopg_version(task.options["python_directory"]) is None:
        yield WindowReader(task.layout, bin_directory, task.runner, directory)
        return
    with task.connected_if_running() as server:
        yield WindowReader(first, bin_directory, task.runner, directory, server, tuple(further))
