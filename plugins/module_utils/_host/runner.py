# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where programs are started: an argv goes in, a result comes out, never a shell."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from .._errors import CommandFailed


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
    ) -> Result:
        """Run a program to its end, with ``source`` (None: nothing) as its standard input.

        Raises CommandFailed when ``check`` is true and the status is not 0.
        """
        try:
            # AnsibleModule.run_command reads no files, and leaves what begins with PG in the environment.
            done = subprocess.run(  # pylint: disable=ansible-bad-function
                list(argv),
                stdin=subprocess.DEVNULL if source is None else source,
                capture_output=True,
                text=True,
                errors="surrogateescape",
                check=False,
                env=_environment(environment),
                cwd=directory,
                pass_fds=self._keep_open,
            )
        except OSError as error:
            raise CommandFailed(
                f"{argv[0]} cannot be run: {error.strerror}", "check that it is installed, and bin_directory"
            ) from None
        result = Result(done.returncode, done.stdout, done.stderr)
        if check and result.status != 0:
            raise CommandFailed(f"{_name(argv)} ended with status {result.status}: {said(result)}")
        return result

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


def said(result: Result) -> str:
    """Give the last lines of a program's output, its errors first."""
    text = result.stderr.strip() or result.stdout.strip() or "it printed nothing"
    return "\n".join(text.splitlines()[-20:])


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C", "LANGUAGE": "C", **(extra or {})}


def _name(argv: Sequence[str]) -> str:
    return os.path.basename(argv[0])
