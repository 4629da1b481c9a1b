# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a JMESPath question about backups and recovery windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

try:
    import jmespath  # type: ignore[import-untyped]  # it has no annotations
    from jmespath.exceptions import JMESPathError  # type: ignore[import-untyped]  # neither has this
except ImportError:
    jmespath = None

_LISTS = ("backups", "wal", "windows", "defects")
# Booleans are numbers, but have no other kinds. These give the plain value, whatever a subclass says that it is.
_PLAIN: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    bool: bool,
    int: int.__int__,
    float: float.__float__,
}


def backup_query(data: Any, expression: str) -> Any:
    """Evaluate an expression over a result of backup_info, or over those of several hosts."""
    if jmespath is None:
        raise AnsibleFilterError("backup_query needs the Python package jmespath on the controller")
    subject = question_subject(native(data))
    try:
        return jmespath.search(str(expression), subject)
    except JMESPathError as error:
        raise AnsibleFilterError(f"backup_query cannot evaluate {str(expression)!r}: {error}") from error


def question_subject(data: Any) -> Any:
    """Tell what one host returned from a dictionary by host, which becomes a list of results, each with its host."""
    if isinstance(data, dict):
        if isinstance(data.get("backups"), list):
            return data
        if all(isinstance(result, dict) for result in data.values()):
            return [{**{name: [] for name in _LISTS}, "host": host, **result} for host, result in data.items()]
    found = "a dictionary without backups" if isinstance(data, dict) else type(data).__name__
    raise AnsibleFilterError(
        f"backup_query got {found}, expected what backup_info returned, or a dictionary of that by host"
    )


def native(value: Any) -> Any:
    """Make plain values of Ansible's own kinds of them, which JMESPath's functions refuse."""
    if isinstance(value, Mapping):
        return {native(key): native(item) for key, item in value.items()}
    for kind, plain in _PLAIN.items():
        if isinstance(value, kind):
            return plain(value)
    return [native(item) for item in value] if isinstance(value, Sequence) else value


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filter."""
        return {"backup_query": backup_query}
