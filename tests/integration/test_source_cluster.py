# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring elsewhere: a clone is whole, becomes a cluster of its own, and never touches its source."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import killing
from tests.support.clones import (
    FILL,
    SUM,
    Clone,
    Source,
    archived,
    clone_of,
    identifier,
    pending,
    settings_of_a_clone,
    source_of_clones,
)
from tests.support.holding import held_before
from tests.support.marks import every_version, soak
from tests.support.modules import Modules
from tests.support.postgres import SETTINGS
from tests.support.sandbox import Sandbox
from tests.support.snapshots import tree
from tests.support.soak import Share
from tests.support.waiting import wait_until

SUBSCRIPTIONS = "SELECT subname, subenabled, subslotname FROM pg_subscription"


@pytest.fixture(scope="module")
def source(sandbox: Sandbox, version: str, modules: Modules) -> Iterator[Source]:
    """Provide the cluster that all tests clone, which none of them may change."""
    with source_of_clones(sandbox, version, modules) as created:
        yield created


@pytest.fixture
def clone(source: Source, modules: Modules) -> Iterator[Clone]:
    """Provide the place for a clone; its source, which runs beside it, has to be the same afterwards.

    What the clone has put into the repository goes with it.
    """
    before = archived(source)
    with clone_of(source, modules) as created:
        yield created
        for place in source.repository.glob(f"{created.cluster.name}*"):
            shutil.rmtree(place)
    assert archived(source) == before
    assert source.cluster.value(SUM).startswith("3500:")


def test_a_clone_is_whole_and_reaches_for_nothing_of_its_source(source: Source, clone: Clone) -> None:
    assert "library 'nosuch' of shared_preload_libraries" in clone.refused(
        settings={"shared_preload_libraries": "nosuch"}
    )
    restored = clone.clone(settings={"max_connections": 10})["restored"]
    assert clone.cluster.value("SHOW max_connections") == "20"
    assert (restored["source"], restored["identity"]) == (source.cluster.name, None)
    assert clone.run("pitr_restore", state="staged", **clone.wanted)["in_place"]
    cluster = clone.cluster
    assert settings_of_a_clone(cluster) == {
        "archive_mode": "off",
        "archive_command": "(disabled)",
        **({"archive_library": ""} if int(cluster.version) >= 15 else {}),
        "external_pid_file": "",
        "listen_addresses": "127.0.0.1",
        "log_directory": "log",
        **({"stats_temp_directory": "pg_stat_tmp"} if int(cluster.version) < 15 else {}),
        "max_logical_replication_workers": "0",
        "port": str(cluster.port),
        "primary_conninfo": "",
        "restore_command": "",
        "synchronous_standby_names": "",
    }
    assert cluster.value(SUM) == source.expected
    cluster.run("pg_amcheck", "-h", cluster.socket_directory, "-p", str(cluster.port), "--all", "--heapallindexed")
    assert cluster.sql(SUBSCRIPTIONS) == [("feed", False, None)], "the slot at the publisher is the source's"
    [told] = clone.run("recovery", state="promoted")["to_do"]
    assert told.startswith(
        "subscription feed (database postgres) is off, without the slot of the original: drop it, or"
    )
    assert source.cluster.sql(SUBSCRIPTIONS) == [("feed", True, "of_the_original")]
    # A commit waits for nobody, although the source's configuration names a standby.
    cluster.sql("SET synchronous_commit = on; INSERT INTO ledger VALUES (9000, 'in the clone')")
    clone.run("postgres_server", state="stopped")
    assert clone.detach()["changed"]
    cluster.run("pg_checksums", "--check", "-D", cluster.data_directory)
    clone.run("postgres_server", state="started")
    assert identifier(cluster) != source.identifier
    assert cluster.value("SELECT count(*) FROM ledger") == 3001
    cluster.sql("CHECKPOINT")
    cluster.sql(FILL, (5001, 6000))
    cluster.run("pg_amcheck", "-h", cluster.socket_directory, "-p", str(cluster.port), "--all", "--heapallindexed")


