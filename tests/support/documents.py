# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that a page of the documentation shows, to be run as they stand there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from tests.support.sandbox import CHECKOUT

BLOCK = re.compile(r"^ *```console\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
PROMPT = re.compile(r"^ *\$ (.*)$", re.MULTILINE)


def commands(page: str, stands_for: Mapping[str, str]) -> list[list[str]]:
    """Return the words of each command of a page below docs, in order, its example values replaced.

    Raises AssertionError when an example value is nowhere on the page: the test would run something else.
    """
    text = (CHECKOUT / "docs" / page).read_text(encoding="utf-8")
    found = [command for block in BLOCK.findall(text) for command in PROMPT.findall(block)]
    unused = [example for example in stands_for if not any(example in command for command in found)]
    assert not unused, f"docs/{page} does not use {unused}"
    return [shlex.split(_replaced(command, stands_for)) for command in found]


def _replaced(command: str, stands_for: Mapping[str, str]) -> str:
    for example, real in stands_for.items():
        command = command.replace(example, real)
    return command
