# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What archives ahead and fetches ahead dies at every one of its system calls, and PostgreSQL goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.support.archiving import Archiving
from tests.support.kill_points import KillPoints, with_kill_points
from tests.support.marks import soak
from tests.support.sandbox import Sandbox
from tests.support.soak import Share
from tests.support.waiting import wait_until

SETTINGS = {"fsync": "off", "wal_keep_size": "2GB", "wal_retrieve_retry_interval": "10ms"}
WRITE = """
    DO $$ BEGIN
        FOR segment IN 1 .. %d LOOP
            INSERT INTO kept (payload) SELECT md5(random()::text) FROM generate_series(1, 10);
            COMMIT;
            PERFORM pg_switch_wal();
        END LOOP;
    END $$
"""
SUMMARY = "SELECT count(*), md5(string_agg(payload, ',' ORDER BY id)) FROM kept"


@pytest.fixture(params=Share(__name__).of(["none", "zstd"], 1))
def archiving(request: pytest.FixtureRequest, sandbox: Sandbox, version: str) -> Iterator[Archiving]:
    """Provide a server with segments of 1 MB that keeps them all."""
    with sandbox.cluster(version, "ahead", settings=SETTINGS, wal_segment_size=1) as cluster:
        yield Archiving(cluster, request.param, with_kill_points())


@pytest.fixture
def points(archiving: Archiving) -> KillPoints:
    return KillPoints(archiving.program)


@soak
def test_a_push_that_dies_anywhere_is_made_up_for_by_the_next(
    archiving: Archiving, points: KillPoints, share: Share
) -> None:
    # A command that dies of a signal takes the archiver with it, which comes back only 10 s after its last start.
    command = archiving.cluster.value("SHOW archive_command")
    archiving.archive_by(f"({command}) || exit 1")
    names = []
    for turn, point in enumerate(share.points(6), 1):
        points.hold("push")
        names += archiving.finish_segments(3)
        points.once("push", point)
        archiving.wait_for_all()
        if len(points.killed()) < turn:
            assert point > 50, points.killed()
            break
    points.none()
    names += archiving.finish_segments(1)  # a push clears up behind the last one that was killed
    archiving.wait_for_all()
    archiving.assert_archived(names)


@soak
def test_a_get_that_dies_anywhere_aborts_the_recovery_and_the_next_one_is_whole(
    archiving: Archiving, points: KillPoints, share: Share
) -> None:
    expected = write_segments(archiving, 20)
    archiving.lose_and_lay_out()
    for turn, point in enumerate(share.points(3), 1):
        points.once("get", point)
        with contextlib.suppress(AssertionError):
            archiving.cluster.start()
        wait_until(lambda: archiving.cluster.pid is None or is_recovered(archiving), message="an end of the recovery")
        if archiving.cluster.pid is not None:
            assert point > 15, points.killed()
            break
        assert len(points.killed()) == turn, archiving.cluster.log()[-2000:]
    assert archiving.cluster.sql(SUMMARY) == expected
    archiving.assert_nothing_of_recovery_is_left()


@soak
def test_a_helper_that_dies_anywhere_is_not_missed(archiving: Archiving, points: KillPoints, share: Share) -> None:
    """A standby is given three segments at a time: the first is fetched by get, and the helper begins and ends."""
    expected = write_segments(archiving, share.length(240, 36))
    archiving.lose_and_lay_out()
    data = archiving.cluster.data_directory
    (data / "recovery.signal").rename(data / "standby.signal")
    label = (archiving.backup / "backup_label").read_text(encoding="utf-8")
    hidden = hide_all_after(label.partition("(file ")[2][:24], archiving)
    archiving.cluster.start()
    strike = share.points(6)
    for first in range(0, len(hidden), 3):
        if not points.is_set():
            points.once("helper", next(strike))
        show(hidden[first : first + 3], archiving)
        last = hidden[first : first + 3][-1]
        wait_until(lambda name=last: archiving.has_restored(name), message=f"{last} to be fetched")
    archiving.cluster.sql("SELECT pg_promote()")
    archiving.wait_for_end_of_recovery()
    assert len(points.killed()) >= share.length(30, 3), points.killed()
    assert "invalid magic number" not in archiving.cluster.log(), "a standby asks again for what is no segment"
    assert archiving.cluster.sql(SUMMARY) == expected
    archiving.assert_nothing_of_recovery_is_left()


def write_segments(archiving: Archiving, count: int) -> list[tuple[object, ...]]:
    """Have so many segments archived, each with some rows, and return what is in the table then."""
    archiving.cluster.sql("CREATE TABLE kept (id serial, payload text)")
    archiving.cluster.sql(WRITE % count)
    archiving.wait_for_all(timeout=60)
    return archiving.cluster.sql(SUMMARY)


def is_recovered(archiving: Archiving) -> bool:
    return "archive recovery complete" in archiving.cluster.log()


def hide_all_after(needed: str, archiving: Archiving) -> list[str]:
    """Move the archived segments after this one aside, and return their names in their order."""
    [directory] = archiving.repository.wal.glob("0*")
    aside = directory.with_name("aside")
    aside.mkdir()
    later = [path for path in directory.iterdir() if path.name[:24] > needed and path.suffix != ".backup"]
    for path in later:
        path.rename(aside / path.name)
    return sorted({path.name[:24] for path in later})


def show(names: list[str], archiving: Archiving) -> None:
    """Move segments back: of several the first, which recovery asks for, comes last; a checksum before its segment."""
    aside = archiving.repository.wal / "aside"
    for path in sorted(aside.iterdir(), reverse=True):
        if path.name[:24] in names:
            path.rename(aside.with_name(path.name[:16]) / path.name)
