# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A manifest is read whole or refused, and every difference from it is named."""

import json
from typing import Any

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import InvalidValue
from ansible_collections.pgark.postgres.plugins.module_utils._repository.manifest import Manifest, WalNeed, compare
from ansible_collections.pgark.postgres.plugins.module_utils._values.file_entry import FileEntry
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn
from tests.unit.examples import MB

FILE = {"Path": "base/1/1259", "Size": 8192, "Checksum-Algorithm": "SHA256", "Checksum": "aa" * 32}
ENCODED = {"Encoded-Path": "62ff2f61", "Size": 3, "Checksum-Algorithm": "SHA256", "Checksum": "bb" * 32}
RANGE = {"Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100"}


def document(**changes: Any) -> dict[str, Any]:
    return {"PostgreSQL-Backup-Manifest-Version": 2, "Files": [FILE, ENCODED], "WAL-Ranges": [RANGE], **changes}


def test_files_and_wal_are_read() -> None:
    manifest = Manifest.parse(json.dumps(document()).encode())
    assert manifest.files == {"base/1/1259": FileEntry(8192, "aa" * 32), "b\udcff/a": FileEntry(3, "bb" * 32)}
    assert manifest.wal == (WalNeed(1, Lsn(0x2000028), Lsn(0x2000100)),)
    assert manifest.size == 8195


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        json.dumps({}),
        json.dumps(document(Files=[])),
        json.dumps(document(Files=None)),
        json.dumps(document(**{"WAL-Ranges": []})),
        json.dumps(document(Files=[{"Size": 1}])),
        json.dumps(document(Files=[{**FILE, "Size": "many"}])),
        json.dumps(document(Files=[{**FILE, "Checksum-Algorithm": "CRC32C"}])),
        json.dumps(document(Files=[{"Path": "x", "Size": 1}])),
        json.dumps(document(Files=[{**ENCODED, "Encoded-Path": "zz"}])),
        json.dumps(document(Files=["base/1/1259"])),
        json.dumps(document(Files=[{**FILE, "Size": -1}])),
        json.dumps(document(Files=[{**FILE, "Size": True}])),
        json.dumps(document(Files=[{**FILE, "Path": 5}])),
        json.dumps(document(Files=[{**FILE, "Path": "a\0b"}])),
        json.dumps(document(Files=[{**FILE, "Checksum": None}])),
        json.dumps(document(**{"WAL-Ranges": [{**RANGE, "Timeline": "1"}]})),
        json.dumps(document(**{"WAL-Ranges": [{**RANGE, "Timeline": 0}]})),
        json.dumps(document(**{"WAL-Ranges": [{**RANGE, "End-LSN": "0/1"}]})),
        json.dumps(document(**{"WAL-Ranges": [{**RANGE, "End-LSN": "FFFFFFFF/FFFFFFFF"}]})),
        json.dumps(document(**{"WAL-Ranges": [RANGE, 5]})),
        json.dumps(document())[:-20],
    ],
)
def test_a_damaged_manifest_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"the backup manifest (cannot be read|is not a JSON|holds a)"):
        Manifest.parse(text.encode())


def test_a_checksum_that_is_too_weak_is_named() -> None:
    with pytest.raises(InvalidValue, match="'base/1/1259' has a CRC32C checksum, expected SHA256"):
        Manifest.parse(json.dumps(document(Files=[{**FILE, "Checksum-Algorithm": "CRC32C"}])).encode())


@pytest.mark.parametrize(
    ("start", "end", "size", "names"),
    [
        ("0/2000028", "0/2000100", 16 * MB, ["000000030000000000000002"]),
        ("0/2000028", "0/3000000", 16 * MB, ["000000030000000000000002"]),
        ("0/2000028", "0/3000001", 16 * MB, ["000000030000000000000002", "000000030000000000000003"]),
        ("0/3000000", "0/3000100", 16 * MB, ["000000030000000000000003"]),
        (
            "0/FE000028",
            "1/1000028",
            16 * MB,
            [
                "0000000300000000000000FE",
                "0000000300000000000000FF",
                "000000030000000100000000",
                "000000030000000100000001",
            ],
        ),
        ("0/FE000028", "1/0", 16 * MB, ["0000000300000000000000FE", "0000000300000000000000FF"]),
        (
            "0/FFF00000",
            "1/100001",
            1 * MB,
            ["000000030000000000000FFF", "000000030000000100000000", "000000030000000100000001"],
        ),
        ("0/C0000028", "1/28", 1024 * MB, ["000000030000000000000003", "000000030000000100000000"]),
        ("0/80000028", "0/F0000000", 1024 * MB, ["000000030000000000000002", "000000030000000000000003"]),
    ],
)
def test_the_segments_of_a_backup_are_named_across_log_files(start: str, end: str, size: int, names: list[str]) -> None:
    assert list(WalNeed(3, Lsn.parse(start), Lsn.parse(end)).segments(size)) == names


A, B = FileEntry(1, "aa"), FileEntry(2, "bb")


@pytest.mark.parametrize(
    ("found", "problems"),
    [
        ([("a", A), ("b", B)], []),
        ([("b", B), ("a", A)], []),
        ([("a", A)], ["'b' is in the manifest but not in the backup"]),
        ([], ["'a' is in the manifest but not in the backup", "'b' is in the manifest but not in the backup"]),
        ([("a", A), ("b", B), ("c", A)], ["'c' is in the backup but not in its manifest"]),
        ([("a", FileEntry(0, "aa")), ("b", B)], ["'a' has 0 bytes, the manifest says 1"]),
        ([("a", FileEntry(1, "ff")), ("b", B)], ["'a' has another SHA-256 than the manifest says"]),
        (
            [("b", FileEntry(9, "bb")), ("c", A)],
            [
                "'b' has 9 bytes, the manifest says 2",
                "'c' is in the backup but not in its manifest",
                "'a' is in the manifest but not in the backup",
            ],
        ),
    ],
)
def test_every_difference_is_named(found: list[tuple[str, FileEntry]], problems: list[str]) -> None:
    assert compare({"a": A, "b": B}, iter(found)) == problems
