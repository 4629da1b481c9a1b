# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A control file is replaced so that a crash leaves the old one or the new; what is left to do is read from disk."""

import os
import stat
import struct
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._clone import identity
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.control_file import identifier_in
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import DataDirectory
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._host.runner import Result
from tests.unit.cluster.test_control_file import IDENTIFIER, control
from tests.unit.fakes import OK, FakeRunner, Killed, changes_of, killed_at

SIZE = 1 << 20
SEGMENT = "000000020000000000000007"
CONTROL_DATA = f"""Database system identifier:           {IDENTIFIER}
Database cluster state:               shut down
Latest checkpoint's TimeLineID:       2
Latest checkpoint's REDO WAL file:    {SEGMENT}
Bytes per WAL segment:                {SIZE}
"""


def data_directory(path: Path) -> Path:
    """Make what a clone that was promoted and stopped has."""
    (path / "global").mkdir(parents=True)
    (path / "global" / "pg_control").write_bytes(control())
    (path / "global" / "pg_control").chmod(0o640)
    (path / "pg_wal" / "archive_status").mkdir(parents=True)
    (path / "pg_wal" / SEGMENT).write_bytes(segment(IDENTIFIER))
    return path


def segment(identifier: str, size: int = SIZE) -> bytes:
    """Make a segment that begins with the header of a cluster."""
    return struct.pack("=HHIQIIQ", 0xD116, 2, 2, 7 * SIZE, 0, 0, int(identifier)).ljust(size, b"\0")


def identifier(data: Path) -> str:
    return identifier_in((data / "global" / "pg_control").read_bytes())


def test_the_control_file_is_written_anew_with_its_mode(tmp_path: Path) -> None:
    data = data_directory(tmp_path / "data")
    identity.change(str(data), "73")
    assert identifier(data) == identity.read_identifier(str(data)) == "73"
    assert stat.S_IMODE((data / "global" / "pg_control").stat().st_mode) == 0o640
    assert os.listdir(data / "global") == ["pg_control"]
    inode = (data / "global" / "pg_control").stat().st_ino
    identity.change(str(data), "73")
    assert (data / "global" / "pg_control").stat().st_ino == inode


def test_the_new_control_file_is_durable_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = data_directory(tmp_path / "data")
    assert changes_of(monkeypatch, lambda: identity.change(str(data), "73")) == [
        f"fsync {data}/pgark.pg_control",
        f"rename {data}/pgark.pg_control",
        f"fsync {data}",
        f"fsync {data}/global",
    ]


@pytest.mark.parametrize("after", [False, True])
def test_a_change_that_is_killed_leaves_a_whole_control_file_and_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    for moment in range(1, 5):
        data = data_directory(tmp_path / f"data {moment}")
        with killed_at(monkeypatch, moment, after), pytest.raises(Killed):
            identity.change(str(data), "73")
        assert identifier(data) in (IDENTIFIER, "73")
        assert os.listdir(data / "global") == ["pg_control"]
        identity.change(str(data), "73")
        assert identifier(data) == "73"
        assert sorted(os.listdir(data)) == ["global", "pg_wal"]


def test_a_damaged_control_file_is_left_as_it_is(tmp_path: Path) -> None:
    data = data_directory(tmp_path / "data")
    damaged = control()[:100] + b"\xff" + control()[101:]
    (data / "global" / "pg_control").write_bytes(damaged)
    with pytest.raises(Error, match="the control file is damaged"):
        identity.change(str(data), "73")
    assert (data / "global" / "pg_control").read_bytes() == damaged


def observed(data: Path, text: str = CONTROL_DATA) -> object:
    """Look at a clone; what pg_controldata says is given."""
    runner = FakeRunner((["/bin/pg_controldata", "-D", str(data)], Result(0, text, "")))
    return identity.observe_clone(DataDirectory(str(data), str(data), "cluster"), "/bin", runner)


@pytest.mark.parametrize(
    ("content", "own"),
    [
        (segment(IDENTIFIER), True),
        (segment("73"), False),
        (segment(IDENTIFIER, SIZE // 2), False),
        (bytes(SIZE), False),
        (b"", False),
        (None, False),
    ],
    ids=["whole", "of its source", "half written", "not durable", "empty", "missing"],
)
def test_whether_the_wal_is_its_own_is_read_from_the_segment_to_start_from(
    content: bytes | None, own: bool, tmp_path: Path
) -> None:
    data = data_directory(tmp_path / "data")
    if content is None:
        (data / "pg_wal" / SEGMENT).unlink()
    else:
        (data / "pg_wal" / SEGMENT).write_bytes(content)
    clone = observed(data)
    assert isinstance(clone, identity.Clone)
    assert clone.own_wal is own


@pytest.mark.parametrize(
    ("files", "history"),
    [
        ([], None),
        (["00000002.history"], "00000002.history"),
        (["00000003.history"], None),
        (["00000002.history", "archive_status/00000002.history.ready"], None),
        (["00000002.history", "archive_status/00000002.history.done"], None),
    ],
)
def test_the_history_of_the_clones_timeline_is_offered_once(
    files: list[str], history: str | None, tmp_path: Path
) -> None:
    data = data_directory(tmp_path / "data")
    for name in files:
        (data / "pg_wal" / name).touch()
    clone = observed(data)
    assert isinstance(clone, identity.Clone)
    assert clone.history == history
    if history:
        identity.offer_history(str(data), history)
        assert (data / "pg_wal/archive_status" / f"{history}.ready").read_bytes() == b""


def test_what_would_make_the_server_recover_is_seen(tmp_path: Path) -> None:
    data = data_directory(tmp_path / "data")
    (data / "recovery.signal").touch()
    clone = observed(data)
    assert isinstance(clone, identity.Clone)
    assert (clone.signals, clone.state) == (("recovery.signal",), "shut down")


def test_new_wal_is_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = data_directory(tmp_path / "data")
    runner = FakeRunner((["/bin/pg_resetwal", "-D", str(data)], OK))
    done = changes_of(monkeypatch, lambda: identity.reset_wal(str(data), "/bin", runner))
    assert done == [
        f"fsync {data}/{name}" for name in (f"pg_wal/{SEGMENT}", "pg_wal", "pg_wal/archive_status", "global")
    ]


def test_generated_identifiers_differ() -> None:
    assert identity.generate() != identity.generate()
