# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What does not fit is refused with what is needed and what is free, file system by file system."""

from dataclasses import replace

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import DataDirectory, Place
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._repository.manifest import Manifest, WalNeed
from ansible_collections.pgark.postgres.plugins.module_utils._restore.space import Amount, BackupSizes, check_room
from ansible_collections.pgark.postgres.plugins.module_utils._values.file_entry import FileEntry
from ansible_collections.pgark.postgres.plugins.module_utils._values.space import FreeSpace
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn
from tests.unit.examples import BACKUP, MB, SIZE

PARTS = BackupSizes(Amount(10 * MB, 20 * MB), Amount(16 * MB, 16 * MB), {"1": Amount(5 * MB, 6 * MB)})
BACKED_UP = replace(BACKUP, tablespaces={"1": "/ts/a", "2": "/ts/empty"})


def directory(data: int, wal: int | None = None, tablespace: int | None = None) -> DataDirectory:
    """Make a data directory with this many MB free, and as many on other file systems, None for the same."""
    here = FreeSpace(1, data * MB)
    there = here if tablespace is None else FreeSpace(3, tablespace * MB)
    return DataDirectory(
        *("/data", "/data", "cluster"),
        room=here,
        wal=None if wal is None else Place("/wal", room=FreeSpace(2, wal * MB)),
        tablespaces={oid: Place(f"/ts/{oid}", room=there) for oid in ("1", "2")},
    )


@pytest.mark.parametrize("found", [directory(42), directory(26, wal=16), directory(20, wal=16, tablespace=6)])
def test_what_fits_exactly_is_staged(found: DataDirectory) -> None:
    check_room(found, BACKED_UP, PARTS)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (directory(41), "/data.restore and /ts/1: 42 MB are needed (44040192 bytes), 41 MB are free (42991616 bytes)"),
        (directory(25, wal=16), "/data.restore and /ts/1: 26 MB are needed (27262976 bytes), 25 MB are free"),
        (directory(20, wal=15, tablespace=6), "/wal: 16 MB are needed (16777216 bytes), 15 MB are free"),
        (directory(36, tablespace=5), "/ts/1: 6 MB are needed (6291456 bytes), 5 MB are free (5242880 bytes)"),
        (directory(19, wal=15, tablespace=6), "19 MB are free (19922944 bytes); /wal: 16 MB are needed"),
    ],
)
def test_each_file_system_is_looked_at_by_itself(found: DataDirectory, message: str) -> None:
    with pytest.raises(Error) as caught:
        check_room(found, BACKED_UP, PARTS)
    assert message in str(caught.value)
    assert "not enough room to stage backup 'monday'" in caught.value.message
    assert "make room" in str(caught.value.hint)


def test_what_an_outdated_staging_takes_is_counted_as_free() -> None:
    check_room(replace(directory(40), freed={1: 2 * MB, 3: 9 * MB}), BACKED_UP, PARTS)
    with pytest.raises(Error, match=r"41 MB are free"):
        check_room(replace(directory(40), freed={1: MB}), BACKED_UP, PARTS)


def test_a_tablespace_in_place_takes_its_room_in_the_data_directory() -> None:
    backup = replace(BACKED_UP, tablespaces={"1": "pg_tblspc/1", "2": "/ts/empty"})
    check_room(directory(42, tablespace=0), backup, PARTS)
    with pytest.raises(Error, match=r"/data.restore: 42 MB are needed .*, 41 MB are free"):
        check_room(directory(41, tablespace=0), backup, PARTS)


def test_room_is_left_for_the_server_that_runs() -> None:
    found = replace(directory(46), room=FreeSpace(1, 46 * MB, 100 * MB), tablespaces={})
    backup = replace(BACKED_UP, tablespaces={"1": "pg_tblspc/1"})
    with pytest.raises(
        Error, match=r"42 MB are needed .*, 46 MB are free \(48234496 bytes\), of which 5 MB are left to"
    ):
        check_room(found, backup, PARTS)
    check_room(replace(found, room=FreeSpace(1, 47 * MB, 100 * MB)), backup, PARTS)


def test_what_earlier_restores_have_left_in_a_backup_takes_no_room() -> None:
    files = {path: FileEntry(4096, "") for path in ("PG_VERSION", "pgark.before-x/PG_VERSION", "pgark_restore.json")}
    assert BackupSizes.of(Manifest(files, (WalNeed(1, Lsn(SIZE), Lsn(SIZE + 1)),)), SIZE).base == Amount(4096, 4096)


def test_the_parts_are_added_up_from_the_manifest() -> None:
    sizes = {"PG_VERSION": 3, "base/1/1": 8192, "global/empty": 0, "pg_tblspc/1/PG_17/5/1": 4097}
    files = {path: FileEntry(size, "") for path, size in sizes.items()}
    manifest = Manifest(files, (WalNeed(1, Lsn(SIZE), Lsn(2 * SIZE + 1)),))
    parts = BackupSizes.of(manifest, SIZE)
    assert parts == BackupSizes(Amount(8195, 12288), Amount(2 * SIZE, 2 * SIZE), {"1": Amount(4097, 8192)}, SIZE)
    assert parts.size == 8195 + 4097 + 2 * SIZE
