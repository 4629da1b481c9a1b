# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting a server that recovers."""

from __future__ import annotations

import time

from tests.support.modules import Modules
from tests.support.postgres import Cluster
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox


def begin_recovery(cluster: Cluster, restore_command: str) -> None:
    """Stop the server, and have the next start begin with a recovery."""
    cluster.sql(f"ALTER SYSTEM SET restore_command = '{restore_command}'")
    cluster.stop()
    cluster.sandbox.run(["touch", cluster.data_directory / "recovery.signal"])


def test_a_start_does_not_wait_for_a_long_recovery(sandbox: Sandbox, cluster: Cluster, modules: Modules) -> None:
    subject = Recoverable(sandbox, cluster, modules)
    begin_recovery(cluster, "sleep 60; false")
    begun = time.monotonic()
    started = subject.run("postgres_server", state="started", timeout=60)
    assert time.monotonic() - begun < 30
    assert started["changed"]
    assert started["pid"] == cluster.pid
    subject.run("postgres_server", state="stopped", mode="immediate")
    assert cluster.pid is None


def test_a_recovery_that_dies_fails_the_start(sandbox: Sandbox, cluster: Cluster, modules: Modules) -> None:
    subject = Recoverable(sandbox, cluster, modules)
    begin_recovery(cluster, "exit 200")
    assert "FATAL:  could not restore file" in subject.fail("postgres_server", state="started")
    assert cluster.pid is None
