# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pgark-wal keeps in pg_wal is void when its cause is gone, and in nobody's way: backups, pg_rewind, standbys."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.archiving import Archiving
from tests.support.postgres import Cluster
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_until
from tests.unit.wal_program.harness import Repository

SETTINGS = {"fsync": "off", "wal_keep_size": "1GB", "wal_log_hints": "on"}
OURS = "pgsql_tmp.pgark"
# What a change gives: the command to archive by, and the repositories that have to have everything then.
Changed = tuple[str, list[Repository]]


@pytest.fixture
def archiving(sandbox: Sandbox, version: str) -> Iterator[Archiving]:
    """Provide a server with segments of 1 MB that keeps them all."""
    with sandbox.cluster(version, "neighbours", settings=SETTINGS, wal_segment_size=1) as cluster:
        yield Archiving(cluster)


def push_first(archiving: Archiving, compression: str, count: int = 6) -> list[str]:
    """Have segments wait, and push the first as the archiver does; return the others, which are acknowledged now."""
    archiving.archive_by("false")
    wait_until(lambda: archiving.cluster.value("SHOW archive_command") == "false", message="the setting")
    names = archiving.finish_segments(count)
    wait_until(lambda: set(names) <= set(archiving.waiting()), message="all to wait")
    first = archiving.waiting()[0]
    command = archiving.command(compression).replace("%p", f"pg_wal/{first}").replace("%f", first).replace("%%", "%")
    script = f'cd "$1" && {command}'
    archiving.cluster.sandbox.run(["sh", "-c", script, "sh", archiving.cluster.data_directory])
    (archiving.wal / f"archive_status/{first}.ready").rename(archiving.wal / f"archive_status/{first}.done")
    assert len(acknowledged(archiving.wal)) >= count - 1
    wait_until(lambda: asks_for_next(archiving), message="the archiver to ask for the second")
    return [name for name in names if name != first]


def asks_for_next(archiving: Archiving) -> bool:
    """Wake the archiver, which asks for the same up to three times, and tell whether it has gone on."""
    archiving.reload()
    failed = archiving.cluster.value("SELECT last_failed_wal FROM pg_stat_archiver")
    return bool(failed == archiving.waiting()[0])


def acknowledged(wal: Path) -> list[Path]:
    return list(wal.glob(f"{OURS}/push-*/*.1"))


def nothing(archiving: Archiving) -> Changed:
    return archiving.command("zstd"), [archiving.repository]


def recreated(archiving: Archiving) -> Changed:
    """Make the repository anew under the same path."""
    archiving.repository.path.rename(archiving.repository.path.with_name("old"))
    archiving.repository = archiving.create_repository(archiving.repository.path.name)
    return archiving.command("zstd"), [archiving.repository]


def emptied(archiving: Archiving) -> Changed:
    """Put a copy in the repository's place that was made before anything was archived: it has the same id."""
    for path in archiving.repository.wal.glob("0*"):
        path.rename(archiving.cluster.home / path.name)
    return archiving.command("zstd"), [archiving.repository]


def one_more(archiving: Archiving) -> Changed:
    """Add a repository."""
    other = archiving.create_repository("other")
    return archiving.command("zstd", archiving.repository, other), [archiving.repository, other]


def another(archiving: Archiving) -> Changed:
    """Archive into another repository, and no longer into the first."""
    other = archiving.create_repository("other")
    return archiving.command("zstd", other), [other]


@pytest.mark.parametrize("change", [nothing, recreated, emptied, one_more, another])
def test_an_acknowledgement_is_void_when_the_repository_is_not_what_it_was(
    archiving: Archiving, change: Callable[[Archiving], Changed]
) -> None:
    names = push_first(archiving, "none")
    command, repositories = change(archiving)
    archiving.archive_by(command)
    archiving.wait_for_all()
    for repository in repositories:
        archiving.assert_archived(names, repository)
    # Archived by the first push and not again: uncompressed. Not taken for archived: compressed.
    suffix = "" if change in (nothing, one_more) else ".zst"
    assert {name + suffix for name in names} <= archiving.repository.files() | repositories[-1].files()
    assert "FATAL:  archive command" not in archiving.cluster.log(), "the archiver ended of it"


