# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extra variables that look like ours and are not: Ansible takes any name, and a misspelt one would do nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from .._errors import InvalidValue
from .asked import HOSTS, PLAYBOOKS, Playbook

# Parts of our names that are anybody's words.
_ANYBODYS = ("name", "type")
_MEANT = ("backup_label", "source_cluster", "previous_directory")
# Names of up to so many letters have room for one slip, longer ones for two.
_SHORT = 6


@dataclass(frozen=True)
class Known:
    """Names that mean something: ``asked`` of this playbook, ``others`` of other playbooks, ``roles`` of variables."""

    role: str
    asked: frozenset[str]
    others: frozenset[str]
    roles: frozenset[str]

    @property
    def prefixes(self) -> list[str]:
        """What the names of our roles' variables begin with."""
        return sorted({f"{playbook.role}_" for playbook in PLAYBOOKS.values()} | {"postgres_cluster_", "pitr_"})


def known(playbook: Playbook, role_variables: Collection[str]) -> Known:
    """Collect the names, ``role_variables`` being those of all roles."""
    asked = frozenset({HOSTS, *_extra(playbook)})
    every = frozenset(name for each in PLAYBOOKS.values() for name in _extra(each))
    return Known(playbook.role, asked, every - asked, frozenset(role_variables))


def _extra(playbook: Playbook) -> Iterable[str]:
    return (name for variable in playbook.variables for name in (variable.name, variable.alias))


def check_names(extra: Iterable[str], names: Known, by_playbook: bool) -> None:
    """Refuse an extra variable that is none of ours and looks like one; a role looks at names with our prefixes."""
    for name in extra:
        near = _near(name, names, by_playbook)
        if near:
            raise InvalidValue(f"there is no extra variable {name}", f"the nearest is {' or '.join(near)}")
        if name not in names.roles and _is_ours(name, names) and name not in names.asked | names.others:
            raise InvalidValue(
                f"there is no extra variable {name}, and no role of this collection has a variable of that name",
                "docs/variables.md lists them all",
            )


def idle(extra: Iterable[str], names: Known) -> list[str]:
    """Name the extra variables of other playbooks, which do nothing in this one."""
    return sorted(name for name in extra if name in names.others and name not in names.roles)


def check_idle(idle_names: Iterable[str], playbook: str) -> None:
    """Refuse what would say which data is meant, were it read, in a playbook that replaces data.

    >>> check_idle(["backup_max_age"], "pitr_rollback")
    """
    meant = [name for name in idle_names if name.startswith("target") or name in _MEANT]
    if meant and PLAYBOOKS[playbook].deed:
        raise InvalidValue(
            f"{', '.join(meant)}: {playbook}.yml does not ask for that, and would do something else",
            "leave it out, or run the playbook that you mean",
        )


def _is_ours(name: str, names: Known) -> bool:
    return any(name.startswith(prefix) for prefix in names.prefixes)


def _near(name: str, names: Known, by_playbook: bool) -> list[str]:
    """Give the names that one may be meant to be; none when it is one, or is like none."""
    if name in names.asked | names.others | names.roles or name.startswith("ansible_"):
        return []
    if not by_playbook and not _is_ours(name, names):
        return []
    asked: frozenset[str] = names.asked if by_playbook else frozenset()
    slips = {one: found for one in asked | names.roles if (found := _slips_between(name, one)) is not None}
    like = sorted(one for one, found in slips.items() if found == min(slips.values()))
    return like or _parts(name, asked, names)


def _parts(name: str, asked: Collection[str], names: Known) -> list[str]:
    """Give the names that end in this one: `timeline` for target_timeline, `checks` for a role's variable."""
    if name in _ANYBODYS:
        return []
    ends = [one for one in sorted(asked) if one.partition("_")[2] == name]
    own = f"{names.role}_{name}"
    if ends or own in names.roles:
        return ends or [own]
    several = "_" in name
    return [one for one in sorted(names.roles) if several and any(one == f"{p}{name}" for p in names.prefixes)]


def _slips_between(name: str, other: str) -> int | None:
    """Count how far one is the other misspelt; None when there are too many slips for that.

    >>> _slips_between("TargetTime", "target_time"), _slips_between("target_host", "target_hosts")
    (0, 1)
    >>> _slips_between("forks", "force") is None
    True
    """
    one, two = (word.lower().replace("_", "").replace("-", "") for word in (name, other))
    slips = _slips(one, two)
    return slips if slips <= (1 if len(two) <= _SHORT else 2) else None


def _slips(one: str, two: str) -> int:
    """Count the letters that are wrong, missing, too many, or exchanged with their neighbour.

    >>> _slips("target_tmie", "target_time"), _slips("flet", "fleet")
    (1, 1)
    """
    before, row = [], list(range(len(two) + 1))
    for i, letter in enumerate(one, 1):
        before, last, row = row, before, [i]
        for j, wanted in enumerate(two, 1):
            steps = [before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted)]
            if i > 1 and j > 1 and letter == two[j - 2] and one[i - 2] == wanted:
                steps.append(last[j - 2] + 1)
            row.append(min(steps))
    return row[-1]
