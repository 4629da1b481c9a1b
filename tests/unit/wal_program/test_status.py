# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What status says about real directories, and with which exit status monitoring gets it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.snapshots import tree
from tests.unit.wal_program.harness import (
    MB,
    NAME,
    Data,
    Repository,
    assert_failed,
    in_namespace,
    load,
    push,
    run,
    segment,
    without_power_over_files,
    write_segment,
)

OLD = "000000010000000000000002"


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Provide a data directory whose first segment is complete."""
    created = Data.create(tmp_path / "data")
    write_segment(created.pg_wal, OLD)
    created.mark(OLD, "done")
    return created


def status(data: Data, *repositories: Repository, expected: int = 0, options: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what is told to machines, once people were told the same."""
    places = [word for repository in repositories for word in ("--repository", str(repository.path))]
    argv = ["status", *places, "--cluster", "main", *options, str(data.path)]
    people = run(*argv, prefix=without_power_over_files())
    done = run(*argv, "--json", prefix=without_power_over_files())
    assert (people.returncode, done.returncode, people.stderr, done.stderr) == (expected, expected, "", "")
    found: dict[str, Any] = json.loads(done.stdout)
    assert people.stdout.startswith(f"{found['status'].upper()}: ")
    assert found["status"] == ("ok", "warning", "critical")[expected]
    first = people.stdout.partition("\n")[0]
    assert all(words in first for words in found["critical"] + found["warning"])
    return found


@contextmanager
def mode_of(path: Path, mode: int) -> Iterator[None]:
    before = path.stat().st_mode
    path.chmod(mode)
    yield
    path.chmod(before)


def test_nothing_that_waits_is_fine_and_nothing_is_written(data: Data, repository: Repository) -> None:
    before = tree(data.path), tree(repository.path)
    found = status(data, repository)
    assert (found["waiting"], found["oldest_waiting"], found["critical"], found["warning"]) == (0, None, [], [])
    assert found["segment_size"] == MB
    assert found["pg_wal"]["segments"] == found["pg_wal"]["free_bytes"] // MB
    [place] = found["repositories"]
    assert (place["path"], place["problem"], place["last_archived"]) == (str(repository.path), None, None)
    assert place["segments"] > 0
    assert (tree(data.path), tree(repository.path)) == before


@pytest.mark.parametrize(
    ("age", "options", "expected"),
    [
        (5, (), 0),
        (130, (), 1),
        (700, (), 2),
        (130, ("--warning-age", "200"), 0),
        (130, ("--critical-age", "100"), 2),
        (700, ("--critical-age", "1000", "--warning-age", "800"), 0),
    ],
)
def test_the_oldest_that_waits_decides(
    data: Data, repository: Repository, age: int, options: tuple[str, ...], expected: int
) -> None:
    data.mark("000000010000000000000004", "ready", age=0)
    data.mark(NAME, "ready", age=age)
    found = status(data, repository, expected=expected, options=options)
    assert found["waiting"] == 2
    assert found["oldest_waiting"]["name"] == NAME
    assert age <= found["oldest_waiting"]["age"] <= age + 30
    assert bool(expected) == any(
        f"{NAME} has been waiting for" in text for text in found["critical"] + found["warning"]
    )


def test_archiving_that_stands_at_a_segment_of_another_server_is_critical_at_once(
    data: Data, repository: Repository, tmp_path: Path
) -> None:
    write_segment(data.pg_wal, NAME)
    data.mark(NAME, "ready")
    push(repository, data.pg_wal / NAME, compression="gzip")
    assert status(data, repository)["critical"] == [], "archived ahead, and not acknowledged yet"
    write_segment(data.pg_wal, NAME, segment(NAME, seed=1))
    found = status(data, repository, expected=2)
    assert f"{NAME}.gz is there already, and its content differs from that of {data.pg_wal / NAME}" in str(found)


