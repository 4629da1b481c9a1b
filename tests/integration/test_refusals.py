# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be restored is refused: nothing has changed afterwards, and the message says what is possible instead.

Each row is asked of a live cluster with a history of six timelines.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.history import History, options
from tests.support.ledger import Target, format_lsn
from tests.support.mounts import mounted
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox
from tests.support.scenes import SHARED_NAME
from tests.support.snapshots import Entry, tree

ASKED = Callable[[History], dict[str, Any]]
SAID = Callable[[History], list[str]]
# What a server changes by itself, whatever is asked of us: of these the names are compared, of pg_wal not even those.
SERVERS_OWN = ("base", "global", "pg_", "postmaster.")


@dataclass(frozen=True)
class Row:
    """A request, and the parts of the answer that a person needs."""

    name: str
    asked: ASKED
    said: SAID


def fixed(name: str, *said: str, **asked: str) -> Row:
    """Make a row that is the same for every history."""
    return Row(name, lambda _history: asked, lambda _history: list(said))


def aimed(name: str, timeline: int, kind: str, label: str, said: SAID, **more: str) -> Row:
    """Make a row that aims at an event, and asks for a timeline, or a backup, of its own."""
    return Row(name, lambda history: {**options(history.target(timeline, kind, label)), **more}, said)


def stop_of(label: str, what: str = "time") -> SAID:
    """Name the end of a backup as what comes nearest, by its time or its position."""
    return lambda history: [str(history.backups[label][f"stop_{what}"])]


def fork_of(timeline: int) -> SAID:
    """Name the position at which a timeline left its parent."""
    return lambda history: [format_lsn(history.forks[timeline][2]), "target_timeline="]


def every_branch(*timelines: int) -> SAID:
    """Name every timeline on which there is such a number, for numbers are given again on each."""
    return lambda _history: [f"target_timeline={timeline}" for timeline in timelines]


def end_of(history: History, timeline: int) -> Target:
    """Aim at the last transaction of a timeline, at which recovery to a time does not stop."""
    events = history.paths[timeline].events
    return Target("time", [event.time for event in events if event.ends][-1])


def end_of_point(history: History, label: str) -> int:
    """Give the position behind a restore point on timeline 4, which is how pg_create_restore_point tells it."""
    start = history.event(4, label).lsn
    return next(record for record in history.paths[4].records if record > start)


def released(history: History) -> tuple[int, int]:
    """Give a transaction, and the number that a savepoint in it had."""
    xid = history.event(6, "g in parts").xid
    assert xid is not None
    return xid, xid + 1


FORMS = [
    fixed("a bare date", "write T between date and time", target_time="2026-09-15"),
    fixed("no offset", "has no offset from UTC", "add Z for UTC", target_time="2026-09-15T14:30:00"),
    fixed("a zone by name", "expected 2026-09-15T14:30:00Z", target_time="2026-09-15T14:30:00 EDT"),
    fixed("30 February", "does not exist in the calendar", "expected 2026-", target_time="2026-02-30T14:30:00Z"),
    fixed("25 o'clock", "does not exist in the calendar", "expected 2026-", target_time="2026-09-15T25:00:00Z"),
    fixed("year 20266", "does not exist in the calendar", "expected 2026-", target_time="20266-09-15T14:30:00Z"),
    fixed("words", "is not a time with an offset", "expected 2026-", target_time="yesterday at noon"),
    fixed("no target", "no recovery target is given", "exactly one of"),
    fixed("two targets", "target_time, target_xid", "exactly one of", target_time="2026-09-15T14:30Z", target_xid="9"),
    fixed("a malformed LSN", "target_lsn '0/zz'", "such as 0/3000028", target_lsn="0/zz"),
    fixed("an xid with a letter", "target_xid '73x'", "such as 7310", target_xid="73x"),
    fixed("an xid that is never given", "target_xid '2'", "expected a number from 3", target_xid="2"),
    fixed("an empty name", "target_name ''", "expected 1 to 63 bytes", target_name=""),
    fixed("a name that is too long", "expected 1 to 63 bytes", target_name="x" * 64),
    fixed("a timeline in words", "expected latest, current or a number from 1", target="latest", target_timeline="new"),
]

BEFORE = [
    aimed("a moment before the first backup", 1, "time", "genesis", stop_of("first")),
    aimed("a position before the first backup", 1, "lsn", "genesis", stop_of("first", "lsn")),
    aimed("a transaction before the first backup", 1, "xid", "genesis", stop_of("first", "lsn")),
    aimed("a moment before the backup", 1, "time", "a last", stop_of("second"), backup_label="second"),
    aimed("a moment within the backup", 1, "time", "during 1", stop_of("second"), backup_label="second"),
    aimed("a position within the backup", 1, "lsn", "during 1", stop_of("second", "lsn"), backup_label="second"),
]

