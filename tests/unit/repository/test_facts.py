# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""backup.json is believed as far as PostgreSQL's own files in the backup say the same."""

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._repository.facts import check_manifest
from ansible_collections.pgark.postgres.plugins.module_utils._repository.manifest import Manifest, WalNeed
from ansible_collections.pgark.postgres.plugins.module_utils._restore.label import (
    Label,
    check_checkpoint,
    check_control,
    check_label,
)
from ansible_collections.pgark.postgres.plugins.module_utils._restore.steps import CheckLabel
from ansible_collections.pgark.postgres.plugins.module_utils._values.file_entry import FileEntry
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn
from tests.unit.examples import BACKUP, IDENTITY

MANIFEST = Manifest(
    {
        "PG_VERSION": FileEntry(BACKUP.size, "ab" * 32),
        "backup_label": FileEntry(0, "ab" * 32),
        "global/pg_control": FileEntry(0, "ab" * 32),
    },
    (WalNeed(BACKUP.timeline, BACKUP.start_lsn, BACKUP.stop_lsn),),
    BACKUP.system_identifier,
)
LABEL = (
    f"START WAL LOCATION: {BACKUP.start_lsn} (file 000000010000000000000003)\nCHECKPOINT LOCATION: 0/3000060\n"
    "BACKUP METHOD: streamed\nBACKUP FROM: primary\nSTART TIME: 2026-11-21 12:00:00 UTC\nLABEL: monday: 1\n"
    "START TIMELINE: 1\n"
)
MAP = "16385 /srv/a\\\\b\n"
STEP = CheckLabel(
    *("/data.restore", "monday", str(BACKUP.start_lsn), {"16385": "/srv/a\\b", "16386": "pg_tblspc/16386"}),
    *(str(BACKUP.stop_lsn), (1, 2), IDENTITY),
)
CONTROL = {
    "Catalog version number": "202406281",
    "Database system identifier": BACKUP.system_identifier,
    "Database cluster state": "in production",
    "Latest checkpoint location": "0/3000060",
    "Latest checkpoint's REDO location": "0/3000028",
    "Latest checkpoint's TimeLineID": "1",
}
RECORD = (
    "rmgr: XLOG        len (rec/tot):    114/   114, tx:          0, lsn: 0/03000060, prev 0/03000028, desc: "
    "CHECKPOINT_ONLINE redo 0/3000028; tli 1; prev tli 1\n"
)


def test_what_goes_together_is_taken() -> None:
    check_manifest(BACKUP, MANIFEST, BACKUP.manifest_sha256)
    check_manifest(BACKUP, replace(MANIFEST, system_identifier=None), BACKUP.manifest_sha256)
    check_label(replace(STEP, tablespaces={}), LABEL, "")
    label = check_label(STEP, LABEL, MAP)
    assert label == Label(BACKUP.start_lsn, Lsn(0x3000060), 1, "primary")
    check_control(STEP, label, "17\n", CONTROL)
    standby = check_label(STEP, LABEL.replace("primary", "standby"), MAP)
    assert check_label(STEP, LABEL.replace("primary", "master"), MAP).origin == "master", "as PostgreSQL 13 says"
    check_control(STEP, standby, "17\n", {**CONTROL, "Database cluster state": "in archive recovery"})
    check_checkpoint(STEP, label, RECORD)
    check_checkpoint(STEP, label, RECORD.replace("ONLINE", "SHUTDOWN"))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"start_lsn": Lsn(0x2000028)}, "start 0/3000028, not 0/2000028"),
        ({"stop_lsn": Lsn(0x4000028)}, "stop 0/3000158, not 0/4000028"),
        ({"timeline": 2}, "timeline 1, not 2"),
        ({"size": 5}, "size 23000000, not 5"),
        ({"system_identifier": "73"}, "system identifier 7301234567890123456, not 73"),
        ({"manifest_sha256": "cd" * 32}, f"SHA-256 {'ab' * 32}, not {'cd' * 32}"),
    ],
)
def test_another_manifest_is_refused_with_what_differs(change: dict[str, Any], text: str) -> None:
    with pytest.raises(Error, match=rf"'monday' does not go with its backup_manifest, which says {text}\nHINT: "):
        check_manifest(replace(BACKUP, **change), MANIFEST, BACKUP.manifest_sha256)


