# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person asks a playbook for: its extra variables, where each may come from, and how it is read.

Extra variables come from the command line or from a survey, and have short names, such as ``force``. An inventory may
use such a name for something else, or set it once and for all, so what it says does not count. What a play gives to a
playbook that it imports does: it is for that run only, too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from .._errors import Error, InvalidValue
from .._rollback.new_timeline import CHOICES
from .._values.target import TARGETS, Target, parse_timeline
from .._values.times import parse_age
from .._windows.report import asked_target

Reader = Callable[[str, Any], Any]

_TRUE = ("true", "yes", "on", "1", "y", "t")
_FALSE = ("false", "no", "off", "0", "n", "f")


def is_blank(value: Any) -> bool:
    """Tell whether nothing was answered: a survey hands on an empty text for a question that was passed over."""
    return value is None or (isinstance(value, str) and not value.strip())


def text(name: str, value: Any) -> str:
    """Read text; YAML makes numbers and dates of what stands in a file without quotes.

    >>> text("target_xid", 7310), text("target_time", date(2026, 9, 15))
    ('7310', '2026-09-15')
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float, date)):
        raise InvalidValue(f"{name} is {_shown(value)}, expected text", "put it in quotes")
    return value.isoformat() if isinstance(value, date) else str(value).strip()


def boolean(name: str, value: Any) -> bool:
    """Read true or false, which the command line gives as text.

    >>> boolean("force", "yes"), boolean("force", False)
    (True, False)
    """
    word = str(value).strip().lower() if isinstance(value, (str, int)) else ""
    if word not in _TRUE + _FALSE:
        raise InvalidValue(f"{name} is {_shown(value)}, expected true or false")
    return word in _TRUE


def one_of(*choices: str) -> Reader:
    """Read one of a few words."""

    def read(name: str, value: Any) -> str:
        word = text(name, value)
        if word not in choices:
            raise InvalidValue(f"there is no {name}={word}; expected {' or '.join(choices)}")
        return word

    return read


def checked(parse: Callable[[str], object]) -> Reader:
    """Read text that a module will parse, and refuse now what it would refuse."""

    def read(name: str, value: Any) -> str:
        word = text(name, value)
        try:
            parse(word)
        except InvalidValue as error:
            said = error.message if error.message.startswith("target_") else f"{name}: {error.message}"
            raise InvalidValue(said, error.hint) from None
        return word

    return read


def paths(name: str, value: Any) -> list[str]:
    """Read one path, or a list of them.

    >>> paths("remove", "/a b"), paths("remove", ["/a", "/b"])
    (['/a b'], ['/a', '/b'])
    """
    return [text(name, each) for each in (value if isinstance(value, (list, tuple)) else [value])]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (Mapping, list, tuple)):
        return "a dictionary" if isinstance(value, Mapping) else "a list"
    return repr(value)


@dataclass(frozen=True)
class Variable:
    """One thing that can be asked for.

    ``name`` is that of the extra variable, ``role_name`` that of the role. A ``switch`` takes a safety off, so what an
    inventory says does not count, and ``alias`` is a name of ours for a survey. With ``kept``, the inventory gives what
    holds unless something else is asked for.
    """

    name: str
    role_name: str
    read: Reader = text
    default: Any = ""
    kept: bool = False
    switch: bool = False

    @property
    def alias(self) -> str:
        """The other name that an extra variable may have."""
        return f"pitr_{self.name}" if self.switch and self.name != self.role_name else self.role_name

    def names(self, by_playbook: bool, given: Collection[str]) -> list[str]:
        """Name the variables that may give the value, of which the first that is not blank does.

        ``given`` are those of this run: extra variables, and those of the play, but none whose value is an inventory's.

        >>> Variable("force", "pitr_restore_force", switch=True).names(False, [])
        []
        """
        asked = [self.name] if by_playbook else []
        found = [name for name in dict.fromkeys([*asked, self.alias, self.role_name]) if name in given]
        anywhere = self.kept if by_playbook else not self.switch
        return found if self.role_name in found or not anywhere else [*found, self.role_name]


@dataclass(frozen=True)
class Playbook:
    """What one playbook can be asked for, and the ``role`` that does it.

    ``deed`` says what it does to a cluster where that must not be done to several by accident, perhaps ``only_with`` a
    variable of that name. ``target`` is ``required``, ``optional`` or, when empty, nothing to be asked for.
    """

    role: str
    variables: tuple[Variable, ...] = ()
    deed: str = ""
    target: str = ""
    only_with: str = ""


def _target(role: str) -> tuple[Variable, ...]:
    """List what names a target, by the names that the role has for it."""
    options = [Variable(name, f"{role}_{name}") for name in TARGETS]
    return (
        *options,
        Variable("target_inclusive", f"{role}_target_inclusive", boolean, True),
        Variable("target_timeline", f"{role}_target_timeline", checked(parse_timeline), "latest"),
        Variable("backup_label", f"{role}_backup_label"),
    )


_FORCE = Variable("force", "pitr_restore_force", boolean, False, switch=True)
_FLEET = Variable("fleet", "pitr_restore_fleet", boolean, False, switch=True)
_MANAGER = Variable("manager_stopped", "pitr_restore_manager_stopped", boolean, False, switch=True)
_NEW = Variable("replace_new_cluster", "pitr_restore_replace_new_cluster", boolean, False, switch=True)
_ACTION = Variable("target_action", "pitr_restore_action", one_of("promote", "pause"), "promote", kept=True)
_TIMELINE = Variable("new_timeline", "pitr_restore_new_timeline", one_of(*CHOICES), "auto", kept=True)
_SOURCE = Variable("source_cluster", "pitr_restore_source_cluster", kept=True)

PLAYBOOKS = {
    "setup_archiving": Playbook(
        "wal_archiving",
        tuple(
            Variable(name, name, boolean, False, switch=True)
            for name in ("wal_archiving_discard_waiting", "backup_repository_retire")
        ),
    ),
    "base_backup": Playbook(
        "base_backup",
        (
            Variable("backup_type", "base_backup_type", one_of("full"), "full", kept=True),
            Variable("backup_label", "base_backup_label"),
            Variable("backup_max_age", "base_backup_max_age", checked(parse_age), kept=True),
        ),
    ),
    "recovery_windows": Playbook("backup_repository", _target("backup_repository"), target="optional"),
    "pitr_restore": Playbook(
        "pitr_restore",
        (*_target("pitr_restore"), _ACTION, _SOURCE, _FORCE, _FLEET, _MANAGER, _NEW),
        "restore",
        "required",
    ),
    "pitr_finalize": Playbook("pitr_restore"),
    "pitr_rollback": Playbook(
        "pitr_restore",
        (Variable("previous_directory", "pitr_restore_previous_directory"), _TIMELINE, _FORCE, _FLEET, _MANAGER),
        "roll back",
    ),
    "previous_data": Playbook(
        "pitr_restore",
        (Variable("remove", "pitr_restore_remove", paths, [], switch=True), _FLEET),
        "remove data of",
        only_with="remove",
    ),
}
# What the play itself reads, in every playbook.
HOSTS = "target_hosts"


@dataclass(frozen=True)
class Answer:
    """A value that is not blank, and the name of the variable that gave it."""

    name: str
    value: Any


def read_answers(playbook: Playbook, answers: Mapping[str, Answer]) -> dict[str, Any]:
    """Give the value of each of a playbook's variables, normalised; of those without an answer, the default."""
    return {
        variable.name: variable.read(answers[variable.name].name, answers[variable.name].value)
        if variable.name in answers
        else variable.default
        for variable in playbook.variables
    }


def check_target(playbook: Playbook, values: Mapping[str, Any]) -> None:
    """Refuse what cannot be a target, before any host is looked at."""
    if not playbook.target:
        return
    target = asked_target(values)
    if target is None and playbook.target == "required":
        Target.parse({**dict.fromkeys(TARGETS), **values, **dict.fromkeys(TARGETS)})
    if target is not None and target.kind == "latest" and values.get("target_action") == "pause":
        raise InvalidValue(
            "recovery to target=latest ends by itself, so there is nothing to pause at", "give a target_time"
        )


def check_fleet(playbook: Playbook, hosts: Sequence[str], fleet: bool, name: str) -> None:
    """Refuse to do to several clusters what is meant for one; ``name`` is what allows it."""
    if playbook.deed and len(hosts) > 1 and not fleet:
        raise Error(
            f"this would {playbook.deed} {len(hosts)} clusters: {', '.join(hosts)}. Nothing was touched.",
            f"choose one with --limit, or give {name} to {playbook.deed} them all",
        )