def test_what_was_archived_last_and_how_fast_is_told_of_each_repository(
    data: Data, repository: Repository, tmp_path: Path
) -> None:
    second = Repository.create(tmp_path / "second")
    now = time.time()
    for number in range(1, 7):
        name = f"00000001000000000000000{number}"
        assert push(repository, write_segment(data.pg_wal, name), ["none", "zstd"][number % 2]).returncode == 0
        [archived] = [path for path in repository.wal.glob(f"*/{name}*") if path.suffix != ".sha256"]
        os.utime(archived, (now - 60 + 10 * number,) * 2)
    one, other = status(data, repository, second)["repositories"]
    assert one["last_archived"]["name"] == "000000010000000000000006"
    assert one["last_archived"]["age"] < 30
    assert one["segments_per_second"] == pytest.approx(0.1)
    assert one["bytes_per_second"] == pytest.approx(0.1 * MB)
    assert other["last_archived"] is None


def test_a_removal_elsewhere_does_not_hide_the_last_segment(data: Data, repository: Repository) -> None:
    names = [f"00000001{number:08X}00000000" for number in range(9)]
    for name in names:
        write_segment(repository.wal / name[:16], name)
    for name in names[:4]:
        (repository.archived(name)).unlink()
    assert status(data, repository)["repositories"][0]["last_archived"]["name"] == names[-1]


def broken(repository: Repository) -> dict[str, tuple[Any, tuple[str, ...]]]:
    """Give what a repository can have, and the words for it."""
    marker, home = repository.path / "repository.json", repository.path / "main"
    identity = home / "cluster.json"
    other = identity.read_text(encoding="utf-8").replace('"7', '"8')
    return {
        "not mounted": (marker.unlink, ("found no repository.json, expected a repository. HINT: is it mounted?",)),
        "gone": (lambda: repository.path.rename(home.parent.with_name("x")), ("HINT: is it mounted?",)),
        "other cluster": (lambda: identity.write_text(other), ("has system identifier 7", "expected 8")),
        "no cluster": (identity.unlink, (f"No such file or directory: {identity}",)),
        "open to all": (lambda: repository.wal.chmod(0o777), ("mode 0777", "HINT: run the role backup_repository")),
        "closed": (
            lambda: repository.wal.chmod(0o550),
            ("found mode 0550", "expected that user", "HINT: run the role"),
        ),
        "closed below": (lambda: repository.archived(NAME).parent.chmod(0o550), (f"{NAME[:16]}, expected that user",)),
        "no look": (lambda: home.chmod(0), ("Permission denied",)),
    }


@pytest.mark.parametrize("fault", ["not mounted", "gone", "other cluster", "no cluster", "open to all", "closed",
                                   "closed below", "no look"])  # fmt: skip
def test_a_repository_that_cannot_be_written_to_is_critical(
    fault: str, data: Data, repository: Repository, tmp_path: Path
) -> None:
    second = Repository.create(tmp_path / "second")
    write_segment(repository.wal / NAME[:16])
    damage, words = broken(repository)[fault]
    damage()
    found = status(data, second, repository, expected=2)
    [text] = found["critical"]
    for word in (f"{repository.path} cannot be written to: ", *words):
        assert word in text
    assert [place["problem"] is None for place in found["repositories"]] == [True, False]
    if fault in ("closed", "no look"):  # so that the directory can be removed
        (repository.path / "main").chmod(0o750)


