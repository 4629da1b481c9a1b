# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore is staged on a real file system, killed everywhere and run again until it is done."""

import errno
import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster import staged
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import Reservation, RestoreRecord
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.observe import read_record, write_record
from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._host.runner import Result
from ansible_collections.pgark.postgres.plugins.module_utils._repository.manifest import Manifest
from ansible_collections.pgark.postgres.plugins.module_utils._repository.observe_manifest import (
    described_manifest,
    read_manifest,
    trusted_manifest,
)
from ansible_collections.pgark.postgres.plugins.module_utils._restore import staging as restore
from ansible_collections.pgark.postgres.plugins.module_utils._values.markers import CONTROL, HELD_CONTROL, RECORD
from ansible_collections.pgark.postgres.plugins.module_utils._values.target import Target
from tests.unit.examples import BACKUP
from tests.unit.fakes import OK, FakeRunner, Killed, changes_of, full, killed_at
from tests.unit.synthetic import FILES, SyntheticBackup, contents, fill

RUN = Reservation("/data", "an id", "/srv/pgark", "1f2e3d4c", "db1", 4712, "90210", "2026-11-21T12:00:00Z")
RECORDED = RestoreRecord(Target().as_dict(), "monday", "main", "73", "/data.before-x", reservation=RUN)


def as_of(staging: Path, record: RestoreRecord = RECORDED) -> RestoreRecord:
    """Return the record as it is noted in its own staging directory."""
    return replace(record, own=staging.stat().st_ino)


def test_staging_begins_with_its_record(tmp_path: Path) -> None:
    staging = tmp_path / "data.restore"
    restore.begin(str(staging), RECORDED)
    assert os.listdir(staging) == [RECORD]
    assert read_record(str(staging)) == as_of(staging)
    assert stat.S_IMODE(staging.stat().st_mode) == 0o700


def test_a_directory_that_is_not_ours_is_not_taken_for_staging(tmp_path: Path) -> None:
    fill(tmp_path, {"data.restore/precious": "x"})
    with pytest.raises(Error, match=r"data.restore is in the way: it holds 'precious' and no record"):
        restore.begin(f"{tmp_path}/data.restore", RECORDED)
    assert (tmp_path / "data.restore/precious").exists()


def stage_again(staging: str, record: RestoreRecord) -> None:
    """Begin as a plan would: what has a record is discarded first."""
    left = read_record(staging) if os.path.isdir(staging) else None
    if left is not None:
        staged.discard(staging, left.places)
    restore.begin(staging, record)


@pytest.mark.parametrize("after", [False, True])
def test_a_beginning_that_is_killed_converges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    moments = len(changes_of(monkeypatch, lambda: restore.begin(f"{tmp_path}/counted", RECORDED)))
    for moment in range(1, moments + 1):
        staging = str(tmp_path / f"{moment}.restore")
        with killed_at(monkeypatch, moment, after), pytest.raises(Killed):
            restore.begin(staging, RECORDED)
        stage_again(staging, RECORDED)
        assert os.listdir(staging) == [RECORD]
        assert read_record(staging) == as_of(Path(staging))


def test_a_record_that_another_process_was_writing_is_cleared_away(tmp_path: Path) -> None:
    fill(tmp_path, {f"data.restore/.{RECORD}.1.tmp": "{"})
    restore.begin(f"{tmp_path}/data.restore", RECORDED)
    assert os.listdir(tmp_path / "data.restore") == [RECORD]


def made_staging(tmp_path: Path, name: str) -> tuple[Path, RestoreRecord]:
    """Make a staging directory with a tablespace outside."""
    staging, outside = tmp_path / name, tmp_path / f"{name} tablespace"
    restore.begin(str(staging), replace(RECORDED, places=(str(outside),)))
    record = as_of(staging, replace(RECORDED, places=(str(outside),)))
    fill(staging, {"PG_VERSION": "17", "base/1": "x", HELD_CONTROL: "x", "pgark.before-x/PG_VERSION": "an earlier one"})
    fill(outside, {"PG_17/1": "x"})
    return staging, record


def test_staging_is_marked_complete_after_everything_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging, record = made_staging(tmp_path, "staging")
    complete = replace(record, complete=True)
    done = changes_of(monkeypatch, lambda: restore.finish(str(staging), complete, None))
    marked = next(number for number, change in enumerate(done) if change.startswith("rename "))
    for path in (*staging.rglob("*"), *Path(record.places[0]).rglob("*"), staging, Path(record.places[0])):
        assert f"fsync {path}" in done[:marked]
    entries = ("PG_VERSION", "base", "global", RECORD)
    assert read_record(str(staging)) == replace(complete, inode=staging.stat().st_ino, entries=entries)


def test_for_a_mount_point_the_record_names_the_mount_point(tmp_path: Path) -> None:
    staging, record = made_staging(tmp_path, "pgark.restore")
    restore.finish(str(staging), record, str(tmp_path))
    found = read_record(str(staging))
    assert found is not None
    assert found.inode == tmp_path.stat().st_ino


