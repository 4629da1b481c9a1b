# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""backup.json is believed as far as PostgreSQL's own files in the backup say the same."""

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._core.facts import check_manifest
from ansible_collections.pgark.postgres.plugins.module_utils._core.file_entry import FileEntry
from ansible_collections.pgark.postgres.plugins.module_utils._core.label import check_label
from ansible_collections.pgark.postgres.plugins.module_utils._core.manifest import Manifest, WalNeed
from ansible_collections.pgark.postgres.plugins.module_utils._core.restore_steps import CheckLabel
from ansible_collections.pgark.postgres.plugins.module_utils._core.wal import Lsn
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from tests.unit.core.examples import BACKUP

MANIFEST = Manifest(
    {"PG_VERSION": FileEntry(BACKUP.size, "ab" * 32)},
    (WalNeed(BACKUP.timeline, BACKUP.start_lsn, BACKUP.stop_lsn),),
    BACKUP.system_identifier,
)
LABEL = f"START WAL LOCATION: {BACKUP.start_lsn} (file 000000010000000000000003)\nCHECKPOINT LOCATION: 0/3000060\n"
STEP = CheckLabel("/data.restore", "monday", str(BACKUP.start_lsn), {"16385": "/srv/a\\b", "16386": "pg_tblspc/16386"})


def test_what_goes_together_is_taken() -> None:
    check_manifest(BACKUP, MANIFEST, BACKUP.manifest_sha256)
    check_manifest(BACKUP, replace(MANIFEST, system_identifier=None), BACKUP.manifest_sha256)
    check_label(STEP, LABEL, "16385 /srv/a\\\\b\n")
    check_label(replace(STEP, tablespaces={}), LABEL, "")


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
        (LABEL.replace("0/30", "0/20"), "16385 /srv/a\\\\b\n", "start 0/2000028, not 0/3000028"),
        ("", "16385 /srv/a\\\\b\n", "start none, not 0/3000028"),
        (LABEL, "", "tablespaces {}, not {'16385'"),
        (LABEL, "16385 /etc\n", "tablespaces {'16385': '/etc'}, not {'16385'"),
    ],
)
def test_another_label_or_map_is_refused_with_what_differs(label: str, tablespaces: str, text: str) -> None:
    with pytest.raises(Error, match=f"does not go with its backup_label or tablespace_map, which says {text}"):
        check_label(STEP, label, tablespaces)
