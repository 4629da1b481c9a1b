# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where programs are started: an argv goes in, a result comes out, never a shell."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

from .._errors import CommandFailed, TookTooLong

_LOOK_SECONDS = 1


@dataclass(frozen=True)
class Result:
    """How a program ended, and what it said."""

    status: int
    stdout: str
    stderr: str


class CommandRunner:
    """Run programs with English messages and the C locale, so that their output can be parsed.

    ``keep_open`` are file descriptors that they inherit: a lock held through one of them is held until they have ended,
    also when this process was killed before.
    """

    def __init__(self, keep_open: Sequence[int] = ()) -> None:
        self._keep_open = tuple(keep_open)

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        environment: Mapping[str, str] | None = None,
        directory: str | None = None,
        source: IO[bytes] | None = None,
        target: IO[bytes] | None = None,
        whole_environment: Mapping[str, str] | None = None,
        limit: float | None = None,
    ) -> Result:
        """Run a program to its end, with ``source`` (None: nothing) as its standard input.

        What it writes goes to ``target`` (None: into the result). ``environment`` is added to that of this process and
        to the locale; ``whole_environment`` is there instead.
        With a ``limit`` in seconds, it is ended with all that it has started when it takes longer (None: it may).
        Raises CommandFailed then, and when ``check`` is true and the status is not 0.
        """
        try:
            # AnsibleModule.run_command reads no files, and leaves what begins with PG in the environment.
            child = subprocess.Popen(  # pylint: disable=ansible-bad-function,consider-using-with
                list(argv),
                stdin=subprocess.DEVNULL if source is None else source,
                stdout=subprocess.PIPE if target is None else target,
                stderr=subprocess.PIPE,
                text=True,
                errors="surrogateescape",
                env=_environment(environment) if whole_environment is None else dict(whole_environment),
                cwd=directory,
                pass_fds=self._keep_open,
                start_new_session=limit is not None,
            )
        except OSError as error:
            raise CommandFailed(
                f"{argv[0]} cannot be run: {error.strerror}", "check that it is installed, and bin_directory"
            ) from None
        result = _ended(child, _name(argv), limit)
        if check and result.status != 0:
            raise CommandFailed(f"{_name(argv)} ended with status {result.status}: {said(result)}")
        return result

    def watch(
        self, argv: Sequence[str], look: Callable[[], None], *, environment: Mapping[str, str] | None = None
    ) -> None:
        """Run a program that works for long; ``look`` is called every second meanwhile, and ends it by raising.

        When this returns or raises, what the program has started has ended, too: it may hold a lock that it inherited.
        """
        # AnsibleModule.run_command cannot be asked to look at anything meanwhile.
        child = subprocess.Popen(  # pylint: disable=ansible-bad-function,consider-using-with
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="surrogateescape",
            env=_environment(environment),
            pass_fds=self._keep_open,
            start_new_session=True,
        )
        try:
            result = _watched(child, look)
        except BaseException:
            _end_group(child.pid)
            child.communicate()
            raise
        if result.status != 0:
            raise CommandFailed(f"{_name(argv)} ended with status {result.status}: {said(result)}")

    @contextmanager
    def reading(self, argv: Sequence[str], source: IO[bytes]) -> Iterator[IO[bytes]]:
        """Run a filter on an open file and give what it writes; its failure raises CommandFailed at the end."""
        # AnsibleModule.run_command holds all that a program writes in memory.
        with subprocess.Popen(  # pylint: disable=ansible-bad-function
            list(argv), stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment(None)
        ) as child:
            if child.stdout is None or child.stderr is None:
                raise CommandFailed(f"{_name(argv)} has no output")
            yield child.stdout
            child.stdout.close()
            message = child.stderr.read().decode(errors="replace").strip()
        if child.returncode != 0:
            raise CommandFailed(f"{_name(argv)} ended with status {child.returncode}: {message}")


def _ended(child: subprocess.Popen[str], name: str, limit: float | None) -> Result:
    with child:
        try:
            stdout, stderr = child.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            _end_group(child.pid)
            raise TookTooLong(
                f"{name} has not ended after {limit} seconds, and was killed",
                "look at what it waits for: a file that is none, or a file system that does not answer",
            ) from None
        except BaseException:
            child.kill()
            raise
    return Result(child.returncode, stdout or "", stderr)


def _watched(child: subprocess.Popen[str], look: Callable[[], None]) -> Result:
    while True:
        try:
            stdout, stderr = child.communicate(timeout=_LOOK_SECONDS)
            return Result(child.returncode, stdout, stderr)
        except subprocess.TimeoutExpired:
            if child.poll() is None:
                look()
            else:  # pg_basebackup was killed; its second process does not notice, and would receive WAL for ever
                _end_group(child.pid)


def _end_group(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def said(result: Result) -> str:
    """Give the last lines of a program's output, its errors first."""
    text = result.stderr.strip() or result.stdout.strip() or "it printed nothing"
    return "\n".join(text.splitlines()[-20:])


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C", "LANGUAGE": "C", **(extra or {})}


def _name(argv: Sequence[str]) -> str:
    return os.path.basename(argv[0])
