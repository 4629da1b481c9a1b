# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in a repository is seen as it is; partial, foreign and linked things are not taken for more than that."""

import errno
import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error, InvalidValue
from ansible_collections.pgark.postgres.plugins.module_utils._host.processes import current_user
from ansible_collections.pgark.postgres.plugins.module_utils._plan.apply import carry_out
from ansible_collections.pgark.postgres.plugins.module_utils._plan.apply_files import STEPS
from ansible_collections.pgark.postgres.plugins.module_utils._repository import observe as repository
from ansible_collections.pgark.postgres.plugins.module_utils._repository import observe_catalog as catalog
from ansible_collections.pgark.postgres.plugins.module_utils._repository.layout import Layout
from ansible_collections.pgark.postgres.plugins.module_utils._repository.plan import Entry, plan_repository
from ansible_collections.pgark.postgres.plugins.module_utils._values.documents import seal
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import TimelinePath
from ansible_collections.pgark.postgres.plugins.module_utils._wal.pages import Place
from ansible_collections.pgark.postgres.plugins.module_utils._windows.segments import bring
from tests.unit.examples import IDENTITY, NOON, backup
from tests.unit.fakes import Killed, killed_at

SEGMENT = "0000000100000000000000"


def lay_out(layout: Layout) -> int:
    """Bring a repository into its wanted state, and tell how many steps that took."""
    access = (current_user(), None, 0o750)
    plan = plan_repository(layout, repository.observe(layout), IDENTITY, access, "an-id")
    for step in plan.steps:
        carry_out(step, None, STEPS)
    return len(plan.steps)


