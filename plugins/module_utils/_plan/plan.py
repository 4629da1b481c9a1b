# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans: a change as data. A plan is made without touching anything, shown in check mode, and applied step by step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Step(ABC):
    """One thing to do; a step that has been done already can be done again without harm."""

    @property
    @abstractmethod
    def text(self) -> str:
        """Say in a few words what the step does."""

    @property
    def exchanges(self) -> str | None:
        """The data directory that the step exchanges, in which no server may start from the first step on."""
        return None

    @property
    def starts_server(self) -> bool:
        """Whether the step has PostgreSQL itself work in a directory that was exchanged before."""
        return False

    def as_dict(self) -> dict[str, Any]:
        """Give the step in the form that is reported."""
        return {"step": type(self).__name__, "text": self.text}


@dataclass(frozen=True)
class Plan:
    """Steps in their order, and what the diff shows: the state ``before`` and ``after`` them."""

    steps: tuple[Step, ...] = ()
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Tell whether there is anything to do."""
        return bool(self.steps)

    def then(self, other: Plan) -> Plan:
        """Give the plan that does this one first, and then the other."""
        return Plan(self.steps + other.steps, {**self.before, **other.before}, {**self.after, **other.after})


@dataclass(frozen=True)
class MakeDirectory(Step):
    """Create a directory with exactly this mode and group; its parents must exist."""

    path: str
    mode: int
    group: str | None = None

    @property
    def text(self) -> str:
        return f"create directory {self.path} with mode {self.mode:04o}"


@dataclass(frozen=True)
class SetAccess(Step):
    """Give a file or directory this mode and, where it is named, this group."""

    path: str
    mode: int
    group: str | None = None

    @property
    def text(self) -> str:
        group = "" if self.group is None else f" and group {self.group}"
        return f"set mode {self.mode:04o}{group} on {self.path}"


@dataclass(frozen=True)
class WriteDocument(Step):
    """Write a JSON file: beside its place, synced, then renamed."""

    path: str
    content: Mapping[str, Any]
    mode: int
    group: str | None = None

    @property
    def text(self) -> str:
        return f"write {self.path}"


@dataclass(frozen=True)
class AlterSystem(Step):
    """Change a setting with ALTER SYSTEM; ``value`` None resets it."""

    name: str
    value: str | None

    @property
    def text(self) -> str:
        return f"reset {self.name}" if self.value is None else f"set {self.name} = '{self.value}'"


@dataclass(frozen=True)
class ReloadServer(Step):
    """Make the server read its configuration again."""

    @property
    def text(self) -> str:
        return "reload the server's configuration"


def report(plan: Plan) -> list[dict[str, Any]]:
    """List a plan's steps with all their values."""
    return [{**asdict(step), **step.as_dict()} for step in plan.steps]