def test_a_full_and_a_read_only_file_system_are_told(data: Data, repository: Repository) -> None:
    data.mark(NAME, "ready", age=300)
    options = f'--cluster main "{data.path}"; echo $?'
    script = f"""
        mount -t tmpfs -o size=4m,mode=0750 tmpfs "$MOUNT" && cp -a "$REPOSITORY/." "$MOUNT" || exit 9
        $PROGRAM status --repository "$MOUNT" {options}
        head -c 3800k /dev/zero > "$MOUNT/ballast"; $PROGRAM status --repository "$MOUNT" {options}
        rm "$MOUNT/ballast"; mount -o remount,ro "$MOUNT"; $PROGRAM status --repository "$MOUNT" {options}
        mount -t tmpfs -o size=7m,mode=0700 tmpfs "$DATA/pg_wal" && mkdir "$DATA/pg_wal/archive_status"
        head -c {MB} /dev/zero > "$DATA/pg_wal/{OLD}"; $PROGRAM status --repository "$REPOSITORY" {options}
    """
    done = in_namespace(script, repository, DATA=str(data.path))
    said = [line for line in done.stdout.splitlines() if line.startswith(("OK", "WARN", "CRIT")) or len(line) == 1]
    assert [line for line in said if len(line) == 1] == ["1", "2", "2", "2"], done.stdout + done.stderr
    words = [
        "mount point has room for 3 segments, expected 32",
        "free, expected room for a segment. HINT: make room",
        "cannot be written to: found a read-only file system",
        f"{data.pg_wal} has 6144 kB free, room for 6 segments, expected 32",
    ]
    for line, word in zip(said[::2], words, strict=True):
        assert word in line


def test_pg_wal_that_will_be_full_soon_is_critical_once_something_waits(
    data: Data, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = os.statvfs_result((4096, 4096, 10**6, 10**6, 200 * MB // 4096, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _path: room)
    program, now = load(), time.time()
    for number in range(3, 13):
        data.mark(f"0000000100000000000000{number:02X}", "done", age=130 - 10 * number)
    facts = program.look_at_pg_wal(str(data.path), now) | {"repositories": []}
    assert facts["pg_wal"]["segments"] == 200
    assert 1500 < facts["pg_wal"]["seconds"] < 2500
    assert program.judge(facts, 120, 600) == ([], []), "nothing waits: the server uses its segments again"
    facts["oldest_waiting"] = {"name": NAME, "age": 130}
    critical, warning = program.judge(facts, 120, 600)
    assert "room for 200 segments, for about" in critical[0]
    assert f"{NAME} has been waiting for 2 min" in warning[0]


@pytest.mark.parametrize("size", [1, 16, 1024])
def test_each_size_of_segments_is_taken_from_the_data_directory(
    size: int, tmp_path: Path, repository: Repository
) -> None:
    data = Data.create(tmp_path / "data")
    with open(data.pg_wal / OLD, "wb") as file:
        file.truncate(size * MB)
    done = run("status", *repository.options(), "--json", data.path)
    assert json.loads(done.stdout)["segment_size"] == size * MB


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: (data.pg_wal / "archive_status").rmdir(), "found no pg_wal/archive_status"),
        (lambda data: (data.pg_wal / OLD).unlink(), "found no segment in"),
        (lambda data: (data.pg_wal / OLD).write_bytes(b"x"), "found a segment of 1 bytes in"),
    ],
)
def test_what_is_no_data_directory_is_unknown(damage: Any, words: str, data: Data, repository: Repository) -> None:
    (data.pg_wal / f"archive_status/{OLD}.done").unlink()
    damage(data)
    assert_failed(run("status", *repository.options(), data.path), 3, words)


