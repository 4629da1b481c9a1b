# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore beside a history, into a directory that is removed again, so that the history stays as it is."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from tests.support import processes
from tests.support.history import observe
from tests.support.ledger import State
from tests.support.postgres import free_port
from tests.support.recoverable import Recoverable
from tests.support.waiting import wait_until

STOPPED = "SELECT NOT pg_is_in_recovery() OR pg_get_wal_replay_pause_state() = 'paused'"


@dataclass(frozen=True)
class Restored:
    """What a restore gave: the state, the backup that it began with, and what was said about it."""

    state: State
    backup: str
    warnings: list[str]


class Scratch:
    """Restores with the module, and starts what it gave without the right to archive."""

    def __init__(self, subject: Recoverable) -> None:
        self._subject = subject
        self._home = subject.cluster.home / "scratch"
        self._log = self._home / "server.log"
        self._port = free_port()

    def restore(self, promote: bool = False, **options: Any) -> Restored:
        """Restore to a target, look at what is there when recovery has stopped, and clear up.

        Prepared transactions cannot be seen before the server is promoted.
        """
        self._subject.sandbox.directory(self._home)
        try:
            said = self._lay_out(options)
            self._start()
            return Restored(self._look(promote), str(said["backup"]), said.get("warnings", []))
        finally:
            processes.end_below(self._home)
            shutil.rmtree(self._home)

    @property
    def _data(self) -> Path:
        return self._home / "data"

    def _lay_out(self, options: dict[str, Any]) -> dict[str, Any]:
        wanted = {"program": self._subject.program, "data_directory": self._data, **options}
        staged = self._subject.run("pitr_restore", state="staged", **wanted)
        self._subject.run("pitr_restore", state="restored", **wanted)
        return staged

    def _start(self) -> None:
        own = {"port": self._port, "unix_socket_directories": f'"{self._home}"', "listen_addresses": ""}
        settings = own | {"archive_mode": "off", "fsync": "off"}
        arguments = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        done = self._subject.cluster.run(
            *("pg_ctl", "start", "-w", "-D", self._data, "-l", self._log, "-o", arguments), check=False
        )
        assert done.returncode == 0, self._words()

    def _look(self, promote: bool) -> State:
        conninfo = make_conninfo(
            host=str(self._home), port=self._port, user=self._subject.cluster.owner, dbname="postgres"
        )
        with psycopg.connect(conninfo, autocommit=True) as connection:
            wait_until(lambda: connection.execute(STOPPED).fetchall()[0][0], message="recovery to stop")
            if promote:
                connection.execute("SELECT pg_promote()")
        return observe(conninfo)

    def _words(self) -> str:
        return self._log.read_text(encoding="utf-8")
