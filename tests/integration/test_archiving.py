# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archiving is configured by what differs, and called working only when a segment was read back from the repository."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.marks import every_version
from tests.support.modules import Modules
from tests.support.postgres import Cluster
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox
from tests.support.snapshots import settings, tree
from tests.support.waiting import wait_until

SUFFIXES = {"none": "", "gzip": ".gz", "lz4": ".lz4", "zstd": ".zst"}
WRITTEN = "SELECT name FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf' ORDER BY name"
# What a shell, PostgreSQL's own expansion, its configuration files or a URL-minded reader could trip over.
HOSTILE = """it's 100% "$nowhere" `id` $(id) %p\\ \u00e9"""


@pytest.fixture
def fresh(sandbox: Sandbox, cluster: Cluster, modules: Modules) -> Recoverable:
    """Provide a running cluster with a repository, whose settings are as initdb left them."""
    subject = Recoverable(sandbox, cluster, modules)
    subject.run("backup_repository", separate_filesystem="ignore")
    return subject


@contextmanager
def mode_of(path: Path, mode: int) -> Iterator[None]:
    """Give a path another mode for a while."""
    before = stat.S_IMODE(path.stat().st_mode)
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


def verify(subject: Recoverable, **parameters: Any) -> dict[str, Any]:
    return subject.run("wal_archiving", program=subject.program, timeout=0, verify=True, **parameters)


def unproved(subject: Recoverable) -> str:
    """Ask for a proof that must fail, and return what is said."""
    return subject.fail("wal_archiving", program=subject.program, timeout=0, verify=True, verify_timeout=2)


def planned(fresh: Recoverable, **options: object) -> dict[str, Any]:
    """Ask what enabling would do, and make sure that asking did nothing."""
    before = settings(fresh.cluster), tree(fresh.repository)
    result = fresh.run("wal_archiving", check_mode=True, diff=True, verify=True, **options)
    assert (settings(fresh.cluster), tree(fresh.repository)) == before
    assert result["verified_segment"] is None
    return result


@every_version
def test_archiving_is_enabled_from_nothing(fresh: Recoverable) -> None:
    cluster, options = fresh.cluster, {"program": fresh.program}
    expected = planned(fresh, **options)
    changed = {"archive_mode": "off", "archive_command": "", "archive_timeout": "0"}
    assert expected["settings_before"] == changed
    assert expected["diff"]["before"] == {"pgark-wal": "absent", **changed}
    assert expected["unverified_reason"] == "check mode archives nothing"
    assert not fresh.program.parent.exists()
    done = fresh.run("wal_archiving", diff=True, **options)
    for returned in ("changed", "steps", "diff", "restart_required", "restart_settings"):
        assert done[returned] == expected[returned]
    assert done["changed"]
    assert done["restart_settings"] == ["archive_mode"]
    assert done["unverified_reason"] is None, "nobody asked for a proof"
    assert cluster.sql(WRITTEN) == [("archive_command",), ("archive_mode",), ("archive_timeout",)]
    again = fresh.run("wal_archiving", verify=True, **options)
    assert not again["changed"]
    assert again["restart_required"], "the restart is still due"
    assert again["verified_segment"] is None
    assert again["unverified_reason"] == "a restart has to bring archive_mode into force first"

    fresh.run("postgres_server", state="restarted")
    proved = fresh.run("wal_archiving", verify=True, **options)
    assert not proved["changed"]
    assert not proved["restart_required"]
    assert proved["unverified_reason"] is None
    assert list(fresh.wal.glob(f"*/{proved['verified_segment']}*"))
    assert cluster.value("SHOW archive_timeout") == "1min"


def test_archiving_is_disabled_before_a_restart_and_after_one(fresh: Recoverable) -> None:
    options = {"program": fresh.program}
    fresh.run("wal_archiving", **options)
    taken_back = fresh.run("wal_archiving", state="disabled")
    assert taken_back["changed"]
    assert not taken_back["restart_required"], "what waited for a restart waits no longer"
    assert fresh.run("wal_archiving", **options)["restart_required"]
    fresh.run("postgres_server", state="restarted")

    assert fresh.run("wal_archiving", state="disabled", check_mode=True)["changed"]
    assert fresh.run("wal_archiving", state="disabled")["restart_settings"] == ["archive_mode"]
    fresh.run("postgres_server", state="restarted")
    assert not fresh.run("wal_archiving", state="disabled")["changed"]
    assert fresh.cluster.sql(WRITTEN) == []
    message = fresh.fail("restore_point", switch_wal=True, wait=True)
    assert "archiving does not work: archive_mode is off\nHINT: run setup_archiving.yml" in message


def test_each_compression_is_proved_and_what_was_set_by_hand_is_shown(recoverable: Recoverable) -> None:
    cluster = recoverable.cluster
    for compression, suffix in SUFFIXES.items():
        done = verify(recoverable, compression=compression)
        segment = done["verified_segment"]
        archived = {path.name for path in recoverable.wal.glob(f"*/{segment}*")}
        assert archived - {f"{segment}.sha256"} == {f"{segment}{suffix}"}
        assert done["compression"] == compression
        assert not done["restart_required"]

    ours = cluster.value("SHOW archive_command")
    cluster.sql("ALTER SYSTEM SET archive_command = 'cp %p /elsewhere/%f'")
    cluster.sql("SELECT pg_reload_conf()")
    options = {"program": recoverable.program, "timeout": 0, "compression": "zstd", "replace": True}
    changed = recoverable.run("wal_archiving", diff=True, **options)
    assert changed["settings_before"] == {"archive_command": "cp %p /elsewhere/%f"}
    assert changed["diff"]["after"] == {"archive_command": ours}
    extra = {"checkpoint_timeout": "7min", "max_connections": 20}
    done = verify(recoverable, compression="zstd", settings=extra)
    assert (done["settings_before"], done["settings_after"]) == (
        {"checkpoint_timeout": "300"},
        {"checkpoint_timeout": "7min"},
    )
    assert "the server knows no setting 'archive_tmeout'" in recoverable.fail(
        "wal_archiving", program=recoverable.program, settings={"archive_tmeout": 1}
    )


