# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Insert rows into a cluster, and keep a log of those that the server acknowledged, until the server is gone.

The log has one line a row: worker, number, and when, in seconds since 1970, it was sent and acknowledged. A line is
on disk before the worker sends its next row. Nobody reads the clock but this host.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import subprocess
import sys
import threading
import time

WORKERS = 3
# Business, not a benchmark: the host has to restore clusters meanwhile.
PAUSE = 0.01
PATIENCE = 60


def work(cluster: str, run: int, worker: int, log: int) -> None:
    """Insert row after row, until the server does not answer any more."""
    argv = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "--cluster", cluster, "postgres"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with contextlib.suppress(BrokenPipeError), subprocess.Popen(argv, text=True, bufsize=1, **pipes) as session:
        assert session.stdin is not None
        assert session.stdout is not None
        for number in itertools.count(1):
            sent = time.time()
            session.stdin.write(f"INSERT INTO ledger VALUES ({run}, {worker}, {number}) RETURNING number;\n")
            if session.stdout.readline() != f"{number}\n":
                return
            os.write(log, f"{worker} {number} {sent:.6f} {time.time():.6f}\n".encode())
            os.fsync(log)
            time.sleep(PAUSE)


def write(options: argparse.Namespace) -> None:
    """Have workers insert rows at the same time."""
    log = os.open(options.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    workers = [
        threading.Thread(target=work, args=(options.cluster, options.run, worker, log)) for worker in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def wait(options: argparse.Namespace) -> None:
    """Wait until so many more rows are in the log."""
    wanted, deadline = count(options.log) + options.rows, time.monotonic() + PATIENCE
    while count(options.log) < wanted:
        if time.monotonic() > deadline:
            sys.exit(f"{options.log} did not get {options.rows} more rows in {PATIENCE} s")
        time.sleep(PAUSE)


def count(log: str) -> int:
    """Return the number of lines; the load may not have begun."""
    try:
        with open(log) as file:
            return sum(1 for _line in file)
    except FileNotFoundError:
        return 0


def main() -> None:
    """Write rows, or wait for them."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    writing = commands.add_parser("write", help=write.__doc__)
    writing.add_argument("--cluster", required=True, help="Debian's version/name")
    writing.add_argument("--run", required=True, type=int, help="what these rows are told from others by")
    writing.set_defaults(function=write)
    waiting = commands.add_parser("wait", help=wait.__doc__)
    waiting.add_argument("--rows", required=True, type=int, help="how many more")
    waiting.set_defaults(function=wait)
    for command in (writing, waiting):
        command.add_argument("--log", required=True, help="a file outside the data directory")
    options = parser.parse_args()
    options.function(options)


if __name__ == "__main__":
    main()
