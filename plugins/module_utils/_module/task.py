# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The frame of every module: read the options, call the work, translate its result or error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .._core.commands import check_jobs
from .._core.layout import Layout, check_repositories
from .._core.plan import Plan, report
from .._errors import Error, ServerUnavailable
from .._host.apply import Host, apply
from .._host.cluster import bin_directory_for, server_log
from .._host.files import locked
from .._host.processes import create_privately, current_user, find_postmaster, real_path
from .._host.recovery import Watch
from .._host.repository import require
from .._host.runner import CommandRunner
from .._host.server import Server
from .._host.tools import Connection
from .arguments import Spec

Result = Mapping[str, Any]


class Task:
    """One call of a module: its options in the terms of the layers below."""

    def __init__(self, options: Mapping[str, Any], check_mode: bool) -> None:
        self.options = options
        self.check_mode = check_mode
        self.runner = CommandRunner()

    @property
    def data_directory(self) -> str:
        """The data directory, with symbolic links resolved."""
        return real_path(self.options["data_directory"])

    @property
    def layout(self) -> Layout:
        """The cluster's place in the repository."""
        return Layout(self.options["repository"], self.options["cluster"])

    @property
    def layouts(self) -> list[Layout]:
        """The cluster's place in each repository, the first one first."""
        options = self.options
        paths = check_repositories(options["repository"], options["further_repositories"])
        return [Layout(path, options["cluster"]) for path in paths]

    @property
    def repositories(self) -> list[str]:
        """The paths of all repositories, the first one first."""
        return [layout.repository for layout in self.layouts]

    @property
    def jobs(self) -> int:
        """How many segments pgark-wal works on at once."""
        return check_jobs(self.options["jobs"])

    @property
    def connection(self) -> Connection:
        """How to reach the server; without a host, the server's own default socket directory."""
        options = self.options
        host = options["login_host"] or options["login_unix_socket"] or ""
        user = options["login_user"] or current_user()
        return Connection(
            host,
            options["login_port"],
            user,
            options["login_password"],
            options["login_db"],
            options["python_directory"],
        )

    def bin_directory(self, major: int | None = None) -> str:
        """The directory of PostgreSQL's programs; ``major`` counts when there is no data directory to tell."""
        return bin_directory_for(self.data_directory, self.options["bin_directory"], major)

    @property
    def watch(self) -> Watch:
        """What to look at while the server recovers."""
        log_file = self.options["log_file"]
        return Watch(self.data_directory, self.connection, log_file, self.bin_directory(), self.runner)

    def connect(self) -> Server:
        """Connect to the server of the data directory; when none is running, the error quotes its log."""
        try:
            return Server.connect(self.connection, self.options["data_directory"])
        except ServerUnavailable:
            if find_postmaster(self.data_directory) is not None:
                raise
            log = server_log(self.data_directory, self.options["log_file"])
            raise ServerUnavailable(
                f"no server is running on {self.data_directory}; its log ends with:\n{log}", "start the server first"
            ) from None

    @contextmanager
    def connected_if_running(self) -> Iterator[Server | None]:
        """Connect, or give None when no server of this data directory answers."""
        try:
            server = self.connect()
        except ServerUnavailable:
            yield None
            return
        with server:
            yield server

    @contextmanager
    def locked(self, purpose: str, reading: bool = False) -> Iterator[None]:
        """Hold the cluster's lock in its repository, and let the programs that are run hold it, too.

        Nobody who is only ``reading`` needs to be able to write there.

        In check mode nothing is locked, because nothing is written.
        """
        require(self.layout)
        if self.check_mode:
            yield
            return
        with locked(self.layout.lock, purpose, reading) as descriptor:
            self.runner = CommandRunner([descriptor])
            yield

    def apply(self, plan: Plan, host: Host) -> None:
        """Carry a plan out, unless in check mode."""
        if not self.check_mode:
            apply(plan, host)


def planned(plan: Plan, **facts: Any) -> dict[str, Any]:
    """Give the result of a module that made a plan."""
    diff = {"before": dict(plan.before), "after": dict(plan.after)}
    return {"changed": plan.changed, "steps": report(plan), "diff": diff, **facts}


def run(spec: Spec, perform: Callable[[Task], Result], **rules: Any) -> None:
    """Run a module: ``perform`` gives its result, or raises; ``rules`` are ``required_if`` and the like."""
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True, **rules)
    create_privately()
    try:
        result = dict(perform(Task(module.params, module.check_mode)))
    except Error as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        named = " -> ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        module.fail_json(msg=f"{named or 'the operating system'}: {error.strerror or error}")
    for warning in result.pop("warnings", []):
        module.warn(warning)
    if not module._diff:
        result.pop("diff", None)
    module.exit_json(**{"changed": False, **result})
