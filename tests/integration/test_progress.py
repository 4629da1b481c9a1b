# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A person who waits for a recovery sees it move, and is told when it does not."""

from __future__ import annotations

import re
import threading

import yaml

from tests.support.playbooks import Playbooks
from tests.support.recoverable import Recoverable
from tests.support.waiting import wait_until

LINE = re.compile(
    r"^    main: recovering, replayed up to [0-9A-F]+/[0-9A-F]+, last transaction .*, \d+ s$", re.MULTILINE
)


def wait_for_target(subject: Recoverable, playbooks: Playbooks, patience: int, expected: int) -> str:
    """Run a play that waits for a recovery, looks every second, and gives up after `patience` without movement."""
    options = {name: str(value) for name, value in subject.options.items() if name not in ("repository", "cluster")}
    module = {"pgark.postgres.recovery": {"state": "at_target", "look": 1, "timeout": patience, **options}}
    owner = {"become": True, "become_user": subject.cluster.owner}
    play = {"name": "Wait", "hosts": "postgres", "gather_facts": False, "tasks": [{"name": "Wait", **module, **owner}]}
    path = subject.sandbox.controller / "wait.yml"
    path.write_text("---\n" + yaml.safe_dump([play], sort_keys=False), encoding="utf-8")
    return playbooks.run(path, playbooks.inventory(subject.cluster), expected=expected).output


def start_standby(subject: Recoverable) -> None:
    """Put the server into a recovery that has no end of its own; its log shows who connects."""
    subject.cluster.sql("ALTER SYSTEM SET log_connections = on")
    subject.cluster.stop()
    signal = subject.cluster.data_directory / "standby.signal"
    signal.touch()
    subject.owned(signal)
    subject.cluster.start()


def pause_after_some_looks(subject: Recoverable) -> None:
    wait_until(lambda: subject.cluster.log().count("application_name=pgark") > 10, message="nobody looked")
    subject.cluster.sql("SELECT pg_wal_replay_pause()")


def test_progress_is_printed_until_the_target_is_reached(recoverable: Recoverable, playbooks: Playbooks) -> None:
    start_standby(recoverable)
    pausing = threading.Thread(target=pause_after_some_looks, args=[recoverable])
    pausing.start()
    output = wait_for_target(recoverable, playbooks, patience=30, expected=0)
    pausing.join()
    assert LINE.search(output), output


def test_a_recovery_that_does_not_move_is_given_up_with_the_servers_log(
    recoverable: Recoverable, playbooks: Playbooks
) -> None:
    start_standby(recoverable)
    output = wait_for_target(recoverable, playbooks, patience=3, expected=2)
    assert len(LINE.findall(output)) > 1, output
    assert "recovery has not moved for 3 s: recovering, replayed up to" in output
    assert "its log ends with" in output
