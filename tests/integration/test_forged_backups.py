# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup that no server can start from, with all its checksums right, is refused while the old server still runs."""

from __future__ import annotations

import json
import re
import struct
import tarfile

from ansible_collections.pgark.postgres.plugins.module_utils._cluster.control_file import checksum_offset, crc32c
from tests.support.recoverable import Recoverable
from tests.support.sealing import forge, rewrite

CONTROL = "global/pg_control"


def another_build(control: bytes) -> bytes:
    """Change the version of the catalog, which stands behind the identifier and the version of the file."""
    end = checksum_offset(control)
    begin = control[:12] + struct.pack("=I", struct.unpack_from("=I", control, 12)[0] - 1) + control[16:end]
    return begin + struct.pack("=I", crc32c(begin)) + control[end + 4 :]


def test_a_forged_backup_is_refused_before_anything_is_stopped(recoverable: Recoverable) -> None:
    cluster = recoverable.cluster
    cluster.sql("CREATE TABLE ledger AS SELECT 1 AS n")
    recoverable.run("base_backup", label="forged", compression="none")
    backup = recoverable.backups / "forged"
    good = {path: path.read_bytes() for path in backup.iterdir() if path.is_file()}
    with tarfile.open(backup / "base.tar") as archive:
        content = {each.name.removeprefix("./"): archive.extractfile(each) for each in archive if each.isreg()}
        control, label = (file.read() for file in map(content.get, (CONTROL, "backup_label")) if file is not None)
    start = re.search(rb"START WAL LOCATION: (\S+)", label)
    assert start is not None
    elsewhere = re.sub(rb"CHECKPOINT LOCATION: \S+", b"CHECKPOINT LOCATION: " + start[1], label)
    damaged = control[:100] + bytes([control[100] ^ 1]) + control[101:]
    asked = int(cluster.value("SHOW server_version_num")) >= 150000
    refused_build = "database files are incompatible with server" if asked else "catalog version"
    forged = {
        "the control file is damaged: 0 places in it hold the checksum": (CONTROL, damaged),
        refused_build: (CONTROL, another_build(control)),
        f"{CONTROL} is not in the backup": (CONTROL, None),
        f"not a checkpoint from which recovery begins at {start[1].decode()}": ("backup_label", elsewhere),
    }
    for words, (name, changed) in forged.items():
        forge(backup, name, changed)
        said = recoverable.fail("pitr_restore", state="staged", program=recoverable.program, target="latest")
        assert words in said
        assert "restore from another one with backup_label" in said
        for path, whole in good.items():
            path.write_bytes(whole)
    assert cluster.value("SELECT n FROM ledger") == 1, "the server has been running all the while"
    recoverable.restore(target="latest")
    assert cluster.value("SELECT n FROM ledger") == 1


def test_a_backup_that_cannot_be_true_hides_no_good_one(recoverable: Recoverable) -> None:
    """A description says that it is the best there is; its manifest, or the size of its archives, says otherwise."""
    recoverable.cluster.sql("CREATE TABLE ledger AS SELECT 1 AS n")
    for label in ("good", "late", "wide"):
        recoverable.run("base_backup", label=label, compression="none")
    stop = json.loads((recoverable.backups / "late/backup.json").read_text(encoding="utf-8"))["stop_lsn"]
    rewrite(recoverable.backups / "late/backup.json", stop_lsn=stop[:-2] + "FF")
    rewrite(recoverable.backups / "wide/backup.json", size=1 << 62)
    wanted = {"state": "staged", "program": recoverable.program, "check_mode": True, "target": "latest"}
    found = recoverable.run("pitr_restore", **wanted)
    unpacked = [step["text"] for step in found["steps"] if step["step"] == "UnpackBackup"]
    assert len(unpacked) == 1
    assert f"unpack {recoverable.backups}/good " in unpacked[0]
    said = {
        "late": "does not go with its backup_manifest, which says stop",
        "wide": f"tells of {1 << 62} bytes of files",
    }
    for label, words in said.items():
        assert any(f"backup '{label}' is broken: " in text and words in text for text in found["warnings"])
        assert words in recoverable.fail("pitr_restore", **wanted, backup_label=label)
    told = recoverable.run("backup_info", target="latest")
    assert told["chosen"] == "good"