@pytest.mark.parametrize(
    "argv",
    [
        ["--json"],
        ["--json", "--cluster", "main", "/data"],
        ["--repository", "/r", "--cluster", "main"],
        ["--repository", "/r", "--cluster", "main", "/data", "/data"],
        ["--repository", "/r", "--cluster", "main", "--warning-age", "-1", "/data"],
        ["--repository", "/r", "--cluster", "main", "--critical-age", "soon", "/data"],
        ["--repository", "/r", "--cluster", "main", "--compression", "zstd", "/data"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_unknown(argv: list[str]) -> None:
    assert_failed(run("status", *argv), 3, "HINT: see pgark-wal --help")


def test_with_a_hundred_thousand_archived_only_the_latest_directories_are_listed(
    tmp_path: Path, repository: Repository
) -> None:
    data = Data.create(tmp_path / "data")
    write_segment(data.pg_wal, OLD)
    now = time.time()
    for number in range(10_000):
        (data.pg_wal / f"archive_status/00000001{number // 256:08X}{number % 256:08X}.ready").touch()
    for high in range(390):
        directory = repository.wal / f"00000001{high:08X}"
        directory.mkdir(mode=0o750)
        os.utime(directory, (now - 390 + high,) * 2)
        for low in range(256) if high >= 387 else ():
            (directory / f"00000001{high:08X}{low:08X}.zst").touch()
    listed: list[str] = []
    program = load()
    real = program.entries_of
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(program, "entries_of", lambda place: listed.append(str(place)) or real(place))
        facts = program.look_at_pg_wal(str(data.path), now)
        found = program.look_at_archive(str(repository.path), "main", facts | {"oldest_waiting": None}, now)
    assert facts["waiting"] == 10_000
    assert found["last_archived"]["name"].startswith("000000010000018")
    assert len(listed) <= 2 + 1 + 3
    assert run("status", *repository.options(), data.path).returncode in (0, 1, 2)


def test_hostile_names_make_no_second_line(data: Data, tmp_path: Path) -> None:
    (data.pg_wal / "archive_status/a\nb.ready").touch()
    lost = tmp_path / "lo\nst"
    done = run("status", "--repository", lost, "--cluster", "main", data.path)
    assert done.returncode == 2
    assert done.stdout.count("\n") == 4
    assert "a\\nb" in done.stdout


def describe_backup(repository: Repository, label: str, stop_lsn: str) -> None:
    """Write of a backup's description what counts here."""
    directory = repository.path / "main/backup" / label
    directory.mkdir(parents=True, mode=0o750)
    (directory / "backup.json").write_text(json.dumps({"format": 1, "stop_lsn": stop_lsn, "tablespaces": {}}))


def archive(repository: Repository, *names: str) -> None:
    """Put names of segments into the archive."""
    for name in names:
        place = repository.wal / name[:16] / f"{name}.zst"
        place.parent.mkdir(exist_ok=True, mode=0o750)
        place.touch()


def first_timeline(*numbers: int) -> list[str]:
    return [f"0000000100000000{number:08X}" for number in numbers]


@pytest.mark.parametrize(
    ("names", "stop_lsn", "missing"),
    [
        (first_timeline(3, 4, 5, 6), "0/300158", None),
        (first_timeline(1, 3, 4, 6), "0/300158", "000000010000000000000005"),
        (first_timeline(4, 5, 6), "0/300158", "000000010000000000000003"),
        (first_timeline(3, 5, 6), "0/500158", None),  # a new backup
        (first_timeline(3, 4, 5, 6), "0/900158", None),  # nothing of it has arrived yet
        ([*first_timeline(3, 4, 5, 6), "000000020000000000000005", "000000020000000000000006"], "0/300158", None),
        ([*first_timeline(3, 5, 6), "000000020000000000000005"], "0/300158", "000000020000000000000004"),
        (
            [*first_timeline(3, 4, 5, 6), "000000020000000000000004", "000000020000000000000006"],
            "0/300158",
            "000000020000000000000005",
        ),
    ],
)
def test_a_gap_after_the_newest_backup_is_a_warning_until_there_is_another(
    data: Data, repository: Repository, names: list[str], stop_lsn: str, missing: str | None
) -> None:
    archive(repository, *names)
    assert status(data, repository)["repositories"][0]["gap"] is None, "without a backup, there is no window at all"
    describe_backup(repository, "older", "0/100028")
    describe_backup(repository, "newest", stop_lsn)
    describe_backup(repository, "damaged", "nowhere")
    (repository.path / "main/backup/.unfinished.partial").mkdir()
    found = status(data, repository, expected=0 if missing is None else 1)
    gap = {"missing": missing, "backup": "newest"}
    assert found["repositories"][0]["gap"] == (None if missing is None else gap)
    if missing:
        assert f"{missing} is missing from {repository.path} after backup newest" in found["warning"][0]
        assert "HINT: what was archived after it can be restored once there is a new backup" in found["warning"][0]
