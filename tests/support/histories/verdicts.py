# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore to a target, or be refused, and compare with the ledger: that is a verdict."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from psycopg.conninfo import make_conninfo

from tests.support import processes
from tests.support.histories.expectations import Expected, Situation, expected, options, settled
from tests.support.histories.ledger import State, Target, state
from tests.support.histories.life import Life, observe
from tests.support.history import SEGMENT_MEGABYTES
from tests.support.modules import ModuleFailure
from tests.support.postgres import free_port

PATIENCE = 300
CLOCK = "SELECT clock_timestamp()"
TIMELINE = "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint"


class Difference(Exception):
    """What was done is not what is right; `kind` says in which way."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


@dataclass(frozen=True)
class Verdict:
    """One that was right: where, which kind of target, what came of it (see `_stage`), and why it could be refused."""

    way: str
    kind: str
    outcome: str
    pardons: tuple[str, ...]
    seconds: float


class Judge:
    """Lives on, and gives verdicts; a method for each verb that does."""

    def __init__(self, life: Life) -> None:
        self.life, self.subject, self.cluster, self.ledger = life, life.subject, life.cluster, life.ledger
        self.verdicts: list[Verdict] = []
        self._before: tuple[int, State] | None = None
        self._restored: Mapping[str, Any] | None = None
        self._beside = Beside(life)

    def look(self, aims: list[Mapping[str, Any]]) -> None:
        """Aim beside the server until a target is given, which is restored there, and not promoted."""
        with self._beside:
            any(self._judge("beside", aim) for aim in aims)

    def restore(self, aims: list[Mapping[str, Any]]) -> None:
        """Aim at the server's own data until a target is given, which is restored and promoted."""
        any(self._judge("in place", aim) for aim in aims)

    def roll_back(self) -> None:
        """Undo the last restore, if there was one."""
        if self._before is None:
            return
        begun = time.monotonic()
        timeline, before = self._before
        self.subject.run("postgres_server", state="stopped")
        with insisting("late", "a rollback"):
            self.subject.run("pitr_restore", state="rolled_back")
            self.subject.run("postgres_server", state="started")
        compare(observe(self.cluster.conninfo), [before], "the rollback")
        now = self.cluster.value(TIMELINE)
        if now == timeline:
            self.ledger.current = timeline
        else:
            self.ledger.fork(now, timeline, len(self.ledger.path(timeline)))
        self._before, self._restored = None, None
        self._settle()
        self.verdicts.append(Verdict("rollback", "rollback", "given", (), time.monotonic() - begun))

    def _judge(self, way: str, aim: Mapping[str, Any]) -> bool:
        """Give a verdict, and tell whether the target was given."""
        begun = time.monotonic()
        target = settled(self.ledger, aim)
        now, damaged = self.cluster.value(CLOCK), frozenset(self.life.damaged)
        situation = Situation(self.life.archived, way == "beside", now, damaged, SEGMENT_MEGABYTES << 20)
        wanted = expected(self.ledger, target, situation)
        where = {} if way == "in place" else self._beside.options
        before = self._picture()
        foreseen = self.subject.run("backup_info", **where, **options(target))
        if way == "beside":
            self._beside.foresee(foreseen)
            where = {**where, "tablespace_mapping": self._beside.places}
        outcome = self._stage(target, wanted, foreseen, where)
        if outcome != "given":
            self._compare_pictures(before, target)
        elif way == "beside":
            self._beside.finish(target, wanted)
        else:
            self._replace(target, wanted)
        self.verdicts.append(Verdict(way, target.kind, outcome, wanted.pardons, time.monotonic() - begun))
        return outcome == "given"

    def _stage(self, target: Target, wanted: Expected, foreseen: Mapping[str, Any], where: Mapping[str, Any]) -> str:
        """Stage a restore, and tell what comes of it: `given`, `refused`, or `done` where it was the last one, too."""
        request = {"state": "staged", "program": self.subject.program, **where, **options(target)}
        try:
            staged = self.subject.run("pitr_restore", **request)
        except ModuleFailure as failure:
            said = str(failure.result["msg"])
            if "HINT" not in said and "traceback" in str(failure.result.get("exception", "")).lower():
                raise Difference("crash", f"{target}: {failure}") from None
            if not wanted.pardons:
                raise Difference("refused", f"{target} can be had, and is refused: {said}") from None
            # Where a tablespace would go is not looked at beforehand.
            if foreseen["reachable"] and "tablespace" not in wanted.pardons:
                raise Difference("disagree", f"{target} was foreseen, and is refused: {said}") from None
            return "refused"
        if staged["in_place"] and not where and _wish(target) == self._restored:
            return "done"
        if not foreseen["reachable"]:
            raise Difference("disagree", f"{target} was not foreseen, and is given: {foreseen['reason']}")
        if wanted.kept is None:
            raise Difference("silent", f"{target} is none, and is given")
        return "given"

    def _replace(self, target: Target, wanted: Expected) -> None:
        """Do what the role does after the restore is staged."""
        timeline, request = self.ledger.current, {"program": self.subject.program, **options(target)}
        with self.life.others():
            self.subject.run("restore_point", switch_wal=True, wait=True)
        left = (timeline, state(self.ledger.path(), len(self.ledger.path())))
        with insisting("late", f"{target}, in place", self.cluster.log):
            self.subject.run("postgres_server", state="stopped")
            self.subject.run("pitr_restore", state="restored", **request)
            self.subject.run("postgres_server", state="started")
            wait_for_target(self.subject.run)
            paused = observe(self.cluster.conninfo)
            promoted = self.subject.run("recovery", state="promoted")
            if promoted["restart_required"]:
                self.subject.run("postgres_server", state="restarted")
        found = observe(self.cluster.conninfo)
        assert wanted.kept is not None
        count = wanted.kept - compare(found, wanted.states, f"{target}, in place")
        if target.kind != "latest" and paused.rows != found.rows:
            raise Difference("silent", f"{target} has other rows after the promotion: {words(paused, found)}")
        self.ledger.fork(self.cluster.value(TIMELINE), target.timeline or self.ledger.highest, count)
        self._before, self._restored = left, _wish(target)
        self._settle()

    def _settle(self) -> None:
        """See that the server archives on its timeline."""
        self.life.look_up()
        self.life.switch()

    def _picture(self) -> dict[str, Any]:
        """See what must not change when a target is refused."""
        data, places = self.cluster.data_directory, (self.cluster.home, self.cluster.home / "beside")
        seen: dict[str, Any] = {str(place): sorted(os.listdir(place)) for place in places if place.exists()}
        seen |= {name: (data / name).read_bytes() for name in ("postgresql.conf", "postgresql.auto.conf")}
        return {**seen, **listing(self.subject.repository), "pid": self.cluster.pid, "state": self.life.observe()}

    def _compare_pictures(self, before: Mapping[str, Any], target: Target) -> None:
        after = self._picture()
        if touched := [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]:
            changes = "; ".join(f"{name}: {before.get(name)}, now {after.get(name)}" for name in sorted(touched))
            raise Difference("touched", f"{target} was refused, and {changes}")


