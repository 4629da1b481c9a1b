# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines and clusters of a scenario, as its checks see them.

What is checked is looked at by somebody else than who did it: by the user admin, who may become anybody there.
"""

from __future__ import annotations

import functools
import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import testinfra
from testinfra.host import Host

from tests.gates.setup import ROOT
from tests.molecule.ledger import Entry, Row, parse

INVENTORIES = ("molecule/shared", f"molecule/{os.environ['MOLECULE_SCENARIO_NAME']}")
EPHEMERAL = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])


@functools.cache
def inventory() -> dict[str, Any]:
    """Return what ansible-inventory says about the scenario's inventories; templates stay as they are."""
    sources = [word for place in INVENTORIES for word in ("--inventory", str(ROOT / place / "inventory"))]
    listed = subprocess.run(["ansible-inventory", *sources, "--list"], check=True, capture_output=True, text=True)
    return dict(json.loads(listed.stdout))


def variables(name: str) -> Mapping[str, Any]:
    """Return the variables of an inventory host."""
    return dict(inventory()["_meta"]["hostvars"].get(name, {}))


@functools.cache
def members(group: str) -> tuple[str, ...]:
    """Return the hosts of a group and of the groups in it."""
    content = inventory().get(group, {})
    below = (name for child in content.get("children", []) for name in members(child))
    return tuple(sorted({*content.get("hosts", []), *below}))


@dataclass(frozen=True)
class Machine:
    """A host, and what can be learnt there."""

    name: str

    @property
    def host(self) -> Host:
        """Return it for testinfra, whose commands are run by root."""
        return _connect(self.name)

    def run(self, *argv: str, user: str = "root") -> str:
        """Return what a command prints; it has to succeed."""
        done = self.host.run(_line(argv, user))
        assert done.rc == 0, f"{argv} on {self.name}, by {user}, exited {done.rc}: {done.stdout}{done.stderr}"
        return str(done.stdout).rstrip("\n")

    def lines(self, *argv: str, user: str = "root") -> list[str]:
        """Return the lines that a command prints, even where it ends with an error."""
        return str(self.host.run(_line(argv, user)).stdout).splitlines()

    def succeeds(self, *argv: str, user: str = "root") -> bool:
        """Tell whether a command succeeds."""
        return bool(self.host.run(_line(argv, user)).rc == 0)


@dataclass(frozen=True)
class Cluster:
    """A cluster, where Debian's layout puts its parts, and what its server says."""

    name: str

    @property
    def machine(self) -> Machine:
        """Return where it runs."""
        return Machine(str(variables(self.name).get("ansible_host", self.name)))

    @property
    def version(self) -> str:
        """Return the first number of its version, such as 17."""
        return str(variables(self.name)["machine_postgresql"])

    @property
    def label(self) -> str:
        """Return Debian's name for it, such as main."""
        return str(variables(self.name)["machine_cluster"])

    @property
    def data_directory(self) -> str:
        """Return where its data are."""
        return f"/var/lib/postgresql/{self.version}/{self.label}"

    @property
    def unit(self) -> str:
        """Return systemd's name for its server."""
        return f"postgresql@{self.version}-{self.label}"

    @property
    def repository(self) -> str:
        """Return where its backups go, with those of others."""
        return str(variables(self.name)["backup_repository_path"])

    def sql(self, query: str) -> str:
        """Return what the server answers, without decoration."""
        port = str(variables(self.name).get("postgres_cluster_port", 5432))
        argv = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-p", port, "-d", "postgres", "-c", query]
        return self.machine.run(*argv, user="postgres")

    def previous_directories(self) -> list[str]:
        """Return what restores have set aside: beside the data, or within, where that is a mount point."""
        patterns = ("-path", f"{self.data_directory}.*", "-o", "-path", f"{self.data_directory}/pgark.*")
        parent = str(Path(self.data_directory).parent)
        return self.machine.run(
            "find", parent, "-maxdepth", "2", "(", *patterns, ")", "-prune", "-type", "d"
        ).splitlines()

    def control(self, directory: str = "") -> dict[str, str]:
        """Return what pg_controldata says about a data directory."""
        program = f"/usr/lib/postgresql/{self.version}/bin/pg_controldata"
        said = self.machine.run(program, directory or self.data_directory, user="postgres")
        return {name: value.strip() for name, _colon, value in (line.partition(":") for line in said.splitlines())}

    def runs(self) -> list[int]:
        """Return the numbers of the loads that the cluster has had."""
        return sorted(int(path.suffix[1:]) for path in (EPHEMERAL / "moments").glob(f"{self.name}.*"))

    def moment(self, run: int) -> datetime:
        """Return the moment in the middle of a load, that was to be returned to."""
        return datetime.fromisoformat((EPHEMERAL / "moments" / f"{self.name}.{run}").read_text())

    def log(self, run: int) -> str:
        """Return the load generator's log."""
        return f"/var/lib/ledger/{self.name}.{run}"

    def ledger(self, run: int) -> list[Entry]:
        """Return what the load generator was told."""
        return parse(self.machine.run("cat", self.log(run)).splitlines())

    def rows(self, run: int) -> set[Row]:
        """Return the rows of a load that are in the cluster."""
        answer = self.sql(f"SELECT worker || ' ' || number FROM ledger WHERE run = {run}")
        return {(int(worker), int(number)) for worker, number in map(str.split, answer.splitlines())}


@functools.cache
def _connect(name: str) -> Host:
    return testinfra.get_host(
        f"ssh://admin@{name}", ssh_config=str(EPHEMERAL / "ssh_config"), sudo=True, controlpersist=0
    )


def _line(argv: tuple[str, ...], user: str) -> str:
    """Return a command line; a user's environment is not looked at, so that nothing depends on it."""
    return shlex.join(argv if user == "root" else ["runuser", "-u", user, "--", *argv])
