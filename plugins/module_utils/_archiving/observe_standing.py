# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell what the running server of a survey is doing with the repository."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._cluster.observe import own_record
from .._repository.observe import repository_id
from .._windows.observe import WindowReader
from .observe import program_in_use


def standing(survey: WindowReader) -> dict[str, Any] | None:
    """Describe the server; None where none was asked. ``restoring`` is the target of the restore that it came from."""
    server, directory = survey.server, survey.data_directory
    if server is None or directory is None:
        return None
    state, record = server.recovery_state(), own_record(directory)
    archives = server.show("archive_mode") != "off" and program_in_use(server, survey.layout) is not None
    return {
        "in_recovery": state.in_recovery,
        "paused": state.paused,
        "restoring": None if record is None or not state.in_recovery else _named(record.target),
        "archives": archives,
        "cluster": survey.layout.cluster,
        "repository_id": repository_id(survey.layout),
    }


def _named(target: Mapping[str, Any]) -> str:
    return " ".join(str(target[part]) for part in ("kind", "value") if target.get(part))
