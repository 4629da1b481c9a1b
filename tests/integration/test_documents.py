# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guides tell to type is typed here, and does what they say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documents import commands
from tests.support.modules import Modules
from tests.support.playbooks import Playbooks, Run
from tests.support.postgres import Cluster
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox

NOW = """SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
COUNT = "SELECT count(*) FROM orders"
IN_RECOVERY = "SELECT pg_is_in_recovery()"


class Reader:
    """Somebody with a cluster `db1` and an empty host `db1-copy`, who types what a page says."""

    def __init__(self, original: Cluster, copy: Cluster, playbooks: Playbooks, modules: Modules) -> None:
        self.original = original
        self.copy = copy
        self._playbooks = playbooks
        self._modules = modules
        repository = {"backup_repository_path": str(original.home / "repository"), "wal_archiving_timeout": 3600}
        self._inventory = playbooks.inventory(original, copy, hosts={"db1-copy": repository})

    def prepare(self) -> dict[str, str]:
        """Have 10 orders at the earlier moment, 20 at the later, 30 at the restore point, 40 now; give the moments."""
        subject = Recoverable(self.original.sandbox, self.original, self._modules)
        subject.enable()
        self.original.sql("CREATE TABLE orders AS SELECT generate_series(1, 5) AS n")
        subject.run("base_backup")
        moments = []
        for _moment in range(2):
            self.order()
            moments.append(self.original.value(NOW))
        self.order()
        self.original.value("SELECT pg_create_restore_point('before-migration-42')")
        self.order()
        return {"2026-09-15T14:25:00Z": moments[0], "2026-09-15T14:30:00Z": moments[1]}

    def order(self) -> None:
        """Fill the orders up to the next ten."""
        self.original.sql("INSERT INTO orders SELECT generate_series((SELECT count(*) + 1 FROM orders),"
                          " (SELECT (count(*) / 10 + 1) * 10 FROM orders))")  # fmt: skip

    def run(self, playbook: str, *arguments: str) -> Run:
        """Run a playbook that the page names by its path."""
        return self._playbooks.run(Path(playbook), self._inventory, *arguments)

    def type(self, command: list[str]) -> str:
        """Run a command of the page, and return what it printed."""
        program, *arguments = command
        if program == "psql":
            return str(self.original.run("psql", "-d", self.original.conninfo, "-At", *arguments).stdout)
        assert program == "ansible-playbook", command
        return self.run(*arguments).output


@pytest.fixture
def reader(sandbox: Sandbox, version: str, playbooks: Playbooks, modules: Modules) -> Iterator[Reader]:
    """Provide a reader with nothing set up."""
    with sandbox.cluster(version, "db1") as original, Cluster(sandbox, version, "db1-copy") as copy:
        sandbox.directory(copy.socket_directory)
        yield Reader(original, copy, playbooks, modules)


def test_the_guide_to_restoring(reader: Reader) -> None:
    moments = reader.prepare()
    page = iter(commands("restore-to-a-point-in-time.md", moments))
    windows, asked, planned, paused, look, again, kept, undone, point, branch, copied, saved, listed, removed = page
    assert "db1-copy" in reader.type(windows)
    assert "yes" in reader.type(asked)
    assert "promote the server" in reader.type(planned)
    assert reader.original.value(COUNT) == 40
    reader.type(point)  # while there is one history only
    assert reader.original.value(COUNT) == 30
    reader.type(paused)
    assert int(reader.type(look)) == 20
    second = " ".join(reader.type(again).split())
    assert (reader.original.value(COUNT), reader.original.value(IN_RECOVERY)) == (10, True)
    assert "that was an attempt, and pitr_rollback.yml puts back what was there before it" in second
    reader.type(kept)
    assert (reader.original.value(COUNT), reader.original.value(IN_RECOVERY)) == (10, False)
    reader.type(undone)
    assert (reader.original.value(COUNT), reader.original.value(IN_RECOVERY)) == (30, False)
    reader.type(branch)
    assert reader.original.value(COUNT) == 20
    reader.type(copied)
    assert reader.copy.value(COUNT) == 20
    assert "took backup" in reader.type(saved)
    kept_data = sorted(reader.original.home.glob("data.before-*/"))
    left = "".join(reader.type(listed).split())
    assert all("".join(f"{path}: data that was set aside".split()) in left for path in kept_data)
    assert removed[-1].startswith("remove=")
    reader.type([*removed[:-1], json.dumps({"remove": str(kept_data[0])})])  # its path has spaces
    assert sorted(reader.original.home.glob("data.before-*/")) == kept_data[1:]
    assert reader.original.value(COUNT) == 20


def test_the_worst_day(reader: Reader) -> None:
    moments = reader.prepare()
    del moments["2026-09-15T14:25:00Z"]
    asked, planned, restored, look, undone, kept, saved, shown = commands("the-worst-day.md", moments)
    assert "yes" in reader.type(asked)
    reader.type(planned)
    reader.type(restored)
    assert int(reader.type(look)) == 20
    reader.type(undone)
    assert (reader.original.value(COUNT), reader.original.value(IN_RECOVERY)) == (40, False)
    reader.type(restored)
    reader.type(kept)
    assert (reader.original.value(COUNT), reader.original.value(IN_RECOVERY)) == (20, False)
    assert "took backup" in reader.type(saved)
    assert "timeline" in reader.type(shown)
