# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A recovery that is fetched ahead for: where it goes, what stops it, and that its helper ends with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.archiving import PREFETCHED, Archiving
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_until

SETTINGS = {"fsync": "off", "wal_keep_size": "1GB", "log_directory": "log"}
SUMMARY = "SELECT count(*), md5(string_agg(payload, ',' ORDER BY id)) FROM kept"


@pytest.fixture
def archiving(sandbox: Sandbox, version: str) -> Iterator[Archiving]:
    """Provide a server with segments of 1 MB and a table, every change of which is in a segment of its own."""
    with sandbox.cluster(version, "prefetch", settings=SETTINGS, wal_segment_size=1) as cluster:
        subject = Archiving(cluster, "zstd")
        cluster.sql("CREATE TABLE kept (id serial, payload text)")
        yield subject


def write(archiving: Archiving, count: int) -> list[str]:
    """Write rows and finish their segment, so many times, and wait until that is archived."""
    names = []
    for _number in range(count):
        archiving.cluster.sql("INSERT INTO kept (payload) SELECT md5(random()::text) FROM generate_series(1, 10)")
        names += archiving.finish_segments(1)
    archiving.wait_for_all()
    return names


def test_prefetching_follows_every_switch_of_timeline(archiving: Archiving) -> None:
    cluster = archiving.cluster
    for timeline in (2, 3, 4):
        write(archiving, 12)
        cluster.sql("INSERT INTO kept (payload) VALUES ('in WAL that is lost')")
        archiving.lose_and_lay_out()
        archiving.recover()
        archiving.compress(["none", "lz4", "gzip"][timeline - 2])
    last = write(archiving, 12)[-1]
    assert last.startswith("00000004")
    expected = cluster.sql(SUMMARY)
    assert expected[0][0] == 4 * 120
    archiving.lose_and_lay_out()
    start = len(cluster.log())
    archiving.recover()
    assert cluster.sql(SUMMARY) == expected
    assert cluster.log()[start:].count("restored log file") > 45
    wait_until(lambda: "00000005.history" in archiving.repository.files(), message="the next timeline's history")
    archiving.assert_nothing_of_recovery_is_left()


def lay_out_paused(archiving: Archiving, settings: dict[str, str]) -> list[str]:
    """Start a recovery that these settings hold up, with segments fetched ahead; return those without a commit."""
    write(archiving, 10)
    archiving.cluster.sql("SELECT pg_create_restore_point('early')")
    names = archiving.finish_segments(150)
    archiving.wait_for_all()
    archiving.lose_and_lay_out()
    # PostgreSQL's own prefetching would read all of these segments, which have little in them, before it is held up.
    archiving.cluster.configure({**settings, "recovery_prefetch": "off"})
    archiving.cluster.start()
    wait_until(lambda: len(ready(archiving)) > 40, message="segments to be fetched ahead")
    assert len(archiving.helpers()) == 1
    return names


def ready(archiving: Archiving) -> list[str]:
    return sorted(path.name for path in archiving.wal.glob(f"{PREFETCHED}/0*"))


def promote(archiving: Archiving) -> None:
    archiving.cluster.sql("SELECT pg_promote()")
    archiving.wait_for_end_of_recovery()


ENDS: dict[str, Callable[[Archiving], None]] = {
    "promoted": promote,
    "stopped": lambda archiving: archiving.cluster.stop("fast"),
    "stopped immediately": lambda archiving: archiving.cluster.stop("immediate"),
    "killed": lambda archiving: archiving.cluster.kill(),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_helper_ends_with_the_recovery_and_keeps_no_server_from_ending(archiving: Archiving, end: str) -> None:
    pausing = {"recovery_target_name": "early", "recovery_target_action": "pause", "logging_collector": "on"}
    lay_out_paused(archiving, pausing)
    ENDS[end](archiving)
    archiving.assert_nothing_of_recovery_is_left()
    if end != "promoted":
        data = archiving.cluster.data_directory
        wait_until(lambda: not processes.working_below(data), message="the server's logger to end as well")


def test_a_repository_that_is_unmounted_in_the_middle_of_a_recovery_aborts_it(archiving: Archiving) -> None:
    cluster, repository = archiving.cluster, archiving.repository.path
    names = lay_out_paused(archiving, {"recovery_min_apply_delay": "1h"})
    fetched = ready(archiving)
    hidden = repository.with_name("unmounted")
    repository.rename(hidden)
    cluster.sandbox.directory(repository)
    cluster.configure({"recovery_min_apply_delay": "0"})
    archiving.reload()
    wait_until(lambda: cluster.pid is None, message="the server to end")
    assert "FATAL:  could not restore file" in cluster.log()
    assert "found no repository.json, expected a repository. HINT: is it mounted?" in cluster.log()
    assert archiving.has_restored(fetched[-1]), "what was fetched ahead had been verified"
    assert not archiving.has_restored(names[-1])
    assert "archive recovery complete" not in cluster.log()
    archiving.assert_nothing_of_recovery_is_left()
    repository.rmdir()
    hidden.rename(repository)
    archiving.recover()
    assert archiving.has_restored(names[-1])
    assert cluster.value("SELECT count(*) FROM kept") == 100


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


# What is done to an archived segment, how it is undone, and what the server's log says of it.
Fault = tuple[Callable[[Path], object], Callable[[Path], object], str]
FAULTS: dict[str, Fault] = {
    "corrupt": (flip_a_bit, flip_a_bit, " cannot be delivered: "),
    "cut off": (
        lambda path: (path.rename(path.with_name("x")), path.write_bytes(path.with_name("x").read_bytes()[:-1])),
        lambda path: path.with_name("x").rename(path),
        "corrupt: found ",
    ),
    "not to be read": (lambda path: path.chmod(0), lambda path: path.chmod(0o640), "Permission denied"),
    "of another name": (
        lambda path: exchange(path, path.with_name(f"{path.name[:16]}{int(path.name[16:24], 16) - 5:08X}.zst")),
        lambda path: exchange(path, path.with_name(f"{path.name[:16]}{int(path.name[16:24], 16) - 5:08X}.zst")),
        "page address",
    ),
}


def exchange(one: Path, other: Path) -> None:
    aside = one.rename(one.with_name("x"))
    other.rename(one)
    aside.rename(other)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_what_is_fetched_ahead_aborts_the_recovery_when_it_gets_there(
    archiving: Archiving, fault: str
) -> None:
    damage, repair, words = FAULTS[fault]
    names = write(archiving, 60)
    expected = archiving.cluster.sql(SUMMARY)
    archived = archiving.repository.archived(names[40], "zstd")
    archiving.lose_and_lay_out()
    damage(archived)
    log = archiving.recover_in_vain()
    assert "FATAL:  could not restore file" in log
    assert f"{archived.name}: " in log or fault == "of another name"
    assert words in log
    assert not archiving.has_restored(names[40])
    archiving.assert_nothing_of_recovery_is_left()
    repair(archived)
    archiving.recover()
    assert archiving.cluster.sql(SUMMARY) == expected


def test_nothing_behind_a_segment_that_is_missing_is_delivered(archiving: Archiving) -> None:
    names = write(archiving, 60)
    archiving.repository.archived(names[40], "zstd").unlink()
    archiving.lose_and_lay_out()
    archiving.recover()
    assert archiving.has_restored(names[39])
    assert not any(map(archiving.has_restored, names[40:]))
    assert archiving.cluster.value("SELECT count(*) FROM kept") == 400
    archiving.assert_nothing_of_recovery_is_left()