@pytest.mark.parametrize(
    ("label", "tablespaces", "text"),
    [
        (LABEL.replace("0/30", "0/20"), MAP, "start 0/2000028, not 0/3000028"),
        (LABEL.replace("file 00000001", "file 00000002"), MAP, "segment 000000020000000000000003, not 000000010"),
        (LABEL.replace("0/3000060", "0/2000060"), MAP, "checkpoint 0/2000060, not one from 0/3000028 to 0/3000158"),
        (LABEL.replace("0/3000060", "FF/3000060"), MAP, "checkpoint FF/3000060, not one from 0/3000028 to 0/3000158"),
        (LABEL.replace("streamed", "pg_start_backup"), MAP, "method pg_start_backup, not streamed"),
        (LABEL.replace("primary", "both"), MAP, "origin both, not primary or standby"),
        (LABEL.replace("TIMELINE: 1", "TIMELINE: 2"), MAP, "timeline 2, not 1"),
        (LABEL + "INCREMENTAL FROM LSN: 0/2000028\n", MAP, "more INCREMENTAL FROM LSN: 0/2000028"),
        (LABEL, "", "tablespaces {}, not {'16385'"),
        (LABEL, "16385 /etc\n", "tablespaces {'16385': '/etc'}, not {'16385'"),
    ],
)
def test_another_label_or_map_is_refused_with_what_differs(label: str, tablespaces: str, text: str) -> None:
    with pytest.raises(Error, match=f"does not go with its backup_label or tablespace_map, which says {text}"):
        check_label(STEP, label, tablespaces)


@pytest.mark.parametrize("label", ["", LABEL[1:], LABEL.partition("BACKUP FROM")[0], "\0" * 10_000, "\x1b[2J" * 10_000])
def test_what_is_no_label_is_refused(label: str) -> None:
    with pytest.raises(Error, match=r"go with its backup_label, which says .*, not what PostgreSQL writes") as refused:
        check_label(STEP, label, MAP)
    assert len(refused.value.message) < 300


@pytest.mark.parametrize(
    ("version", "change", "text"),
    [
        ("16\n", {}, "major version 16, not 17"),
        ("", {}, "major version , not 17"),
        ("17\n", {"Database system identifier": "73"}, "system identifier 73, not 7301234567890123456"),
        ("17\n", {"Database cluster state": "shut down"}, "state shut down, not in production"),
        ("17\n", {"Database cluster state": "in archive recovery"}, "state in archive recovery, not in production"),
        ("17\n", {"Latest checkpoint's TimeLineID": "3"}, "timeline 3, not one from 1 to 2"),
        ("17\n", {"Latest checkpoint location": "0/0"}, "checkpoint 0/0, not one from 0/3000028 to 0/3000158"),
        ("17\n", {"Latest checkpoint's REDO location": "9/0"}, "redo 9/0, not one from 0/3000028 to 0/3000158"),
    ],
)
def test_a_control_file_of_another_time_version_or_cluster_is_refused(
    version: str, change: dict[str, str], text: str
) -> None:
    with pytest.raises(Error, match=f"does not go with its PG_VERSION or global/pg_control, which says {text}"):
        check_control(STEP, check_label(STEP, LABEL, MAP), version, CONTROL | change)


def test_a_server_that_cannot_be_asked_takes_one_version_of_the_catalog() -> None:
    step, label = replace(STEP, identity=replace(IDENTITY, version=140000)), check_label(STEP, LABEL, MAP)
    check_control(step, label, "14\n", CONTROL | {"Catalog version number": "202107181"})
    with pytest.raises(Error, match="says catalog version 202406281, not 202107181"):
        check_control(step, label, "14\n", CONTROL)


@pytest.mark.parametrize(
    "record",
    [
        "",
        "pg_waldump: fatal: could not find a valid record after 0/3000060",
        RECORD.replace("lsn: 0/03000060", "lsn: 0/03000090"),
        RECORD.replace("redo 0/3000028", "redo 0/2000028"),
        RECORD.replace("CHECKPOINT_ONLINE", "NOOP"),
    ],
)
def test_a_backup_without_the_checkpoint_that_its_label_names_is_refused(record: str) -> None:
    with pytest.raises(Error, match=r"WAL, which says .* at 0/3000060, not a checkpoint from .* at 0/3000028"):
        check_checkpoint(STEP, check_label(STEP, LABEL, MAP), record)


@pytest.mark.parametrize("name", MANIFEST.files)
def test_a_backup_without_what_a_server_starts_from_is_refused(name: str) -> None:
    files = {path: entry for path, entry in MANIFEST.files.items() if path != name}
    with pytest.raises(Error, match=f"the backup_manifest of backup 'monday' lists no {name}"):
        check_manifest(BACKUP, replace(MANIFEST, files=files), BACKUP.manifest_sha256)
