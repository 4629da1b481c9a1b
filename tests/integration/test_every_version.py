# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks of a bad day, each once, on the oldest and the newest version; what else they do, on the newest.

What differs from version to version is in modules, whose stories are played on each; hosts of others are molecule's.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.clones import SUBSCRIBE
from tests.support.marks import ALL, on
from tests.support.playbooks import Playbooks
from tests.support.postgres import Cluster

SUM = "SELECT count(*) || ':' || md5(string_agg(n::text, ',' ORDER BY n)) FROM ledger"
NOW = """SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
ENABLED = "SELECT subenabled FROM pg_subscription"
TIMELINE = "SELECT timeline_id FROM pg_control_checkpoint()"


@on(sorted({ALL[0], ALL[-1]}))
def test_a_lost_table_is_restored_and_the_restore_undone(
    cluster: Cluster, playbooks: Playbooks, inventory: Path
) -> None:
    playbooks.run("setup_archiving", inventory)
    cluster.sql("CREATE TABLE ledger AS SELECT generate_series(1, 1000) AS n")
    cluster.sql(SUBSCRIBE)
    cluster.sql("ALTER SUBSCRIPTION feed ENABLE")
    assert "took backup" in playbooks.run("base_backup", inventory).output
    cluster.sql("INSERT INTO ledger SELECT generate_series(1001, 3000)")
    expected, moment = cluster.value(SUM), cluster.value(NOW)
    cluster.sql("DROP TABLE ledger")

    report = playbooks.run("pitr_restore", inventory, "-e", f"target_time={moment}").output
    assert 'to have it go on: ALTER SUBSCRIPTION "feed" ENABLE' in " ".join(report.split())
    assert not cluster.value(ENABLED), "nothing is applied before somebody says so"
    assert cluster.value("SHOW max_logical_replication_workers") == "4"
    assert cluster.value(SUM) == expected
    assert (cluster.value("SELECT pg_is_in_recovery()"), cluster.value(TIMELINE)) == (False, 2)

    playbooks.run("pitr_rollback", inventory)
    assert cluster.value("SELECT to_regclass('ledger')") is None
    assert cluster.value(ENABLED)
    assert (cluster.value("SELECT pg_is_in_recovery()"), cluster.value(TIMELINE)) == (False, 1)
