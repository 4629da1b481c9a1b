# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look for signs of what manages a cluster; what may not be read tells nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from .._host.processes import find_postmaster
from .managers import KINDS, Process, Signs, is_program

_MOST_BYTES = 1 << 20
_NAMES_WHAT_IS_ABOVE = "stolon-keeper"  # it makes the data directory in the one that it is given


def signs_of_manager(data_directory: str) -> Signs:
    """Look at the processes around the server of a data directory, and at files in it."""
    real = os.path.realpath(data_directory)
    postmaster = find_postmaster(real)
    names = {name for kind in KINDS for name in kind.files}
    return Signs(
        ancestors=[] if postmaster is None else list(_ancestors(postmaster)),
        control_group="" if postmaster is None else _text(f"/proc/{postmaster}/cgroup"),
        processes=list(_managers({real, os.path.abspath(data_directory)})),
        files={name: _text(f"{real}/{name}") for name in names if os.path.isfile(f"{real}/{name}")},
    )


def _ancestors(pid: int) -> Iterator[Process]:
    parent = _parent(pid)
    while parent > 0:
        yield Process(parent, _words(parent))
        parent = _parent(parent)


def _managers(directories: set[str]) -> Iterator[Process]:
    programs = [program for kind in KINDS for program in kind.programs]
    for name in filter(str.isdigit, os.listdir("/proc")):
        words = _words(int(name))
        if words and any(is_program(words, program) for program in programs):
            above = {os.path.dirname(path) for path in directories if is_program(words, _NAMES_WHAT_IS_ABOVE)}
            yield Process(int(name), words, _names(int(name), words, directories | above))


def _names(pid: int, words: tuple[str, ...], directories: set[str]) -> bool:
    """Tell whether a process names one of the directories: itself, in its environment, or in a file that it names."""
    values = [word.partition("=")[2] or word for word in (*words, *_text(f"/proc/{pid}/environ").split("\0"))]
    texts = [*values, *(_text(path) for path in values if path.startswith("/") and os.path.isfile(path))]
    found = re.compile("|".join(rf"(?<![\w./-]){re.escape(path)}/?(?![\w./-])" for path in directories))
    return any(found.search(text) for text in texts)


def _words(pid: int) -> tuple[str, ...]:
    text = _text(f"/proc/{pid}/cmdline").rstrip("\0")
    return tuple(text.split("\0")) if text else ()


def _parent(pid: int) -> int:
    try:
        return int(_text(f"/proc/{pid}/stat").rpartition(")")[2].split()[1])
    except (IndexError, ValueError):
        return 0


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(_MOST_BYTES).decode(errors="replace")
    except OSError:
        return ""