def archive_as_the_source_does(source: Source, clone: Clone) -> None:
    """Do by hand what nobody should: enable archiving in a clone, with the settings of its source."""
    command = source.cluster.value("SHOW archive_command").replace("'", "''")
    for setting in ("archive_mode = on", f"archive_command = '{command}'", "archive_timeout = 1"):
        clone.cluster.sql(f"ALTER SYSTEM SET {setting}")
    clone.run("postgres_server", state="restarted")


@pytest.mark.parametrize("detached", [False, True], ids=["with its source's identity", "detached"])
def test_a_clone_cannot_write_into_its_sources_repository(source: Source, clone: Clone, detached: bool) -> None:
    """Whatever of a clone there is to archive: whole segments, and history files, which say nothing of a cluster."""
    if detached:
        clone.become_a_cluster()
    else:
        clone.clone()
    archive_as_the_source_does(source, clone)
    clone.cluster.sql(FILL, (5001, 6000))
    clone.cluster.sql("SELECT pg_switch_wal()")
    refused = "system identifier" if detached else f"a clone of {source.cluster.name}"
    wait_until(lambda: refused in clone.cluster.log(), message="the archiver to be refused")
    wait_until(
        lambda: clone.cluster.value("SELECT failed_count FROM pg_stat_archiver") > 1, message="the archiver to retry"
    )
    assert pending(clone.cluster)
    assert clone.cluster.value("SELECT archived_count FROM pg_stat_archiver") == 0


def test_archiving_is_not_set_up_with_what_is_not_the_clusters_own(source: Source, clone: Clone) -> None:
    clone.clone()
    enable = {"state": "enabled", "program": clone.program}
    assert "is a clone of 'source'" in clone.fail("wal_archiving", **enable, cluster=source.cluster.name)
    assert "is a clone of 'source'" in clone.fail("backup_repository", separate_filesystem="ignore")
    clone.run("postgres_server", state="stopped")
    clone.detach()
    clone.run("postgres_server", state="started")
    refused = clone.fail("wal_archiving", **enable, cluster=source.cluster.name)
    assert f"belongs to the cluster with system identifier {source.identifier}" in refused
    assert clone.cluster.value("SHOW archive_mode") == "off"
    assert not clone.cluster.sql("SELECT 1 FROM pg_file_settings WHERE name = 'archive_command' AND setting <> ''")


@every_version
def test_a_detached_clone_has_archive_and_backups_of_its_own(source: Source, clone: Clone) -> None:
    wanted = {"target_time": None, "target": "latest"}
    clone.become_a_cluster(**wanted)
    assert clone.run("pitr_restore", state="staged", **clone.wanted | wanted)["in_place"]
    assert not clone.run("recovery", state="promoted")["changed"]
    assert clone.enable()["verified_segment"]
    wait_until((clone.wal / "00000002.history").exists, message="the timeline's history to be archived")
    clone.run("base_backup", label="own")
    clone.cluster.sql(FILL, (5001, 6000))
    clone.switch()
    expected = clone.cluster.value(SUM)
    moment = clone.cluster.value("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.USZ')")
    clone.cluster.sql("DROP TABLE ledger")
    clone.switch()
    assert clone.restore(target_time=moment)["backup"] == "own"
    assert clone.cluster.value(SUM) == expected
    assert clone.cluster.value("SHOW archive_mode") == "on"
    assert clone.run("cluster_info")["restored"]["source"] is None


