# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who depends on the server whose data is replaced, for whoever reads a plan or a report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .._cluster.data_directory import DataDirectory, RestoreRequest
from .._errors import Error
from .._task.task import Task
from .connected import Dependents
from .observe import ask, look, not_seen
from .report import consequences, undone


def observed(task: Task, directory: DataDirectory) -> Dependents | None:
    """Look who depends on the server of a data directory; None where there is no data that one could work with."""
    if not directory.startable:
        return None
    try:
        with task.connected_if_running() as server:
            return look(directory.real_path) if server is None else ask(server)
    except Error as error:
        return not_seen(error)


def replaced_for(task: Task, directory: DataDirectory, request: RestoreRequest) -> Dependents | None:
    """Look who depends on the server that a restore is going to replace; nobody does on that of a new cluster."""
    going_on = task.options["state"] != "staged" or (request.in_place(directory) and not task.options["force"])
    return None if going_on or directory.used == () else observed(task, directory)


def told(found: Dependents | None, to_do: tuple[str, ...]) -> dict[str, Any]:
    """Report who depends on the server, and what a restore means for them."""
    if found is None:
        return {"dependents": None, "consequences": []}
    return {"dependents": found.as_dict(), "consequences": consequences(found, to_do)}


def told_of_rollback(found: Dependents | None) -> dict[str, Any]:
    """Report the same of a rollback; what is put back is as it was, slots and subscriptions included."""
    if found is None or not found.asked:
        return {"dependents": None if found is None else found.as_dict(), "consequences": [], "to_do": []}
    return {"dependents": found.as_dict(), "consequences": undone(found), "to_do": undone(replace(found, sessions={}))}