class Beside:
    """A place of its own beside the server, where a restored one may start that archives nothing."""

    def __init__(self, life: Life) -> None:
        self._life, self._home = life, life.cluster.home / "beside"
        self._port = free_port()
        self._log = self._home / "server.log"
        self._data = self._home / "data"
        self.places: dict[str, str] = {}
        self.options = {
            "data_directory": self._data,
            "login_unix_socket": self._home,
            "login_port": self._port,
            "log_file": self._log,
        }

    def __enter__(self) -> None:
        self._life.subject.sandbox.directory(self._home)

    def __exit__(self, *exception: object) -> None:
        processes.end_below(self._home)
        shutil.rmtree(self._home)

    def foresee(self, foreseen: Mapping[str, Any]) -> None:
        """Have places of its own for the tablespaces of the backup that will be chosen."""
        spaces = [one["tablespaces"] for one in foreseen["backups"] if one["label"] == foreseen["chosen"]]
        self.places = {place: str(self._home / f"space-{oid}") for found in spaces for oid, place in found.items()}

    def finish(self, target: Target, wanted: Expected) -> None:
        """Put a staged restore in place, and look at what it gives.

        Prepared transactions cannot be seen before the server is promoted, which without a target it is by itself.
        """
        subject = self._life.subject
        what = f"{target}, beside"
        with insisting("late", what, self._words):
            where = {"program": subject.program, "tablespace_mapping": self.places, **self.options}
            subject.run("pitr_restore", state="restored", **where, **options(target))
            self._start()
            wait_for_target(lambda module, **given: subject.run(module, **self.options, **given))
        states = wanted.states if target.kind == "latest" else [State(one.rows, frozenset()) for one in wanted.states]
        compare(self._observe(), states, what)

    def _start(self) -> None:
        own = {"port": self._port, "unix_socket_directories": f'"{self._home}"', "listen_addresses": ""}
        settings = own | {"archive_mode": "off", "fsync": "off"}
        arguments = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        self._life.cluster.run("pg_ctl", "start", "-w", "-D", self._data, "-l", self._log, "-o", arguments)

    def _observe(self) -> State:
        user = self._life.cluster.owner
        return observe(make_conninfo(host=str(self._home), port=self._port, user=user, dbname="postgres"))

    def _words(self) -> str:
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""


def _wish(target: Target) -> Mapping[str, Any]:
    """Say what tells one restore from another: of some targets there is no more or less inclusive one."""
    return options(target if target.kind in ("time", "xid", "lsn") else replace(target, inclusive=True))


def wait_for_target(run: Any) -> None:
    """Wait until recovery has stopped."""
    end = time.monotonic() + PATIENCE
    while not run("recovery", state="at_target")["reached"]:
        assert time.monotonic() < end, f"recovery did not stop within {PATIENCE} s"


@contextmanager
def insisting(kind: str, what: str, log: Any = None) -> Iterator[None]:
    """Take a failure for a difference: it comes after the moment at which it could have been a refusal."""
    try:
        yield
    except (ModuleFailure, AssertionError) as failure:
        tail = "" if log is None else log()[-2000:]
        raise Difference(kind, f"{what}: {failure}\n{tail}") from failure


def compare(found: State, wanted: list[State], what: str) -> int:
    """Tell which of the states it is; raises Difference where it is another one."""
    if found not in wanted:
        raise Difference("silent", f"{what}: {words(wanted[0], found)}")
    return wanted.index(found)


def words(wanted: State, found: State) -> str:
    """Say how two states differ."""
    missing = sorted(set(wanted.rows.items()) - set(found.rows.items()))
    strange = sorted(set(found.rows.items()) - set(wanted.rows.items()))
    return f"missing {missing}, too many {strange}, prepared {sorted(found.prepared)} for {sorted(wanted.prepared)}"


def listing(top: Path) -> dict[str, tuple[int, int, int, int]]:
    """Tell of every file below a directory, but of locks, by what one would see that it was written or replaced."""
    found = {}
    for at, directories, files in os.walk(top):
        for name in directories + [file for file in files if file != "lock"]:
            status = os.lstat(os.path.join(at, name))
            size = 0 if name in directories else status.st_size
            found[os.path.relpath(os.path.join(at, name), top)] = (
                size,
                status.st_mtime_ns,
                status.st_mode,
                status.st_ino,
            )
    return found
