# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much a long test tries: everything, or a slice that is drawn by a seed.

`make soak` sets PGARK_SOAK to "full", and draws a new seed each time. Everything else runs slices; their seed is the
hash of the checkout's files, so that a change tries something new, and the same files give the same verdict.
PGARK_SOAK_SEED repeats a run.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import secrets
from collections.abc import Iterator, Sequence
from typing import TypeVar

from tests.gates.project import project_files
from tests.gates.setup import ROOT

FULL = os.environ.get("PGARK_SOAK") == "full"
Thing = TypeVar("Thing")


def seed() -> str:
    """Return what all that is drawn depends on, the same in this process and in those that it starts."""
    if "PGARK_SOAK_SEED" not in os.environ:
        os.environ["PGARK_SOAK_SEED"] = secrets.token_hex(4) if FULL else hash_of_files()[:8]
    return os.environ["PGARK_SOAK_SEED"]


def hash_of_files() -> str:
    """Return a hash of the names and contents of the project's files as they lie in the checkout."""
    whole = hashlib.sha256()
    for name in project_files():
        path = ROOT / name
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        whole.update(hashlib.sha256(name.encode()).digest() + hashlib.sha256(content).digest())
    return whole.hexdigest()


def described() -> str:
    """Say how much is tried, and what it can be repeated by."""
    return f"soak: {'full length' if FULL else 'slices'}, PGARK_SOAK_SEED={seed()}"


class Share:
    """What one test tries of all that it could; `name` tells its draws from those of others."""

    def __init__(self, name: str, full: bool = FULL) -> None:
        self.full = full
        self.random = random.Random(f"{seed()} {name}")

    def length(self, full: int, drawn: int) -> int:
        """Return the length of a run: one figure for full length, the other for a slice."""
        return full if self.full else drawn

    def of(self, everything: Sequence[Thing], count: int) -> list[Thing]:
        """Return everything, or so many that are drawn, in their order."""
        if self.full or count >= len(everything):
            return list(everything)
        return [everything[number] for number in sorted(self.random.sample(range(len(everything)), count))]

    def steps(self, about: int) -> Iterator[int]:
        """Yield without end how far to go next: one on, or, in a slice, a drawn number that is `about` on average."""
        while True:
            yield 1 if self.full else self.random.randint(1, 2 * about - 1)

    def points(self, about: int) -> Iterator[int]:
        """Yield every number from 1 on, or, in a slice, 1 and about every so-manieth."""
        return itertools.accumulate(itertools.chain([1], self.steps(about)))
