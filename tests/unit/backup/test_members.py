# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the archives of a backup may have in them, and where it goes."""

from __future__ import annotations

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._backup.members import (
    archives,
    check_size,
    grants_group,
    left_out,
    place_of,
)
from ansible_collections.pgark.postgres.plugins.module_utils._backup.tarheader import Member
from ansible_collections.pgark.postgres.plugins.module_utils._errors import InvalidValue
from ansible_collections.pgark.postgres.plugins.module_utils._values.markers import RECORD

SEGMENT = "000000010000000000000002"

PLACES: list[tuple[str, str, str, str | None]] = [
    ("base", "file", "PG_VERSION", "PG_VERSION"),
    ("base", "file", "base/1/1259", "base/1/1259"),
    ("base", "file", "a file..of somebody's", "a file..of somebody's"),
    ("base", "directory", "base", "base"),
    ("base", "directory", "pg_tblspc", "pg_tblspc"),
    ("base", "directory", "pg_wal", "pg_wal"),
    ("base", "directory", "pg_wal/archive_status", "pg_wal/archive_status"),
    ("base", "directory", "./pg_wal/archive_status", "pg_wal/archive_status"),
    ("base", "directory", "./pg_wal/summaries", "pg_wal/summaries"),
    ("base", "file", "global/pg_control", "global/pg_control.pgark"),
    # Links are made anew, and so is the directory of a tablespace that is in place.
    ("base", "link", "pg_tblspc/16384", None),
    ("base", "directory", "pg_tblspc/16384", None),
    # What earlier restores have left in the data directory stays in the archive.
    ("base", "file", RECORD, None),
    ("base", "directory", RECORD, None),
    ("base", "file", "pgark.rollback.json", None),
    ("base", "directory", "pgark.before-20261121T011500Z", None),
    ("base", "file", f"pgark.restore/{RECORD}", None),
    ("base", "file", f"base/{RECORD}", f"base/{RECORD}"),
    ("16384", "directory", "PG_18_202506291", "PG_18_202506291"),
    ("16384", "file", "PG_18_202506291/5/16385", "PG_18_202506291/5/16385"),
    ("pg_wal", "file", SEGMENT, SEGMENT),
    ("pg_wal", "file", "00000002.history", "00000002.history"),
    ("pg_wal", "file", f"archive_status/{SEGMENT}.done", f"archive_status/{SEGMENT}.done"),
]


@pytest.mark.parametrize(("archive", "kind", "name", "place"), PLACES)
def test_what_a_backup_has_goes_to_its_place(archive: str, kind: str, name: str, place: str | None) -> None:
    assert place_of(Member(name, kind, 0o600, 0), archive) == place


ANYWHERE = ["/etc/passwd", "../outside", "a/../../b", "./PG_VERSION", f"./{RECORD}", "a/./b", "a//b", ".", "..", "a/"]

UNFIT = [
    *((archive, "file", name) for archive in ("base", "16384", "pg_wal") for name in ANYWHERE),
    *((archive, "directory", ".") for archive in ("base", "16384", "pg_wal")),
    *(("base", "link", name) for name in ("base", "pg_wal", "pg_tblspc", RECORD, "pgark.restore", "a", "pg_tblspc/x")),
    ("base", "link", "pg_tblspc/16384/x"),
    ("base", "link", "pg_tblspc/0"),
    ("base", "file", "pg_tblspc"),
    ("base", "file", "pg_tblspc/16384"),
    ("base", "file", "pg_tblspc/16384/PG_18_202506291/5/16385"),
    ("base", "directory", "pg_tblspc/16384/PG_18_202506291"),
    ("base", "directory", "pg_tblspc/data"),
    ("base", "file", "pg_wal"),
    ("base", "file", f"pg_wal/{SEGMENT}"),
    ("base", "directory", "pg_wal/a/b"),
    ("base", "directory", "./pg_wal/a/b"),
    ("base", "directory", "./pg_wal/.."),
    ("base", "directory", "./pg_wal"),
    ("base", "file", f"./pg_wal/{SEGMENT}"),
    ("base", "link", "./pg_wal/archive_status"),
    ("base", "file", "global/pg_control.pgark"),
    ("base", "directory", "global/pg_control"),
    ("16384", "link", "PG_18_202506291"),
    ("16384", "link", "PG_18_202506291/5"),
    ("16384", "file", RECORD),
    ("16384", "file", "authorized_keys"),
    ("pg_wal", "link", SEGMENT),
    ("pg_wal", "directory", SEGMENT),
    ("pg_wal", "directory", "archive_status"),
    ("pg_wal", "file", "authorized_keys"),
    ("pg_wal", "file", RECORD),
    ("pg_wal", "file", f"{SEGMENT}.zst"),
    ("pg_wal", "file", "archive_status/authorized_keys.done"),
    ("pg_wal", "file", f"archive_status/{SEGMENT}.ready"),
]


@pytest.mark.parametrize(("archive", "kind", "name"), UNFIT)
def test_what_no_backup_has_is_refused_in_every_spelling(archive: str, kind: str, name: str) -> None:
    with pytest.raises(InvalidValue, match=r"^'.*' (is|does not|has) "):
        place_of(Member(name, kind, 0o600, 0), archive)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["base.tar", "data.tar", "pg_wal.tar"], "'data.tar' is not the name of an archive"),
        (["base.tar", "0.tar"], "'0.tar' is not"),
        (["base.tar", "base.tar.xz"], "'base.tar.xz' is not"),
        (["base.tar", ".base.tar"], "'.base.tar' is not"),
        (["base.tar", "base.tar.zst"], "two archives of one content: base.tar and base.tar.zst"),
    ],
)
def test_names_of_archives_are_those_of_pg_basebackup(names: list[str], message: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        archives(names)
    assert message in refusal.value.message


def test_a_file_has_to_be_listed_with_its_size() -> None:
    check_size("base/1", 8192, 8192)
    with pytest.raises(InvalidValue, match="'base/1' is in the backup but not in its manifest"):
        check_size("base/1", 8192, None)
    with pytest.raises(InvalidValue, match="'base/1' has 8193 bytes, the manifest says 8192"):
        check_size("base/1", 8193, 8192)


@pytest.mark.parametrize(
    ("name", "mode", "expected"),
    [("backup_label", 0o640, True), ("backup_label", 0o600, False), ("PG_VERSION", 0o640, False)],
)
def test_the_servers_own_file_tells_whether_a_group_reads(name: str, mode: int, expected: bool) -> None:
    assert grants_group(Member(name, "file", mode, 0)) == expected


def test_what_stays_out_is_named_by_its_entry() -> None:
    assert left_out(["PG_VERSION", RECORD, "pgark.before-x/a", "pgark.before-x/b", "base/1"]) == ["pgark.before-x"]
