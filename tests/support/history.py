# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that was restored five times, to one branch of its history after another, and the ledger of all of it.

    1 ──first──a──second──b─┬───┬──
                            │   └──4──e──                from what 2 had left behind
                            └──2──c─┬───stray──x─┬──
                                    │            └──5──f──
                                    └──3──d──third──y──┬
                                                       └──6──g──

Words on a line are backups, letters are scenes: the same story each time, with rows of its own. `second` is taken
while others commit; `stray` is on a branch that only 5 goes on from; 6 begins at the very end of 3.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import psycopg

from tests.support.ledger import Event, Notes, Path, State, Target, format_lsn, labelled, parse_lsn, read_wal
from tests.support.modules import Modules
from tests.support.postgres import Cluster
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox
from tests.support.scenes import TABLE, Writer, scene

SETTINGS = {
    "fsync": "off",
    "max_prepared_transactions": "4",
    "track_commit_timestamp": "on",
    "wal_keep_size": "64MB",
}
SEGMENT_MEGABYTES = 1
SCENES = {1: ("a", "b"), 2: ("c",), 3: ("d",), 4: ("e",), 5: ("f",), 6: ("g",)}
"""The scenes of each timeline."""


class History:
    """The cluster, the path to each of its timelines, and its backups.

    `forks` says of a timeline which one it left, how many of the events on the way there it kept, and at which LSN.
    """

    def __init__(self, subject: Recoverable) -> None:
        self.subject = subject
        self.paths: dict[int, Path] = {}
        self.forks: dict[int, tuple[int, int, int]] = {}
        self.backups: dict[str, dict[str, Any]] = {}

    def write(self) -> None:
        """Live through all of it."""
        self.subject.enable()
        slim(self.subject.cluster)
        self._grow(1, Path([], []), self._position(), self._first_timeline)
        self._branch(2, 1, "b between", lambda writer: self._story(writer, "c", 300, "stray"))
        self._branch(3, 2, "c while prepared", lambda writer: self._story(writer, "d", 400, "third"))
        self._branch(4, 1, "b at once 1", lambda writer: scene(writer, "e", 500))
        self._branch(5, 2, "c after stray", lambda writer: scene(writer, "f", 600))
        self._branch(6, 3, None, lambda writer: scene(writer, "g", 700))

    def event(self, timeline: int, label: str) -> Event:
        """Find an event on the path to a timeline."""
        return labelled(self.paths[timeline].events, label)

    def target(self, timeline: int, kind: str, label: str, inclusive: bool = True) -> Target:
        """Aim at an event."""
        event = self.event(timeline, label)
        value = {"time": event.time, "xid": event.xid, "name": event.name, "lsn": event.lsn}[kind]
        return Target(kind, value, inclusive)

    def state(self, timeline: int, target: Target) -> State:
        """Say what a restore has to give."""
        path = self.paths[timeline]
        return path.state(path.kept(target))

    def nearest_backup(self, timeline: int, lsn: int) -> str:
        """Name the last backup on the way to a timeline that was complete before a position."""
        branches = {timeline: lsn}
        while timeline in self.forks:
            timeline, _kept, begin = self.forks[timeline]
            branches[timeline] = min(lsn, begin)
        found = [
            (parse_lsn(backup["stop_lsn"]), label)
            for label, backup in self.backups.items()
            if parse_lsn(backup["stop_lsn"]) <= branches.get(backup["timeline"], 0)
        ]
        return max(found)[1]

    def _first_timeline(self, writer: Writer) -> None:
        self.subject.cluster.sql(TABLE)
        writer.commit("genesis", {1: "genesis"})
        self._back_up("first")
        scene(writer, "a", 100)
        self._back_up("second", lambda at: writer.commit(f"during {at}", {1000 + at: "during a backup"}))
        scene(writer, "b", 200)

    def _story(self, writer: Writer, tag: str, row: int, backup: str) -> None:
        scene(writer, tag, row)
        self._back_up(backup)
        writer.commit(f"{tag} after {backup}", {row + 20: tag})
        writer.commit(f"{tag} end", {row + 21: tag})

    def _branch(self, timeline: int, parent: int, label: str | None, write: Callable[[Writer], None]) -> None:
        """Restore the cluster to the moment of an event on its parent (no label: to the end), and go on from there."""
        path = self.paths[parent]
        target = Target("latest", None) if label is None else self.target(parent, "time", label)
        kept = path.kept(target)
        self.subject.restore(**options(target), target_timeline=str(parent))
        assert observe(self.subject.cluster.conninfo) == path.state(kept)
        begin = self._switched_at(timeline)
        self.forks[timeline] = (parent, kept, begin)
        self._grow(timeline, path.up_to(kept, begin), begin, write)

    def _grow(self, timeline: int, path: Path, begin: int, write: Callable[[Writer], None]) -> None:
        """Write, archive all of it, and add what the WAL says to the path."""
        cluster, notes = self.subject.cluster, Notes()
        writer = Writer(cluster, notes)
        for gid in path.state(len(path.events)).prepared:
            writer.finish(gid, "ROLLBACK")
        write(writer)
        self.subject.switch()
        where = ["-p", str(cluster.data_directory / "pg_wal"), "-t", str(timeline)]
        span = ["-s", format_lsn(begin), "-e", format_lsn(self._position())]
        argv = [str(cluster.bin_directory / "pg_waldump"), *where, *span]
        text = self.subject.sandbox.run(argv, environment={"TZ": "UTC"}).stdout
        self.paths[timeline] = path + read_wal(text, timeline, notes)

    def _back_up(self, label: str, meanwhile: Callable[[int], None] | None = None) -> None:
        """Take a backup, and do something over and over while it is taken."""
        with ThreadPoolExecutor(1) as executor:
            future = executor.submit(self.subject.run, "base_backup", label=label, compression="none")
            turn = 0
            while meanwhile and not future.done():
                meanwhile(turn := turn + 1)
            self.backups[label] = future.result()["backup"]

    def _position(self) -> int:
        return parse_lsn(self.subject.cluster.value("SELECT pg_current_wal_flush_lsn()::text"))

    def _switched_at(self, timeline: int) -> int:
        """Read where a timeline began: the last line of its history file."""
        file = self.subject.cluster.data_directory / "pg_wal" / f"{timeline:08X}.history"
        return parse_lsn(file.read_text(encoding="utf-8").strip().splitlines()[-1].split("\t")[1])