def test_detaching_waits_until_there_is_nothing_to_lose(source: Source, clone: Clone) -> None:
    clone.lay_out(target_time=source.moment)
    assert "has not ended" in clone.fail("pitr_restore", state="detached")
    clone.run("postgres_server", state="started")
    clone.wait_for_target()
    assert "has not ended" in clone.fail("pitr_restore", state="detached", check_mode=True)
    clone.run("recovery", state="promoted")
    asked = clone.detach(check_mode=True)
    assert (asked["changed"], asked["in_place"], asked["system_identifier"]) == (True, False, None)
    assert "a server (process" in clone.fail("pitr_restore", state="detached")
    clone.cluster.kill()
    assert "was not shut down cleanly" in clone.fail("pitr_restore", state="detached")
    clone.cluster.start()
    clone.run("postgres_server", state="stopped")
    detached = clone.detach(diff=True)
    assert detached["diff"]["before"] == {"system_identifier": source.identifier}
    assert detached["diff"]["after"] == {"system_identifier": detached["system_identifier"]}
    before = tree(clone.cluster.data_directory)
    again = clone.detach()
    assert (again["changed"], again["system_identifier"]) == (False, detached["system_identifier"])
    assert tree(clone.cluster.data_directory) == before
    clone.run("postgres_server", state="started")
    assert not clone.detach()["changed"]
    assert "is not the result of a restore with source_cluster" in source.fail("pitr_restore", state="detached")
    # What it has written since stays, also when it ends without saying so.
    clone.cluster.sql(FILL, (5001, 6000))
    clone.cluster.sql("SELECT pg_switch_wal()")
    clone.cluster.kill()
    assert not clone.detach()["changed"]
    clone.cluster.start()
    assert clone.cluster.value(SUM).startswith("4000:")


def go_on(clone: Clone, kept: Path) -> None:
    """Go on after a detaching that was killed: whatever starts meanwhile archives nothing, and the next run ends it.

    Afterwards everything is as it was before, in the very same directory, by which a restore knows its record.
    """
    started = clone.modules.start("postgres_server", clone.options | {"state": "started"})
    if '"failed": true' not in started.stdout:
        assert clone.cluster.value("SHOW archive_mode") == "off"
        clone.run("postgres_server", state="stopped")
    clone.detach()
    assert not clone.detach()["changed"]
    clone.run("postgres_server", state="started")
    assert identifier(clone.cluster) != clone.source.identifier
    assert clone.cluster.value(SUM) == clone.source.expected
    assert pending(clone.cluster) == {"00000002.history"}
    clone.run("postgres_server", state="stopped")
    clone.sandbox.run(["find", clone.cluster.data_directory, "-mindepth", "1", "-delete"])
    clone.sandbox.run(["cp", "-a", f"{kept}/.", clone.cluster.data_directory])


# pg_resetwal, during which the run is killed: when the old WAL is gone, when the new is half written, when all is done.
RESET = """#!/bin/sh
directory=$2
{real} -D "$directory"
case {moment} in
emptied) find "$directory/pg_wal" -maxdepth 1 -type f -name '0000000200*' -delete ;;
half) for segment in "$directory"/pg_wal/0000000200*; do truncate -s 1000000 "$segment"; done ;;
esac
kill -KILL $PPID
"""


def detach_and_kill_in_pg_resetwal(clone: Clone, moment: str) -> None:
    """Detach with a pg_resetwal that ends the run which calls it."""
    programs = clone.sandbox.directory(clone.cluster.home / f"killing, {moment}")
    real = clone.cluster.bin_directory
    (programs / "pg_controldata").symlink_to(real / "pg_controldata")
    (programs / "pg_resetwal").write_text(RESET.format(moment=moment, real=real / "pg_resetwal"))
    (programs / "pg_resetwal").chmod(0o755)
    killed = clone.modules.start("pitr_restore", clone.options | {"state": "detached", "bin_directory": programs})
    assert killed.returncode == -signal.SIGKILL


@soak
def test_detaching_that_is_killed_anywhere_is_gone_on_with(clone: Clone, share: Share) -> None:
    clone.clone()
    clone.run("postgres_server", state="stopped")
    kept = clone.cluster.home / "kept"
    clone.sandbox.run(["cp", "-a", clone.cluster.data_directory, kept])
    for moment in share.of([1, 2, 3], 1):  # the record, the history file's mark, the control file
        ended = killing.run_and_kill(clone.modules, "pitr_restore", moment, **clone.options, state="detached")
        assert ended is None
        go_on(clone, kept)
    for part in share.of(["emptied", "half", "done"], 1):
        detach_and_kill_in_pg_resetwal(clone, part)
        go_on(clone, kept)


def location(clone: Clone) -> str:
    """Tell where a clone has its tablespace."""
    return str(clone.cluster.value("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'fast'"))


