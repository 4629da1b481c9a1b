# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes out of a backup is what PostgreSQL put in, where it was and as readable as it was, and nothing else."""

from __future__ import annotations

import io
import json
import stat
import tarfile
from collections.abc import Callable

from tests.support.recoverable import Recoverable
from tests.support.sealing import rewrite
from tests.support.snapshots import tree

COUNT = "SELECT count(*) FROM ledger"
# What nobody but the cluster's owner needs to read.
OWNERS = ("postmaster.pid", "pgark_place.json")
NOW = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.USZ')"


def write_and_lose(subject: Recoverable, **options: object) -> str:
    """Have 50 rows in a backup, 50 only in archived WAL, and all deleted after the moment that is returned."""
    cluster = subject.cluster
    cluster.sql("INSERT INTO ledger SELECT generate_series(1, 50)")
    subject.run("base_backup", compression="none", **options)
    cluster.sql("INSERT INTO ledger SELECT generate_series(51, 100)")
    moment: str = cluster.value(NOW)
    cluster.sql("DELETE FROM ledger")
    subject.switch()
    return moment


Change = Callable[[tarfile.TarFile], None]


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o600, content: bytes = b"") -> Change:
    """Add a member to an archive."""

    def add(archive: tarfile.TarFile) -> None:
        added = tarfile.TarInfo(name)
        added.type, added.linkname, added.mode, added.size = kind, link, mode, len(content)
        archive.addfile(added, io.BytesIO(content))

    return add


class Crafted:
    """A backup that can be spoiled and repaired, and a directory that none of it may reach."""

    def __init__(self, subject: Recoverable) -> None:
        self._subject = subject
        [self._backup] = subject.backups.iterdir()
        self._good = {path: path.read_bytes() for path in self._backup.iterdir()}
        self.precious = subject.sandbox.directory(subject.cluster.home / "precious")
        (self.precious / "authorized_keys").write_text("honest")
        (self.precious / "data").mkdir()
        for path in self.precious.iterdir():
            subject.owned(path)
        self._before = tree(self.precious)

    def change(self, archive: str, *changes: Change, without: str | None = None) -> None:
        """Pack an archive anew."""
        path = self._backup / f"{archive}.tar"
        content = path.read_bytes() if path.exists() else empty()
        with (
            tarfile.open(fileobj=io.BytesIO(content)) as source,
            tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as target,
        ):
            for change in changes:
                change(target)
            for each in source:
                if without is None or each.name.split("/")[0] != without:
                    target.addfile(each, source.extractfile(each) if each.isreg() else None)
        self._subject.owned(path)

    def describe(self, **tablespaces: str) -> None:
        """Say in backup.json that there are other tablespaces."""
        rewrite(self._backup / "backup.json", tablespaces=tablespaces)

    def repair(self) -> None:
        """Make the backup what it was."""
        for path in self._backup.iterdir():
            path.unlink()
        for path, content in self._good.items():
            path.write_bytes(content)
            self._subject.owned(path)

    def record(self) -> bytes:
        """Return a restore's record that says that the directory belongs to it."""
        values = {"target": {}, "backup": "x", "cluster": "main", "system_identifier": "1", "entries": []}
        return json.dumps(values | {"previous_directory": "/x", "places": [str(self.precious)]}).encode()

    def check(self) -> None:
        """Make sure that the directory is as it was."""
        assert tree(self.precious) == self._before


