# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill pgark-wal and the server it works for at moments that are drawn, and count what was hit."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor

from tests.support import processes
from tests.support.archiving import Archiving
from tests.support.waiting import wait_until

HELPED_SECONDS = 0.2
ARCHIVER_NOTICED = "archive command was terminated by signal 9"


class Strikes:
    """Who was killed, and how often: `killed` counts those that were seen to be hit in the middle of their work."""

    def __init__(self, archiving: Archiving, drawn: random.Random) -> None:
        self.archiving, self.cluster, self.random = archiving, archiving.cluster, drawn
        self.killed: Counter[str] = Counter()

    def said(self, words: str) -> int:
        """Count how often the server's log has these words."""
        return self.cluster.log().count(words)

    def hit(self, victim: str, pids: Collection[int], seen: Callable[[], object]) -> bool:
        """Kill processes; whether they were at work still, somebody else has to have seen."""
        processes.send(pids, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            wait_until(seen, timeout=1, message="somebody to notice", longest_pause=0.02)
            self.killed[victim] += 1
            return True
        return False


class ArchivingStrikes(Strikes):
    """Kills while a server archives."""

    acknowledged_at_once = 0

    def strike(self, writing: Future[None]) -> None:
        """Wait for a moment while the server writes; kill the push, then the server, or only that one. It is down then.

        It has to be: an archiver whose command was killed ends, and comes back only 10 s after its start.
        """
        self._wait_for_a_moment(writing)
        if self.random.random() < 0.6 and self._kill_push():
            writing.result()
        self._kill_server()

    def _wait_for_a_moment(self, writing: Future[None]) -> None:
        """Wait until so many files of a kind are there: each kind appears in another phase of a push."""
        look = self.random.choice([self._hidden, self._archived, self._acknowledged])
        wanted = self.random.randint(1, 50) + (look() if look == self._archived else 0)
        wait_until(
            lambda: look() >= wanted or (writing.done() and not self.archiving.waiting()),
            message=f"{wanted} files as counted by {look.__name__}",
            longest_pause=0.01,
        )

    def _hidden(self) -> int:
        return sum(name.startswith(".") for name in self._archive())

    def _archived(self) -> int:
        return sum(not name.startswith(".") for name in self._archive())

    def _acknowledged(self) -> int:
        found = len(list(self.archiving.wal.glob("pgsql_tmp.pgark/push-*/*.1")))
        self.acknowledged_at_once = max(found, self.acknowledged_at_once)
        return found

    def _archive(self) -> list[str]:
        directories = [entry.path for entry in os.scandir(self.archiving.repository.wal) if entry.name[0] == "0"]
        return [name for directory in directories for name in os.listdir(directory)]

    def _kill_push(self) -> bool:
        """Kill the push that runs, or the next one; False when there is none, or it was done already."""
        before = self.said(ARCHIVER_NOTICED)
        wait_until(
            lambda: self.archiving.programs("push") or not self.archiving.waiting(),
            message="a push",
            longest_pause=0.01,
        )
        pushes = self.archiving.programs("push")
        return bool(pushes) and self.hit("push", pushes, lambda: self.said(ARCHIVER_NOTICED) > before)

    def _kill_server(self) -> None:
        """Kill the server with all that it has started, or without its push, which meets that of the next server."""
        pushes, server = self.archiving.programs("push"), self.cluster.pid
        if not pushes or self.random.random() < 0.3:
            self.cluster.kill()
            self.killed["server"] += 1
            return
        assert server is not None
        spared = {*pushes, *(child for push in pushes for child in processes.descendants(push))}
        processes.kill([server, *set(processes.descendants(server)).difference(spared)])
        self.killed["server without its push"] += 1


class RecoveryStrikes(Strikes):
    """Kills while a server recovers."""

    def recover(self, victims: list[str]) -> None:
        """Start the server, and again whenever it is down; kill one victim after the other, then let it recover."""
        with ThreadPoolExecutor(1) as pool:
            for victim in victims:
                if self.cluster.pid is None:
                    starting = pool.submit(self._start)
                    self._wait_for_process(starting)
                getattr(self, f"_strike_{victim}")()
        if self.cluster.pid is None:
            self.cluster.start()
        self.archiving.wait_for_end_of_recovery()

    def _start(self) -> None:
        with contextlib.suppress(AssertionError):  # what is killed meanwhile may take the recovery with it
            self.cluster.start()

    def _wait_for_process(self, starting: Future[None]) -> None:
        wait_until(lambda: self.cluster.pid or starting.done(), message="the server's process", longest_pause=0.01)

    def _is_over(self) -> bool:
        return self.cluster.pid is None or bool(self.said("archive recovery complete"))

    def _restored(self) -> int:
        return self.said("restored log file")

    def _wait_for_progress(self) -> None:
        wanted = self._restored() + self.random.randint(5, 50)
        wait_until(
            lambda: self._restored() >= wanted or self._is_over(),
            message=f"{wanted} segments to be restored",
            longest_pause=0.02,
        )

    def _strike_server(self) -> None:
        self._wait_for_progress()
        if not self._is_over():
            self.cluster.kill()
            self.killed["recovering server"] += 1

    def _strike_helper(self) -> None:
        self._wait_for_progress()
        wait_until(lambda: self.archiving.helpers() or self._is_over(), message="a helper", longest_pause=0.01)
        helpers = self.archiving.helpers()
        if helpers:
            self.hit("helper", helpers, lambda: not set(helpers).intersection(self.archiving.helpers()))

    def _strike_get(self) -> None:
        """Kill the first, second or third get from now on, or a later one still at work: that aborts the recovery.

        A helper that keeps everything ready leaves nothing to get: after a moment, none stays alive.
        """
        calls: set[int] = set()
        skipped, patience = self.random.randint(0, 2), time.monotonic() + HELPED_SECONDS

        def struck() -> bool:
            gets = self._gets()
            calls.update(gets)
            if len(calls) > skipped and gets and self.hit("get", gets, lambda: self.cluster.pid is None):
                return True
            if time.monotonic() > patience:
                processes.send(self.archiving.helpers(), signal.SIGKILL)
            return self._is_over()

        wait_until(struck, message="a get that dies at its work", longest_pause=0.005)

    def _gets(self) -> list[int]:
        """Return those that a shell waits for; a helper that has just been forked off is none of them."""
        return [pid for pid in self.archiving.programs("get") if processes.name(processes.parent(pid)) == "sh"]