def test_finishing_that_is_killed_is_complete_or_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted, record = made_staging(tmp_path, "counted")
    moments = len(changes_of(monkeypatch, lambda: restore.finish(str(counted), record, None)))
    states = []
    for moment in range(1, moments + 1):
        staging, record = made_staging(tmp_path, f"staging {moment}")
        with killed_at(monkeypatch, moment), pytest.raises(Killed):
            restore.finish(str(staging), replace(record, complete=True), None)
        left = read_record(str(staging))
        assert left is not None
        assert left.places == record.places
        states.append(left.complete)
        stage_again(str(staging), RECORDED)
        assert os.listdir(staging) == [RECORD]
        assert not os.path.exists(record.places[0])
    assert states == [False] * (moments - 1) + [True]


@pytest.mark.parametrize("disk", [full, nullcontext])
def test_discarding_that_is_killed_never_forgets_a_directory_outside(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    disk: Callable[[pytest.MonkeyPatch], AbstractContextManager[object]],
) -> None:
    """Nor is what is left ever taken for a whole one, which it was before; also where a record cannot be written."""
    counted, record = made_staging(tmp_path, "counted")
    write_record(str(counted), replace(record, complete=True))
    with disk(monkeypatch):
        moments = len(changes_of(monkeypatch, lambda: staged.discard(str(counted), record.places)))
    assert os.listdir(counted) == [RECORD]
    assert read_record(str(counted)) == record
    for moment in range(1, moments + 1):
        staging, record = made_staging(tmp_path, f"staging {moment}")
        complete = replace(record, complete=True)
        write_record(str(staging), complete)
        whole = set(contents(staging)) | set(contents(Path(record.places[0])))
        with disk(monkeypatch), killed_at(monkeypatch, moment), pytest.raises(Killed):
            staged.discard(str(staging), record.places)
        left = read_record(str(staging))
        assert left in (record, complete)
        assert left == record or whole <= set(contents(staging)) | set(contents(Path(record.places[0])))
        stage_again(str(staging), RECORDED)
        assert os.listdir(staging) == [RECORD]
        assert not os.path.exists(record.places[0])


@pytest.fixture
def stored(tmp_path: Path) -> SyntheticBackup:
    """Provide a good backup."""
    return SyntheticBackup(tmp_path / "stored")


@pytest.fixture
def staging(tmp_path: Path) -> str:
    """Provide a staging directory that has no more than the control file under its other name."""
    fill(tmp_path / "staging", {HELD_CONTROL: FILES[CONTROL].decode()})
    return str(tmp_path / "staging")


def test_staging_is_verified_with_postgresqls_own_tool(stored: SyntheticBackup, staging: str) -> None:
    stored.archives["base"]["pgark.before-x/PG_VERSION"] = b"of an earlier restore"
    stored.write_manifest()
    digest = read_manifest(str(stored.directory))[1]
    ignored = [word for path in (CONTROL, HELD_CONTROL, RECORD, "pgark.before-x") for word in ("--ignore", path)]
    options = ["--exit-on-error", "--quiet", "--manifest-path", f"{stored.directory}/backup_manifest"]
    argv = ["/bin17/pg_verifybackup", *options, *ignored, staging]
    runner = FakeRunner((argv, OK))
    restore.verify(staging, str(stored.directory), digest, "/bin17", runner)
    assert not runner.announced
    failing = FakeRunner((argv, Result(1, "", "checksum mismatch")))
    with pytest.raises(Error, match=r"stored is not good: .* checksum mismatch\nHINT: restore from another"):
        restore.verify(staging, str(stored.directory), digest, "/bin17", failing)


def test_a_manifest_that_was_edited_is_not_believed(stored: SyntheticBackup, staging: str) -> None:
    digest = read_manifest(str(stored.directory))[1]
    stored.archives["base"]["PG_VERSION"] = b"18\n"
    stored.write_manifest()
    with pytest.raises(Error, match=r"backup_manifest was changed: its SHA-256 is .*, backup.json says"):
        restore.verify(staging, str(stored.directory), digest, "/bin17", FakeRunner())