def test_a_program_that_cannot_be_started_is_noticed_and_repaired(recoverable: Recoverable) -> None:
    """Also where nobody looks but at pg_stat_archiver, whose archiver would itself end of the shell's 126 and 127."""
    program, cluster = recoverable.program, recoverable.cluster
    whole = program.read_bytes()
    assert whole.startswith(f"#!{recoverable.sandbox.python} -IS\n".encode())
    missing_interpreter = b"#!/nowhere/bin/python3.12 -IS\n" + whole.partition(b"\n")[2]
    damages: list[tuple[Callable[[], object], str, str]] = [
        (program.unlink, "is not there", "install"),
        (lambda: program.chmod(0o640), "is not executable", "replace"),
        (
            lambda: program.write_bytes(missing_interpreter),
            "names the interpreter /nowhere/bin/python3.12 in its first line",
            "replace",
        ),
    ]
    for damage, words, verb in damages:
        damage()
        message = recoverable.fail("restore_point", switch_wal=True, wait=True)
        assert f"archiving does not work: {program}, which archive_command calls, {words}" in message
        assert "HINT: run setup_archiving.yml, which installs pgark-wal" in message
        assert f"{program}, which archive_command calls, {words}" in recoverable.fail("base_backup")
        cluster.sql("SELECT pg_stat_reset_shared('archiver')")
        cluster.sql("SELECT pg_switch_wal() FROM pg_create_restore_point('that is to be archived')")
        wait_until(lambda: cluster.value("SELECT failed_count FROM pg_stat_archiver") > 0, message="a failure")
        planned(recoverable, program=recoverable.program, timeout=0)
        repaired = verify(recoverable, diff=True)
        assert [step["text"] for step in repaired["steps"]] == [f"{verb} pgark-wal at {program}"]
        assert len(str(repaired["diff"])) < 500, "the diff names the program, and does not quote it"
        assert repaired["verified_segment"]
        assert (program.read_bytes(), program.stat().st_mode & 0o7777) == (whole, 0o750)
        assert not verify(recoverable)["changed"]


def test_a_cluster_that_was_made_without_a_locale_is_like_any_other(recoverable: Recoverable) -> None:
    recoverable.cluster.sql("CREATE DATABASE plain ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    done = verify(recoverable, login_db="plain")
    assert not done["changed"]
    assert done["verified_segment"]


def test_an_archive_that_cannot_be_written_is_explained_in_the_programs_own_words(recoverable: Recoverable) -> None:
    repository = recoverable.repository
    [directory] = recoverable.wal.glob("0*")
    with mode_of(directory, 0o550):
        assert f"no setting was changed: pgark-wal: archiving cannot work: {repository}: found mode 0550" in unproved(
            recoverable
        )
        message = recoverable.fail("restore_point", switch_wal=True, wait=True, timeout=3600, patient=False)
        assert "did not arrive in" in message
        assert "failed" in message
        assert "pgark-wal: " in message
        assert "Permission denied" in message
    assert verify(recoverable)["verified_segment"], "the next attempt succeeds"

    unmounted = repository.with_name("unmounted")
    repository.rename(unmounted)
    recoverable.sandbox.directory(repository)
    message = unproved(recoverable)
    assert f"{repository} is not a repository: it has no repository.json\nHINT: if it is a mount point" in message
    recoverable.cluster.sql("SELECT pg_switch_wal()")
    assert "it has no repository.json" in recoverable.fail("base_backup")
    again = recoverable.fail("backup_repository", separate_filesystem="ignore")
    assert f"the server archives into {repository}, but there is no repository.json\nHINT: mount" in again
    assert not list(repository.iterdir()), "a mount point is never filled"
    repository.rmdir()
    unmounted.rename(repository)
    assert verify(recoverable)["verified_segment"]


def test_hostile_paths_work_from_archive_command_to_restore_command(
    sandbox: Sandbox, cluster: Cluster, modules: Modules
) -> None:
    subject = Recoverable(sandbox, cluster, modules)
    place = sandbox.directory(cluster.home / HOSTILE)
    subject.repository = subject.options["repository"] = place / "repository"
    subject.program = place / "pgark-wal"
    assert subject.enable()["verified_segment"]
    cluster.sql("CREATE TABLE kept AS SELECT generate_series(1, 100) AS n")
    subject.run("base_backup")
    cluster.sql("INSERT INTO kept SELECT generate_series(101, 300)")
    subject.switch()
    cluster.kill()
    shutil.rmtree(cluster.data_directory)
    subject.restore(target="latest")
    assert cluster.value("SELECT count(*) FROM kept") == 300
    assert subject.switch()["segment"].startswith("00000002")
    assert {path.name for path in place.iterdir()} == {"pgark-wal", "pgark_wal.py", "__pycache__", "repository"}
