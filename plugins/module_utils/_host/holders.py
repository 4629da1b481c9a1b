# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel says of processes."""

from __future__ import annotations

from collections.abc import Collection

from .._errors import Error


def lock_holders(table: str, place: tuple[int, int, int]) -> list[str]:
    r"""Give the process ids of those who hold a lock on a file by flock(2), from ``/proc/locks`` (proc(5)).

    ``place`` is the file's major and minor device number and its inode. overlayfs and btrfs tell stat(2) of another
    device than they have themselves, so where none fits, the inode decides.

    >>> lock_holders("1: FLOCK  ADVISORY  WRITE 4711 08:0f:131 0 EOF\n", (8, 15, 131))
    ['4711']
    """
    wanted, inode = "{:02x}:{:02x}:{}".format(*place), str(place[2])
    lines = (line.split() for line in table.splitlines())
    held = [(words[4], words[5]) for words in lines if len(words) > 5 and words[1] == "FLOCK"]
    here = [pid for pid, at in held if at == wanted]
    return here or [pid for pid, at in held if at.rpartition(":")[2] == inode]


def check_unused(path: str, postmaster: int | None, orphans: Collection[int] = ()) -> None:
    """Refuse to change data in which a server works, or processes that a server has left behind."""
    if postmaster is not None:
        raise Error(
            f"a server (process {postmaster}) is running on {path}",
            "stop it first; nothing has been changed",
        )
    if orphans:
        named = ", ".join(map(str, orphans))
        raise Error(
            f"processes of a server that is gone are still working in {path}: {named}",
            "wait until they have ended, or end them; nothing has been changed",
        )