def test_an_earlier_clone_is_replaced_and_nothing_of_it_gets_into_the_next(source: Source, clone: Clone) -> None:
    """The first clone's own WAL has the names, and before it is detached the identifier, of WAL of the source."""
    theirs = source.sandbox.directory(clone.spaces / "fast" / "of somebody else")
    clone.clone()
    assert location(clone).startswith(f"{clone.spaces}/fast/pgark-")
    in_place = {"source_cluster": None, "cluster": source.cluster.name, "tablespace_mapping": {}}
    assert "holds a clone of 'source' that has no identity of its own" in clone.refused(**in_place)
    clone.cluster.sql(FILL, (5001, 6000))
    clone.cluster.sql("SELECT pg_switch_wal()")
    clone.run("postgres_server", state="stopped")
    latest = {"target_time": None, "target": "latest"}
    clone.lay_out(**latest)
    assert not list((clone.cluster.data_directory / "pg_wal").glob("00000002*"))
    clone.run("postgres_server", state="started")
    clone.wait_for_target()
    clone.run("recovery", state="promoted")
    assert clone.cluster.value(SUM).startswith("3500:")
    assert location(clone).startswith(f"{clone.spaces}/fast/pgark-")
    assert len(list((clone.spaces / "fast").iterdir())) == 3
    assert theirs.is_dir()
    clone.run("postgres_server", state="stopped")
    clone.detach()
    # One that is detached is recognised all the same.
    assert clone.run("pitr_restore", state="staged", **clone.wanted)["steps"]


def test_what_cannot_become_a_clone_is_refused_and_left_as_it_is(source: Source, clone: Clone) -> None:
    before = tree(clone.cluster.home)
    data = source.cluster.data_directory
    source.cluster.sql("CHECKPOINT")
    taken = tree(data / "base")
    assert "holds 'source' itself, or a copy of it" in clone.refused(data_directory=data, force=True)
    assert "which is the cluster itself" in clone.refused(cluster=source.cluster.name)
    assert "holds nothing of a cluster 'nobody'" in clone.refused(source_cluster="nobody")
    assert "names archive_mode" in clone.refused(settings={"archive_mode": "on"})
    assert "'work mem' is not the name of a setting" in clone.refused(settings={"work mem": "4MB"})
    assert "has no tablespace; it has: " in clone.refused(tablespace_mapping={"/srv/typo": "/srv/new"})
    assert "would be in the data directory" in clone.refused(
        tablespace_mapping={str(source.tablespace): f"{clone.cluster.data_directory}/fast"}
    )
    missing = clone.refused(tablespace_mapping={str(source.tablespace): "/nowhere/at/all"})
    assert (
        f"neither the directory nor, writable, the one above it is there: /nowhere/at/all (for {source.tablespace})"
        in missing
    )
    assert "has no postgresql.conf; that of 'source' is not restored" in clone.refused(
        config_directory=clone.cluster.home / "etc"
    )
    assert "names archive_command, which a cluster that is restored in place has from its backup" in clone.refused(
        source_cluster=None, cluster=source.cluster.name, tablespace_mapping={}, settings={"archive_command": "true"}
    )
    assert tree(clone.cluster.home) == before
    assert tree(data / "base") == taken
    for name in ("PG_VERSION", "global/pg_control"):
        copied = source.sandbox.directory((clone.cluster.data_directory / name).parent) / Path(name).name
        shutil.copyfile(data / name, copied)
        clone.owned(copied)
    assert "holds 'source' itself, or a copy of it, and no clone" in clone.refused(force=True)


def configuration_outside(clone: Clone, **settings: Any) -> Path:
    """Make a configuration outside the data directory, as Debian's pg_createcluster does."""
    directory = clone.sandbox.directory(clone.cluster.home / "etc")
    own = {"port": clone.cluster.port, "unix_socket_directories": f'"{clone.cluster.socket_directory}"', **settings}
    lines = [f"{name} = '{value}'\n" for name, value in {**SETTINGS, **own}.items()]
    for name, text in {"postgresql.conf": "".join(lines), "pg_hba.conf": "local all all trust\n"}.items():
        (directory / name).write_text(text)
        clone.owned(directory / name)
    (directory / "pg_ident.conf").touch()
    clone.owned(directory / "pg_ident.conf")
    return directory


