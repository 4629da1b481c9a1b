# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What initdb does not make is found in a data directory by its number."""

from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._host.runner import Result
from ansible_collections.pgark.postgres.plugins.module_utils._restore.new_cluster import Written
from ansible_collections.pgark.postgres.plugins.module_utils._restore.observe_new_cluster import look
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import Lsn
from tests.unit.fakes import FakeRunner
from tests.unit.synthetic import fill
from tests.unit.wal.test_records import line
from tests.unit.wal.test_users_text import record_of

CONTROL = "Latest checkpoint location:  0/1000028\nBytes per WAL segment:  16777216\n"
LINES = "rmgr: XLOG        len (rec/tot): 114/ 114, tx: 0, lsn: 0/01000028, prev 0/0, desc: CHECKPOINT_SHUTDOWN redo\n"
MADE = {"base/1/1259": "", "base/5/13573_vm": "", "base/5/PG_VERSION": "17", "global/pg_control": ""}


@pytest.mark.parametrize(
    ("there", "files", "slots"),
    [
        ({}, (), ()),
        ({"base/5/16384": ""}, ("base/5/16384",), ()),
        ({"base/5/16384.1": "", "base/5/16385_fsm": ""}, ("base/5/16384.1", "base/5/16385_fsm"), ()),
        ({"base/16384/PG_VERSION": "17"}, ("base/16384",), ()),
        ({"global/16390": ""}, ("global/16390",), ()),
        ({"pg_tblspc/16400": ""}, ("pg_tblspc/16400",), ()),
        ({"pg_replslot/standby/state": ""}, (), ("standby",)),
    ],
)
def test_what_somebody_has_made_is_found(
    tmp_path: Path, there: dict[str, str], files: tuple[str, ...], slots: tuple[str, ...]
) -> None:
    fill(tmp_path, MADE | there)
    found = look(str(tmp_path), "/pg/bin", FakeRunner(control_of(tmp_path)))
    assert (found.files, found.slots) == (files, slots)
    assert found.written == Written(whole=False), "it has no first segment"


def test_all_wal_is_read_from_the_first_segment_on(tmp_path: Path) -> None:
    fill(tmp_path, MADE | {"pg_wal/000000010000000000000001": ""})
    dump = ["/pg/bin/pg_waldump", f"--path={tmp_path}/pg_wal", "000000010000000000000001"]
    found = look(str(tmp_path), "/pg/bin", FakeRunner(control_of(tmp_path), (dump, Result(1, LINES * 3, "the end"))))
    assert found.written == Written(whole=True, last=Lsn.parse("0/1000028"))


def test_the_end_of_wal_is_not_where_somebody_says_in_a_message(tmp_path: Path) -> None:
    prefix = "x\nrmgr: XLOG len (rec/tot): 114/ 114, tx: 0, lsn: F/0, prev 0/0, desc: CHECKPOINT_SHUTDOWN redo\n"
    record = record_of("MESSAGE", prefix.encode())
    fill(tmp_path, {"PG_VERSION": "18\n", "pg_wal/000000010000000000000001": ""})
    (tmp_path / "pg_wal/000000010000000000000001").write_bytes(bytes(0x100) + record)
    message = f'MESSAGE nontransactional, prefix "{prefix}"; payload (1 bytes): 78'
    printed = LINES * 3 + line("LogicalMessage", message, "0/01000100", len(record))
    dump = ["/pg/bin/pg_waldump", f"--path={tmp_path}/pg_wal", "000000010000000000000001"]
    found = look(str(tmp_path), "/pg/bin", FakeRunner(control_of(tmp_path), (dump, Result(1, printed, "the end"))))
    assert found.written == Written(whole=True, last=Lsn.parse("0/1000100"))


def control_of(path: Path) -> tuple[list[str], Result]:
    return ["/pg/bin/pg_controldata", "-D", str(path)], Result(0, CONTROL, "")
