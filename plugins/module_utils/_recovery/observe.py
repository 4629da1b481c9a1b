# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watch a server recover, and end its recovery."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._cluster.observe import read_record, server_log, way_back
from .._errors import Error, Refused, ServerRefuses, ServerUnavailable
from .._host.processes import find_postmaster, startup_progress
from .._host.runner import CommandRunner
from .._host.tools import Connection, control_data
from .._restore.parameters import asked_by_control, too_small
from .._server.server import RecoveryState, Server
from .._values.times import format_time
from .._wal.names import SegmentName

_POLL_SECONDS = 0.2
_LOCK_SECONDS = 5
_LOCK_NOT_AVAILABLE = "55P03"  # src/backend/utils/errcodes.txt


@dataclass(frozen=True)
class Progress:
    """How far a recovery is.

    ``position`` is the LSN up to which WAL was replayed; before connections are possible, it is the beginning of the
    ``segment`` that is being read. ``start`` and ``end`` are the LSNs that it goes from and to, as far as the restore
    noted them. ``refusal`` is why there is no connection.
    """

    reached: bool
    state: RecoveryState | None
    segment: str | None = None
    refusal: str = ""
    position: str | None = None
    start: str | None = None
    end: str | None = None

    @property
    def text(self) -> str:
        """Say where recovery is."""
        if self.state is None:
            return f"recovering, reads segment {self.segment}" if self.segment else f"starting, {self.refusal}"
        if not self.state.in_recovery:
            return f"not in recovery, on timeline {self.state.timeline}"
        last = "none yet" if self.state.replay_time is None else format_time(self.state.replay_time)
        paused = "paused" if self.state.paused else "recovering"
        return f"{paused}, replayed up to {self.state.replay_lsn}, last transaction {last}"

    def as_dict(self) -> dict[str, Any]:
        """Give what was seen in the form that is reported; without an answer, all is null but ``paused``."""
        state = self.state
        lsn = None if state is None or state.replay_lsn is None else str(state.replay_lsn)
        return {
            "in_recovery": None if state is None else state.in_recovery,
            "paused": state is not None and state.paused,
            "lsn": lsn,
            "time": None if state is None or state.replay_time is None else format_time(state.replay_time),
            "timeline": None if state is None else state.timeline,
            "position": self.position,
            "start_lsn": self.start,
            "end_lsn": self.end,
        }


@dataclass(frozen=True)
class Watch:
    """What to watch: a server, how to connect to it, where its log is, and how to read its control file."""

    data_directory: str
    connection: Connection
    log_file: str | None
    bin_directory: str
    runner: CommandRunner

    def look(self) -> Progress:
        """Look once; raises Error with the server's last log lines when no server is running.

        Raises ServerRefuses where it would be no use to look again.
        """
        return self._located(self._seen())

    def _seen(self) -> Progress:
        postmaster = find_postmaster(self.data_directory)
        if postmaster is None:
            raise Error(f"no server is running on {self.data_directory}; {self.last_words()}", self._hint())
        try:
            # Whatever the database that somebody wants to log in to, it need not be there at every moment.
            with Server.connect(replace(self.connection, database=None), self.data_directory) as server:
                state = server.recovery_state()
                if state.in_recovery and state.paused:
                    self._check_pause(server)
        except ServerRefuses:
            raise
        except ServerUnavailable as error:
            return Progress(False, None, startup_progress(postmaster), error.message.strip().splitlines()[-1])
        return Progress(not state.in_recovery or state.paused, state)

    def _located(self, progress: Progress) -> Progress:
        """Add where on its way a recovery is; a record that cannot be read says nothing about that."""
        try:
            record = read_record(self.data_directory)
        except (Error, OSError):
            record = None
        start, end = (None, None) if record is None else (record.start_lsn, record.end_lsn)
        return replace(progress, position=self._position(progress), start=start, end=end)

    def _position(self, progress: Progress) -> str | None:
        if progress.state is not None:
            return None if progress.state.replay_lsn is None else str(progress.state.replay_lsn)
        if progress.segment is None:
            return None
        control = control_data(self.runner, self.bin_directory, self.data_directory)
        return str(SegmentName.parse(progress.segment).start_lsn(int(control["Bytes per WAL segment"])))

    def _check_pause(self, server: Server) -> None:
        """Tell the pause at the target from one far before it, at which a promotion would lose all that follows.

        From PostgreSQL 14 on, a server pauses where the WAL says that a setting was raised beyond its own.
        """
        control = control_data(self.runner, self.bin_directory, self.data_directory)
        needed, settings = asked_by_control(control), server.settings()
        small = too_small({name: int(settings[name].value) for name in needed}, needed)
        if small:
            story = ", ".join(f"{name} is {has} and has to be {needed[name]}" for name, has in small.items())
            raise Error(
                f"recovery has paused before its target, because settings are too small for the WAL: {story}",
                "raise them with ALTER SYSTEM, restart the server, and run this again; do not promote it",
            )

    def wait(self, seconds: float) -> Progress:
        """Look until the target is reached, but no longer than ``seconds``."""
        deadline = time.monotonic() + seconds
        while True:
            progress = self._seen()
            if progress.reached or time.monotonic() >= deadline:
                return self._located(progress)
            time.sleep(_POLL_SECONDS)

    def last_words(self) -> str:
        """Quote the end of the server's log."""
        return f"its log ends with:\n{server_log(self.data_directory, self.log_file)}"

    def _hint(self) -> str:
        other = "when recovery ended before the target, choose an earlier target_time or target=latest"
        return "; ".join(filter(None, [way_back(self.data_directory), other]))


def run_checks(server: Server, checks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Run queries in a read-only transaction and say which of them gave something unexpected."""
    failures = []
    server.rows("SET default_transaction_read_only = on")
    server.rows(f"SET lock_timeout = '{_LOCK_SECONDS}s'")
    for check in checks:
        rows = _checked(server, check["query"])
        found: Any = rows[0][0] if len(rows) == 1 and len(rows[0]) == 1 else [list(row) for row in rows]
        if str(found) != str(check["expect"]):
            failures.append(f"{check['query']} gave {found}, expected {check['expect']}")
    return failures


def _checked(server: Server, query: str) -> list[tuple[Any, ...]]:
    """Run a query that may wait for a lock, but not for ever: a recovery that has paused lets go of none."""
    try:
        return server.rows(query)
    except Refused as error:
        if error.sqlstate != _LOCK_NOT_AVAILABLE:
            raise
    locked = server.locked_by_recovery()
    if not locked:
        raise Error(f"{query} has waited {_LOCK_SECONDS} s for a lock that another session holds", "end that session")
    last = server.recovery_state().replay_time
    before = "" if last is None else f", to a target_time before {format_time(last)}"
    raise Error(
        f"{query} cannot be answered: recovery itself holds the lock on {', '.join(locked)}, for a transaction that "
        "was about to drop, truncate or alter it at the target, and was not over",
        f"to look at it, restore to one transaction earlier{before}; or promote the server with pitr_finalize.yml, "
        "which undoes the transaction that was not over",
    )
