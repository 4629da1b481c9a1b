# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away cluster that archives into a repository, and the modules called with its options."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.support.modules import Modules
from tests.support.postgres import Cluster
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_until


class Recoverable:
    """One cluster and its repository; the methods call our modules, so what they do is under test, too."""

    def __init__(self, sandbox: Sandbox, cluster: Cluster, modules: Modules) -> None:
        self.sandbox = sandbox
        self.cluster = cluster
        self.modules = modules
        self.repository = cluster.home / "repository"
        self.program = cluster.home / "programs" / "pgark-wal"
        self.options: dict[str, Any] = {
            "data_directory": cluster.data_directory,
            "bin_directory": cluster.bin_directory,
            "login_unix_socket": cluster.socket_directory,
            "login_port": cluster.port,
            "repository": self.repository,
            "cluster": cluster.name,
            "log_file": cluster.log_file,
        }

    @property
    def wal(self) -> Path:
        """Return the directory of the archived WAL."""
        return self.repository / self.cluster.name / "wal"

    @property
    def backups(self) -> Path:
        """Return the directory of the backups."""
        return self.repository / self.cluster.name / "backup"

    def run(self, module: str, /, **parameters: Any) -> dict[str, Any]:
        """Run a module with the cluster's options."""
        return self.modules.run(module, **self.options | parameters)

    def fail(self, module: str, /, **parameters: Any) -> str:
        """Run a module that has to fail, and return what it says."""
        return str(self.modules.fail(module, **self.options | parameters)["msg"])

    def enable(self, **parameters: Any) -> dict[str, Any]:
        """Lay out the repository, enable archiving and prove it, with the restart between."""
        self.run("backup_repository", separate_filesystem="ignore")
        options = {"program": self.program, "timeout": 0} | parameters
        if self.run("wal_archiving", **options)["restart_required"]:
            self.run("postgres_server", state="restarted")
        return self.run("wal_archiving", verify=True, **options)

    def switch(self) -> dict[str, Any]:
        """Bring everything committed so far into the repository.

        What was archived ahead is archived once more where it is missing, until PostgreSQL has asked for it.
        """
        done = self.run("restore_point", switch_wal=True, wait=True)
        status = self.cluster.data_directory / "pg_wal" / "archive_status"
        wait_until(lambda: not any(status.glob("*.ready")), message="PostgreSQL to know that all is archived")
        return done

    def restore(self, **target: Any) -> dict[str, Any]:
        """Restore to a target: stage, switch, recover, promote."""
        staged = self.run("pitr_restore", state="staged", program=self.program, **target)
        if staged["in_place"]:
            return staged
        self.run("postgres_server", state="stopped")
        restored = self.run("pitr_restore", state="restored", program=self.program, **target)
        self.run("postgres_server", state="started")
        self.wait_for_target()
        self.promote()
        return restored

    def promote(self) -> dict[str, Any]:
        """End the recovery, with the restart that clears the settings that were made for it."""
        promoted = self.run("recovery", state="promoted")
        if promoted["restart_required"]:
            self.run("postgres_server", state="restarted")
        return promoted

    def wait_for_target(self) -> dict[str, Any]:
        """Wait for the target, as the action plugin does."""
        while True:
            seen = self.run("recovery", state="at_target")
            if seen["reached"]:
                return seen

    def owned(self, path: Path) -> Path:
        """Give a path that a test made to the servers' user."""
        account = self.sandbox.account
        if not account.is_caller:
            os.lchown(path, account.uid, account.gid)
        return path
