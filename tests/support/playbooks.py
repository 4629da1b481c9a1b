# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the collection's playbooks with a real ansible-playbook against throw-away clusters."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import yaml

from tests.support import controller, forking, processes
from tests.support.postgres import Cluster
from tests.support.sandbox import CHECKOUT, MARK, Sandbox

RECAP_LINE = re.compile(r"^(?P<host>\S+)\s+: (?P<counts>ok=\d+.*)$", re.MULTILINE)
TASK_LINE = r"^(?:TASK|RUNNING HANDLER) \[(?P<task>.*)\] \*+$"
# What an inventory may hold that is neither text nor a number, nor of any concern to us: dates, and a mode in octal.
OF_OTHERS = {
    "maintenance_begins": date(2026, 9, 15),
    "maintenance_window": datetime(2026, 9, 15, 14, 30, tzinfo=timezone.utc),  # noqa: UP017  # mypy is at 3.10
    "spool_mode": "OCTAL",
}
# What Ansible keeps in its local directory, such as modules as they are sent, is for the next run, too.
FORKED = """
import atexit, os, sys
from ansible.cli.playbook import main
from ansible.utils.path import cleanup_tmp_file
sys.path[0] = os.path.dirname(sys.argv[0])
atexit.unregister(cleanup_tmp_file)
sys.exit(main())
"""
IMPORTED = ("ansible.cli.playbook", "ansible.plugins.strategy.linear", "tests.support.forking")
CONNECTIONS = Path(__file__).with_name("connections")
OUTCOME_LINE = r"^(?P<outcome>[a-z]+): \["
TASK_OR_OUTCOME = re.compile(f"{TASK_LINE}|{OUTCOME_LINE}", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What one run of ansible-playbook gave.

    `processor_seconds` is the time of all that it started and waited for, so not of the servers.
    """

    command: list[str]
    returncode: int
    output: str
    seconds: float
    processor_seconds: float

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        r"""Return each host's counts: ok, changed, unreachable, failed, skipped, rescued, ignored."""
        return recap(self.output)

    @property
    def changed(self) -> int:
        """Return how many tasks reported a change, over all hosts."""
        return sum(counts["changed"] for counts in self.recap.values())

    @property
    def changed_tasks(self) -> list[str]:
        """Return the names of the tasks that reported a change."""
        return tasks(self.output, "changed")


class PlaybookFailure(AssertionError):
    """A playbook exited with another status than the expected one."""

    def __init__(self, run: Run, expected: int) -> None:
        end = f"exited {run.returncode}, not {expected}, after {run.seconds:.0f} s"
        super().__init__(f"{shlex.join(run.command)} {end}:\n{run.output}")
        self.run = run


class Playbooks:
    """Runs playbooks with a generated inventory: one host of the group `postgres` for each cluster, by its name."""

    def __init__(self, sandbox: Sandbox, ansible: Path | None = None, *, forked: bool = False) -> None:
        """`ansible` is an `ansible-playbook` other than the one that the tests run with.

        A `forked` one is fresh, but for its start and its imports, and modules are packed once for all runs.
        """
        self._sandbox = sandbox
        self._ansible = ansible or controller.ansible_playbook()
        self._forked = forked
        self._temporary = sandbox.controller / "ansible"

    def inventory(
        self,
        *clusters: Cluster,
        variables: Mapping[str, Any] | None = None,
        hosts: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Path:
        """Write an inventory of the clusters, all with the same further variables, and return its path.

        `hosts` has variables of single clusters, by their names; they go before those that describe the cluster.
        """
        own = hosts or {}
        all_hosts = {cluster.name: host_variables(cluster) | dict(own.get(cluster.name, {})) for cluster in clusters}
        group = {"hosts": all_hosts, "vars": self._connection() | OF_OTHERS | dict(variables or {})}
        path = self._sandbox.controller / f"{'-'.join(all_hosts)}.yml"
        text = yaml.safe_dump({"postgres": group}, sort_keys=False).replace("OCTAL", "0750")
        path.write_text(f"---\n{text}", encoding="utf-8")
        return path

    def run(
        self,
        playbook: str | Path,
        inventory: Path,
        *arguments: str,
        variables: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        expected: int | None = 0,
        timeout: float = 300,
    ) -> Run:
        """Run one of our playbooks by name, or any by path.

        The arguments go on the command line, `variables` too but as JSON, so that they keep their types; `environment`
        is added to that of ansible-playbook.
        Raises PlaybookFailure with Ansible's whole output when it exits with another status than the expected one,
        as it also does when it is ended because the time is up.
        """
        path = playbook if isinstance(playbook, Path) else Path("playbooks", f"{playbook}.yml")
        extra = ["-e", json.dumps(variables)] if variables else []
        command = [str(self._ansible), "-i", str(inventory), str(path), *arguments, *extra]
        run = self._run(command, environment or {}, timeout)
        if expected is not None and run.returncode != expected:
            raise PlaybookFailure(run, expected)
        return run

    def answered(
        self, playbook: str, inventory: Path, answers: Mapping[str, Any], *arguments: str, expected: int = 0
    ) -> Run:
        """Run one of our playbooks as AWX does: with ansible-runner, by its name, the answers of a survey in a file."""
        place = self._sandbox.controller / f"runner-{uuid.uuid4()}"
        for name, text in {
            "project/play.yml": f"---\n- import_playbook: pgark.postgres.{playbook}\n",
            "env/extravars": json.dumps(dict(answers)),
        }.items():
            (place / name).parent.mkdir(parents=True)
            (place / name).write_text(text, encoding="utf-8")
        command = [str(Path(sys.executable).with_name("ansible-runner")), "run", str(place), "-p", "play.yml"]
        command += ["--inventory", str(inventory), f"--cmdline={shlex.join(arguments)}"]
        # It looks for ansible-playbook on the PATH, and works elsewhere than in the checkout.
        where = f"{self._ansible.parent}{os.pathsep}{os.environ['PATH']}"
        run = self._run(command, {"PATH": where, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")}, timeout=300)
        if run.returncode != expected:
            raise PlaybookFailure(run, expected)
        return run

    def elsewhere(self, place: Path, playbook: str, inventory: Path, *arguments: str) -> Run:
        """Run a playbook by name, in a directory into which the collection was installed."""
        command = [str(self._ansible), "-i", str(inventory), playbook, *arguments]
        run = self._run(command, {"ANSIBLE_COLLECTIONS_PATH": str(place)}, timeout=300, place=place)
        if run.returncode != 0:
            raise PlaybookFailure(run, 0)
        return run

    @contextmanager
    def running(self, path: Path, inventory: Path, output: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Run a playbook in the background, its output in a file; its process group is what Ctrl-C reaches."""
        command = [str(self._ansible), "-i", str(inventory), str(path)]
        run = str(uuid.uuid4())
        environment = self._environment() | {"PGARK_TEST_RUN": run}
        with (
            output.open("wb") as file,
            subprocess.Popen(
                command,
                cwd=CHECKOUT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            ) as process,
        ):
            try:
                yield process
            finally:
                processes.end_marked(run)

    def _run(self, command: Sequence[str], more: Mapping[str, str], timeout: float, place: Path = CHECKOUT) -> Run:
        started, processor = time.monotonic(), _processor_seconds()
        # Ansible reads its settings when it is imported, and its configuration file where it is started.
        as_imported = self._forked and not more and place == CHECKOUT
        returncode, output = (self._fork if as_imported else self._start)(command, more, timeout, place)
        seconds, processor = time.monotonic() - started, _processor_seconds() - processor
        return Run(list(command), returncode, output, seconds, processor)

    def _start(self, command: Sequence[str], more: Mapping[str, str], timeout: float, place: Path) -> tuple[int, str]:
        pipes: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        run = str(uuid.uuid4())
        environment = self._environment() | {"PGARK_TEST_RUN": run} | dict(more)
        with subprocess.Popen(command, cwd=place, env=environment, text=True, **pipes) as process:
            try:
                output = process.communicate(timeout=timeout)[0]
            except subprocess.TimeoutExpired:
                processes.end_marked(run)
                output = process.communicate()[0]
            except BaseException:
                processes.end_marked(run)
                raise
        return process.returncode, output

    def _fork(self, command: Sequence[str], more: Mapping[str, str], timeout: float, place: Path) -> tuple[int, str]:
        def start(words: Sequence[str]) -> subprocess.Popen[bytes]:
            argv = [str(self._ansible.with_name("python")), *words]
            own = {name: value for name, value in self._environment().items() if name != MARK}
            return subprocess.Popen(argv, cwd=place, env=own, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        sandbox, mark = self._sandbox, str(uuid.uuid4())
        forks = {sandbox.user: sandbox.fork_server({**sandbox.environment, "PYTHONPATH": str(sandbox.library)}).address}
        environment = self._environment() | {"PGARK_TEST_RUN": mark, "PGARK_TEST_FORKS": json.dumps(forks), **more}
        server = sandbox.fork_servers.get(self._ansible, start, sandbox.controller, IMPORTED)
        asked: Any = {"program": FORKED, "stdin": "", "environment": environment, "directory": place, "merged": True}
        try:
            done = forking.run(server.address, command, timeout=timeout, **asked)
        except subprocess.TimeoutExpired as expired:
            processes.end_marked(mark)
            return -signal.SIGKILL, expired.output
        return done.returncode, done.stdout

    def _environment(self) -> dict[str, str]:
        """Keep Ansible's files in the sandbox, the caller's Ansible and PostgreSQL settings out, and colours off."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PG"))}
        return inherited | {
            "ANSIBLE_HOME": str(self._temporary),
            "ANSIBLE_REMOTE_TMP": str(self._sandbox.temporary),
            "ANSIBLE_SYSTEM_TMPDIRS": str(self._sandbox.temporary),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CONNECTION_PLUGINS": str(CONNECTIONS),
            # What modules remember of WAL lies in the home of their user, who may be the caller.
            "XDG_CACHE_HOME": str(self._sandbox.home / ".cache"),
            "LC_ALL": "C.UTF-8",
            MARK: str(self._sandbox.root),
        }

    def _connection(self) -> dict[str, Any]:
        connection = "forking" if self._forked else "local"
        local = {"ansible_connection": connection, "ansible_python_interpreter": str(self._sandbox.python)}
        if self._sandbox.account.is_caller:
            return local
        # The servers' user may have no login shell, and a fresh machine no sudo.
        return local | {"ansible_become_method": "su", "ansible_become_flags": "-s /bin/sh"}


def host_variables(cluster: Cluster) -> dict[str, Any]:
    """Return the inventory variables that describe a cluster, its repository beside it."""
    return {
        "postgres_cluster_data_directory": str(cluster.data_directory),
        "postgres_cluster_bin_directory": str(cluster.bin_directory),
        "postgres_cluster_socket_directory": str(cluster.socket_directory),
        "postgres_cluster_port": cluster.port,
        "postgres_cluster_owner": cluster.owner,
        "postgres_cluster_service": "",
        "backup_repository_path": str(cluster.home / "repository"),
        "backup_repository_group": cluster.group,
        "backup_repository_separate_filesystem": "ignore",
        "wal_archiving_directory": str(cluster.home / "programs"),
    }


def recap(output: str) -> dict[str, dict[str, int]]:
    r"""Return each host's counts from the end of ansible-playbook's output.

    >>> recap("PLAY RECAP ****\nmain    : ok=5    changed=2    failed=0\n")
    {'main': {'ok': 5, 'changed': 2, 'failed': 0}}
    """
    end = output.rpartition("PLAY RECAP ")[2]
    return {line["host"]: _counts(line["counts"]) for line in RECAP_LINE.finditer(end)}


def tasks(output: str, outcome: str) -> list[str]:
    r"""Return the names of the tasks that had the outcome (ok, changed, skipping, failed, fatal) on some host.

    >>> tasks("TASK [pitr_restore : apply | swap] ***\nchanged: [main]\n\nTASK [b] ***\nok: [main]\n", "changed")
    ['pitr_restore : apply | swap']
    """
    found: dict[str, None] = {}
    task = ""
    for line in TASK_OR_OUTCOME.finditer(output):
        task = line["task"] or task
        if line["outcome"] == outcome:
            found[task] = None
    return list(found)


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _counts(text: str) -> dict[str, int]:
    return {name: int(count) for name, count in (word.split("=") for word in text.split())}
