# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where file systems are mounted, which decides what can be renamed.

A mount point cannot be renamed, and one that is of the same file system (``mount --bind``, as container runtimes and
fstab do) looks like any other directory but in this list. Source of the form: proc_pid_mountinfo(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """One mount: ``parent`` is the number of the mount that its point is in."""

    number: int
    parent: int
    point: str


@dataclass(frozen=True)
class Mounts:
    """The mount points that can be reached; those that a later mount hides are not among them."""

    points: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> Mounts:
        r"""Read ``/proc/self/mountinfo``.

        >>> sorted(Mounts.parse("1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /a\\040b rw - ext4 /dev/b rw\n").points)
        ['/', '/a b']
        """
        lines = (line.split(" ") for line in text.splitlines())
        found = [Mount(int(words[0]), int(words[1]), _unescaped(words[4])) for words in lines if len(words) > 4]
        return cls(frozenset(mount.point for mount in _visible(found)))

    def below(self, path: str) -> list[str]:
        """List the mount points inside of a directory, itself excluded."""
        return sorted(point for point in self.points if point.startswith(f"{path.rstrip('/')}/") and point != path)


def _visible(mounts: Iterable[Mount]) -> list[Mount]:
    """Leave out what was mounted before something else was mounted above it, in the same place."""
    known = {mount.number: mount for mount in mounts}
    beside: dict[int, list[Mount]] = {}
    for mount in known.values():
        beside.setdefault(mount.parent, []).append(mount)

    def hidden(mount: Mount) -> bool:
        above = [each.point.rstrip("/") + "/" for each in beside[mount.parent] if each.point != mount.point]
        if any(mount.point.startswith(point) for point in above):
            return True
        parent = known.get(mount.parent)
        return parent is not None and parent is not mount and hidden(parent)

    return [mount for mount in known.values() if not hidden(mount)]


def _unescaped(word: str) -> str:
    """Read a path in which space, tab, line break and backslash are octal numbers."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), word)