class Histories:
    """The histories of a session, one for each version, written when they are first asked for."""

    def __init__(self, sandbox: Sandbox, modules: Modules) -> None:
        self._sandbox = sandbox
        self._modules = modules
        self._written: dict[str, History] = {}
        self._clusters = ExitStack()

    def __enter__(self) -> Histories:
        return self

    def __exit__(self, *exception: object) -> None:
        self._clusters.close()

    def of(self, version: str) -> History:
        """Give the history of a version."""
        if version not in self._written:
            created = self._sandbox.cluster(version, "history", settings=SETTINGS, wal_segment_size=SEGMENT_MEGABYTES)
            history = History(Recoverable(self._sandbox, self._clusters.enter_context(created), self._modules))
            history.write()
            self._written[version] = history
        return self._written[version]


def slim(cluster: Cluster) -> None:
    """Drop the databases that new ones are made from: two thirds of what each restore would have to copy."""
    for name in ("template0", "template1"):
        cluster.sql(f"ALTER DATABASE {name} IS_TEMPLATE false")
        cluster.sql(f"DROP DATABASE {name}")


def options(target: Target) -> dict[str, Any]:
    """Give a target as a task writes it."""
    if target.kind in ("latest", "immediate"):
        return {"target": target.kind}
    return {f"target_{target.kind}": _text(target), "target_inclusive": target.inclusive}


def observe(conninfo: str) -> State:
    """Read the table and the waiting transactions of a server."""
    with psycopg.connect(conninfo) as connection:
        rows: dict[int, str] = dict(connection.execute("SELECT n, t FROM entry").fetchall())
        return State(rows, frozenset(row[0] for row in connection.execute("SELECT gid FROM pg_prepared_xacts")))


def _text(target: Target) -> str:
    if isinstance(target.value, datetime):
        return f"{target.value.replace(tzinfo=None).isoformat()}Z"
    return format_lsn(target.value) if target.kind == "lsn" and isinstance(target.value, int) else str(target.value)
