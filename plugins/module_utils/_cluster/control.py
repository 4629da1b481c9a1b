# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start and stop a server that no service manager runs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from .._errors import CommandFailed, ServerRefuses, ServerUnavailable
from .._host.processes import end_process, environment, find_postmaster, own_environment
from .._host.runner import CommandRunner
from .._host.tools import Connection, pg_ctl_cmd, pg_ctl_start_cmd
from .._server.options import kept_words
from .._server.server import Server
from .observe import started_with

# What pg_ctl sends for its modes: "Shutting Down the Server" (section 18.5 of PostgreSQL 17's manual).
_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
# The module recovery waits for the rest, and says how far it is.
_RECOVERING_SECONDS = 5
_POLL_SECONDS = 0.1
# pg_ctl tells the server by it that it is the parent: start_postmaster() in src/bin/pg_ctl/pg_ctl.c.
_OF_PG_CTL = ("PG_GRANDPARENT_PID", "PGDATA")


@dataclass(frozen=True)
class Launch:
    """How a server was started, so that it can be started like that again: options, and its environment."""

    options: tuple[str, ...]
    environment: Mapping[str, str]

    @classmethod
    def of(cls, data_directory: str, config_file: str | None) -> Launch:
        """Look at the server that is running, else at what the last one has noted.

        Nothing of what Ansible, sudo or a login gives to this process makes a difference to a server: a locale would
        decide in which language it speaks, and a variable of libpq where it looks for its primary.
        """
        postmaster = find_postmaster(data_directory)
        named = () if config_file is None else ("-c", f"config_file={config_file}")
        words = kept_words(started_with(data_directory, postmaster), configured=config_file is not None)
        found = {} if postmaster is None else environment(postmaster)
        kept = {name: value for name, value in found.items() if name not in _OF_PG_CTL}
        return cls((*named, *words), kept or neutral(own_environment()))


def neutral(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out of an environment what a server would take for its own settings.

    >>> neutral({"PATH": "/bin", "LANG": "de_DE.UTF-8", "LC_ALL": "C", "PGPORT": "1"})
    {'PATH': '/bin'}
    """
    return {name: value for name, value in environment.items() if not name.startswith(("LC_", "LANG", "PG"))}


@dataclass(frozen=True)
class ServerControl:
    """A server and how to control it."""

    data_directory: str
    bin_directory: str
    log_file: str
    launch: Launch
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
        argv = pg_ctl_start_cmd(self.bin_directory, self.data_directory, self.log_file, timeout, self.launch.options)
        try:
            self.runner.run(argv, whole_environment=self.launch.environment)
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

    Raises CommandFailed when it is not running, refuses us for good, or does not let us in within ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        if find_postmaster(data_directory) is None:
            raise CommandFailed(f"no server is running on {data_directory}")
        try:
            return Server.connect(replace(connection, database=None), data_directory).close()
        except ServerRefuses as error:
            raise CommandFailed(error.message, error.hint) from None
        except ServerUnavailable as error:
            if time.monotonic() > deadline:
                raise CommandFailed(f"{error.message} after {timeout} s", error.hint) from None
        time.sleep(_POLL_SECONDS)
