# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A data directory is taken for what it is, in every state that a crash can leave it in."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster import observe as cluster
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import (
    DataDirectory,
    Place,
    Reservation,
    RestoreRecord,
)
from ansible_collections.pgark.postgres.plugins.module_utils._errors import CommandFailed, Error
from ansible_collections.pgark.postgres.plugins.module_utils._host import mounts as host_mounts
from ansible_collections.pgark.postgres.plugins.module_utils._host.mount_table import Mounts
from ansible_collections.pgark.postgres.plugins.module_utils._host.runner import Result
from ansible_collections.pgark.postgres.plugins.module_utils._values.markers import CONTROL, HELD_CONTROL, RECORD
from ansible_collections.pgark.postgres.plugins.module_utils._values.target import Target
from tests.unit.fakes import FakeRunner
from tests.unit.synthetic import fill

IDENTIFIER = "7301234567890123456"
CONTROL_DATA = f"Database system identifier:  {IDENTIFIER}\nBytes per WAL segment:  1048576\n"
DATA = {"PG_VERSION": "17\n", CONTROL: "x"}
RECORDED = RestoreRecord(Target().as_dict(), "monday", "main", "73", "/data.before-x", complete=True)


def answering(data: Path, *results: Result) -> FakeRunner:
    return FakeRunner(*((["/bin17/pg_controldata", "-D", str(data)], result) for result in results))


def observe(data: Path, result: Result | None = None) -> DataDirectory:
    runner = answering(data.resolve(), *([] if result is None else [result]))
    found = cluster.observe_directory(str(data), "/bin17", runner)
    assert not runner.announced
    return found


def note(directory: Path, record: RestoreRecord) -> None:
    fill(directory, {RECORD: json.dumps(cluster.record_document(record))})


