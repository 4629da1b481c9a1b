# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the demo speaks: plain lines, with bold headings on a terminal."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

WIDTH = 100


class Narrator:
    """Prints the story on standard output and takes the time."""

    def __init__(self) -> None:
        self._bold = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Return how long the story has lasted."""
        return time.monotonic() - self._started

    def title(self, text: str) -> None:
        """Print a heading."""
        print(f"\n\033[1m{text}\033[0m" if self._bold else f"\n{text}", flush=True)

    def say(self, text: str) -> None:
        """Print a line of the story."""
        print(f"  {text}", flush=True)

    def command(self, argv: Sequence[str]) -> None:
        """Print a command to copy, on two lines where one would be too long: the options behind the last path."""
        line = f"$ {shlex.join(argv)}"
        if len(line) > WIDTH:
            line = f"$ {shlex.join(argv[:3])} \\\n      {shlex.join(argv[3:])}"
        print(f"  {line}", flush=True)

    @contextmanager
    def timed(self, text: str) -> Iterator[None]:
        """Print a line when the block has ended, with the seconds that it took at the right margin."""
        started = time.monotonic()
        yield
        seconds = f"{time.monotonic() - started:.1f} s"
        print(f"  {text.ljust(WIDTH - 2 - len(seconds))}{seconds}", flush=True)
