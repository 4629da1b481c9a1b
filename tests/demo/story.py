# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The story: archive, back up, lose, restore; a dropped table first, then the whole data directory."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from tests.demo import ledger
from tests.demo.ledger import Comparison, Rows
from tests.demo.narrator import Narrator
from tests.support.playbooks import Playbooks
from tests.support.postgres import Cluster
from tests.support.sandbox import CHECKOUT, Sandbox
from tests.support.waiting import wait_until

VERSION = "18"
IN_THE_BACKUP, ONLY_IN_WAL, STILL_OPEN, TOO_LATE, ON_THE_NEW_TIMELINE = 20_000, 50_000, 300, 1_000, 30_000


class Story:
    """One run of the demo, in a sandbox of its own."""

    def __init__(self, sandbox: Sandbox, narrator: Narrator, *, verbose: bool) -> None:
        self._sandbox = sandbox
        self._playbooks = Playbooks(sandbox)
        self._narrator = narrator
        self._verbose = verbose

    def tell(self) -> bool:
        """Play both acts; returns whether exactly the expected rows came back each time."""
        self._start()
        self._prepare()
        return self._lose_a_table() and self._lose_everything()

    def _start(self) -> None:
        server = f"a throw-away PostgreSQL {VERSION} in {self._sandbox.root}, run by {self._sandbox.user}"
        with self._narrator.timed(server):
            self.cluster = self._sandbox.cluster(VERSION, "demo")
            self.inventory = self._playbooks.inventory(self.cluster)
            self.cluster.sql(ledger.CREATE)

    def _prepare(self) -> None:
        say, title = self._narrator.say, self._narrator.title
        title("Set up: archive the WAL, and take one base backup")
        self._playbook("setup_archiving", done="archiving is on; a segment was switched and found whole")
        self._place(IN_THE_BACKUP)
        self._playbook("base_backup", done=f"the backup is verified and published, with {IN_THE_BACKUP:,} orders in it")
        self._place(ONLY_IN_WAL)
        say(f"Then {ONLY_IN_WAL:,} more orders come in. No backup has them: they exist only in the WAL.")

    def _lose_a_table(self) -> bool:
        self._narrator.title("Act one: DROP TABLE orders")
        with self.cluster.connect() as late, late.transaction():
            late.execute(ledger.PLACE, [STILL_OPEN])
            expected, target = ledger.rows(self.cluster), ledger.now(self.cluster)
        self._place(TOO_LATE)
        self._narrator.say(f"It is {target}, and there are {len(expected):,} orders. A transaction is open, with")
        self._narrator.say(f"{STILL_OPEN:,} more; it commits a moment later, {TOO_LATE:,} others follow, and then:")
        self._narrator.say("# DROP TABLE orders;")
        self.cluster.sql("DROP TABLE orders")
        came_back = self._restore(target, expected)
        [previous] = self.cluster.home.glob("data.before-*/")
        self._narrator.say(f"The data with the mistake in it is kept, in {previous.name}.")
        return came_back

    def _lose_everything(self) -> bool:
        self._narrator.title("Act two: the whole data directory is deleted")
        self._place(ON_THE_NEW_TIMELINE)
        expected, target = ledger.rows(self.cluster), ledger.now(self.cluster)
        self._place(TOO_LATE)
        self._wait_for_archive()
        self._narrator.say(f"Business goes on, on timeline {self._timeline()}: {len(expected):,} orders at {target},")
        self._narrator.say(f"then {TOO_LATE:,} more. They reach the archive, the server is killed, and:")
        self.cluster.kill()
        self._narrator.command(["rm", "-rf", str(self.cluster.data_directory)])
        shutil.rmtree(self.cluster.data_directory)
        return self._restore(target, expected)

    def _restore(self, target: str, expected: Rows) -> bool:
        self._playbook("pitr_restore", "-e", f"target_time={target}", done="restored, checked and promoted")
        comparison = Comparison(expected, ledger.rows(self.cluster))
        self._show(comparison)
        return comparison.is_exact

    def _show(self, comparison: Comparison) -> None:
        for name, content in (("at the target", comparison.expected), ("restored", comparison.found)):
            self._narrator.say(f"{name:>15}: {len(content):>7,} orders   checksum {ledger.checksum(content)}")
        verdict = "exactly the same" if comparison.is_exact else "NOT THE SAME"
        self._narrator.say(f"{'':>15}  {comparison.missing:>7,} missing, {comparison.surplus:,} too many: {verdict}")

    def _playbook(self, name: str, *arguments: str, done: str) -> None:
        program, inventory = ".venv/bin/ansible-playbook", str(self.inventory)
        self._narrator.command([program, "-i", inventory, f"playbooks/{name}.yml", *arguments])
        with self._narrator.timed(done):
            run = self._playbooks.run(name, self.inventory, *arguments)
        if self._verbose:
            print(run.output)

    def _place(self, orders: int) -> None:
        self.cluster.sql(ledger.PLACE, (orders,))

    def _timeline(self) -> int:
        return int(self.cluster.value("SELECT pg_walfile_name(pg_current_wal_lsn())")[:8], base=16)

    def _wait_for_archive(self) -> None:
        """Do now what archive_timeout does after a minute."""
        segment = self.cluster.value("SELECT pg_walfile_name(pg_switch_wal())")
        arrived = "SELECT coalesce(last_archived_wal >= %s, false) FROM pg_stat_archiver"
        wait_until(lambda: self.cluster.value(arrived, (segment,)), message=f"{segment} to be archived")


def psql(cluster: Cluster) -> str:
    """Return the command that opens a session on the cluster."""
    host, port = str(cluster.socket_directory), str(cluster.port)
    return shlex.join([str(cluster.bin_directory / "psql"), "-h", host, "-p", port, "-U", cluster.owner, "postgres"])


def remove_command(root: Path) -> str:
    """Return the command that ends a sandbox's servers and deletes it."""
    return f"cd {shlex.quote(str(CHECKOUT))} && .venv/bin/python -m tests.demo --remove {root}"
