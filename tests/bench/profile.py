# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the time of a playbook goes, task by task, as Ansible's own junit callback measures it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

# A test case is called "[host] play: task", and its time counts from the start of the task to the host's result.
SEPARATOR = ": "


def environment(directory: Path) -> dict[str, str]:
    """Return what makes ansible-playbook leave its measurements in the directory."""
    return {
        "ANSIBLE_CALLBACKS_ENABLED": "ansible.builtin.junit",
        "JUNIT_HIDE_TASK_ARGUMENTS": "true",
        "JUNIT_OUTPUT_DIR": str(directory),
    }


def task_seconds(directory: Path) -> dict[str, float]:
    """Return each task's seconds, in the order of the tasks: from its start until the last host was done with it."""
    [file] = directory.glob("*.xml")
    seconds: dict[str, float] = {}
    # The file was written by the run before, on this machine.
    for case in ET.parse(file).getroot().iter("testcase"):
        task = str(case.get("name")).partition("] ")[2].partition(SEPARATOR)[2].removeprefix("pgark.postgres.")
        seconds[task] = max(seconds.get(task, 0.0), float(case.get("time", 0)))
    return seconds