def test_a_clone_with_a_configuration_of_its_own(source: Source, clone: Clone) -> None:
    data = clone.cluster.data_directory
    wrong = configuration_outside(clone, data_directory=source.cluster.data_directory)
    before = tree(clone.cluster.home)
    refused = clone.refused(config_directory=wrong)
    assert f"a server started for {data} would work in {source.cluster.data_directory}" in refused
    assert tree(clone.cluster.home) == before
    there = f'"{source.cluster.socket_directory}"'
    shared = configuration_outside(clone, data_directory=data, port=source.cluster.port, unix_socket_directories=there)
    refused = clone.refused(config_directory=shared)
    assert f"would write where that of {source.cluster.data_directory} does: unix_socket_directories" in refused
    right = configuration_outside(clone, data_directory=data, hba_file=wrong / "pg_hba.conf")
    config = tree(right)
    clone.lay_out(config_directory=right)
    assert tree(right) == config
    clone.run("postgres_server", state="started", config_file=right / "postgresql.conf")
    clone.wait_for_target()
    clone.run("recovery", state="promoted")
    assert clone.cluster.value(SUM) == source.expected
    assert clone.cluster.value("SHOW config_file") == str(right / "postgresql.conf")
    clone.run("postgres_server", state="stopped")
    clone.detach()
    clone.run("postgres_server", state="started", config_file=right / "postgresql.conf")
    assert identifier(clone.cluster) != source.identifier


def test_a_clone_is_made_anew_into_a_place_of_its_own_in_a_repository(source: Source, clone: Clone) -> None:
    clone.become_a_cluster()
    clone.enable()
    place, first = clone.repository / clone.cluster.name, identifier(clone.cluster)
    clone.run("base_backup", label="of-the-first")
    clone.run("postgres_server", state="stopped")
    clone.become_a_cluster(force=True)
    message = clone.fail("backup_repository", separate_filesystem="ignore")
    assert f"{place} belongs to the cluster with system identifier {first} " in message
    assert f"backup_repository_retire=true keeps what is there as {clone.cluster.name}.retired-{first}" in message
    retire = {"separate_filesystem": "ignore", "retire": True}
    assert clone.run("backup_repository", **retire)["changed"]
    assert not clone.run("backup_repository", **retire)["changed"]
    assert clone.run("wal_archiving", program=clone.program, timeout=0)["restart_required"]
    clone.run("postgres_server", state="restarted")
    assert clone.run("wal_archiving", program=clone.program, timeout=0, verify=True)["verified_segment"]
    assert clone.run("base_backup", label="of-the-second")["changed"]
    for name, label in ((place.name, "of-the-second"), (f"{place.name}.retired-{first}", "of-the-first")):
        found = clone.run("backup_info", cluster=name)
        assert [backup["label"] for backup in found["backups"]] == [label]


@pytest.fixture
def lost(source: Source, sandbox: Sandbox, modules: Modules) -> Iterator[Source]:
    """Provide a source of which nothing is left but the repository, in another place, as on another machine.

    It cannot be written there. Its configuration names the place of its data, which is not there any more either.
    """
    with source_of_clones(sandbox, source.cluster.version, modules, "lost") as created:
        created.cluster.configure({"data_directory": str(created.cluster.data_directory)})
        created.run("base_backup", label="with-its-place")
        moved = sandbox.directory(sandbox.home / "moved") / "repository"
        created.repository.rename(moved)
        created.repository = moved
        created.cluster.remove()
        sandbox.run(["chmod", "-R", "a-w", moved])
        yield created
        sandbox.run(["chmod", "-R", "u+w", moved])
        shutil.rmtree(moved.parent)


