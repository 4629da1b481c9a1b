# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a base backup needs of replication, and what a standby may archive."""

from __future__ import annotations

from dataclasses import dataclass

from .._archiving.commands import parse_push
from .._errors import Error
from .._repository.layout import Layout

_SENDERS = 2  # pg_basebackup --wal-method=stream: one sends the files, one the WAL that is written meanwhile
_SLOTS = 1  # the second one makes a temporary slot


@dataclass(frozen=True)
class Senders:
    """How many WAL senders and replication slots a server has, and how many of them are taken."""

    senders: int
    senders_taken: int
    slots: int
    slots_taken: int


def check_senders(found: Senders) -> None:
    """Refuse a server that cannot send a backup beside what it sends already.

    >>> check_senders(Senders(10, 8, 10, 9))
    """
    needs = (
        ("max_wal_senders", found.senders, found.senders_taken, _SENDERS),
        ("max_replication_slots", found.slots, found.slots_taken, _SLOTS),
    )
    for name, most, taken, needed in needs:
        if most - taken < needed:
            raise Error(
                f"{name} is {most}, and {taken} of them are taken; expected {needed} free for a base backup",
                f"raise {name}, which takes a restart of the server, or end what takes them",
            )


def hba_line(user: str, client: str | None, own_user: str) -> str:
    """Write the line of pg_hba.conf that lets a user in for replication; ``client`` None: by the local socket.

    >>> hba_line("postgres", None, "postgres")
    'local replication postgres peer'
    >>> hba_line("backup", "10.0.0.7", "postgres")
    'host replication backup 10.0.0.7/32 scram-sha-256'
    """
    name = user if user.isidentifier() and user.islower() else '"' + user + '"'
    if client is None:
        return f"local replication {name} {'peer' if user == own_user else 'scram-sha-256'}"
    return f"host replication {name} {client}/{128 if ':' in client else 32} scram-sha-256"


def check_always(command: str | None, layout: Layout) -> None:
    """Refuse a standby that archives all the time into the place of the server that it follows.

    ``command`` is that one's ``archive_command``, None when it could not be asked. At the end of what it has received,
    such a standby archives an unfinished segment under its full name: XLogWalRcvClose() in
    src/backend/replication/walreceiver.c. The whole one is refused then, for good.
    """
    push = None if command is None else parse_push(command)
    shared = push is not None and (push.cluster, layout.repository in push.repositories) == (layout.cluster, True)
    if command is not None and not shared:
        return
    why = "which its primary archives into" if shared else "and its primary cannot be asked whether it archives there"
    raise Error(
        f"archive_mode is always, and this server is a standby: it would archive into {layout.directory} all the time,"
        f" {why}, an unfinished segment under its full name among them, which keeps the whole one out",
        "set archive_mode to on, with which a standby archives from its promotion on; or give it a place of its own,"
        " by another backup_repository_cluster",
    )
