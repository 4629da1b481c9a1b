# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill pgark-wal and the server it works for at moments that are drawn, one victim after the other until each was hit.

Whether a process was still at its work when it was killed is told by what happens next, not by how long it takes.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor

from tests.support import processes
from tests.support.archiving import Archiving
from tests.support.waiting import wait_until

ARCHIVER_NOTICED = "archive command failed with exit code 137"  # 128 and SIGKILL, as the shell tells it
RECOVERED = "archive recovery complete"
HELPED_SECONDS = 0.2
PATIENCE = 300


class Strikes:
    """The victims that are still to be hit, the next one at the end: `strike` takes it off when it was."""

    def __init__(self, archiving: Archiving, drawn: random.Random, victims: list[str]) -> None:
        self.archiving, self.cluster, self.random = archiving, archiving.cluster, drawn
        self.victims = drawn.sample(victims, len(victims))

    def said(self, words: str) -> int:
        """Count how often the server's log has these words."""
        return self.cluster.log().count(words)

    def hit(self, pids: Collection[int], seen: Callable[[], bool], missed: Callable[[], bool]) -> bool:
        """Kill processes, and tell by which of the two becomes true whether they were at work still."""
        processes.send(pids, signal.SIGKILL)
        message = "somebody to notice a kill, or to go on"
        wait_until(lambda: seen() or missed(), timeout=PATIENCE, message=message, longest_pause=0.02)
        return seen()


class ArchivingStrikes(Strikes):
    """Kills while a server archives."""

    def strike(self, writing: Future[None]) -> None:
        """Wait for a moment while the server writes, and kill the next victim. The server is down then.

        It has to be: an archiver whose command was killed ends, and comes back only 10 s after its start.
        """
        self._wait_for_a_moment(writing)
        if self.victims and getattr(self, f"_strike_{self.victims[-1]}")(writing):
            self.victims.pop()
        if self.cluster.pid is not None:
            self.cluster.kill()

    def _wait_for_a_moment(self, writing: Future[None]) -> None:
        """Wait until so many files of a kind are there: each kind appears in another phase of a push."""
        look = self.random.choice([self._hidden, self._archived, self._acknowledged])
        wanted = self.random.randint(1, 50) + (look() if look == self._archived else 0)
        wait_until(
            lambda: look() >= wanted or (writing.done() and not self.archiving.waiting()),
            timeout=PATIENCE,
            message=f"{wanted} files as counted by {look.__name__}",
            longest_pause=0.01,
        )

    def _hidden(self) -> int:
        return sum(name.startswith(".") for name in self._archive())

    def _archived(self) -> int:
        return sum(not name.startswith(".") for name in self._archive())

    def _acknowledged(self) -> int:
        return len(list(self.archiving.wal.glob("pgsql_tmp.pgark/push-*/*.1")))

    def _archive(self) -> list[str]:
        directories = [entry.path for entry in os.scandir(self.archiving.repository.wal) if entry.name[0] == "0"]
        return [name for directory in directories for name in os.listdir(directory)]

    def _pushes(self, writing: Future[None]) -> list[int]:
        """Return the push that runs, or the next one; none when nothing more comes."""
        wait_until(
            lambda: self.archiving.programs("push") or (writing.done() and not self.archiving.waiting()),
            message="a push",
            longest_pause=0.01,
        )
        return self.archiving.programs("push")

    def _strike_push(self, writing: Future[None]) -> bool:
        """Kill pushes until one was at its work: the archiver notices and ends, or it goes on and has less to archive.

        Most are over before they can be killed, where the machine is busy.
        """
        while not (writing.done() and not self.archiving.waiting()):
            if self._hit_push(self._pushes(writing)):
                writing.result()
                return True
        return False

    def _hit_push(self, pushes: list[int]) -> bool:
        waiting, before = set(self.archiving.waiting()), self.said(ARCHIVER_NOTICED)
        return bool(waiting) and self.hit(
            pushes,
            lambda: self.said(ARCHIVER_NOTICED) > before,
            lambda: not waiting.issubset(self.archiving.waiting()),
        )

    def _strike_server(self, _writing: Future[None]) -> bool:
        self.cluster.kill()
        return True

    def _strike_server_alone(self, writing: Future[None]) -> bool:
        """Kill the server and spare its push, which then meets that of the next server."""
        pushes, server = self._pushes(writing), self.cluster.pid
        if not pushes:
            return False
        assert server is not None
        spared = {*pushes, *(child for push in pushes for child in processes.descendants(push))}
        processes.kill([server, *set(processes.descendants(server)).difference(spared)])
        return True


class RecoveryStrikes(Strikes):
    """Kills while a server recovers."""

    def recover(self, most: int) -> None:
        """Start the server whenever it is down, and kill victims, each after some segments, `most` or fewer.

        It has recovered when this returns; whoever was not hit by then is left for another recovery.
        """
        self._recovered = self.said(RECOVERED)
        with ThreadPoolExecutor(1) as pool:
            while self.victims and not self._has_recovered():
                if self.cluster.pid is None:
                    starting = pool.submit(self._start)
                    self._wait_for_process(starting)
                self._wait_for_progress(self.random.randint(1, most))
                if not self._is_over() and getattr(self, f"_strike_{self.victims[-1]}")():
                    self.victims.pop()
        if self.cluster.pid is None:
            self.cluster.start()
        self.archiving.wait_for_end_of_recovery()

    def _start(self) -> None:
        with contextlib.suppress(AssertionError):  # what is killed meanwhile may take the recovery with it
            self.cluster.start()

    def _wait_for_process(self, starting: Future[None]) -> None:
        wait_until(lambda: self.cluster.pid or starting.done(), message="the server's process", longest_pause=0.01)

    def _has_recovered(self) -> bool:
        return self.said(RECOVERED) > self._recovered

    def _is_over(self) -> bool:
        return self.cluster.pid is None or self._has_recovered()

    def _restored(self) -> int:
        return self.said("restored log file")

    def _wait_for_progress(self, count: int) -> None:
        wanted = self._restored() + count
        wait_until(
            lambda: self._restored() >= wanted or self._is_over(),
            timeout=PATIENCE,
            message=f"{wanted} segments to be restored",
            longest_pause=0.02,
        )

    def _strike_server(self) -> bool:
        self.cluster.kill()
        return True

    def _strike_helper(self) -> bool:
        wait_until(lambda: self.archiving.helpers() or self._is_over(), message="a helper", longest_pause=0.01)
        return bool(processes.send(self.archiving.helpers(), signal.SIGKILL))

    def _strike_get(self) -> bool:
        """Kill the first, second or third get from now on, or a later one: at its work, it takes the recovery with it.

        A helper that keeps everything ready leaves nothing to get: after a moment, none stays alive.
        """
        calls: set[int] = set()
        gets: list[int] = []
        skipped, patience = self.random.randint(0, 2), time.monotonic() + HELPED_SECONDS

        def found() -> bool:
            if time.monotonic() > patience:
                processes.send(self.archiving.helpers(), signal.SIGKILL)
            gets[:] = self._gets()
            calls.update(gets)
            return (bool(gets) and len(calls) > skipped) or self._is_over()

        wait_until(found, message="a get", longest_pause=0.005)
        before = self._restored()
        return bool(gets) and self.hit(
            gets, lambda: self.cluster.pid is None, lambda: self._restored() > before or self._has_recovered()
        )

    def _gets(self) -> list[int]:
        """Return those that a shell waits for; a helper that has just been forked off is none of them."""
        return [pid for pid in self.archiving.programs("get") if processes.name(processes.parent(pid)) == "sh"]
