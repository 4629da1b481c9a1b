# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a timeline wrote in the segment in which it was left comes from wherever that is, and is never archived anew."""

import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import CommandFailed
from ansible_collections.pgark.postgres.plugins.module_utils._host.runner import Result
from ansible_collections.pgark.postgres.plugins.module_utils._repository.layout import Layout
from ansible_collections.pgark.postgres.plugins.module_utils._restore.apply_left_segments import place
from ansible_collections.pgark.postgres.plugins.module_utils._restore.left_segments import LeftSegment
from ansible_collections.pgark.postgres.plugins.module_utils._restore.steps import PlaceLeftSegments
from ansible_collections.pgark.postgres.plugins.module_utils._wal.names import SegmentName
from ansible_collections.pgark.postgres.plugins.module_utils._windows.forks import relation
from tests.unit.examples import IDENTITY
from tests.unit.fakes import OK, Act, FakeRunner

SIZE, PAGE = 1 << 20, 8192
LEFT = 3 * PAGE + 4000
NAME, SOURCE = (SegmentName(timeline, 0, 10) for timeline in (1, 2))
ABSENT = Result(44, "", "not in the archive")
LAYOUTS = (Layout("/srv/pgark", "main"), Layout("/srv/pgark-2", "main"))


def pages(timeline: int, filling: bytes, number: int = 10) -> bytes:
    """Make a segment of the cluster."""
    headers = (
        struct.pack("=HHIQ8xQII", 0xD116, 2, timeline, number * SIZE + at, int(IDENTITY.system_identifier), SIZE, PAGE)
        for at in range(0, SIZE, PAGE)
    )
    return b"".join(header.ljust(PAGE, filling) for header in headers)


PARENT = pages(1, b"1")
CHILD = PARENT[:LEFT] + pages(2, b"2")[LEFT:]


class Staged:
    """A staging directory, and a data directory that may have WAL which is not archived."""

    def __init__(self, top: Path) -> None:
        self.wal, self.old = top / "staging/pg_wal", top / "old/pg_wal"
        for path in (self.wal / "archive_status", self.old):
            path.mkdir(parents=True)
        self.wal.parent.chmod(0o750)
        segments = (LeftSegment(NAME, SOURCE, LEFT),)
        identity = replace(IDENTITY, wal_segment_size=SIZE)
        self.step = PlaceLeftSegments(str(self.wal.parent), segments, identity, str(self.old.parent))

    def place(self, *answers: Result | Act) -> list[str]:
        """Place it, with what pgark-wal answers; gives the names of what is there then."""
        repositories = [word for layout in LAYOUTS for word in ("--repository", layout.repository)]
        target = f"{self.wal}/{NAME}.brought"
        call = [*repositories, "--cluster", "main", "--absent-status", "44", str(SOURCE), target]
        runner = FakeRunner(*((["/opt/pgark-wal", "get", *call], answer) for answer in answers))
        place(self.step, "/opt/pgark-wal", LAYOUTS, runner)
        assert not runner.announced
        return sorted(str(path.relative_to(self.wal)) for path in self.wal.rglob("*") if path.is_file())

    def deliver(self, _directory: str | None) -> Result:
        """Do what pgark-wal does."""
        (self.wal / f"{NAME}.brought").write_bytes(CHILD)
        return OK

    @property
    def placed(self) -> bytes:
        """What is placed."""
        return (self.wal / str(NAME)).read_bytes()


@pytest.fixture
def staged(tmp_path: Path) -> Staged:
    """Provide a staging directory."""
    return Staged(tmp_path)


WHOLE = [str(NAME), f"archive_status/{NAME}.done"]


def test_it_has_what_the_timeline_wrote_and_zeros_behind_it_and_passes_for_archived(staged: Staged) -> None:
    assert staged.place(staged.deliver) == sorted(WHOLE)
    assert staged.placed == PARENT[:LEFT] + bytes(SIZE - LEFT)
    assert [(staged.wal / name).stat().st_mode & 0o777 for name in WHOLE] == [0o640, 0o640]


def test_it_is_no_other_wal_than_what_the_timeline_has_archived(staged: Staged) -> None:
    staged.place(staged.deliver)
    assert relation([staged.placed], [PARENT], 10 * SIZE, PAGE) == "begun"


def test_what_only_the_old_server_has_is_taken_from_there(staged: Staged) -> None:
    (staged.old / str(SOURCE)).write_bytes(CHILD)
    assert staged.place(ABSENT) == sorted(WHOLE)
    assert staged.placed == PARENT[:LEFT] + bytes(SIZE - LEFT)


def test_what_is_archived_and_removed_between_two_looks_is_found(staged: Staged) -> None:
    assert staged.place(ABSENT, staged.deliver) == sorted(WHOLE)


def test_what_is_nowhere_or_was_recycled_is_not_made_up(staged: Staged) -> None:
    (staged.old / str(SOURCE)).write_bytes(pages(1, b"0", number=4))
    assert staged.place(ABSENT, ABSENT) == []


def test_what_is_of_another_cluster_is_not_taken(staged: Staged) -> None:
    (staged.old / str(SOURCE)).write_bytes(CHILD)
    staged.step = replace(staged.step, identity=replace(staged.step.identity, system_identifier="1"))
    assert staged.place(ABSENT, ABSENT) == []


def test_a_clone_does_not_look_into_what_it_replaces(staged: Staged) -> None:
    (staged.old / str(SOURCE)).write_bytes(CHILD)
    staged.step = replace(staged.step, old=None)
    assert staged.place(ABSENT, ABSENT) == []


def test_what_cannot_be_read_is_told_in_the_words_of_the_program(staged: Staged) -> None:
    with pytest.raises(CommandFailed, match="ended with status 200: it is corrupt"):
        staged.place(Result(200, "", "it is corrupt"))
    assert not os.path.lexists(staged.wal / str(NAME))


def test_a_copy_that_came_with_the_backup_is_replaced(staged: Staged) -> None:
    (staged.wal / str(NAME)).write_bytes(PARENT[:PAGE] + bytes(SIZE - PAGE))
    assert staged.place(staged.deliver) == sorted(WHOLE)
    assert staged.placed == PARENT[:LEFT] + bytes(SIZE - LEFT)
