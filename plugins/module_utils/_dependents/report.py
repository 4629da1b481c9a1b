# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore means for those who depend on the server, and what somebody has to do for each, in a few lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .._cluster.subscription import Subscription
from .connected import Dependents, Publication, Receiver, Slot

_MOST_NAMES = 8
_LONGEST_NAME = 63  # NAMEDATALEN, and what an application_name is cut to
_LONGEST_VALUE = 120


def consequences(found: Dependents, to_do: Iterable[str]) -> list[str]:
    """Say what a restore will do to those who depend on the server; ``to_do`` are the lines that outlast it."""
    waiting = synchronous(found.synchronous_standby_names)
    return _said(_ended(found), *to_do, will_be_off(found.subscriptions), waiting, *found.unseen)


def undone(found: Dependents) -> list[str]:
    """Say what a rollback will do to those who have come to depend on the restored server."""
    fed = found.subscribers or any(slot.type == "logical" for slot in found.slots)
    return _said(_ended(found), _standbys(found.standbys), _subscribers(found) if fed else "", *found.unseen)


def lasting(found: Dependents) -> list[str]:
    """Say what is left to do once other data is in place: for standbys, slots and subscribers."""
    return _said(_standbys(found.standbys), _slots(found.slots), _subscribers(found))


def synchronous(names: str) -> str:
    """Say that commits wait for standbys, which cannot follow; nothing where none is waited for."""
    if not names.strip():
        return ""
    value = printable(names, _LONGEST_VALUE)
    return f"synchronous_standby_names is '{value}': commits wait until such a standby is made anew, or that is emptied"


def will_be_off(subscriptions: Sequence[Subscription]) -> str:
    """Say which subscriptions will not run in what is restored."""
    enabled = [each for each in subscriptions if each.enabled]
    if not enabled:
        return ""
    named = f"{_plural(len(enabled), 'subscription')} {listed(map(_in_database, enabled))}"
    return f"{named} will be off until somebody says otherwise: what came after the target never comes again"


def switched_off(subscriptions: Sequence[Subscription], clone: bool) -> list[str]:
    """Say which subscriptions do not run in what was restored, and what makes each of them go on."""
    return [_off(each, clone) for each in subscriptions]


def _off(subscription: Subscription, clone: bool) -> str:
    named = f"subscription {_in_database(subscription)} is off"
    if clone:
        return f"{named}, without the slot of the original: drop it, or give it a slot_name of its own"
    return (
        f"{named}: what it got after the target never comes again, so compare its tables, or make it anew with empty"
        f" ones; to have it go on: {enabling(subscription)}"
    )


def enabling(subscription: Subscription) -> str:
    r"""Give the statement that enables a subscription.

    >>> enabling(Subscription("my sub", "app")), enabling(Subscription("a\nb", "app"))
    ('ALTER SUBSCRIPTION "my sub" ENABLE', 'ALTER SUBSCRIPTION U&"a\\+00000ab" ENABLE')
    """
    return f"ALTER SUBSCRIPTION {_identifier(subscription.name)} ENABLE"


def _identifier(name: str) -> str:
    """Quote a name for SQL so that it can be printed, whatever it holds: section 4.1.2.3 of PostgreSQL's manual."""
    quoted = name.replace('"', '""')
    if quoted.isprintable():
        return f'"{quoted}"'
    escaped = quoted.replace("\\", "\\\\")
    return 'U&"{}"'.format("".join(each if each.isprintable() else f"\\+{ord(each):06x}" for each in escaped))


def _ended(found: Dependents) -> str:
    total = sum(found.sessions.values())
    parts = [f"{number} of database {printable(name)}" for name, number in found.sessions.items()]
    return f"{total} {_plural(total, 'session')} will be ended: {listed(parts)}" if total else ""


def _standbys(standbys: Sequence[Receiver]) -> str:
    if not standbys:
        return ""
    verb, which = ("goes", "it") if len(standbys) == 1 else ("go", "them")
    named = f"{_plural(len(standbys), 'standby')} {listed(map(_receiver, standbys))}"
    return f"{named} {verb} on serving the old history: make {which} anew, or use pg_rewind"


def _slots(slots: Sequence[Slot]) -> str:
    if not slots:
        return ""
    named = f"{_plural(len(slots), 'slot')} {listed(map(_slot, slots))}"
    verb, gone = ("is", "it is") if len(slots) == 1 else ("are", "they are")
    return f"{named} {verb} in no backup, so {gone} lost: a physical one is made anew with its standby"


def _subscribers(found: Dependents) -> str:
    """Speak of those who take what the server decodes; slots and publications tell of the ones who are away."""
    if not (found.subscribers or found.publications or any(slot.type == "logical" for slot in found.slots)):
        return ""
    who = f"subscribers {listed(map(_receiver, found.subscribers))}".rstrip()
    published = [_in_database(each) for each in found.publications]
    of = f" of {_plural(len(published), 'publication')} {listed(published)}" if published else ""
    return (
        f"{who}{of} may be ahead: make their subscriptions anew, with empty tables; a slot that is only made again"
        " skips changes"
    )


def _receiver(receiver: Receiver) -> str:
    facts = [receiver.address or "", "" if receiver.sync_state == "async" else receiver.sync_state]
    told = ", ".join(filter(None, facts))
    return printable(receiver.name) + (f" ({told})" if told else "")


def _slot(slot: Slot) -> str:
    where = "" if slot.database is None else f", database {printable(slot.database)}"
    return f"{printable(slot.name)} ({slot.type}{where})"


def _in_database(thing: Publication | Subscription) -> str:
    return f"{printable(thing.name)} (database {printable(thing.database)})"


def _plural(number: int, word: str) -> str:
    return word if number == 1 else f"{word}s"


def listed(names: Iterable[str]) -> str:
    """Name some, and count the others."""
    found = list(names)
    more = len(found) - _MOST_NAMES
    return ", ".join(found[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _said(*lines: str) -> list[str]:
    return [line for line in lines if line]


def printable(text: str, longest: int = _LONGEST_NAME) -> str:
    r"""Write a name that may hold anything, such as what moves a terminal's cursor.

    >>> printable("a\x1b[2Jb")
    'a?[2Jb'
    """
    shown = "".join(each if each.isprintable() else "?" for each in text)
    return shown if len(shown) <= longest else f"{shown[:longest]}..."
