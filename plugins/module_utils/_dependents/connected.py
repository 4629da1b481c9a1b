# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who depends on a server: standbys, subscribers, those who wait for it, and what of it is in no backup."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .._cluster.subscription import Subscription

# ReplicationSlotOnDisk in src/backend/replication/slot.c: magic, checksum, version, length; of the rest the name,
# the oid of the database, which a physical slot does not have, and the persistency.
_SLOT = struct.Struct("=IIII64sIi")
_SLOT_MAGIC = 0x1051CA1
_PERSISTENT = 0
# What of a kind is looked at. A server can have more, and nobody reads so many names.
MOST = 100


@dataclass(frozen=True)
class Receiver:
    """Somebody who receives WAL from the server, or what it decodes of it; over a Unix socket without an address."""

    name: str
    address: str | None = None
    sync_state: str = "async"


@dataclass(frozen=True)
class Slot:
    """A replication slot; ``type`` is ``physical`` or ``logical``, and ``active`` None where no server tells."""

    name: str
    type: str
    database: str | None = None
    active: bool | None = None


@dataclass(frozen=True)
class Publication:
    """A publication in a database."""

    name: str
    database: str


@dataclass(frozen=True)
class Dependents:
    """What was seen of those who depend on a server; of each kind, up to 100.

    ``asked`` tells whether the server itself has answered. ``sessions`` are those of clients, by database. ``unseen``
    says what could not be looked at.
    """

    asked: bool = False
    standbys: tuple[Receiver, ...] = ()
    subscribers: tuple[Receiver, ...] = ()
    slots: tuple[Slot, ...] = ()
    publications: tuple[Publication, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    sessions: Mapping[str, int] = field(default_factory=dict)
    synchronous_standby_names: str = ""
    unseen: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Give it in the form that is returned."""
        sessions = [{"database": database, "number": number} for database, number in self.sessions.items()]
        return {**asdict(self), "sessions": sessions}


def slot_on_disk(content: bytes) -> Slot | None:
    """Read the file ``state`` of a slot; None for one that is temporary, or unreadable."""
    if len(content) < _SLOT.size:
        return None
    magic, _checksum, _version, _length, name, database, persistency = _SLOT.unpack_from(content)
    if magic != _SLOT_MAGIC or persistency != _PERSISTENT:
        return None
    kind = "logical" if database else "physical"
    return Slot(name.partition(b"\0")[0].decode("ascii", errors="replace"), kind)
