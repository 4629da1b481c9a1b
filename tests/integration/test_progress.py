# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A person who waits for a restore sees it move, and is told when it does not."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import processes
from tests.support.playbooks import Playbooks, Run, recap, tasks
from tests.support.recoverable import Recoverable
from tests.support.sandbox import MARK
from tests.support.waiting import wait_until

RECOVERING = re.compile(
    r"^    main: recovering, replayed up to [0-9A-F]+/[0-9A-F]+, last transaction .*, \d+ s so far$", re.MULTILINE
)
REPLAYING = re.compile(r"^    main: recovering, .*, \d+ %, \S+ [kM]?B/s, .* left, \d+ s so far$", re.MULTILINE)
SIZE = r"\d+(\.\d)? [kM]?B"
STAGING = re.compile(
    rf"^    main: staging \S+-full, unpacked {SIZE} of {SIZE} \(\d+ %\), {SIZE}/s, (\d+ \w+ )+left$", re.MULTILINE
)
# Lets through a piece, and no more for a while: what a slow disk does, where there is none. So it goes on until the
# test has seen what it waits for.
SLOW_GZIP = """\
#!{python}
import os, subprocess, sys, time
with subprocess.Popen(["/bin/gzip", *sys.argv[1:]], stdin=subprocess.PIPE) as gzip:
    while piece := sys.stdin.buffer.read({rate} // 10):
        gzip.stdin.write(piece)
        gzip.stdin.flush()
        if not os.path.exists({go!r}):
            time.sleep(0.1)
    gzip.stdin.close()
sys.exit({status} or gzip.returncode)
"""


def play(subject: Recoverable, *tasks: dict[str, Any], **keywords: Any) -> Path:
    """Write a play of tasks that the owner carries out."""
    owner = {"become": True, "become_user": subject.cluster.owner}
    path = subject.sandbox.controller / "play.yml"
    whole = {"name": "Play", "hosts": "postgres", "gather_facts": False, **owner, "tasks": list(tasks), **keywords}
    path.write_text("---\n" + yaml.safe_dump([whole], sort_keys=False), encoding="utf-8")
    return path


def task(subject: Recoverable, module: str, /, **options: Any) -> dict[str, Any]:
    """Give a task with the cluster's options."""
    given = subject.options | options
    words = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
    return {"name": module, f"pgark.postgres.{module}": words}


def staging(subject: Recoverable, **options: Any) -> dict[str, Any]:
    return task(subject, "pitr_restore", state="staged", target="latest", program=subject.program, **options)