def test_a_clone_on_another_machine(lost: Source, modules: Modules) -> None:
    with clone_of(lost, modules, "elsewhere") as clone:
        label = "with-its-place"
        before = tree(clone.cluster.home)
        refused = clone.refused(tablespace_mapping={})
        assert f"the one above it is there: {lost.tablespace}\nHINT: map them" in refused
        assert tree(clone.cluster.home) == before
        assert clone.become_a_cluster()["changed"]
        assert clone.cluster.value(SUM) == lost.expected
        assert location(clone).startswith(f"{clone.spaces}/fast/pgark-")
        clone.run("postgres_server", state="stopped")
        later = {"target_time": None, "target": "latest", "backup_label": label}
        refused = clone.refused(**later)
        assert f"would work in {lost.cluster.data_directory}" in refused
        assert clone.cluster.data_directory.is_dir()
        own = configuration_outside(clone, data_directory=clone.cluster.data_directory)
        clone.lay_out(**later, config_directory=own)
        clone.run("postgres_server", state="started", config_file=own / "postgresql.conf")
        clone.wait_for_target()
        assert clone.cluster.value(SUM).startswith("3500:")


def test_a_clone_that_was_killed_is_begun_again_and_leaves_another_one_of_the_same_mapping_alone(
    source: Source, clone: Clone, modules: Modules
) -> None:
    """Both are to have their tablespace in the same directory; each makes one of its own there."""
    with clone_of(source, modules, "second") as second:
        second.wanted["tablespace_mapping"] = clone.wanted["tablespace_mapping"]
        with held_before(clone, "VerifyStaging", state="staged", **clone.wanted) as begun:
            begun.kill()
        second.clone()
        second.cluster.sql("CREATE TABLE work (n int) TABLESPACE fast")
        second.cluster.sql("INSERT INTO work VALUES (1)")
        [abandoned] = [path for path in (clone.spaces / "fast").iterdir() if str(path) != location(second)]
        again = clone.run("pitr_restore", state="staged", **clone.wanted)
        assert again["steps"][0]["step"] == "RemoveStaging"
        assert not abandoned.exists()
        clone.run("pitr_restore", state="restored", **clone.wanted)
        second.run("postgres_server", state="restarted")
        assert second.cluster.value("SELECT n FROM work") == 1
        assert second.cluster.value(SUM) == source.expected
    clone.run("postgres_server", state="started")
    clone.wait_for_target()
    assert clone.cluster.value(SUM) == source.expected


def test_a_clone_whose_switch_is_killed_again_and_again_gets_there(source: Source, clone: Clone) -> None:
    earlier = clone.sandbox.directory(clone.cluster.data_directory)
    clone.run("pitr_restore", state="staged", **clone.wanted)
    kills = 0
    while (
        killing.run_and_kill(clone.modules, "pitr_restore", 1, **clone.options, **clone.wanted, state="restored")
        is None
    ):
        kills += 1
        assert clone.fail("pitr_restore", state="detached")
    assert kills > 2
    assert earlier.is_dir()
    clone.run("postgres_server", state="started")
    clone.wait_for_target()
    assert clone.cluster.value(SUM) == source.expected
    assert clone.cluster.value("SHOW archive_mode") == "off"


def test_what_the_source_archives_once_the_clone_is_in_place_is_not_replayed(
    sandbox: Sandbox, version: str, modules: Modules
) -> None:
    """It makes a tablespace at a path that the clone does not map: recovery would write into that of the source."""
    with source_of_clones(sandbox, version, modules, "busy") as source, clone_of(source, modules) as clone:
        del clone.wanted["target_time"]
        clone.lay_out(target="latest")
        space = sandbox.directory(source.cluster.home / "new space")
        source.cluster.sql(f"CREATE TABLESPACE new LOCATION '{space}'")
        source.cluster.sql("CREATE TABLE in_new TABLESPACE new AS SELECT generate_series(1, 1000) AS n")
        source.switch()
        source.cluster.sql("CHECKPOINT")
        before = tree(space)
        clone.run("postgres_server", state="started")
        clone.wait_for_target()
        assert clone.cluster.value("SELECT count(*) FROM pg_tablespace WHERE spcname = 'new'") == 0
        assert clone.cluster.value(SUM).startswith("3500:")
        assert tree(space) == before
