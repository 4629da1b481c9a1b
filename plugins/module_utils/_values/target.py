# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recovery targets: where a restore is to stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from .._errors import InvalidValue
from .._wal.names import Lsn
from .times import EXAMPLE, format_time, parse_time

_FORMS = (
    f"target_time ({EXAMPLE}), target_xid (7310), target_name (the name of a restore point), target_lsn (0/3000028), "
    "target=latest and target=immediate"
)
# The settings that make a recovery stop, of which a server takes one.
STOPS = ("recovery_target", *(f"recovery_target_{kind}" for kind in ("name", "time", "xid", "lsn")))
_FIRST_XID = 3
_LONGEST_NAME = 63


@dataclass(frozen=True)
class Target:
    """Where recovery stops.

    ``kind`` is ``time``, ``xid``, ``name``, ``lsn``, ``latest`` (the end of the archived WAL) or ``immediate`` (as soon
    as the backup is consistent); ``value`` is a datetime, a number, a name, an Lsn, or None for the last two.
    ``timeline`` is a number, ``current`` (that of the backup), or None for the latest one in the archive.
    """

    kind: str = "latest"
    value: datetime | int | str | Lsn | None = None
    inclusive: bool = True
    timeline: int | str | None = None

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Target:
        """Read the options of a task, of which exactly one must name a target."""
        given = [name for name in TARGETS if options[name] is not None]
        if len(given) != 1:
            raise InvalidValue(
                f"{len(given)} recovery targets are given: {', '.join(given)}; expected one"
                if given
                else "no recovery target is given",
                f"give exactly one of {_FORMS}",
            )
        kind, value = _READERS[given[0]](options[given[0]])
        inclusive = options["target_inclusive"] if kind in ("time", "xid", "lsn") else True
        return cls(kind, value, inclusive, parse_timeline(options["target_timeline"]))

    @classmethod
    def recorded(cls, document: Mapping[str, Any]) -> Target:
        """Read the form that ``as_dict`` gives."""
        kind, timeline = document["kind"], document["timeline"]
        value = None if document["value"] is None else _READERS[f"target_{kind}"](document["value"])[1]
        return cls(kind, value, document["inclusive"], None if timeline == "latest" else timeline)

    @property
    def time(self) -> datetime | None:
        """The moment, where the target is one."""
        return self.value if isinstance(self.value, datetime) else None

    def settings(self, timeline: int) -> dict[str, str]:
        """Give the recovery settings that make PostgreSQL stop here, and pause there so that it can be checked.

        ``timeline`` is the number that ``latest`` means in the archive, so that the server follows what was planned.
        All of them are given, whatever other files say, and those without a value come first: a server refuses to
        start when it reads a second target, even an empty one, before the first one was emptied
        (``assign_recovery_target_time`` in ``src/backend/access/transam/xlogrecovery.c``).
        """
        name = "recovery_target" if self.kind == "immediate" else f"recovery_target_{self.kind}"
        chosen = {} if self.kind == "latest" else {name: self._setting()}
        return {
            **{other: "" for other in STOPS if other not in chosen},
            **chosen,
            "recovery_target_inclusive": "on" if self.inclusive else "off",
            "recovery_target_timeline": str(timeline),
            "recovery_target_action": "pause",
        }

    def _setting(self) -> str:
        if isinstance(self.value, datetime):
            return self.value.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f+00")
        if isinstance(self.value, int):
            return str(self.value % (1 << 32))  # the WAL has no more of a transaction's number
        return "immediate" if self.value is None else str(self.value)

    def as_dict(self) -> dict[str, object]:
        """Give the target in the form that is reported and recorded."""
        return {
            "kind": self.kind,
            "value": self._text(),
            "inclusive": self.inclusive,
            "timeline": "latest" if self.timeline is None else self.timeline,
        }

    def _text(self) -> str | None:
        if isinstance(self.value, datetime):
            return format_time(self.value)
        return None if self.value is None else str(self.value)

    def __str__(self) -> str:
        if self.value is None:
            return "the end of the archived WAL" if self.kind == "latest" else "the end of the backup"
        forms = {"xid": "transaction {}", "name": "restore point '{}'", "lsn": "LSN {}"}
        return forms.get(self.kind, "{}").format(self._text())


def parse_xid(text: str) -> int:
    """Read the number of a transaction, be it one of 64 bits, as ``txid_current()`` gives it.

    The first three numbers are not given to transactions: ``src/include/access/transam.h``.
    """
    text = text.strip()
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else -1
    if not 0 <= number < 1 << 64 or number % (1 << 32) < _FIRST_XID:
        raise InvalidValue(
            f"target_xid {text!r} is not the number of a transaction; expected a number from {_FIRST_XID}, such as 7310"
        )
    return number


def parse_name(text: str) -> str:
    """Read the name of a restore point, of which PostgreSQL keeps up to 63 bytes (``MAXFNAMELEN``)."""
    if not text.strip() or not text.isprintable() or len(text.encode()) > _LONGEST_NAME:
        raise InvalidValue(
            f"target_name {text!r} is not the name of a restore point; "
            f"expected 1 to {_LONGEST_NAME} bytes of printable characters"
        )
    return text


def parse_lsn(text: str) -> Lsn:
    """Read a position; the error names the option."""
    try:
        return Lsn.parse(text.strip())
    except InvalidValue as error:
        raise InvalidValue(f"target_lsn {error.message}", error.hint) from None


def parse_timeline(text: str) -> int | str | None:
    """Read ``latest`` (None), ``current``, or the number of a timeline."""
    if text in ("latest", "current"):
        return None if text == "latest" else text
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 1 << 32:
        raise InvalidValue(f"target_timeline {text!r} is not a timeline; expected latest, current or a number from 1")
    return int(text)


_READERS: dict[str, Callable[[str], tuple[str, datetime | int | str | Lsn | None]]] = {
    "target_time": lambda text: ("time", parse_time(text)),
    "target_xid": lambda text: ("xid", parse_xid(text)),
    "target_name": lambda text: ("name", parse_name(text)),
    "target_lsn": lambda text: ("lsn", parse_lsn(text)),
    "target": lambda text: (text, None),
}
TARGETS = tuple(_READERS)