def test_a_base_backup_leaves_out_what_is_kept_for_archiving(archiving: Archiving) -> None:
    push_first(archiving, "none")
    for method in ("fetch", "stream"):
        backup = archiving.cluster.home / f"backup by {method}"
        where = ["-d", archiving.cluster.conninfo, "-D", backup]
        archiving.cluster.run("pg_basebackup", *where, "-X", method, "--checkpoint=fast", "--no-sync")
        assert not list(backup.rglob(f"{OURS}*"))
        archiving.cluster.run("pg_verifybackup", backup)


def test_pg_rewind_passes_over_what_both_servers_keep_for_archiving(archiving: Archiving, sandbox: Sandbox) -> None:
    old = archiving.cluster
    with sandbox.standby(old, "standby") as new:
        old.sql("CREATE TABLE kept AS SELECT 1 AS n")
        wait_until(lambda: caught_up(old, new), message="the standby to catch up")
        new.sql("SELECT pg_promote()")
        promoted = of_server(new, archiving)
        names = push_first(archiving, "none"), push_first(promoted, "zstd")
        old.sql("INSERT INTO kept SELECT 2")
        old.stop()
        before = tree(promoted.wal / OURS)
        assert before
        assert tree(archiving.wal / OURS)
        old.run("pg_rewind", "-D", old.data_directory, "--source-server", new.conninfo, "-R", "--no-sync")
        assert tree(promoted.wal / OURS) == before
        assert not tree(archiving.wal / OURS), "what it takes for temporary files it removes, and copies none"
        old.configure({})  # pg_rewind has brought the other server's configuration
        old.start()
        promoted.compress("none")
        names[1].extend(promoted.finish_segments(2))
        promoted.wait_for_all()
        promoted.assert_archived(names[1])
        wait_until(lambda: caught_up(new, old), message="the rewound server to catch up")
        assert old.sql("SELECT n FROM kept") == [(1,)]


@pytest.mark.parametrize("repository", ["of its own", "of the primary"])
def test_a_standby_archives_ahead_as_well_when_it_always_archives(
    archiving: Archiving, sandbox: Sandbox, repository: str
) -> None:
    primary = archiving.cluster
    with sandbox.standby(primary, "standby") as standby:
        always = of_server(standby, archiving)
        if repository == "of its own":
            always.repository = archiving.create_repository("other")
        standby.configure({"archive_mode": "always", "archive_command": "false"})
        (standby.data_directory / "postgresql.auto.conf").write_text(f"primary_conninfo = '{quoted(primary)}'\n")
        standby.restart()
        names = archiving.finish_segments(100)
        wait_until(lambda: caught_up(primary, standby), message="the standby to catch up")
        wait_until(lambda: set(names) <= set(always.waiting()), message="all to wait at the standby")
        standby.configure({"archive_command": always.command("zstd")})
        always.reload()
        wait_until(lambda: acknowledged(always.wal) or not always.waiting(), message="a push ahead", longest_pause=0.01)
        archiving.wait_for_all()
        always.wait_for_all()
        always.assert_archived(names)
        archiving.assert_archived(names)


def of_server(server: Cluster, archiving: Archiving) -> Archiving:
    """See another server as one that archives with the same program."""
    other = copy.copy(archiving)
    other.cluster = server
    return other


def caught_up(primary: Cluster, standby: Cluster) -> bool:
    """Tell whether a standby has replayed all that its primary has written."""
    position = primary.value("SELECT pg_current_wal_flush_lsn()")
    return bool(standby.value("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (position,)))


def quoted(primary: Cluster) -> str:
    return primary.conninfo.replace("'", "''")


def tree(directory: Path) -> dict[str, tuple[int, int]]:
    """Name what is below a directory, with inode and time of change."""
    found = {path.relative_to(directory): path.lstat() for path in directory.rglob("*")}
    return {str(name): (status.st_ino, status.st_mtime_ns) for name, status in found.items()}