@pytest.mark.parametrize("read", [trusted_manifest, lambda path, _digest: described_manifest(path, BACKUP)])
def test_what_is_not_the_expected_manifest_is_not_parsed(
    stored: SyntheticBackup, read: Callable[[str, str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A megabyte of JSON takes a second of a processor, and many times its size of memory."""
    parsed: list[bytes] = []
    monkeypatch.setattr(Manifest, "parse", parsed.append)
    with pytest.raises(Error, match=r"backup_manifest was changed: its SHA-256 is .*, backup.json says"):
        read(str(stored.directory), "ab" * 32)
    with (stored.directory / "backup_manifest").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(Error, match=r"backup_manifest has more than \d+ bytes, expected a smaller file\nHINT: "):
        read(str(stored.directory), "ab" * 32)
    assert not parsed


def test_a_control_file_that_differs_is_refused(stored: SyntheticBackup, staging: str) -> None:
    digest = read_manifest(str(stored.directory))[1]
    (Path(staging) / HELD_CONTROL).write_bytes(b"CONTROL" * 100)
    with pytest.raises(Error, match=r"global/pg_control of the backup differs from its manifest\nHINT: "):
        restore.verify(staging, str(stored.directory), digest, "/bin17", FakeRunner())


def test_recovery_is_configured_in_place_of_what_the_backup_had(tmp_path: Path) -> None:
    fill(tmp_path, {"postgresql.auto.conf": FILES["postgresql.auto.conf"].decode(), "tablespace_map": "16384 /old\n"})
    write_record(str(tmp_path), RECORDED)
    tablespaces = {"16384": "/new place", "16385": "/back\\slash"}
    restore.configure(str(tmp_path), {"restore_command": "get '%f'"}, {"work_mem": "8MB", "port": "1"}, tablespaces)
    assert read_record(str(tmp_path)) == replace(RECORDED, overrides={"work_mem": "4MB", "port": None})
    (tmp_path / RECORD).unlink()
    assert contents(tmp_path) == {
        "postgresql.auto.conf": "restore_command = 'get ''%f'''\nwork_mem = '8MB'\nport = '1'\n",
        "recovery.signal": "",
        "tablespace_map": "16384 /new place\n16385 /back\\\\slash\n",
    }


def test_without_tablespaces_there_is_no_map(tmp_path: Path) -> None:
    fill(tmp_path, {"postgresql.auto.conf": ""})
    write_record(str(tmp_path), RECORDED)
    restore.configure(str(tmp_path), {}, {}, {})
    assert sorted(os.listdir(tmp_path)) == [RECORD, "postgresql.auto.conf", "recovery.signal"]


def test_the_backups_own_map_of_tablespaces_is_not_followed(tmp_path: Path) -> None:
    fill(tmp_path, {"postgresql.auto.conf": "", "tablespace_map": "16384 /of/somebody/else\n"})
    write_record(str(tmp_path), RECORDED)
    restore.configure(str(tmp_path), {}, {}, {})
    assert not (tmp_path / "tablespace_map").exists()


def test_a_group_that_may_read_the_data_directory_may_read_what_is_written_into_it(tmp_path: Path) -> None:
    for mode, expected in ((0o750, 0o640), (0o700, 0o600)):
        tmp_path.chmod(mode)
        fill(tmp_path, {"postgresql.auto.conf": ""})
        write_record(str(tmp_path), RECORDED)
        restore.configure(str(tmp_path), {}, {}, {"16384": "/ts"})
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {expected}


def test_recovery_is_configured_where_a_link_kept_the_file_out_of_the_backup(tmp_path: Path) -> None:
    write_record(str(tmp_path), RECORDED)
    restore.configure(str(tmp_path), {"restore_command": "get"}, {}, {})
    assert (tmp_path / "postgresql.auto.conf").read_text() == "restore_command = 'get'\n"


def test_what_was_overridden_is_still_noted_when_staging_is_complete(tmp_path: Path) -> None:
    staging, record = made_staging(tmp_path, "staging")
    write_record(str(staging), replace(record, overrides={"port": "1"}))
    restore.finish(str(staging), replace(record, complete=True), None)
    found = read_record(str(staging))
    assert found is not None
    assert (found.complete, found.overrides) == (True, {"port": "1"})


def test_the_control_file_is_released_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, {HELD_CONTROL: "new"})
    wanted = [f"rename {tmp_path}/{HELD_CONTROL}", f"fsync {tmp_path}/global"]
    assert changes_of(monkeypatch, lambda: restore.release_control(str(tmp_path))) == wanted
    assert changes_of(monkeypatch, lambda: restore.release_control(str(tmp_path))) == []
    assert contents(tmp_path) == {CONTROL: "new"}


@pytest.mark.parametrize("error", [Error("not good"), OSError(errno.ENOSPC, "No space left on device")])
def test_what_cannot_be_finished_takes_no_room(tmp_path: Path, error: Exception) -> None:
    staging, record = made_staging(tmp_path, "staging")
    with pytest.raises(type(error)), staged.discarded_on_failure(str(staging)):
        raise error
    assert os.listdir(staging) == [RECORD]
    assert not os.path.exists(record.places[0])


def test_what_cannot_be_finished_goes_from_a_full_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record, which says so already, is not written again."""
    staging, _record = made_staging(tmp_path, "staging")
    with full(monkeypatch), pytest.raises(OSError, match="No space"), staged.discarded_on_failure(str(staging)):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert os.listdir(staging) == [RECORD]


def test_what_is_killed_is_left_to_the_next_run(tmp_path: Path) -> None:
    staging, _record = made_staging(tmp_path, "staging")
    with pytest.raises(Killed), staged.discarded_on_failure(str(staging)):
        raise Killed
    assert (staging / "PG_VERSION").exists()
