# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say what is wrong with a recovery target before any host is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ..module_utils._core.fleet_report import asked_target
from ..module_utils._errors import Error


def target_problem(options: Any) -> str:
    """Give the error that a module would give for these target options, or an empty string."""
    if not isinstance(options, Mapping):
        raise AnsibleFilterError(
            f"target_problem got {type(options).__name__}, expected a dictionary of target options"
        )
    try:
        asked_target(options)
    except Error as error:
        return str(error)
    return ""


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filter."""
        return {"target_problem": target_problem}
