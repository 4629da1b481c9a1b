# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What else starts, stops and makes anew a cluster's data: managers of high availability."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .._errors import Error

_PYTHON = re.compile(r"python[\d.]*$")


@dataclass(frozen=True)
class Kind:
    """A manager: its programs, its units of systemd, texts that it writes to files of a data directory, and by hand.

    ``files`` has regular expressions by the name of the file, relative to the data directory; an empty one says that
    the file by itself is enough. ``settings`` is how a person changes the server's configuration there.
    """

    name: str
    programs: tuple[str, ...]
    units: tuple[str, ...]
    files: Mapping[str, str]
    settings: str
    stop: str


KINDS = (
    Kind(
        "Patroni",
        ("patroni",),
        ("patroni",),
        {
            "patroni.dynamic.json": "",
            "postgresql.base.conf": "",
            "postgresql.conf": r"overwritten by Patroni",
        },
        "patronictl edit-config, below postgresql: parameters:",
        "stop Patroni on all hosts, restore this one, and remove what Patroni knows of the cluster (patronictl remove)"
        " before it is started again, here first",
    ),
    Kind(
        "pg_auto_failover",
        ("pg_autoctl",),
        ("pgautofailover",),
        {"postgresql-auto-failover.conf": "", "postgresql-auto-failover-standby.conf": ""},
        "ALTER SYSTEM, and pg_autoctl restart where that needs a restart",
        "stop pg_autoctl on all nodes, restore this one, and have the others made anew (pg_autoctl drop node, create)",
    ),
    Kind(
        "repmgr",
        ("repmgrd",),
        ("repmgrd", "repmgr"),
        {},
        "ALTER SYSTEM while repmgrd is paused (repmgr service pause)",
        "stop repmgrd on all hosts, restore the primary, and have the standbys cloned anew (repmgr standby clone)",
    ),
    Kind(
        "Pacemaker",
        ("pacemakerd", "pacemaker-execd", "lrmd"),
        ("pacemaker",),
        {"postgresql.conf": r"added by pgsql RA|rep_mode\.conf"},
        "ALTER SYSTEM while the resource is in maintenance (pcs resource unmanage)",
        "take the resource out of Pacemaker's hands (pcs property set maintenance-mode=true), restore the primary, and "
        "have the standbys made anew",
    ),
    Kind(
        "Stolon",
        ("stolon-keeper",),
        ("stolon-keeper", "stolon"),
        {"../keeperstate": "", "../dbstate": ""},
        "stolonctl update --patch, in pgParameters",
        "stop the keepers, restore this data directory, have Stolon take it over (stolonctl init, initMode: existing)",
    ),
    Kind(
        "CloudNativePG",
        ("manager instance",),
        (),
        {"custom.conf": r"cnpg\."},
        "the resource Cluster, in postgresql.parameters",
        "restore into a new Cluster (bootstrap.recovery)",
    ),
)


@dataclass(frozen=True)
class Process:
    """A process: its command line, and whether that, its environment or its configuration names the data directory."""

    pid: int
    words: tuple[str, ...]
    names_directory: bool = False


@dataclass(frozen=True)
class Signs:
    """What was seen: ancestors of the server's process, its control group, other processes, and texts of files."""

    ancestors: Sequence[Process] = ()
    control_group: str = ""
    processes: Sequence[Process] = ()
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Manager:
    """What manages a cluster, by which sign it was recognised, and whether it is at work now."""

    kind: Kind
    sign: str
    at_work: bool


def is_program(words: Sequence[str], program: str) -> bool:
    """Tell whether a command line runs a program, also by Python, or a program with a first argument.

    >>> is_program(["/usr/bin/python3", "/usr/bin/patroni", "/etc/patroni.yml"], "patroni")
    True
    """
    name, _space, argument = program.partition(" ")
    bare = [word.rpartition("/")[2] for word in words]
    if bare and _PYTHON.match(bare[0]):
        bare = [word for word in bare[1:] if not word.startswith("-")]
    return bare[:1] == [name] and (not argument or argument in bare[1:2])


def manager_of(signs: Signs) -> Manager | None:
    """Tell what manages a cluster, first by what is at work, then by what it left in the data directory."""
    for kind in KINDS:
        sign = _at_work(kind, signs)
        if sign is not None:
            return Manager(kind, sign, at_work=True)
    for kind in KINDS:
        for name, pattern in kind.files.items():
            if name in signs.files and re.search(pattern, signs.files[name]):
                return Manager(kind, f"{name} in the data directory", at_work=False)
    return None


def _at_work(kind: Kind, signs: Signs) -> str | None:
    for process in [*signs.ancestors, *(process for process in signs.processes if process.names_directory)]:
        if any(is_program(process.words, program) for program in kind.programs):
            return f"process {process.pid}, {process.words[0].rpartition('/')[2]}"
    units = [
        part.partition("@")[0].removesuffix(".service") for part in signs.control_group.replace("\n", "/").split("/")
    ]
    unit = next((unit for unit in kind.units if unit in units), None)
    return None if unit is None else f"the unit {unit}, to which the server's process belongs"


def check_unmanaged(signs: Signs, deed: str, stopped: bool) -> None:
    """Refuse to restore or roll back what a manager would fail over meanwhile, and make anew or undo.

    With ``stopped`` a person says that it is stopped everywhere; then only one that is seen at work is refused.
    """
    manager = manager_of(signs)
    if manager is None or (stopped and not manager.at_work):
        return
    name = manager.kind.name
    answer = "" if manager.at_work else f"; once it is, or when {name} has nothing to do with this data any more, give "
    raise Error(
        f"the server is managed by {name} ({manager.sign}), which would fail over while its data is {deed}, and then "
        "replace or undo what was done. Nothing was touched",
        f"by hand: {manager.kind.stop}" + (answer and f"{answer}manager_stopped: true"),
    )


def check_settings_unmanaged(signs: Signs, settings: Mapping[str, str]) -> None:
    """Refuse to change settings, or to restart, under a manager that has these in its own hands."""
    manager = manager_of(signs)
    if manager is None or not manager.at_work:
        return
    wanted = "".join(f"\n  {name} = '{value}'" for name, value in settings.items())
    raise Error(
        f"the server is managed by {manager.kind.name} ({manager.sign}), which has its settings and restarts in hand; "
        f"expected are{wanted or ' the settings that wait for a restart'}\nNo setting was changed",
        f"set them by hand with {manager.kind.settings}, have the manager restart the server where that is needed, and "
        "run this again; what is set already is left alone and proved",
    )
