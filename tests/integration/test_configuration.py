# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration that a server reads comes back with its data, wherever it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.clones import NOW
from tests.support.recoverable import Recoverable
from tests.support.sealing import rewrite
from tests.support.snapshots import tree

FILES = ("postgresql.conf", "pg_hba.conf", "pg_ident.conf")
KEPT = "maintenance_work_mem = 9MB\nmax_wal_senders = 9\n"


def write(subject: Recoverable, path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return subject.owned(path)


def move_out(subject: Recoverable) -> Path:
    """Lay the configuration out in two directories with all that can be in them, as Debian and people do."""
    home, data = subject.cluster.home, subject.cluster.data_directory
    main, shared = (subject.sandbox.directory(home / "etc" / name) for name in ("18/main", "shared"))
    for name in FILES:
        (data / name).rename(main / name)
    subject.sandbox.directory(main / "conf.d")
    write(subject, shared / "10-tuning.conf", "work_mem = 5MB\n")
    write(subject, shared / "rules.conf", (main / "pg_hba.conf").read_text(encoding="utf-8"))
    write(subject, main / "pg_hba.conf", f'include "{shared}/rules.conf"\n')
    write(subject, main / "extra.conf", KEPT)
    with (main / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write(f"hba_file = '{main}/pg_hba.conf'\nident_file = '{main}/pg_ident.conf'\ninclude_dir 'conf.d'\n")
        file.write(f"include '{shared}/10-tuning.conf'\ninclude_if_exists '../../extra'\n")
    (home / "etc" / "extra").symlink_to("18/main/extra.conf")
    subject.owned(home / "etc" / "extra")
    (main / "pg_hba.conf").chmod(0o640)
    main.chmod(0o755)
    return main


def backed_up(subject: Recoverable, **outside: Any) -> dict[str, Any]:
    """Take a backup, go on, and give what to restore to."""
    subject.cluster.sql("CREATE TABLE ledger AS SELECT 1 AS n")
    subject.run("base_backup", compression="none", label="b")
    moment = subject.cluster.value(NOW)
    subject.cluster.sql("INSERT INTO ledger VALUES (2)")
    subject.switch()
    return {"program": subject.program, "target_time": moment, **outside}


def with_more_senders(subject: Recoverable, outside: dict[str, Any]) -> str:
    """Have the server need more of a setting than it is backed up with, and give what to restore to."""
    with (subject.cluster.home / "etc" / "extra").open("a", encoding="utf-8") as file:
        file.write("max_wal_senders = 11\n")
    subject.run("postgres_server", state="restarted", **outside)
    subject.cluster.sql("INSERT INTO ledger VALUES (3)")
    moment: str = subject.cluster.value(NOW)
    subject.cluster.sql("INSERT INTO ledger VALUES (4)")
    subject.switch()
    write(subject, subject.cluster.home / "etc" / "18/main/extra.conf", KEPT)
    return moment


def assert_nothing_else_is_put_back(subject: Recoverable, kept: list[dict[str, Any]], wanted: dict[str, Any]) -> None:
    """Describe files that configure no server of ours, as somebody would who can write into the repository."""
    path, sandbox = subject.backups / "b" / "backup.json", subject.sandbox
    [main] = [each for each in kept if each["path"].endswith("/postgresql.conf")]
    other = sandbox.directory(subject.cluster.home / "other")
    write(subject, other / "PG_VERSION", "18\n")
    programs = sandbox.directory(subject.cluster.home / "bin")
    for evil, why in ((other / "standby.signal", f"is in {other}"), (programs / "psql", "where programs are")):
        rewrite(path, configuration=[*kept, {**main, "path": str(evil), "mode": "0755"}])
        message = subject.fail("pitr_restore", state="staged", **wanted)
        assert f"the configuration in the backup names {evil}," in message
        assert why in message
    rewrite(path, configuration=kept)


def finish(subject: Recoverable, **outside: Any) -> None:
    subject.run("postgres_server", state="started", **outside)
    subject.wait_for_target()
    subject.promote()
    assert subject.cluster.value("SELECT count(*) FROM ledger") == 1


def test_a_configuration_in_two_directories_comes_back_to_both_with_its_modes(recoverable: Recoverable) -> None:
    subject, cluster = recoverable, recoverable.cluster
    cluster.stop()
    main = move_out(subject)
    outside = {"config_file": main / "postgresql.conf"}
    subject.run("postgres_server", state="started", **outside)
    wanted = backed_up(subject, config_directory=main)
    wanted["target_time"] = with_more_senders(subject, outside)
    described = json.loads((subject.backups / "b" / "backup.json").read_text(encoding="utf-8"))
    assert described["origin"] == {
        "data_directory": str(cluster.data_directory),
        "config_directory": str(main),
        "port": cluster.port,
    }
    before = tree(cluster.home / "etc")
    cluster.kill()
    shutil.rmtree(cluster.data_directory)
    (cluster.home / "etc").rename(cluster.home / "lost")
    assert_nothing_else_is_put_back(subject, described["configuration"], wanted)
    staged = subject.run("pitr_restore", state="staged", **wanted)
    assert [(each["found"], each["needed"]) for each in staged["raised"]] == [(9, 11)]
    [told] = [text for text in staged["warnings"] if "configuration is put back from" in text]
    assert f"{main}/pg_hba.conf" in told, "all is named before the switch"
    assert not (cluster.home / "etc").exists(), "nothing is put back before the switch"
    subject.run("pitr_restore", state="restored", **wanted)
    assert tree(cluster.home / "etc") == before
    subject.run("postgres_server", state="started", **outside)
    subject.wait_for_target()
    assert cluster.value("SHOW work_mem") == "5MB"
    assert cluster.value("SHOW maintenance_work_mem") == "9MB"


def test_links_out_of_the_data_directory_are_made_again(recoverable: Recoverable) -> None:
    subject, cluster = recoverable, recoverable.cluster
    data, etc = cluster.data_directory, subject.sandbox.directory(cluster.home / "etc")
    cluster.stop()
    with (data / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write((data / "postgresql.auto.conf").read_text(encoding="utf-8"))
    for name in FILES:
        (data / name).rename(etc / name)
        (data / name).symlink_to(etc / name)
        subject.owned(data / name)
    (data / "postgresql.auto.conf").unlink()
    (data / "postgresql.auto.conf").symlink_to("/dev/null")
    subject.owned(data / "postgresql.auto.conf")
    cluster.start()
    wanted = backed_up(subject)
    (etc / "pg_hba.conf").unlink()
    subject.run("pitr_restore", state="staged", **wanted)
    subject.run("postgres_server", state="stopped")
    subject.run("pitr_restore", state="restored", **wanted)
    assert {name: str((data / name).readlink()) for name in FILES} == {name: str(etc / name) for name in FILES}
    finish(subject)
    assert str((data / "postgresql.auto.conf").readlink()) == "/dev/null"
    assert cluster.value("SHOW archive_mode") == "on"


def test_a_host_with_a_configuration_of_its_own_keeps_it_unless_the_backups_is_asked_for(
    recoverable: Recoverable,
) -> None:
    subject, cluster = recoverable, recoverable.cluster
    cluster.stop()
    main = move_out(subject)
    outside = {"config_file": main / "postgresql.conf"}
    subject.run("postgres_server", state="started", **outside)
    wanted = backed_up(subject, config_directory=main)
    configuration = (main / "postgresql.conf").read_text(encoding="utf-8")
    write(subject, main / "postgresql.conf", f"{configuration}work_mem = 7MB\nmax_connections = 15\n")
    (main / "extra.conf").unlink()
    staged = subject.run("pitr_restore", state="staged", **wanted)
    stored = next(path for path in (subject.backups / "b" / "config").iterdir() if "extra" in path.read_text("utf-8"))
    warning, told = staged["warnings"]
    assert told.startswith(
        "max_connections is 15, and the WAL to be replayed needs 20, so the server is started with 20"
    )
    assert "pitr_restore_configuration=backup puts it back" in warning
    assert f"{main}/postgresql.conf ({stored.relative_to(subject.backups / 'b')})" in warning
    assert str(subject.backups / "b") in warning
    subject.run("postgres_server", state="stopped", mode="immediate")
    write(subject, main / "postgresql.conf", f"{configuration}include '/dev/ptmx'\n")
    assert "has /dev/ptmx read, which is no regular file" in subject.fail("pitr_restore", state="restored", **wanted)
    write(subject, main / "postgresql.conf", f"{configuration}nonsense\n")
    message = subject.fail("pitr_restore", state="restored", **wanted)
    assert f"the configuration in {main}/postgresql.conf cannot be read" in message
    assert "HINT: correct it; what the cluster had when it was backed up lies in config/ of the backup" in message
    assert not cluster.data_directory.with_name(f"{cluster.data_directory.name}.restore").joinpath("x").exists()
    done = subject.run("pitr_restore", state="restored", configuration="backup", **wanted)
    assert (main / "postgresql.conf").read_text(encoding="utf-8") == configuration
    [aside] = main.glob("postgresql.conf.before-*")
    assert aside.read_text(encoding="utf-8") == f"{configuration}nonsense\n"
    assert (main / "extra.conf").exists()
    assert done["changed"]


@pytest.mark.parametrize("change", ["forged", "flipped"])
def test_a_description_that_does_not_go_with_its_backup_is_not_believed(recoverable: Recoverable, change: str) -> None:

    subject = recoverable
    wanted = backed_up(subject)
    path = subject.backups / "b" / "backup.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    lie = {"stop_lsn": document["stop_lsn"][:-2] + "FF"}
    if change == "forged":
        rewrite(path, **lie)
    else:
        path.write_text(json.dumps(document | lie), encoding="utf-8")
    message = subject.fail("pitr_restore", state="staged", **wanted)
    if change == "forged":
        assert "backup.json of backup 'b' does not go with its backup_manifest, which says stop" in message
    else:
        assert "backup 'b' is broken: backup.json was changed: its SHA-256 is" in message