BEYOND = [
    Row(
        "after the last transaction",
        lambda history: {**options(end_of(history, 5)), "target_timeline": "5"},
        lambda history: [options(end_of(history, 5))["target_time"], "target=latest"],
    ),
    fixed("the future", "is in the future", "target=latest", target_time="2226-09-15T14:30:00Z"),
    fixed("a transaction to come", "4000000000", target_xid="4000000000"),
    fixed("a position to come", "7F/28", target_lsn="7F/28"),
    fixed("an unknown restore point", "'nosuch'", target_name="nosuch"),
    Row(
        "a savepoint that was released",
        lambda history: {"target_xid": str(released(history)[1])},
        lambda history: ["subtransaction", str(released(history)[0])],
    ),
]

ELSEWHERE = [
    aimed("a name on another branch", 4, "name", "e point", fork_of(2), target_timeline="6"),
    aimed("a transaction on two other branches", 4, "xid", "e last", every_branch(3, 4), target_timeline="1"),
    aimed("a transaction of a later timeline", 6, "xid", "g last", fork_of(6), target_timeline="3"),
    Row(
        "a backup on another branch",
        lambda _history: {"target": "latest", "backup_label": "stray"},
        lambda history: ["'stray'", *fork_of(3)(history)],
    ),
    fixed("a backup that is not there", "'nosuch'", "'first'", "'stray'", target="latest", backup_label="nosuch"),
    fixed("a timeline that is not there", "timeline 9", "1, 2, 3, 4, 5, 6", target="latest", target_timeline="9"),
    Row(
        "a name that is there twice",
        lambda _history: {"target_name": SHARED_NAME, "target_timeline": "4"},
        lambda history: [format_lsn(end_of_point(history, f"{tag} {SHARED_NAME}")) for tag in "be"],
    ),
]


@contextmanager
def untouched(history: History) -> Iterator[None]:
    """Compare the host and the repository before and after; the server must be the same, and answer."""
    cluster = history.subject.cluster
    before = picture(history), cluster.pid
    yield
    assert (picture(history), cluster.pid) == before
    assert cluster.value("SELECT NOT pg_is_in_recovery()")


def picture(history: History) -> dict[str, Entry | str]:
    """Take a picture of all that is below the cluster's home, repository included."""
    lock = f"repository/{history.subject.cluster.name}/lock"
    return {
        name: entry.kind if is_servers_own(name) else entry
        for name, entry in tree(history.subject.cluster.home).items()
        if name != lock and not name.startswith("data/pg_wal/")
    }


def is_servers_own(name: str) -> bool:
    directory, _slash, below = name.partition("/")
    return name == "server.log" or (directory == "data" and below.startswith(SERVERS_OWN))


def refuse(history: History, **asked: Any) -> str:
    """Ask for a restore of the live cluster, and return why it is refused."""
    with untouched(history):
        return history.subject.fail("pitr_restore", state="staged", program=history.subject.program, **asked)


def asked_beforehand(history: History, **asked: Any) -> str:
    """Ask what a restore would say, and return why it would be refused although the target is there."""
    answer = history.subject.run("backup_info", **asked)
    assert answer["reachable"] is True
    return str(answer["refused"])


@pytest.mark.parametrize("row", FORMS, ids=lambda row: row.name)
def test_what_is_no_target_is_refused_with_the_form_to_use(history: History, row: Row) -> None:
    told = refuse(history, **row.asked(history))
    assert not [part for part in row.said(history) if part not in told], told


@pytest.mark.parametrize("row", [*BEFORE, *BEYOND, *ELSEWHERE], ids=lambda row: row.name)
def test_what_cannot_be_restored_is_refused(history: History, row: Row) -> None:
    """Whoever asks beforehand is told the same."""
    asked, said = row.asked(history), row.said(history)
    with untouched(history):
        told = history.subject.fail("pitr_restore", state="staged", program=history.subject.program, **asked)
        answer = history.subject.run("backup_info", **asked)
    assert answer["reachable"] is False
    assert not [part for part in said if part not in told], told
    assert not [part for part in said if part not in answer["reason"]], answer["reason"]


def test_a_preview_refuses_what_the_restore_would_refuse(history: History) -> None:
    asked = {"target_name": "nosuch", "state": "staged", "program": history.subject.program}
    told = history.subject.modules.fail("pitr_restore", check_mode=True, **history.subject.options, **asked)
    assert "'nosuch'" in told["msg"]


