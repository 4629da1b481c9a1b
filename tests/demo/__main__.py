# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the demo: python -m tests.demo."""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.demo.narrator import Narrator
from tests.demo.story import Story, psql, remove_command
from tests.support import sandbox
from tests.support.playbooks import PlaybookFailure
from tests.support.sandbox import Sandbox

KEEP_COMMAND = ".venv/bin/python -m tests.demo --keep"


def main() -> int:
    """Tell the story; returns 0 only if every row came back and not one too many."""
    options = _parser().parse_args()
    if options.remove:
        sandbox.remove(options.remove)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return 0 if _perform(Narrator(), verbose=options.verbose, keep=options.keep) else 1
    except PlaybookFailure as failure:
        print(f"\n{failure}")
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; nothing is left behind")
        return 128 + signal.SIGINT


def _perform(narrator: Narrator, *, verbose: bool, keep: bool) -> bool:
    with ExitStack() as stack:
        narrator.title("pgark.postgres: lose a database twice, get it back twice")
        created = stack.enter_context(Sandbox())
        story = Story(created, narrator, verbose=verbose)
        exact = story.tell()
        if keep:
            stack.pop_all()
            narrator.title("The server is still running")
            narrator.say(f"use it:    {psql(story.cluster)}")
            narrator.say(f"remove it: {remove_command(created.root)}")
    narrator.title("Lost twice, back twice, to the row." if exact else "THIS IS NOT WHAT WAS THERE.")
    if keep:
        narrator.say(f"{narrator.seconds:.0f} s in all.")
    else:
        narrator.say(f"{narrator.seconds:.0f} s in all; nothing is left behind. To look around: {KEEP_COMMAND}")
    return exact


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.demo", description="lose a database twice, get it back twice"
    )
    parser.add_argument("--verbose", action="store_true", help="show what Ansible prints")
    parser.add_argument("--keep", action="store_true", help="leave the server running and say how to use and remove it")
    parser.add_argument("--remove", metavar="DIRECTORY", type=Path, help="remove what --keep left")
    return parser


if __name__ == "__main__":
    sys.exit(main())
