# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The frame of every module: read the options, call the work, translate its result or error."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .._cluster.observe import bin_directory_for, server_log
from .._cluster.ownership import check_user, held
from .._errors import Error, ServerUnavailable, presentable
from .._host.files import locked, refused
from .._host.processes import create_privately, current_user, find_postmaster, real_path
from .._host.runner import CommandRunner
from .._host.tools import Connection
from .._plan.apply import StepTable, apply, check_known
from .._plan.plan import Plan, report
from .._repository.layout import Layout, check_repositories
from .._repository.observe import require
from .._server.observe_places import check_repositories_apart
from .._server.server import Server
from .._values.hints import hint_for, message_for
from .._values.secrets import masked, masked_all
from .arguments import Spec, check_jobs

Result = Mapping[str, Any]
# How libpq calls what community.postgresql has other names for.
_TLS = {"sslmode": "ssl_mode", "sslrootcert": "ca_cert", "sslcert": "ssl_cert", "sslkey": "ssl_key"}
_LONGEST_TEXT = 300


class Task:
    """One call of a module: its options in the terms of the layers below."""

    def __init__(self, options: Mapping[str, Any], check_mode: bool) -> None:
        self.options = options
        self.check_mode = check_mode
        self.runner = CommandRunner()
        self._kept_open: list[int] = []

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

    def check_places(self, *more: str) -> None:
        """Refuse repositories that are one and the same, or lie in the cluster's directories or ``more`` of them."""
        further = self.options.get("further_repositories") or []
        check_repositories_apart([self.options["repository"], *further], self.data_directory, *more)

    @property
    def jobs(self) -> int:
        """How many segments pgark-wal works on at once."""
        return check_jobs(self.options["jobs"])

    @property
    def connection(self) -> Connection:
        """How to reach the server; without a host, in the socket directory that it says it has."""
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
            tls=tuple((name, options[option]) for name, option in _TLS.items() if options[option] is not None),
        )

    def bin_directory(self, major: int | None = None) -> str:
        """The directory of PostgreSQL's programs; ``major`` counts when there is no data directory to tell."""
        return bin_directory_for(self.data_directory, self.options["bin_directory"], major)

    def connect(self, anywhere: bool = False) -> Server:
        """Connect to the server of the data directory; when none is running, the error quotes its log.

        What is no matter of one database can be done ``anywhere``, whatever is there at the target of a restore.
        """
        connection = replace(self.connection, database=None) if anywhere else self.connection
        try:
            return Server.connect(connection, self.options["data_directory"])
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
            self._keep_open(descriptor)
            yield

    @contextmanager
    def owning(self, purpose: str) -> Iterator[None]:
        """Hold the data directory, whichever repository is used, and let the programs that are run hold it, too.

        In check mode nothing is held, because nothing is written.
        """
        check_user(self.data_directory)
        if self.check_mode:
            yield
            return
        with held(self.data_directory, purpose) as descriptor:
            self._keep_open(descriptor)
            yield

    def _keep_open(self, descriptor: int) -> None:
        self._kept_open.append(descriptor)
        self.runner = CommandRunner(self._kept_open)

    def apply(self, plan: Plan, context: object, steps: StepTable) -> None:
        """Carry a plan out with the functions of ``steps``, unless in check mode."""
        check_known(plan, steps)
        if not self.check_mode:
            apply(plan, context, steps)


def planned(plan: Plan, **facts: Any) -> dict[str, Any]:
    """Give the result of a module that made a plan."""
    diff = {"before": dict(plan.before), "after": dict(plan.after)}
    return {"changed": plan.changed, "steps": masked_all(report(plan)), "diff": masked_all(diff), **facts}


def unforeseen(error: Exception) -> str:
    """Say in one line what nobody has thought of, and where it happened."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {frames[-1].filename.rpartition('/')[2]}, line {frames[-1].lineno}" if frames else ""
    text = " ".join(str(error).split())[:_LONGEST_TEXT]
    return (
        f"something that is not foreseen went wrong{place}: {type(error).__name__}: {text}\n"
        "HINT: this is a fault of the collection; report it with what ansible-playbook prints with -vvv"
    )


def _said(error: Error, module: AnsibleModule) -> str:
    """Write an error for a module's caller, in whose words it says what to do."""
    name, caller = module._name.rpartition(".")[2], module.params["called_by"]
    hint = None if error.hint is None else hint_for(error.hint, name, caller)
    return str(Error(message_for(error.message, name, caller), hint))


def run(spec: Spec, perform: Callable[[Task], Result], **rules: Any) -> None:
    """Run a module: ``perform`` gives its result, or raises; ``rules`` are ``required_if`` and the like."""
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True, **rules)
    create_privately()
    try:
        result = dict(perform(Task(module.params, module.check_mode)))
    except Error as error:
        module.fail_json(msg=presentable(masked(_said(error, module))))
    except OSError as error:
        module.fail_json(msg=presentable(masked(_said(refused(error), module))))
    except Exception as error:
        module.fail_json(msg=presentable(masked(unforeseen(error))))
    for warning in result.pop("warnings", []):
        module.warn(presentable(masked(warning)))
    if not module._diff:
        result.pop("diff", None)
    module.exit_json(**{"changed": False, **result})
