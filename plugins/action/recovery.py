# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repeat the recovery module until the target is reached, and print how far it is meanwhile.

A module cannot print; it returns every few seconds, and the lines are printed here on the controller.
"""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._values.progress import ReplayProgress

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is not typed
    """Wait for a recovery, however long it takes, as long as it moves."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Give the module's last result; fail when nothing has moved for ``timeout`` seconds."""
        host = (task_vars or {}).get("inventory_hostname", "")
        timeout = int(self._task.args.get("timeout") or 600)
        progress = ReplayProgress(time.monotonic())
        while True:
            result: dict[str, Any] = self._execute_module(task_vars=task_vars)
            if result.get("failed") or result.get("reached", True) or self._task.check_mode:
                return result
            text = progress.text(time.monotonic(), result)
            if progress.idle > timeout:
                return {
                    **result,
                    "failed": True,
                    "msg": f"recovery has not moved for {timeout} s: {result['progress']}\n{result['log']}",
                }
            display.display(f"    {host}: {text}")
