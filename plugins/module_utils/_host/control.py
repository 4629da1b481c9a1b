# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start and stop a server that no service manager runs."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

from .._errors import CommandFailed, ServerUnavailable
from .processes import end_process, find_postmaster
from .runner import CommandRunner
from .server import Server
from .tools import Connection, pg_ctl_cmd, pg_ctl_start_cmd

# What pg_ctl sends for its modes: "Shutting Down the Server" (section 18.5 of PostgreSQL 17's manual).
_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
# The module recovery waits for the rest, and says how far it is.
_RECOVERING_SECONDS = 5
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class ServerControl:
    """A server and how to control it."""

    data_directory: str
    bin_directory: str
    log_file: str
    config_file: str | None
    timeout: int
    runner: CommandRunner

    def carry_out(self, action: str, mode: str) -> None:
        """Do one of ``start``, ``stop`` (in a mode of pg_ctl) and ``reload``."""
        if action == "start":
            self._start()
        elif action == "stop":
            self._stop(mode)
        else:
            self.runner.run(pg_ctl_cmd(self.bin_directory, "reload", self.data_directory))

    def _start(self) -> None:
        """Start; one that recovers may let nobody in for hours, so it only has to be alive after a short while."""
        recovers = os.path.exists(f"{self.data_directory}/recovery.signal")
        timeout = min(self.timeout, _RECOVERING_SECONDS) if recovers else self.timeout
        argv = pg_ctl_start_cmd(self.bin_directory, self.data_directory, self.log_file, timeout, self.config_file)
        try:
            self.runner.run(argv)
        except CommandFailed:
            if not recovers or find_postmaster(self.data_directory) is None:
                raise

    def _stop(self, mode: str) -> None:
        """Stop by the process, which works without ``postmaster.pid`` too, as after the data directory was deleted."""
        pid = find_postmaster(self.data_directory)
        if pid is not None:
            end_process(pid, _SIGNALS[mode], self.timeout)


def wait_available(data_directory: str, connection: Connection, timeout: int) -> None:
    """Wait until a server that something else has started lets clients in.

    Raises CommandFailed when it is not running, or does not within ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        if find_postmaster(data_directory) is None:
            raise CommandFailed(f"no server is running on {data_directory}")
        try:
            return Server.connect(connection, data_directory).close()
        except ServerUnavailable as error:
            if time.monotonic() > deadline:
                raise CommandFailed(f"{error.message} after {timeout} s", error.hint) from None
        time.sleep(_POLL_SECONDS)