def inode(path: Path) -> int:
    return path.stat().st_ino


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Provide the path of a data directory that is not there."""
    return tmp_path / "pg data"


def test_a_cluster_is_known_by_its_control_file(data: Path) -> None:
    fill(data, DATA)
    found = observe(data, Result(0, CONTROL_DATA, ""))
    assert (found.kind, found.system_identifier) == ("cluster", IDENTIFIER)
    assert (found.staged, found.record, found.postmaster, found.mount_point) == (None, None, None, False)
    assert found.room.free > 0
    assert found.room.device == data.stat().st_dev
    assert (found.recovering, found.freed) == (False, {})


def test_data_is_known_under_any_name_and_told_from_what_else_has_its_inode(data: Path, tmp_path: Path) -> None:
    fill(data, DATA)
    mark = cluster.mark_of(str(data), inode(data), None)
    data.rename(tmp_path / "renamed")
    assert cluster.mark_of(f"{tmp_path}/renamed", inode(tmp_path / "renamed"), None) == mark
    others = [
        cluster.mark_of(f"{tmp_path}/renamed", inode(tmp_path / "renamed"), RECORDED),
        cluster.mark_of(f"{tmp_path}/gone", inode(tmp_path / "renamed"), None),
        cluster.mark_of(f"{tmp_path}/renamed", 1, None),
    ]
    assert len({mark, *others}) == 4


def test_a_restore_that_nobody_promoted_is_known_by_its_signal_file(data: Path) -> None:
    fill(data, {**DATA, "recovery.signal": ""})
    assert observe(data, Result(0, CONTROL_DATA, "")).recovering


@pytest.mark.parametrize("result", [Result(1, "", "could not read"), Result(0, "nothing of use", "")])
def test_a_control_file_that_cannot_be_read_makes_no_cluster(data: Path, result: Result) -> None:
    fill(data, DATA)
    found = observe(data, result)
    assert (found.kind, found.system_identifier) == ("unknown", None)


@pytest.mark.parametrize(
    ("files", "kind"),
    [({}, "empty"), ({"lost+found/x": ""}, "empty"), ({"notes.txt": ""}, "unknown"), ({"PG_VERSION": "17"}, "unknown")],
)
def test_a_directory_without_a_control_file_is_told_apart_by_its_content(
    data: Path, files: dict[str, str], kind: str
) -> None:
    data.mkdir()
    fill(data, files)
    assert observe(data).kind == kind


def note_staged(staging: Path, record: RestoreRecord) -> RestoreRecord:
    """Note a record as of the staging directory itself, and return it."""
    staging.mkdir(exist_ok=True)
    noted = replace(record, own=inode(staging))
    note(staging, noted)
    return noted


def test_what_is_missing_may_have_been_staged(data: Path) -> None:
    assert observe(data).kind == "missing"
    noted = note_staged(data.with_name("pg data.restore"), RECORDED)
    found = observe(data)
    assert (found.kind, found.staged) == ("missing", noted)


def test_a_copy_in_the_place_of_a_staging_directory_is_not_ours(data: Path) -> None:
    """A restored directory has a record in it, and somebody has copied that to be on the safe side."""
    noted = note_staged(data.with_name("pg data.restore"), RECORDED)
    note(data.with_name("pg data.restore"), replace(noted, own=noted.own + 1))
    assert observe(data).staged is None


def test_who_has_begun_a_staging_is_read_as_it_was_written(data: Path) -> None:
    run = Reservation("/data", "an id", "/srv/pgark", "1f2e3d4c", "db1", 4712, "90210", "2026-11-21T12:00:00Z")
    noted = note_staged(data.with_name("pg data.restore"), replace(RECORDED, reservation=run))
    assert observe(data).staged == noted
    assert noted.run == "1f2e3d4c"


def test_a_link_is_resolved_and_everything_else_is_beside_its_target(data: Path, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    data.symlink_to(real)
    found = observe(data)
    assert (found.path, found.real_path, found.staging) == (str(data), str(real), f"{real}.restore")


def test_a_record_counts_in_the_directory_it_was_made_for_only(data: Path) -> None:
    fill(data, DATA)
    for made_for, counts in ((inode(data), True), (inode(data) + 1, False)):
        note(data, replace(RECORDED, inode=made_for))
        record = observe(data, Result(0, CONTROL_DATA, "")).record
        assert (record is not None) is counts


def test_a_switch_before_its_last_step_is_unfinished(data: Path) -> None:
    fill(data, {"PG_VERSION": "17", HELD_CONTROL: "x"})
    assert observe(data).kind == "unknown"
    note(data, replace(RECORDED, inode=inode(data)))
    found = observe(data)
    assert (found.kind, found.system_identifier) == ("unfinished", "73")


def test_directories_outside_are_found_behind_their_links(data: Path, tmp_path: Path) -> None:
    fill(data, {**DATA, "pg_tblspc/not a link": ""})
    for name in ("wal", "a tablespace"):
        (tmp_path / name).mkdir()
    (data / "pg_wal").symlink_to(tmp_path / "wal")
    (data / "pg_tblspc/16384").symlink_to(tmp_path / "a tablespace")
    found = observe(data, Result(0, CONTROL_DATA, ""))
    assert found.wal == Place(f"{tmp_path}/wal")
    assert found.tablespaces == {"16384": Place(f"{tmp_path}/a tablespace")}


def test_wal_inside_is_no_place_of_its_own(data: Path) -> None:
    fill(data, {**DATA, "pg_wal/x": ""})
    assert observe(data, Result(0, CONTROL_DATA, "")).wal is None


def test_the_identity_comes_from_two_files(data: Path) -> None:
    assert cluster.observe_identity(str(data), "/bin17", FakeRunner()) is None
    fill(data, {"PG_VERSION": "17\n"})
    assert cluster.observe_identity(str(data), "/bin17", FakeRunner()) is None
    fill(data, DATA)
    found = cluster.observe_identity(str(data), "/bin17", answering(data, Result(0, CONTROL_DATA, "")))
    assert found is not None
    assert (found.system_identifier, found.version, found.wal_segment_size) == (IDENTIFIER, 170000, 1048576)


@pytest.mark.parametrize("text", ["", "seventeen", "9.6"])
def test_a_version_that_is_none_is_an_error(data: Path, text: str) -> None:
    assert cluster.major_version(str(data)) is None
    fill(data, {"PG_VERSION": text})
    with pytest.raises(Error, match=f"{data}/PG_VERSION does not hold a version number"):
        cluster.major_version(str(data))


def test_the_end_of_the_log_is_quoted(tmp_path: Path) -> None:
    log = tmp_path / "a log"
    log.write_bytes(b"\xff\n" + b"".join(b"line %d\n" % number for number in range(20000)))
    assert cluster.server_log(str(tmp_path), str(log), lines=2) == "line 19998\nline 19999"
    assert "no log file found" in cluster.server_log(str(tmp_path), None)
    words = r"^it failed\nthe server's log ends with:\n(line \d+\n){19}line 19999\nHINT: h$"
    with pytest.raises(CommandFailed, match=words), cluster.quoting_log(str(tmp_path), str(log)):
        raise CommandFailed("it failed", "h")


@pytest.mark.parametrize("inside", [True, False])
def test_the_log_of_the_collector_is_found(tmp_path: Path, inside: bool) -> None:
    data, name = tmp_path / "data", "log/postgresql-Sat.log" if inside else f"{tmp_path}/outside.log"
    fill(data, {"current_logfiles": f"stderr {name}\ncsvlog other.csv\n"})
    fill(data, {os.path.relpath(data / name, data): "FATAL:  oh\n"})
    assert cluster.server_log(str(data), None) == "FATAL:  oh"


def test_configuration_is_missing_when_it_lives_outside_and_its_main_file_is_not_there(tmp_path: Path) -> None:
    data, outside, link = tmp_path / "data", tmp_path / "etc", tmp_path / "link"
    outside.mkdir()
    data.mkdir()
    link.symlink_to(data)
    for inside in (None, str(data), str(link)):
        assert cluster.missing_configuration(inside, str(data)) is None
    assert cluster.missing_configuration(str(outside), str(data)) == str(outside)
    assert cluster.configuration_found(str(outside)) == []
    (outside / "postgresql.conf").touch()
    assert cluster.missing_configuration(str(outside), str(data)) is None
    assert cluster.configuration_found(str(outside)) == [f"{outside}/postgresql.conf"]


def test_a_file_in_the_place_of_a_data_directory_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a directory")
    assert observe(tmp_path / "data").kind == "unknown"


def test_what_an_outdated_staging_takes_counts_as_free(tmp_path: Path) -> None:
    record = replace(RECORDED, places=(f"{tmp_path}/outside", f"{tmp_path}/not there"))
    fill(tmp_path / "outside", {"1/2": "x" * 300})
    fill(tmp_path / "data.restore", {"base/1": "x" * 5000})
    note_staged(tmp_path / "data.restore", record)
    own = (tmp_path / "data.restore" / RECORD).stat().st_size
    assert observe(tmp_path / "data").freed == {tmp_path.stat().st_dev: 5300 + own}


def test_a_record_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """What has been added to the record since is taken for what it was then: unknown, or nothing."""
    first = ("target", "backup", "cluster", "system_identifier", "previous_directory", "places", "entries", "inode")
    document = {name: value for name, value in cluster.record_document(RECORDED).items() if name in first}
    fill(tmp_path, {RECORD: json.dumps(document)})
    assert cluster.read_record(str(tmp_path)) == replace(RECORDED, complete=False)


def test_a_tablespace_goes_beside_its_place_where_that_is_possible(tmp_path: Path) -> None:
    (tmp_path / "fast").mkdir()
    found = cluster.places({"1": f"{tmp_path}/fast", "2": f"{tmp_path}/gone/too", "3": "/proc"})
    assert found == {
        "1": Place(f"{tmp_path}/fast"),
        "2": Place(f"{tmp_path}/gone/too", confined=True),
        "3": Place("/proc", inside="/proc"),
    }


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    fill(tmp_path / "data", {RECORD: '{"target": {}}'})
    with pytest.raises(Error, match=r"data/pgark_restore\.json has no backup, expected one\nHINT: "):
        cluster.read_record(str(tmp_path / "data"))


def test_data_whose_record_is_damaged_is_looked_at_all_the_same(data: Path) -> None:
    fill(data, {**DATA, RECORD: ""})
    fill(data.with_name(f"{data.name}.restore"), {f"{RECORD}/x": ""})
    seen = observe(data, Result(0, CONTROL_DATA, ""))
    assert (seen.kind, seen.record, seen.staged) == ("cluster", None, None)
    assert [found.path for found in seen.damaged] == [f"{data}.restore/{RECORD}", f"{data}/{RECORD}"]
    assert cluster.with_damage(replace(seen, damaged=())) == seen
    assert cluster.with_damage(DataDirectory("/gone", "/gone", "unknown")).kind == "missing"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("target", []),
        ("target", {"kind": ["time"]}),
        ("backup", None),
        ("complete", "yes"),
        ("inode", -1),
        ("inode", 10**20),
        ("places", "/etc"),
        ("places", [5]),
        ("entries", {"a": "b"}),
        ("source", 5),
        ("overrides", {"port": 5}),
        ("undo_directory", ["x"]),
    ],
)
def test_a_record_of_other_types_is_refused(tmp_path: Path, field: str, value: object) -> None:
    document = {**cluster.record_document(RECORDED), field: value}
    fill(tmp_path, {RECORD: json.dumps(document)})
    with pytest.raises(Error, match=rf"{RECORD} has {field} .*, expected .*\nHINT: it was changed by hand, or damaged"):
        cluster.read_record(str(tmp_path))


@pytest.mark.parametrize("kept", ["etc/postgresql", "etc"])
def test_a_configuration_that_cannot_be_put_back_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    (tmp_path / kept).mkdir(parents=True)
    wanted = f"{tmp_path}/etc/postgresql/18/main"
    cluster.check_configuration_place(None)
    cluster.check_configuration_place(wanted)
    monkeypatch.setattr(os, "access", lambda path, _mode: path != f"{tmp_path}/{kept}")
    with pytest.raises(
        Error, match=f"{wanted} has no postgresql.conf, .* may not write to {tmp_path}/{kept}\nHINT: make"
    ):
        cluster.check_configuration_place(wanted)


def test_a_data_directory_whose_parent_cannot_be_written_to_is_known(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert observe(data).writable
    monkeypatch.setattr(os, "access", lambda path, _mode: path != str(data.parent))
    assert not observe(data).writable


def test_what_is_mounted_inside_is_seen(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Mounts(frozenset({"/", f"{data}/pg_wal", f"{data}2"}))
    monkeypatch.setattr(cluster, "mounts", lambda: found)
    monkeypatch.setattr(host_mounts, "mounts", lambda: found)
    assert observe(data).inner_mounts == (f"{data}/pg_wal",)
    data.mkdir()
    assert not observe(data).mount_point
    monkeypatch.setattr(host_mounts, "mounts", lambda: Mounts(frozenset({str(data)})))
    assert observe(data).mount_point, "a bind mount of the same file system"
