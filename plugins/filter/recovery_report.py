# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write what the clusters of a fleet can be restored to as a table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ..module_utils._errors import Error
from ..module_utils._windows.report import asked_target, fleet_report


def recovery_report(fleet: Any, target: Mapping[str, Any] | None = None) -> list[str]:
    """Write the report in UTC and in the time zone of the controller."""
    if not isinstance(fleet, Mapping):
        raise AnsibleFilterError(
            f"recovery_report got {type(fleet).__name__}, expected a dictionary of what backup_info returned by host"
        )
    try:
        target_asked = asked_target(target or {})
        return fleet_report(fleet, target_asked, datetime.now(timezone.utc), datetime.astimezone)
    except Error as error:
        raise AnsibleFilterError(f"recovery_report: {error}") from error


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filter."""
        return {"recovery_report": recovery_report}