def test_the_times_of_files_decide_nothing(history: History) -> None:
    """A copy of a repository need not keep them."""
    asked = {"target": "latest"}, options(history.target(6, "time", "g plain"))
    before = [history.subject.run("backup_info", **target) for target in asked]
    files = [path for path in history.subject.repository.rglob("*") if path.is_file()]
    times = {path: path.stat() for path in files}
    try:
        for number, path in enumerate(sorted(files, reverse=True)):
            os.utime(path, (number, number))
        after = [history.subject.run("backup_info", **target) for target in asked]
    finally:
        for path, status in times.items():
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    for answers in (before, after):
        for answer in answers:
            for run in answer["wal"]:
                run.pop("last_archived")
    assert after == before


def test_a_directory_that_is_not_the_clusters_is_not_replaced(history: History, sandbox: Sandbox) -> None:
    target = options(history.target(6, "time", "g plain"))
    with sandbox.cluster(history.subject.cluster.version, "another") as another:
        told = refuse(history, **target, data_directory=another.data_directory)
        assert "holds another cluster: its system identifier is" in told
        assert told == asked_beforehand(history, **target, data_directory=another.data_directory)
        assert another.value("SELECT 1") == 1
    home = sandbox.directory(sandbox.home / "precious")
    (home / "letter").write_text("nobody has a copy of this")
    before = tree(home)
    told = refuse(history, **target, data_directory=home)
    assert "is not a PostgreSQL data directory" in told
    assert "force: true" in told
    assert told == asked_beforehand(history, **target, data_directory=home)
    assert tree(home) == before


def test_too_little_room_is_told_with_both_figures(history: History, sandbox: Sandbox) -> None:
    """A file system of 2 MB cannot take the backup; nothing is begun there."""
    target = options(history.target(6, "time", "g plain"))
    place = sandbox.directory(sandbox.home / "small disk")
    with mounted(sandbox, place, size="2m"):
        told = refuse(history, **target, data_directory=place / "data")
        also = asked_beforehand(history, **target, data_directory=place / "data")
        assert told.partition("needed")[0] == also.partition("needed")[0]  # who restores holds a file there
        assert sandbox.run(["ls", "-A", place]).stdout == ""
    needed, free = re.search(r"(\d+) bytes\), .* are free \((\d+) bytes", told).groups()
    assert int(needed) > 4 << 20 > 2 << 20 >= int(free)
    assert "make room" in told


@dataclass(frozen=True)
class Damage:
    """Something wrong with a repository, how to bring it about and undo it, and what is said of it."""

    name: str
    bring: Callable[[Path], None]
    undo: Callable[[Path], None]
    said: str


def plant(path: Path) -> None:
    """Put a link in the place of a directory."""
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def uproot(path: Path) -> None:
    path.unlink()
    path.with_name("elsewhere").rename(path)


def give_away(path: Path) -> None:
    """Leave it to the group, so that it can still be read."""
    os.chown(path, 0, -1)


def take_back(path: Path) -> None:
    os.chown(path, path.parent.stat().st_uid, -1)


DAMAGES = [
    Damage("open to others", lambda path: path.chmod(0o755), lambda path: path.chmod(0o750), "closed to others"),
    Damage("a link", plant, uproot, "is a link, expected a directory"),
]
GIVEN_AWAY = Damage("given away", give_away, take_back, "belongs to root")


# Only root can give a directory away; the owner of the cluster's own directory is who the others have to belong to.
DAMAGED = [(damage, below) for damage in DAMAGES for below in (".", "wal", "backup")]
DAMAGED += [(GIVEN_AWAY, below) for below in ("wal", "backup") if os.getuid() == 0]


@pytest.mark.parametrize(("damage", "below"), DAMAGED, ids=lambda value: getattr(value, "name", value))
def test_a_repository_that_others_could_have_changed_is_refused_by_all(
    history: History, damage: Damage, below: str
) -> None:
    subject = history.subject
    path = Path(os.path.normpath(subject.repository / subject.cluster.name / below))
    damage.bring(path)
    try:
        with untouched(history):
            told = [subject.fail(module, **asked) for module, asked in askers(subject)]
    finally:
        damage.undo(path)
    assert all(damage.said in message and str(path) in message for message in told), told


def askers(subject: Recoverable) -> list[tuple[str, dict[str, Any]]]:
    """List what reads a repository or writes into it."""
    return [
        ("backup_info", {}),
        ("base_backup", {}),
        ("restore_point", {"switch_wal": True, "wait": True}),
        ("pitr_restore", {"state": "staged", "program": subject.program, "target": "latest"}),
        ("wal_archiving", {"program": subject.program, "verify": True}),
    ]
