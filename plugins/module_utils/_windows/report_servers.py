# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the servers of a fleet are doing that a person should know who looks at its windows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Result = Mapping[str, Any]


def remarks(fleet: Mapping[str, Result]) -> list[tuple[str, str]]:
    """Give, by host, what is to be said of the servers that were asked; of what is as it should be, nothing."""
    servers = {host: result["server"] for host, result in fleet.items() if result.get("server")}
    found = [(host, _restore(server)) for host, server in servers.items()]
    return [(host, text) for host, text in found if text] + _rivals(servers)


def _restore(server: Result) -> str:
    if server["restoring"] is None or not server["in_recovery"]:
        return ""
    if server["paused"]:
        return (
            f"paused in a restore to {server['restoring']}, read-only: nothing is archived until pitr_finalize.yml "
            "opens it for writing, or pitr_rollback.yml puts back what was there before"
        )
    return f"recovering in a restore to {server['restoring']}; nothing is archived until it has ended"


def _rivals(servers: Mapping[str, Result]) -> list[tuple[str, str]]:
    """Find servers that write WAL of their own under one name into one repository: standbys do not, until promoted."""
    places: dict[tuple[str, str], list[str]] = {}
    for host, server in servers.items():
        if server["archives"] and not server["in_recovery"]:
            places.setdefault((server["repository_id"], server["cluster"]), []).append(host)
    shared = [(cluster, hosts) for (_repository, cluster), hosts in places.items() if len(hosts) > 1]
    return [(host, _rival(cluster, hosts, host)) for cluster, hosts in shared for host in hosts]


def _rival(cluster: str, hosts: list[str], host: str) -> str:
    others = ", ".join(other for other in hosts if other != host)
    return (
        f"archives as '{cluster}' into the same repository as {others}: what one of them archives keeps the other from "
        "archiving what has the same name, and the windows are those of a mixture. Give each a name of its own "
        "(backup_repository_cluster), and take a backup"
    )
