# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to a repository behind everybody's back: damage, and a copy that forgets when files were written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from tests.support.recoverable import Recoverable

SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(\.(gz|lz4|zst))?")


def segments(wal: Path) -> list[Path]:
    """List the archived segments, in the order of their names."""
    return sorted(path for path in wal.rglob("*") if SEGMENT.fullmatch(path.name) and path.is_file())


def number(segment: Path, size: int) -> tuple[int, int]:
    """Give a segment's timeline, and its number in the sequence of all."""
    found = SEGMENT.fullmatch(segment.name)
    assert found
    timeline, high, low = (int(part, 16) for part in found.groups()[:3])
    return timeline, high * ((1 << 32) // size) + low


def damage(segment: Path, how: str, at: float, others: list[Path]) -> None:
    """Damage a segment in one of the ways of `WAYS`."""
    WAYS[how](segment, at, others)


def _flip(segment: Path, at: float, _others: list[Path]) -> None:
    """Turn one bit over, most often where records are: at the front."""
    place = int(at * at * segment.stat().st_size)
    with segment.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 1 << place % 8]))


def _truncate(segment: Path, at: float, _others: list[Path]) -> None:
    os.truncate(segment, int(at * segment.stat().st_size))


def _empty(segment: Path, _at: float, _others: list[Path]) -> None:
    os.truncate(segment, 0)


def _append(segment: Path, _at: float, _others: list[Path]) -> None:
    with segment.open("ab") as file:
        file.write(bytes(8192))


def _remove(segment: Path, _at: float, _others: list[Path]) -> None:
    segment.unlink()


def _swap(segment: Path, at: float, others: list[Path]) -> None:
    """Have the bytes of another segment under its name."""
    segment.write_bytes(others[int(at * len(others))].read_bytes())


def _bare(segment: Path, _at: float, _others: list[Path]) -> None:
    """Take away what lies beside it."""
    for sidecar in segment.parent.glob(f"{segment.name}.*"):
        sidecar.unlink()


WAYS: dict[str, Callable[[Path, float, list[Path]], None]] = {
    "flip": _flip,
    "truncate": _truncate,
    "empty": _empty,
    "append": _append,
    "remove": _remove,
    "swap": _swap,
    "bare": _bare,
}


def copy_without_times(subject: Recoverable, backwards: bool) -> None:
    """Put a copy of the repository in its place, whose files were all written now, perhaps in the opposite order."""
    old, new = subject.repository, subject.repository.with_name("copied")
    subject.sandbox.run(["cp", "-r", "--preserve=mode", old, new])
    files = sorted((path for path in new.rglob("*") if path.is_file()), key=lambda path: path.name, reverse=backwards)
    for path in files:
        os.utime(path)
    old.rename(old.with_name("original"))
    new.rename(old)
    subject.sandbox.run(["rm", "-r", old.with_name("original")])
