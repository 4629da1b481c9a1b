# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands side by side, each with what it says in a file of its own."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """A command, and where what it says goes."""

    name: str
    argv: Sequence[str]
    log: Path


@dataclass(frozen=True)
class Ended:
    """How a job ended."""

    job: Job
    passed: bool
    seconds: float


class _Running:
    """A job at work, in a session of its own: what it has started can be ended with it."""

    def __init__(self, job: Job, directory: Path, environment: Mapping[str, str]) -> None:
        self._job = job
        self._started = time.monotonic()
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with job.log.open("wb") as log:
            self._process = subprocess.Popen(
                job.argv,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._watch = os.pidfd_open(self._process.pid)

    def fileno(self) -> int:
        """Return what becomes readable when it has ended."""
        return self._watch

    def ended(self) -> Ended:
        """Wait for its end, and say how it was."""
        status = self._process.wait()
        os.close(self._watch)
        return Ended(self._job, status == 0, time.monotonic() - self._started)

    def end(self) -> None:
        """Ask it to end, with all that it has started."""
        os.killpg(self._process.pid, signal.SIGTERM)


def side_by_side(
    jobs: Sequence[Job], at_once: int, *, directory: Path, environment: Mapping[str, str]
) -> Iterator[Ended]:
    """Run jobs in their order, so many at once, and yield each as it ends; to stop early ends those that run."""
    waiting = list(jobs)
    running: list[_Running] = []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(_Running(waiting.pop(0), directory, environment))
            for process in select.select(running, [], [])[0]:
                running.remove(process)
                yield process.ended()
    finally:
        for process in running:
            process.end()
        for process in running:
            process.ended()
