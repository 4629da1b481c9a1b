# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at something from a process of its own, while this one waits for it."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_POLL_SECONDS = 0.02
# How long it takes at most to end once what a look waits for has been ended.
KILL_SECONDS = 5.0


@contextmanager
def looking(
    look: Callable[[], str | None], show: Callable[[str], None], every: float, patience: float
) -> Iterator[None]:
    """Call ``look`` every so many seconds in a child, and ``show`` with what it gives, until the block has ended.

    The child has ended then, too, and so has all that it started; it has ``patience`` seconds to end a look. What goes
    wrong in it is not shown, and does not concern the block.
    """
    child = _start(look, show, every)
    try:
        yield
    except BaseException:
        patience = 0.0
        raise
    finally:
        if child is not None:
            _end(*child, patience)


def _start(look: Callable[[], str | None], show: Callable[[str], None], every: float) -> tuple[int, int] | None:
    """Give the child, and the end of a pipe that keeps it looking; None where no process can be started."""
    watched, held = os.pipe()
    reader = os.getppid()
    # A signal between the fork and the child's own handlers would raise in the child what concerns the parent.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        child = os.fork()
        if child == 0:
            os.close(held)
            _be_child(mask, lambda seconds: _closed(watched, seconds) or not _exists(reader), look, show, every)
    except OSError:
        os.close(held)
        return None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(watched)
    return child, held


def _be_child(
    mask: set[int],
    over: Callable[[float], bool],
    look: Callable[[], str | None],
    show: Callable[[str], None],
    every: float,
) -> NoReturn:
    """Look until it is over, and never return into the parent's code.

    It is over when the parent has closed its end of the pipe, or was killed. And when the ``reader`` has ended, which
    prints what workers show: their queue would fill until they hang in it.
    """
    try:
        os.setsid()
        for number in _SIGNALS:
            # Ended by a signal, it might hold the lock of Ansible's queue for ever. Only what it has started is to end:
            # a handler, unlike "ignore", is not inherited by programs.
            signal.signal(number, lambda *arguments: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        while not over(every):
            with suppress(Exception):
                text = look()
                if text and not over(0):
                    show(text)
    finally:
        os._exit(0)


def _closed(pipe: int, seconds: float) -> bool:
    """Wait that long for the other end of a pipe to be closed."""
    return bool(select.select([pipe], [], [], seconds)[0])


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _end(child: int, held: int, patience: float) -> None:
    """Let the child end; when it takes too long, end what it has started, and at last the child."""
    os.close(held)
    for seconds, number in ((patience, signal.SIGTERM), (KILL_SECONDS, signal.SIGKILL)):
        if _ended(child, seconds):
            return
        with suppress(ProcessLookupError):
            os.killpg(child, number)
    os.waitpid(child, 0)


def _ended(child: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