def test_a_repository_of_a_user_with_another_number_says_what_to_do(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = Entry("directory", 0o750, "998", "backup")
    monkeypatch.setattr(repository, "entry_of", lambda _path: foreign)
    monkeypatch.setattr(os, "access", lambda _path, _rights: False)
    for look in (repository.observe, repository.require):
        with pytest.raises(Error, match=r"has mode 0750 and belongs to 998:backup, so \S+ may not read it") as failure:
            look(layout)
        assert "no user of this host has the number 998: where hosts share a repository" in str(failure.value)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Provide a repository on a path with a space, with one cluster."""
    layout = Layout(str(tmp_path / "pg ark"), "main")
    lay_out(layout)
    return layout


def put(path: str, content: str = "", arrived: float = NOON.timestamp()) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).write_text(content)
    os.utime(path, (arrived, arrived))


def put_segment(layout: Layout, number: int, suffix: str = "", arrived: float = 0) -> None:
    put(layout.wal_file(f"{SEGMENT}{number:02X}") + suffix, "WAL", NOON.timestamp() + arrived)


def put_backup(layout: Layout, label: str, place: str | None = None) -> None:
    put(f"{place or layout.backup(label)}/backup.json", json.dumps(backup(label, 0, 3).sealed()))


def test_a_repository_is_laid_out_once(layout: Layout) -> None:
    assert lay_out(layout) == 0
    assert repository.require(layout) == IDENTITY
    assert repository.known_major(layout) == 17
    assert oct(os.stat(layout.wal).st_mode)[-4:] == "0750"


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("moment", range(1, 21))
def test_laying_out_can_be_killed_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int, after: bool
) -> None:
    layout = Layout(str(tmp_path / "repository"), "main")
    with killed_at(monkeypatch, moment, after), pytest.raises(Killed):
        lay_out(layout)
    lay_out(layout)
    assert repository.require(layout) == IDENTITY
    assert sorted(os.listdir(layout.directory)) == ["backup", "cluster.json", "wal"]


def test_nothing_is_seen_where_nothing_is(tmp_path: Path) -> None:
    found = repository.observe(Layout(str(tmp_path / "x"), "main"))
    assert {entry.kind for entry in found.entries.values()} == {"missing"}
    assert (found.marker, found.identity, found.foreign_content) == (None, None, False)


@pytest.mark.parametrize(
    ("name", "foreign"), [("lost+found", False), (".repository.json.1.tmp", False), ("data", True)]
)
def test_what_a_fresh_file_system_holds_is_not_foreign(tmp_path: Path, name: str, foreign: bool) -> None:
    (tmp_path / name).mkdir()
    assert repository.observe(Layout(str(tmp_path), "main")).foreign_content is foreign


def test_kinds_modes_and_owners_are_those_of_the_thing_itself(layout: Layout, tmp_path: Path) -> None:
    os.rename(layout.wal, tmp_path / "wal")
    os.symlink(tmp_path / "wal", layout.wal)
    os.rmdir(layout.backups)
    os.mkfifo(layout.backups, 0o600)
    entries = repository.observe(layout).entries
    assert [entries[path].kind for path in (layout.wal, layout.backups, layout.marker)] == ["link", "other", "file"]
    assert (entries[layout.backups].mode, entries[layout.backups].owner) == (0o600, current_user())


def test_an_unmounted_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Error, match=r"is not a repository: it has no repository.json\nHINT: if it is a mount point"):
        repository.require(Layout(str(tmp_path), "main"))


@pytest.mark.parametrize("suffix", ["", ".gz", ".lz4", ".zst"])
@pytest.mark.parametrize("room", [-1, 0])
def test_a_description_of_more_than_the_archives_can_hold_is_a_defect(layout: Layout, suffix: str, room: int) -> None:
    """It would be chosen for a target, and hide the backup that is good."""
    put_backup(layout, "good")
    factor = {"": 1, ".gz": 1032, ".lz4": 255, ".zst": 32768}[suffix]
    wide = backup("wide", 0, 3, size=1000 * factor - room)
    put(f"{layout.backup('wide')}/backup.json", json.dumps(wide.sealed()))
    put(f"{layout.backup('wide')}/base.tar{suffix}", "x" * 1000)
    for name in ("backup_manifest", "pg_wal.tar"):
        put(f"{layout.backup('wide')}/{name}", "x")
    found = catalog.read_catalog(layout)
    assert ("wide" in found.broken, found.find("wide") is None) == (room < 0, room < 0)
    assert found.find("good")


def test_a_cluster_that_is_not_there_is_refused(layout: Layout) -> None:
    with pytest.raises(Error, match="holds nothing of a cluster 'other'"):
        repository.require(Layout(layout.repository, "other"))


@pytest.mark.parametrize("mode", [0o755, 0o751, 0o752, 0o754])
@pytest.mark.parametrize("place", ["repository", "directory", "backups", "wal"])
def test_a_repository_that_is_open_to_others_is_refused(layout: Layout, place: str, mode: int) -> None:
    os.chmod(getattr(layout, place), mode)
    with pytest.raises(Error, match=f"{getattr(layout, place)} has mode {mode:04o}, expected one closed to others"):
        catalog.read_catalog(layout)


@pytest.mark.parametrize("place", ["directory", "backups", "wal"])
def test_a_linked_directory_is_refused(layout: Layout, tmp_path: Path, place: str) -> None:
    path = getattr(layout, place)
    os.rename(path, tmp_path / "moved")
    os.symlink(tmp_path / "moved", path)
    with pytest.raises(Error, match=f"{path} is a link, expected a directory"):
        catalog.read_catalog(layout)


def test_a_repository_of_another_format_is_refused(layout: Layout) -> None:
    Path(layout.marker).write_text('{"format": 2}')
    with pytest.raises(InvalidValue, match=r"repository.json has format 2, expected 1"):
        repository.require(layout)


def test_published_backups_are_listed_oldest_first_and_nothing_else(layout: Layout, tmp_path: Path) -> None:
    for number, label in ((2, "b"), (1, "a")):
        put(f"{layout.backup(label)}/backup.json", json.dumps(backup(label, number, 3).sealed()))
    put_backup(layout, "half", layout.partial("half"))
    put_backup(layout, "linked", str(tmp_path / "elsewhere"))
    os.symlink(tmp_path / "elsewhere", layout.backup("linked"))
    put(f"{layout.backups}/a-file")
    os.mkdir(layout.backup("empty"))
    assert [found.label for found in catalog.read_catalog(layout).backups] == ["a", "b"]


def test_segments_of_every_compression_are_joined_and_foreign_files_are_not(layout: Layout, tmp_path: Path) -> None:
    for number, suffix in ((3, ""), (4, ".zst"), (5, ".lz4"), (6, ".gz"), (6, ".zst"), (8, ".zst")):
        put_segment(layout, number, suffix, arrived=number)
    directory = os.path.dirname(layout.wal_file(f"{SEGMENT}07"))
    for name in (
        f"{SEGMENT}07.partial",
        f"{SEGMENT}07.tmp",
        f".{SEGMENT}07.zst.1",
        f"{SEGMENT}03.00000028.backup",
        "x",
    ):
        put(f"{directory}/{name}")
    runs = catalog.read_catalog(layout).wal
    assert [(str(run.first)[-2:], str(run.last)[-2:], run.archived.timestamp() - NOON.timestamp()) for run in runs] == [
        ("03", "06", 6.0),
        ("08", "08", 8.0),
    ]


def test_what_is_in_the_place_of_a_segment_and_no_file_is_there_to_be_refused(layout: Layout, tmp_path: Path) -> None:
    """pgark-wal stops at it, and so no other copy of the segment is of use, unless it is another form of it."""
    put_segment(layout, 3)
    directory = os.path.dirname(layout.wal_file(f"{SEGMENT}03"))
    os.symlink(f"{directory}/{SEGMENT}03", f"{directory}/{SEGMENT}04.zst")
    os.mkfifo(f"{directory}/{SEGMENT}05")
    os.mkdir(f"{directory}/{SEGMENT}06.gz")
    os.symlink(f"{directory}/{SEGMENT}03", f"{directory}/{SEGMENT}03.zst")
    found = [file for _place, file in sorted(catalog.read_catalog(layout).files.items())]
    assert [os.path.basename(file.path)[22:] for file in found] == ["03", "04.zst", "05", "06.gz"]
    for file in found[1:]:
        place = Place(repository.require(layout), TimelinePath.parse(1, ""), 4)
        problem = bring([file], place, str(tmp_path / "target")).problem
        assert problem is not None
        assert re.search(r" is (a symbolic link, expected none|not a regular file)", problem)
    os.rename(directory, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", directory)
    with pytest.raises(Error, match="0000000100000000 is a link, expected a directory"):
        catalog.read_catalog(layout)


def test_histories_are_read_where_they_are_files(layout: Layout, tmp_path: Path) -> None:
    put(f"{layout.wal}/00000002.history", "1\t0/5000000\tat restore point \udcff".encode(errors="replace").decode())
    put(f"{layout.wal}/0000000B.history.tmp", "1\t0/5000000\t")
    put(str(tmp_path / "real"), "1\t0/5000000\tx")
    os.symlink(tmp_path / "real", f"{layout.wal}/0000000A.history")
    assert list(catalog.read_catalog(layout).paths) == [2]


@pytest.mark.parametrize("suffix", ["", ".zst", ".lz4", ".gz"])
def test_a_segment_is_found_under_any_compression(layout: Layout, suffix: str) -> None:
    assert not repository.has_segment(layout, f"{SEGMENT}03")
    put_segment(layout, 3, suffix)
    assert repository.has_segment(layout, f"{SEGMENT}03")
    assert not repository.has_segment(layout, f"{SEGMENT}04")


def test_an_unfinished_segment_is_not_there(layout: Layout) -> None:
    put_segment(layout, 3, ".tmp")
    put_segment(layout, 3, ".partial")
    assert not repository.has_segment(layout, f"{SEGMENT}03")


def test_leftovers_are_the_hidden_partial_directories(layout: Layout) -> None:
    for name in (".b.partial", ".a.partial", "c.partial", ".hidden", "backup"):
        os.mkdir(f"{layout.backups}/{name}")
    assert repository.leftovers(layout) == [f"{layout.backups}/.a.partial", f"{layout.backups}/.b.partial"]


@pytest.mark.parametrize("change", [{"label": "other"}, {"system_identifier": "7309999999999999999"}])
def test_a_backup_that_was_copied_in_is_not_taken_for_the_clusters_own(layout: Layout, change: dict[str, str]) -> None:
    document = {**backup("monday", 0, 3).as_document(), **change}
    put(f"{layout.backup('monday')}/backup.json", json.dumps(seal(document)))
    found = catalog.read_catalog(layout)
    assert found.backups == ()
    assert re.search(r"monday/backup.json describes backup .*, expected 'monday' of ", found.broken["monday"])


EVIL: dict[str, Callable[[str], object]] = {
    "deeply nested": lambda path: put(path, '{"format": 1, "id": ' + "[" * 200_000 + "]" * 200_000 + "}"),
    "a list": lambda path: put(path, "[1]"),
    "half of it": lambda path: put(path, '{"format": 1, "la'),
    "empty": lambda path: put(path, ""),
    "an endless number": lambda path: put(path, '{"format": ' + "9" * 500_000 + "}"),
    "no number": lambda path: put(path, '{"format": NaN}'),
    "not UTF-8": lambda path: Path(path).write_bytes(b'{"format": 1, "id": "\xff\xfe"}'),
    "too large": lambda path: put(path, '{"format": 1, "id": "' + "x" * (1 << 20) + '"}'),
    "of another format": lambda path: put(path, '{"format": 2}'),
    "of another type": lambda path: put(path, '{"format": 1, "id": ["x"], "system_identifier": 5, "label": {}}'),
    "without a checksum": lambda path: put(path, json.dumps({"format": 1})),
    "with a flipped bit": lambda path: put(path, json.dumps(backup("monday", 0, 3).sealed() | {"size": 23_000_001})),
    "a FIFO": os.mkfifo,
    "a socket": lambda path: os.mknod(path, stat.S_IFSOCK | 0o600),
    "a directory": os.mkdir,
    "a link to what never ends": lambda path: os.symlink("/dev/zero", path),
    "a link to another file": lambda path: os.symlink("/etc/passwd", path),
}


def replaced(path: str, kind: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)
    EVIL[kind](path)


@pytest.mark.parametrize("kind", EVIL)
def test_one_bad_description_is_named_and_the_other_backups_are_there(layout: Layout, kind: str) -> None:
    for label in ("monday", "tuesday"):
        put_backup(layout, label)
    replaced(f"{layout.backup('monday')}/backup.json", kind)
    found = catalog.read_catalog(layout)
    assert [each.label for each in found.backups] == ["tuesday"]
    assert list(found.broken) == ["monday"]
    assert len(found.broken["monday"]) < 300
    assert "monday" not in found.incomplete
    assert "monday" in found.taken_labels


def test_words_of_a_repository_are_shown_on_one_line(layout: Layout) -> None:
    for name in ("a\nHINT: all is well \x1b[2J", "b\n.partial"):
        os.mkdir(f"{layout.backups}/{name}", 0o750)
    replaced_in = f"{layout.backups}/a\nHINT: all is well \x1b[2J/backup.json"
    Path(replaced_in).write_text("[]")
    found = catalog.read_catalog(layout)
    assert [*found.broken] == ["a\\nHINT: all is well \\x1b[2J"]
    assert [*found.incomplete] == ["b\\n.partial"]
    assert all(why.isprintable() for why in found.broken.values())


@pytest.mark.parametrize("place", ["marker", "identity"])
@pytest.mark.parametrize("kind", EVIL)
def test_a_repository_that_cannot_be_believed_is_refused(layout: Layout, kind: str, place: str) -> None:
    path = getattr(layout, place)
    replaced(path, kind)
    of_its_own = repository.repository_id if place == "marker" else repository.known_major
    for look in (catalog.read_catalog, repository.observe, of_its_own):
        with pytest.raises(Error, match=os.path.basename(path)):
            look(layout)


@pytest.mark.parametrize("kind", ["a FIFO", "a link to what never ends", "a directory", "too large", "of another type"])
def test_one_bad_history_file_is_named_and_the_other_timelines_are_there(layout: Layout, kind: str) -> None:
    put(f"{layout.wal}/00000002.history", "1\t0/5000000\tx")
    replaced(f"{layout.wal}/00000003.history", kind)
    found = catalog.read_catalog(layout)
    if kind != "a directory":  # which is taken for one of segments
        assert list(found.broken_histories) == [3]
        with pytest.raises(InvalidValue, match="of timeline 3 cannot be used: "):
            found.path_to(3)
    assert found.path_to(2).timeline == 2


def test_a_description_that_nobody_may_read_is_named(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    put_backup(layout, "monday")

    def refuse(path: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(catalog, "_backup", lambda path, *_rest: refuse(path))
    assert catalog.read_catalog(layout).broken == {"monday": f"{layout.backup('monday')}: Permission denied"}


def test_what_stands_for_a_file_of_a_backup_is_none(layout: Layout) -> None:
    put_backup(layout, "monday")
    for name in ("backup_manifest", "pg_wal.tar"):
        put(f"{layout.backup('monday')}/{name}")
    os.mkfifo(f"{layout.backup('monday')}/base.tar")
    assert catalog.read_catalog(layout).incomplete == {"monday": ["base.tar"]}


def test_backups_are_in_the_order_of_what_they_hold_when_the_clock_was_set_back(layout: Layout) -> None:
    for label, lsn, minutes in (("first", 3, 60), ("second", 9, 0)):
        document = {**backup(label, minutes, 3).as_document(), "start_lsn": "0/2000028", "stop_lsn": f"0/{lsn}000000"}
        put(f"{layout.backup(label)}/backup.json", json.dumps(seal(document)))
    assert [found.label for found in catalog.read_catalog(layout).backups] == ["first", "second"]


def test_a_link_is_not_taken_for_an_archived_segment(layout: Layout) -> None:
    put_segment(layout, 3)
    os.symlink(layout.wal_file(f"{SEGMENT}03"), layout.wal_file(f"{SEGMENT}04"))
    assert repository.has_segment(layout, f"{SEGMENT}03")
    assert not repository.has_segment(layout, f"{SEGMENT}04")


def test_what_is_missing_in_a_backup_is_named(layout: Layout) -> None:
    document = {**backup("monday", 0, 3).as_document(), "tablespaces": {"16385": "/srv/fast"}}
    put(f"{layout.backup('monday')}/backup.json", json.dumps(seal(document)))
    assert catalog.read_catalog(layout).incomplete == {
        "monday": ["backup_manifest", "base.tar", "16385.tar", "pg_wal.tar"]
    }
    for name in ("backup_manifest", "base.tar.zst", "16385.tar", "pg_wal.tar.gz"):
        put(f"{layout.backup('monday')}/{name}")
    assert catalog.read_catalog(layout).incomplete == {}


def test_a_backup_that_is_not_finished_is_named(layout: Layout) -> None:
    put_backup(layout, "half", layout.partial("half"))
    os.mkdir(layout.backup("empty"))
    assert catalog.read_catalog(layout).incomplete == {".half.partial": ["backup.json"], "empty": ["backup.json"]}


def test_every_segment_is_listed_with_what_tells_it_from_others(layout: Layout) -> None:
    put_segment(layout, 3, ".zst", arrived=60)
    path = layout.wal_file(f"{SEGMENT}03") + ".zst"
    found = catalog.read_catalog(layout).files[1, 3]
    assert found[:3] == (path, 3, int(NOON.timestamp() + 60) * 10**9)
    os.utime(path)
    assert catalog.read_catalog(layout).files[1, 3].state != found.state


def test_a_repository_is_told_by_its_id(layout: Layout) -> None:
    assert repository.repository_id(layout) == "an-id"


def test_a_directory_of_another_owner_is_refused() -> None:
    entry = Entry("directory", 0o750, "eve", "postgres")
    with pytest.raises(
        Error, match=r"/srv/wal belongs to eve, expected postgres, to whom the cluster's directory belongs"
    ):
        repository.check_directory("/srv/wal", entry, "postgres")
    repository.check_directory("/srv/wal", entry, "eve")
    repository.check_directory("/srv", entry, None)
