# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to look at while a server recovers."""

from __future__ import annotations

from .._task.task import Task
from .observe import Watch


def watch_of(task: Task) -> Watch:
    """Collect what it takes to look at the server of a task."""
    log_file = task.options["log_file"]
    return Watch(task.data_directory, task.connection, log_file, task.bin_directory(), task.runner)