def empty() -> bytes:
    """Return an archive without a member."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w"):
        pass
    return content.getvalue()


def tablespace_named_like_a_directory(crafted: Crafted) -> None:
    crafted.describe(data="/nowhere")
    crafted.change("base", member("pg_tblspc", tarfile.SYMTYPE, str(crafted.precious)), without="pg_tblspc")
    crafted.change("data")


def wal_written_through_a_link(crafted: Crafted) -> None:
    crafted.change("base", member("pg_wal", tarfile.SYMTYPE, str(crafted.precious)), without="pg_wal")
    crafted.change("pg_wal", member("authorized_keys", content=b"attacker"))


def data_behind_a_link(crafted: Crafted) -> None:
    crafted.change("base", member("base", tarfile.SYMTYPE, str(crafted.precious)), without="base")


ATTACKS: list[Callable[[Crafted], None]] = [
    tablespace_named_like_a_directory,
    wal_written_through_a_link,
    data_behind_a_link,
    lambda crafted: crafted.change("base", member("./pgark_restore.json", content=crafted.record())),
]


def test_a_crafted_backup_touches_nothing_and_the_next_good_one_is_restored(recoverable: Recoverable) -> None:
    """Whoever can write into a repository reaches nothing else by it, before and after the backup is verified."""
    subject, cluster = recoverable, recoverable.cluster
    cluster.sql("CREATE TABLE ledger (n int)")
    moment = write_and_lose(subject)
    crafted = Crafted(subject)
    for attack in ATTACKS:
        attack(crafted)
        said = subject.fail("pitr_restore", state="staged", program=subject.program, target_time=moment)
        assert "HINT: " in said
        crafted.check()
        crafted.repair()  # the next one removes what this one has left
    assert cluster.value(COUNT) == 0, "the server has been running all the while"
    subject.restore(target_time=moment)
    assert cluster.value(COUNT) == 100
    crafted.check()


def test_what_a_group_could_read_it_can_read_again(recoverable: Recoverable) -> None:
    """As after initdb --allow-group-access, in the data directory and in a tablespace."""
    subject, cluster = recoverable, recoverable.cluster
    cluster.stop()
    for path in (cluster.data_directory, *cluster.data_directory.rglob("*")):
        path.chmod(0o750 if path.is_dir() else 0o640)
    secret = cluster.data_directory / "server.key"
    secret.touch(0o600)
    subject.owned(secret)
    cluster.start()
    place = subject.sandbox.directory(cluster.home / "space")
    cluster.sql(f"CREATE TABLESPACE fast LOCATION '{place}'")
    cluster.sql("CREATE TABLE ledger (n int) TABLESPACE fast")
    moment = write_and_lose(subject)
    subject.restore(target_time=moment)
    assert cluster.value(COUNT) == 100
    assert cluster.value("SHOW data_directory_mode") == "0750"
    [link] = (cluster.data_directory / "pg_tblspc").iterdir()
    found = {path: stat.S_IMODE(path.stat().st_mode) for path in (cluster.data_directory, link.resolve())}
    for top in list(found):
        below = [path for path in top.rglob("*") if path.parent.name != "pg_wal" and "pgsql_tmp" not in str(path)]
        found |= {path: stat.S_IMODE(path.stat().st_mode) for path in below if path.name not in OWNERS}
    assert found.pop(secret) == 0o600
    assert {path: mode for path, mode in found.items() if mode != (0o750 if path.is_dir() else 0o640)} == {}


def test_a_tablespace_in_place_is_restored_and_rolled_back(recoverable: Recoverable) -> None:
    """PostgreSQL 15 and newer can have one in the data directory itself, which pg_basebackup packs like any other."""
    subject, cluster = recoverable, recoverable.cluster
    with cluster.connect() as connection:
        connection.execute("SET allow_in_place_tablespaces = on")
        connection.execute("CREATE TABLESPACE inside LOCATION ''")
    cluster.sql("CREATE TABLE ledger (n int) TABLESPACE inside")
    moment = write_and_lose(subject)
    restored = subject.restore(target_time=moment)
    assert cluster.value(COUNT) == 100
    oid = cluster.value("SELECT oid::text FROM pg_tablespace WHERE spcname = 'inside'")
    place = cluster.data_directory / "pg_tblspc" / oid
    assert place.is_dir()
    assert not place.is_symlink()
    subject.run("base_backup", compression="none")
    subject.run("postgres_server", state="stopped")
    subject.run("pitr_restore", state="rolled_back")
    subject.run("postgres_server", state="started")
    assert cluster.value(COUNT) == 0
    assert restored["in_place"]
