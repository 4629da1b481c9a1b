# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the pitr_restore module as any other, and print how far it is while it stages.

A module cannot print, and this process waits for it. So another one looks meanwhile, with the module recovery_info.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Any

from ansible.plugins.action.normal import ActionModule as NormalActionModule
from ansible.utils.display import Display

from ..module_utils._values.progress import StagingProgress
from ..plugin_utils.looking import looking

EVERY_SECONDS = 5.0
# A look takes about half a second where the host is near.
PATIENCE_SECONDS = 5.0
# They start a program for each command. Others hold a connection, which two processes cannot share.
CONNECTIONS = (
    "local",
    "ssh",
    "community.docker.docker",
    "containers.podman.podman",
    "kubernetes.core.kubectl",
)

display = Display()


class ActionModule(NormalActionModule):  # type: ignore[misc]  # ansible-core is not typed
    """Run the module, with somebody who looks."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Give the module's result."""
        with self._looker(task_vars or {}) if self._takes_long() else nullcontext():
            result: dict[str, Any] = super().run(tmp, task_vars)
        return result

    def _takes_long(self) -> bool:
        """Tell whether there may be something to look at, and a way to do so."""
        task = self._task
        waits = task.args.get("state") == "staged" and not task.check_mode and not task.async_val
        return waits and "data_directory" in task.args and self._connection.transport in CONNECTIONS

    def _looker(self, task_vars: dict[str, Any]) -> Any:
        host = task_vars.get("inventory_hostname", "")
        arguments = {"data_directory": self._task.args["data_directory"], "connect": False}
        progress = StagingProgress(time.monotonic())

        def look() -> str | None:
            seen = self._execute_module("pgark.postgres.recovery_info", arguments, task_vars=task_vars)
            text = progress.text(time.monotonic(), seen.get("staging"))
            return f"    {host}: {text}" if text else None

        return looking(look, display.display, EVERY_SECONDS, PATIENCE_SECONDS)
