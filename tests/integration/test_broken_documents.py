# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody has put in the place of a document is named, and is in the way of nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.recoverable import Recoverable
from tests.support.waiting import wait_until

DEEP = '{"format": 1, "label": ' + "[" * 200_000 + "]" * 200_000 + "}"


def test_a_broken_backup_is_a_defect_and_the_others_are_of_use(recoverable: Recoverable) -> None:
    recoverable.cluster.sql("CREATE TABLE ledger AS SELECT 1 AS n")
    for label in ("good", "bad"):
        recoverable.run("base_backup", label=label, compression="none")
    description = recoverable.backups / "bad" / "backup.json"
    description.unlink()
    os.mkfifo(description, 0o640)
    recoverable.owned(description)
    found = recoverable.run("backup_info", target="latest")
    assert [backup["label"] for backup in found["backups"]] == ["good"]
    [defect] = found["defects"]
    assert (defect["kind"], defect["subject"]) == ("broken", "bad")
    assert defect["text"] == f"backup 'bad' is broken: {description} is not a regular file"
    assert (found["chosen"], found["warnings"]) == ("good", [defect["text"]])
    wanted = {"state": "staged", "program": recoverable.program, "target": "latest", "check_mode": True}
    assert recoverable.run("pitr_restore", **wanted)["warnings"] == [defect["text"]]
    assert f"backup 'bad' cannot be used: {defect['text']}" in recoverable.fail(
        "pitr_restore", **wanted, backup_label="bad"
    )
    assert "there is a backup 'bad' already, which cannot be used" in recoverable.fail("base_backup", label="bad")
    recoverable.run("base_backup", label="better", compression="none")


def write(recoverable: Recoverable, path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")
    recoverable.owned(path)


def test_a_record_that_cannot_be_read_is_named_by_every_module_that_needs_it(recoverable: Recoverable) -> None:
    recoverable.run("base_backup", compression="none")
    record = recoverable.cluster.data_directory / "pgark_restore.json"
    write(recoverable, record, DEEP)
    wanted = {"state": "staged", "program": recoverable.program, "target": "latest"}
    for module, options in (("pitr_restore", wanted), ("wal_archiving", {"program": recoverable.program})):
        message = recoverable.fail(module, **options)
        assert f"{record} is not a JSON document of ours: it is nested too deeply" in message
    record.unlink()
    record.symlink_to("/dev/zero")
    assert f"{record} is a symbolic link, expected a regular file" in recoverable.fail("pitr_restore", **wanted)


def test_a_cluster_whose_segments_got_another_size_does_not_go_on_in_its_place(recoverable: Recoverable) -> None:
    cluster = recoverable.cluster
    recoverable.run("base_backup", compression="none")
    identity = (recoverable.repository / cluster.name / "cluster.json").read_text(encoding="utf-8")
    cluster.stop()
    cluster.run("pg_resetwal", "--wal-segsize=4", "-D", cluster.data_directory)
    cluster.start()
    for module, options in {
        "backup_repository": {"separate_filesystem": "ignore"},
        "wal_archiving": {"program": recoverable.program, "timeout": 0},
        "base_backup": {},
    }.items():
        message = recoverable.fail(module, **options)
        assert "this cluster has segments of 4194304 bytes" in message
        assert "HINT: pg_resetwal --wal-segsize makes WAL that does not go with what is archived" in message
    assert (recoverable.repository / cluster.name / "cluster.json").read_text(encoding="utf-8") == identity
    message = recoverable.fail("pitr_restore", state="staged", program=recoverable.program, target="immediate")
    assert "pg_resetwal has made another cluster of it" in message
    cluster.sql("SELECT pg_switch_wal()")
    wait_until(lambda: "has segment size 4194304, expected" in cluster.log(), message="pgark-wal to refuse the segment")
