# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged history files in the archive end no restore of another timeline, and no number is used twice."""

from __future__ import annotations

import os

from tests.support.recoverable import Recoverable


def test_damaged_histories_of_other_timelines_are_passed_over(recoverable: Recoverable) -> None:
    """PostgreSQL asks for them when it promotes, and for those between its backup and its target when it starts."""
    cluster, wal = recoverable.cluster, recoverable.wal
    cluster.sql("CREATE TABLE ledger AS SELECT 1 AS n")
    recoverable.run("base_backup", label="first", compression="none")
    recoverable.switch()
    (wal / "00000002.history").write_bytes(b"\x1b[2J\0" * 10_000)
    (wal / "00000003.history").mkdir()
    os.mkfifo(wal / "00000004.history")
    for name in ("00000002.history", "00000003.history", "00000004.history"):
        recoverable.owned(wal / name)
    recoverable.restore(target="latest", target_timeline="1")
    assert "Timeline 4 is passed over: its number is taken" in cluster.log()
    cluster.sql("INSERT INTO ledger VALUES (2)")
    assert recoverable.switch()["segment"].startswith("00000005")
    cluster.sql("INSERT INTO ledger VALUES (3)")
    recoverable.restore(target="latest", target_timeline="5", backup_label="first")
    assert cluster.value("SELECT count(*) FROM ledger") == 3
    kept = (cluster.data_directory / "pg_wal/00000002.history").read_text(encoding="utf-8")
    assert kept.startswith("pgark-wal: 00000002.history cannot be delivered: ")
    assert recoverable.switch()["segment"].startswith("00000006")
    assert {"00000005.history", "00000006.history"} <= {entry.name for entry in wal.iterdir()}
    wanted = {
        "state": "staged",
        "program": recoverable.program,
        "target": "latest",
        "target_timeline": "6",
        "check_mode": True,
    }
    assert recoverable.run("pitr_restore", **wanted)["changed"]
