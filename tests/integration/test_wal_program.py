# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pgark-wal as PostgreSQL calls it: archiving, recovery, and recovery that must not go on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.archiving import Archiving
from tests.support.marks import every_version
from tests.support.postgres import Cluster
from tests.support.recoverable import Recoverable
from tests.support.waiting import wait_until
from tests.unit.wal_program.harness import COMPRESSIONS

# how it is brought about, how it is undone, and what the server's log says of it
Fault = tuple[Callable[[], object], Callable[[], object], str]
SUMMARY = "SELECT count(*), md5(string_agg(payload, ',' ORDER BY id)) FROM kept"


@pytest.fixture
def archiving(cluster: Cluster) -> Archiving:
    return Archiving(cluster)


@every_version
def test_all_that_was_archived_comes_back_across_timelines(archiving: Archiving) -> None:
    cluster, repository = archiving.cluster, archiving.repository
    for compression, suffix in COMPRESSIONS.items():
        archiving.compress(compression)
        wait_until(lambda c=compression: f" {c} " in cluster.value("SHOW archive_command"), message="the setting")
        name = archiving.write_rows(1000)
        assert archiving.forms(name) == {name + suffix}
    first_life = cluster.sql(SUMMARY)
    cluster.sql("INSERT INTO kept (payload) VALUES ('in WAL that is lost')")

    archiving.lose_and_lay_out()
    archiving.recover()
    assert cluster.sql(SUMMARY) == first_life

    archiving.compress("gzip")
    name = archiving.write_rows(500)
    assert name.startswith("00000002"), "the first segment of a timeline, which begins with pages of the older one"
    archiving.write_rows(500)
    assert "00000002.history" in repository.files()
    second_life = cluster.sql(SUMMARY)
    assert second_life[0][0] == 5000

    archiving.lose_and_lay_out()
    archiving.recover()
    assert cluster.sql(SUMMARY) == second_life
    archiving.wait_for_all()
    assert not [file for file in repository.files() if file.endswith(".tmp")]
    assert not list((cluster.data_directory / "pg_wal").glob("*.pgark-tmp"))


def faults(archiving: Archiving, segment: str) -> dict[str, Fault]:
    """Return what can go wrong with what a recovery fetches its WAL by, and with that segment."""
    repository, program = archiving.repository, archiving.program
    archived = repository.archived(segment)
    hidden = repository.path.with_name("unmounted")
    text = program.read_text()
    return {
        "program missing": (
            lambda: program.rename(program.with_name("x")),
            lambda: program.with_name("x").rename(program),
            "command not found",
        ),
        "program not executable": (
            lambda: program.chmod(0o644),
            lambda: program.chmod(0o755),
            "command not executable",
        ),
        "interpreter missing": (
            lambda: program.write_text(text.replace("#!/", "#!/no/such", 1)),
            lambda: program.write_text(text),
            "command not found",
        ),
        "interpreter without its library": (
            lambda: program.write_text("#!/bin/sh\nexit 1\n"),  # just what Python says then
            lambda: program.write_text(text),
            "exit code 200",
        ),
        "repository gone": (
            lambda: repository.path.rename(hidden),
            lambda: hidden.rename(repository.path),
            f"{repository.path}: found no repository.json",
        ),
        "repository not mounted": (
            lambda: [repository.path.rename(hidden), repository.path.mkdir()],
            lambda: [repository.path.rmdir(), hidden.rename(repository.path)],
            "HINT: is it mounted?",
        ),
        "repository of another cluster": (
            lambda: rewrite(repository.path / "main/cluster.json", '"system_identifier": "', '"system_identifier": "1'),
            lambda: rewrite(repository.path / "main/cluster.json", '"system_identifier": "1', '"system_identifier": "'),
            "system identifier",
        ),
        "no permission": (
            lambda: archived.parent.chmod(0),
            lambda: archived.parent.chmod(0o750),
            "Permission denied",
        ),
        "corrupt segment": (
            lambda: flip_a_bit(archived),
            lambda: flip_a_bit(archived),
            f"{segment} cannot be delivered",
        ),
    }


def test_recovery_aborts_on_every_failure_that_is_not_the_end_of_wal(archiving: Archiving) -> None:
    cluster = archiving.cluster
    names = [archiving.write_rows(1000) for _number in range(3)]
    expected = cluster.sql(SUMMARY)
    possible = faults(archiving, names[1])
    archiving.lose_and_lay_out()
    for fault, (damage, repair, words) in possible.items():
        damage()
        log = archiving.recover_in_vain()
        assert "FATAL:  could not restore file" in log, fault
        assert words in log, fault
        repair()
    archiving.recover()
    assert "archive recovery complete" in cluster.log()
    assert cluster.sql(SUMMARY) == expected


def test_a_restore_brings_the_program_that_its_recovery_calls(recoverable: Recoverable) -> None:
    cluster, program = recoverable.cluster, recoverable.program
    cluster.sql("CREATE TABLE kept AS SELECT generate_series(1, 100) AS n")
    recoverable.run("base_backup")
    cluster.sql("INSERT INTO kept SELECT generate_series(101, 300)")
    recoverable.switch()
    cluster.kill()
    shutil.rmtree(cluster.data_directory)
    shutil.rmtree(program.parent)
    options = {"program": program, "target": "latest"}
    first = [f"create directory {program.parent} with mode 0750", f"install pgark-wal at {program}"]

    planned = recoverable.run("pitr_restore", state="staged", check_mode=True, diff=True, **options)
    assert [step["text"] for step in planned["steps"]][:2] == first
    assert planned["diff"]["before"]["pgark-wal"] == "absent"
    assert not program.parent.exists()
    staged = recoverable.run("pitr_restore", state="staged", **options)
    assert staged["steps"][:2] == planned["steps"][:2]
    program.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    restored = recoverable.run("pitr_restore", state="restored", **options)
    assert restored["steps"][0]["text"] == f"replace pgark-wal at {program}"
    recoverable.run("postgres_server", state="started")
    recoverable.wait_for_target()
    assert cluster.value("SELECT count(*) FROM kept") == 300

    program.unlink()
    for state in ("staged", "restored"):
        assert not recoverable.run("pitr_restore", state=state, **options)["changed"], "what is in place stays as it is"


def test_a_segment_that_is_refused_stays_with_the_server_until_the_reason_is_gone(archiving: Archiving) -> None:
    cluster, repository = archiving.cluster, archiving.repository
    marker = repository.path / "repository.json"
    marker.rename(marker.with_suffix(".aside"))
    cluster.sql("CREATE TABLE one AS SELECT 1")
    name = str(cluster.value("SELECT pg_walfile_name(pg_switch_wal())"))
    failures = "SELECT failed_count FROM pg_stat_archiver WHERE last_failed_wal = %s"
    wait_until(lambda: cluster.sql(failures, (name,)), message="a failure that PostgreSQL counts")
    assert "archive command failed with exit code 1" in cluster.log()
    assert f"pgark-wal: {name} is not archived" in cluster.log()
    assert not archiving.forms(name)
    marker.with_suffix(".aside").rename(marker)
    cluster.sql("SELECT pg_reload_conf()")
    wait_until(lambda: archiving.forms(name), timeout=90, message="the retry")


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def rewrite(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))
