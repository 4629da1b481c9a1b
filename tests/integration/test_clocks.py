# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server's clock that is set back, or ahead: positions decide what a restore holds, never the clock alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.support.clock import Clock
from tests.support.modules import Modules
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox

NOW = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.USZ')"
ROWS = "SELECT array_agg(n ORDER BY n) FROM ledger"


@pytest.fixture
def clock(sandbox: Sandbox) -> Clock:
    return Clock(sandbox)


@pytest.fixture
def subject(sandbox: Sandbox, version: str, clock: Clock) -> Iterator[Recoverable]:
    """Provide a cluster that archives, with a backup and a row, whose clock a test sets."""
    with sandbox.cluster(version, wal_segment_size=1) as cluster:
        cluster.stop()
        cluster.bin_directory = clock.bin_directory(version)
        cluster.start()
        created = Recoverable(sandbox, cluster, Modules(sandbox, clock.environment))
        created.enable()
        cluster.sql("CREATE TABLE ledger (n int)")
        created.run("base_backup", label="first", compression="none")
        cluster.sql("INSERT INTO ledger VALUES (1)")
        yield created


def back_up_under(subject: Recoverable, clock: Clock, offset: timedelta) -> None:
    """Take a backup while the clock is wrong, as after a power failure, before it was synchronised."""
    clock.set(offset)
    subject.run("base_backup", label="wrong", compression="none")
    clock.set(timedelta())


def test_a_backup_that_was_taken_while_the_clock_was_behind_serves_no_moment_before_what_it_holds(
    subject: Recoverable, clock: Clock
) -> None:
    moment = subject.cluster.value(NOW)
    subject.cluster.sql("INSERT INTO ledger VALUES (2)")
    subject.switch()
    back_up_under(subject, clock, timedelta(hours=-2))
    subject.cluster.sql("INSERT INTO ledger VALUES (3)")
    subject.switch()
    found = subject.run("backup_info", target_time=moment)
    assert found["chosen"] == "first"
    assert "the clock was set back before the backup ended" in found["warnings"][0]
    assert "holds what ended" in subject.run("backup_info", target_time=moment, backup_label="wrong")["reason"]
    behind = next(backup for backup in found["backups"] if backup["label"] == "wrong")
    assert behind["latest_end"] > moment > behind["stop_time"]
    for window in found["windows"]:
        assert window["since"] <= window["until"] <= subject.cluster.value(NOW)
    subject.restore(target_time=moment)
    assert subject.cluster.value(ROWS) == [1]


def test_what_is_behind_a_transaction_of_a_clock_that_was_ahead_is_reached_by_its_position(
    subject: Recoverable, clock: Clock
) -> None:
    """PostgreSQL stops before the first transaction that ended later than the moment, wherever that stands."""
    clock.set(timedelta(hours=2))
    subject.run("base_backup", label="ahead", compression="none")
    subject.cluster.sql("INSERT INTO ledger VALUES (2)")
    clock.set(timedelta())
    subject.cluster.sql("INSERT INTO ledger VALUES (3)")
    moment, position = subject.cluster.sql(f"SELECT ({NOW}), pg_current_wal_lsn()::text")[0]
    subject.cluster.sql("INSERT INTO ledger VALUES (4)")
    subject.switch()
    for window in subject.run("backup_info")["windows"]:
        assert window["since"] <= window["until"] <= subject.cluster.value(NOW)
    found = subject.run("backup_info", target_time=moment)
    assert (found["reachable"], found["chosen"]) == (True, "first")
    assert "by the server's clock, which was set back: recovery stops at" in found["warnings"][0]
    assert "a target_lsn reaches them" in found["warnings"][0]
    subject.restore(target_lsn=position)
    assert subject.cluster.value(ROWS) == [1, 2, 3]