def slowly(subject: Recoverable, status: int = 0) -> dict[str, str]:
    """Give an environment in which unpacking the cluster's backup takes minutes until `go_on`, and ends with status."""
    directory = subject.sandbox.directory(subject.cluster.home / "slow")
    # WAL is compressed by another program.
    size = sum(path.stat().st_size for path in subject.backups.glob("*/base.tar.gz"))
    program = directory / "gzip"
    values = {"rate": size // 200, "status": status, "go": str(directory / "go")}
    program.write_text(SLOW_GZIP.format(python=subject.sandbox.python, **values), encoding="utf-8")
    program.chmod(0o755)
    return {"PATH": f"{directory}:/usr/local/bin:/usr/bin:/bin"}


def go_on(subject: Recoverable) -> None:
    """End the slowness."""
    (subject.cluster.home / "slow" / "go").touch()


@contextmanager
def playing(
    subject: Recoverable, playbooks: Playbooks, path: Path, least: int = 1
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run a play in the background, and give its process and its output once so much has been told."""
    output = subject.sandbox.controller / "output"
    with playbooks.running(path, playbooks.inventory(subject.cluster), output) as process:
        wait_until(lambda: len(STAGING.findall(output.read_text())) >= least, timeout=150, message="lines of progress")
        yield process, output


def left_behind(subject: Recoverable) -> list[int]:
    return processes.marked(f"{MARK}={subject.sandbox.root}")


def of_ansible(subject: Recoverable) -> list[int]:
    """Return which of these are ansible-playbook, its workers, and who looks."""
    return [pid for pid in left_behind(subject) if "ansible-playbook" in processes.command_line(pid)]


def run(subject: Recoverable, playbooks: Playbooks, path: Path, *arguments: str, expected: int = 0) -> Run:
    return playbooks.run(path, playbooks.inventory(subject.cluster), *arguments, expected=expected)


@pytest.mark.parametrize(("pipelining", "least"), [(True, 2), (False, 1)])
def test_staging_is_told_while_it_goes_on(
    recoverable: Recoverable, playbooks: Playbooks, pipelining: bool, least: int
) -> None:
    recoverable.run("base_backup", compression="gzip")
    recoverable.switch()
    variables = {"ansible_pipelining": pipelining}
    # Without pipelining, the owner's modules are files that others can read, unless the file system has ACLs.
    variables |= {"ansible_shell_allow_world_readable_temp": True}
    then = task(recoverable, "recovery_info")
    path = play(recoverable, staging(recoverable), then, environment=slowly(recoverable), vars=variables)
    begun = time.monotonic()
    with playing(recoverable, playbooks, path, least) as (process, output):
        go_on(recoverable)
        assert process.wait(timeout=150) == 0
        assert not left_behind(recoverable)
    seconds, said = time.monotonic() - begun, output.read_text()
    assert least <= len(STAGING.findall(said)) <= seconds / 5, said
    assert tasks(said, "changed") == ["pitr_restore"]
    assert recap(said)["main"]["ok"] == 2


def test_nothing_is_told_of_a_short_staging_nor_in_check_mode(recoverable: Recoverable, playbooks: Playbooks) -> None:
    recoverable.run("base_backup", compression="gzip")
    recoverable.switch()
    path = play(recoverable, staging(recoverable), environment=slowly(recoverable))
    assert "staging" not in run(recoverable, playbooks, path, "--check").output
    assert "    main: staging" not in run(recoverable, playbooks, play(recoverable, staging(recoverable))).output


def test_a_failure_after_a_while_is_the_modules_own(recoverable: Recoverable, playbooks: Playbooks) -> None:
    recoverable.run("base_backup", compression="gzip")
    recoverable.switch()
    path = play(recoverable, staging(recoverable), environment=slowly(recoverable, status=7))
    with playing(recoverable, playbooks, path) as (process, output):
        go_on(recoverable)
        assert process.wait(timeout=150) == 2
        assert not left_behind(recoverable)
    said = output.read_text()
    assert "base.tar" in said
    assert "cannot be unpacked: gzip ended with status 7" in said


def end_playbook(process: subprocess.Popen[bytes], how: str) -> None:
    """End ansible-playbook as Ctrl-C in its terminal does, or as a lost controller: without a chance to end others."""
    if how == "interrupted":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.kill()
    process.wait(timeout=30)


@pytest.mark.parametrize("how", ["interrupted", "killed"])
def test_the_run_after_one_that_was_cut_short_goes_on(recoverable: Recoverable, playbooks: Playbooks, how: str) -> None:
    recoverable.run("base_backup", compression="gzip")
    recoverable.switch()
    path = play(recoverable, staging(recoverable), environment=slowly(recoverable))
    with playing(recoverable, playbooks, path) as (process, output):
        end_playbook(process, how)
        told = output.read_text()
        go_on(recoverable)
        # What su has started goes on without Ansible, to the module's end.
        wait_until(lambda: not left_behind(recoverable), timeout=60, message="the module to end by itself")
        assert output.read_text() == told
    again = run(recoverable, playbooks, play(recoverable, staging(recoverable)))
    assert again.recap["main"]["ok"] == 1
    assert recoverable.run("recovery_info", connect=False)["staging"]["complete"]


def test_control_c_ends_who_looks_at_once(recoverable: Recoverable, playbooks: Playbooks) -> None:
    recoverable.run("base_backup", compression="gzip")
    recoverable.switch()
    path = play(recoverable, staging(recoverable), environment=slowly(recoverable))
    with playing(recoverable, playbooks, path) as (process, _output):
        end_playbook(process, "interrupted")
        wait_until(lambda: not of_ansible(recoverable), message="Ansible's processes to end")


def test_a_restore_that_is_being_staged_is_seen_without_a_server(recoverable: Recoverable) -> None:
    label = recoverable.run("base_backup", compression="gzip")["backup"]["label"]
    recoverable.switch()
    assert recoverable.run("recovery_info")["staging"] is None
    recoverable.run("pitr_restore", state="staged", target="latest", program=recoverable.program)
    recoverable.cluster.stop()
    seen = recoverable.run("recovery_info")
    assert (seen["staging"]["backup"], seen["staging"]["complete"], seen["in_recovery"]) == (label, True, None)


def wait_for_target(subject: Recoverable, playbooks: Playbooks, patience: int, expected: int) -> str:
    """Run a play that waits for a recovery, looks every second, and gives up after `patience` without movement."""
    waiting = task(subject, "recovery", state="at_target", look=1, timeout=patience)
    for name in ("repository", "cluster"):
        del waiting["pgark.postgres.recovery"][name]
    return run(subject, playbooks, play(subject, waiting), expected=expected).output


def slow_down_replay(subject: Recoverable) -> None:
    """Let every segment take two seconds more to be fetched."""
    path = subject.cluster.data_directory / "postgresql.auto.conf"
    settings = path.read_text(encoding="utf-8")
    assert settings.count("restore_command = '") == 1
    path.write_text(settings.replace("restore_command = '", "restore_command = 'sleep 2; "), encoding="utf-8")


def test_a_recovery_is_told_from_where_it_began_to_where_it_will_end(
    recoverable: Recoverable, playbooks: Playbooks
) -> None:
    recoverable.run("base_backup", compression="gzip")
    recoverable.cluster.sql("CREATE TABLE ledger (n int)")
    for _segment in range(12):
        recoverable.cluster.sql("INSERT INTO ledger VALUES (1)")
        recoverable.cluster.sql("SELECT pg_switch_wal()")
    recoverable.switch()
    target = {"program": recoverable.program, "target": "latest"}
    recoverable.run("pitr_restore", state="staged", **target)
    recoverable.run("postgres_server", state="stopped")
    recoverable.run("pitr_restore", state="restored", **target)
    slow_down_replay(recoverable)
    recoverable.run("postgres_server", state="started")
    output = wait_for_target(recoverable, playbooks, patience=30, expected=0)
    percents = [int(percent) for percent in re.findall(r"^    main: recovering, .*, (\d+) %", output, re.MULTILINE)]
    assert len(percents) > 1, output
    assert percents == sorted(percents)
    assert REPLAYING.search(output), output


def start_standby(subject: Recoverable) -> None:
    """Put the server into a recovery that has no end of its own; its log shows who connects."""
    subject.cluster.sql("ALTER SYSTEM SET log_connections = on")
    subject.cluster.stop()
    standby = subject.cluster.data_directory / "standby.signal"
    standby.touch()
    subject.owned(standby)
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
    assert RECOVERING.search(output), output


def test_a_recovery_that_does_not_move_is_given_up_with_the_servers_log(
    recoverable: Recoverable, playbooks: Playbooks
) -> None:
    start_standby(recoverable)
    output = wait_for_target(recoverable, playbooks, patience=3, expected=2)
    assert RECOVERING.search(output), output
    assert "recovery has not moved for 3 s: recovering, replayed up to" in output
    assert "its log ends with" in output
