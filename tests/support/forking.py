# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that has imported what many programs need, and forks a fresh one for each of them.

Two thirds of the time of a short module, and half of that of a short playbook, are the interpreter's start and its
imports. The process is `SERVE`, on the interpreter and as the user that those programs have. A client hands it what is
to be run and three open files; it is answered with the process's number, and with its wait status when it has ended.
"""

from __future__ import annotations

import itertools
import json
import os
import selectors
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.support import processes

# Its standard input is a pipe that nobody writes to: it ends with whoever has started it. The process that has been
# forked leaves the functions and goes on below, so that what it runs ends as a program of its own does.
SERVE = """
import gc, json, os, runpy, select, signal, socket, sys

def requested(listener, gone):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        if gone in select.select([listener, gone], [], [])[0]:
            os._exit(0)
        connection = listener.accept()[0]
        if os.fork() == 0:
            listener.close()
            return attended(connection)
        connection.close()

def attended(connection):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    text, files, _flags, _address = socket.recv_fds(connection, 1 << 20, 3)
    child = os.fork()
    if child == 0:
        connection.close()
        return json.loads(text), files
    for file in files:
        os.close(file)
    connection.sendall(b"%10d" % child)
    ended = os.pidfd_open(child)
    if ended not in select.select([ended, connection], [], [])[0]:
        os.kill(child, signal.SIGKILL)  # whoever has asked for it is gone
        os._exit(0)
    connection.sendall(b"%10d" % os.waitpid(child, 0)[1])
    os._exit(0)

def become(request, files):
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["environment"])
    try:
        os.chdir(request["directory"])
    except PermissionError:  # in which a child of somebody who can would have been all the same
        os.chdir("/")
    sys.argv[:] = request["arguments"]

for name in sys.argv[2:]:
    __import__(name)
gc.freeze()
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("ready", flush=True)
request, files = requested(listener, 0)
become(request, files)
if request["program"] is None:
    runpy.run_path(sys.argv[0], run_name="__main__")
else:
    exec(compile(request["program"], "<string>", "exec"), {"__name__": "__main__"})
"""
Start = Callable[[Sequence[str]], subprocess.Popen[bytes]]


class ForkServer:
    """Forks processes that begin with everything imported, for whoever connects to its `address`: see `run`."""

    def __init__(self, start: Start, address: Path, imported: Sequence[str]) -> None:
        """`start` starts Python with arguments; the address is a path for a socket, where nothing is yet."""
        self.address = str(address)
        self._process = start(["-c", SERVE, self.address, *imported])
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n", "the fork server did not start"

    def close(self) -> None:
        """End it; what it has forked goes on."""
        self._process.communicate()


class ForkServers:
    """Starts fork servers when one is first asked for, and ends them."""

    def __init__(self) -> None:
        """Start none."""
        self._started: dict[Hashable, ForkServer] = {}
        self._starting = threading.Lock()
        # All that one forks have the same hashes; with two in turn, who depends on the order of a set is found out.
        self._turns = itertools.cycle((0, 1))

    def get(self, key: Hashable, start: Start, directory: Path, imported: Sequence[str]) -> ForkServer:
        """Return the server of this key; its socket is made in a directory that its user may write to."""
        with self._starting:
            chosen = (next(self._turns), key)
            if chosen not in self._started:
                address = directory / f"forks-{len(self._started)}"
                self._started[chosen] = ForkServer(start, address, imported)
            return self._started[chosen]

    def close(self) -> None:
        """End all of them; what they have forked goes on."""
        for server in self._started.values():
            server.close()


def run(
    address: str,
    arguments: Sequence[str],
    *,
    program: str | None = None,
    stdin: str,
    environment: Mapping[str, str],
    directory: Path | str,
    timeout: float,
    merged: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run the file that is the first argument, or the text of a program with these arguments.

    Standard error is returned by itself, or `merged` into standard output.
    Raises TimeoutExpired with the output so far, as `subprocess.run` does, when after so many seconds it has not
    ended, or somebody else has its output; then it is ended with all that it has started.
    """
    request = {"arguments": arguments, "program": program, "environment": environment, "directory": str(directory)}
    with ExitStack() as stack:
        connection = stack.enter_context(socket.socket(socket.AF_UNIX))
        connection.connect(address)
        outputs = _hand_over(connection, json.dumps(request), stdin, merged)
        for output in outputs:
            stack.callback(os.close, output)
        pid = int(connection.recv(10, socket.MSG_WAITALL))
        try:
            said = _read_all([*outputs, connection.fileno()], timeout)
        except BaseException:
            processes.send([pid, *processes.descendants(pid)], signal.SIGKILL)
            raise
        status = os.waitstatus_to_exitcode(int(said[connection.fileno()]))
    return subprocess.CompletedProcess(arguments, status, *(said[output].decode() for output in outputs))


def _hand_over(connection: socket.socket, request: str, stdin: str, merged: bool) -> list[int]:
    """Send a request with the three standard files, and return the ends to read the outputs from."""
    pipes = [os.pipe() for _output in range(1 if merged else 2)]
    with os.fdopen(os.memfd_create("stdin"), "w+b") as given:
        given.write(stdin.encode())
        given.seek(0)
        files = [given.fileno(), pipes[0][1], pipes[-1][1]]
        socket.send_fds(connection, [request.encode()], files)
    for _read, end in pipes:
        os.close(end)
    return [end for end, _write in pipes]


def _read_all(files: Sequence[int], timeout: float) -> dict[int, bytes]:
    """Read several files to their ends; raises TimeoutExpired when that takes longer than so many seconds."""
    said, end = dict.fromkeys(files, b""), time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for file in files:
            selector.register(file, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0, end - time.monotonic()))
            if not ready:
                raise subprocess.TimeoutExpired("a forked process", timeout, output=said[files[0]].decode())
            for key, _events in ready:
                content = os.read(key.fd, 1 << 16)
                said[key.fd] += content
                if not content:
                    selector.unregister(key.fd)
    return said
