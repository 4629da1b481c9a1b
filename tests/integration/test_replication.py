# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup or a standby would fail at by replication is told before it happens."""

from __future__ import annotations

from tests.support.modules import Modules
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox

NO_REPLICATION = "local all all trust\nhost all all 127.0.0.1/32 trust\n"


def test_what_a_backup_would_fail_at_is_told_beforehand(recoverable: Recoverable) -> None:
    cluster, program = recoverable.cluster, {"program": recoverable.program, "timeout": 0}
    hba = cluster.data_directory / "pg_hba.conf"
    before = hba.read_text(encoding="utf-8")
    hba.write_text(NO_REPLICATION, encoding="utf-8")
    cluster.sql("SELECT pg_reload_conf()")
    for check_mode in (True, False):
        message = recoverable.fail("base_backup", compression="none", check_mode=check_mode)
        assert "the server takes no connection for replication, which a base backup needs" in message
        assert "no pg_hba.conf entry for replication connection" in message
        assert f"HINT: let it in, by the line 'local replication {cluster.owner} peer' in {hba} and a reload" in message
        [warning] = recoverable.run("wal_archiving", check_mode=check_mode, **program)["warnings"]
        assert "archiving needs no replication, but base backups do: the server takes no connection" in warning
    assert list(recoverable.backups.iterdir()) == []
    hba.write_text(before, encoding="utf-8")

    cluster.sql("ALTER SYSTEM SET max_wal_senders = 1")
    cluster.sql("ALTER SYSTEM SET max_replication_slots = 1")
    cluster.restart()
    message = recoverable.fail("base_backup", compression="none", check_mode=True)
    assert "max_wal_senders is 1, and 0 of them are taken; expected 2 free for a base backup" in message
    cluster.sql("ALTER SYSTEM RESET max_wal_senders")
    cluster.restart()
    cluster.sql("SELECT pg_create_physical_replication_slot('standby')")
    message = recoverable.fail("base_backup", compression="none", check_mode=True)
    assert "max_replication_slots is 1, and 1 of them are taken; expected 1 free for a base backup" in message
    cluster.sql("SELECT pg_drop_replication_slot('standby')")
    assert recoverable.run("base_backup", compression="none")["backup"]


def test_a_standby_that_archives_all_the_time_needs_a_place_of_its_own(
    recoverable: Recoverable, sandbox: Sandbox, modules: Modules
) -> None:
    primary = recoverable.cluster
    with sandbox.standby(primary, "standby") as standby:
        standby.sql("ALTER SYSTEM SET archive_mode = 'always'")
        standby.restart()
        subject = Recoverable(sandbox, standby, modules)
        shared = {"repository": recoverable.repository, "cluster": primary.name, "program": recoverable.program}
        message = subject.fail("wal_archiving", **shared)
        assert "archive_mode is always, and this server is a standby" in message
        assert f"into {recoverable.repository / primary.name} all the time, which its primary archives into" in message
        assert "HINT: set archive_mode to on, with which a standby archives from its promotion on" in message
        own = {"repository": recoverable.repository, "cluster": "standby"}
        subject.run("backup_repository", separate_filesystem="ignore", **own)
        assert subject.run("wal_archiving", program=recoverable.program, **own)["changed"]
