# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server was started with comes back with it, and never decides how a restore ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.clones import NOW
from tests.support.modules import Modules
from tests.support.postgres import Cluster, free_port
from tests.support.recoverable import Recoverable
from tests.support.sandbox import Sandbox

COUNT = "SELECT count(*) FROM ledger"
GIVEN = "SELECT name, setting FROM pg_settings WHERE source = 'command line' ORDER BY 1"
HOSTILE = 'archive_cleanup_command=it\'s "$HOME" `id` %r'


def start_with(cluster: Cluster, options: str) -> None:
    """Stop the server, and start it as somebody does who has options to give."""
    cluster.stop()
    cluster.run("pg_ctl", "start", "-D", cluster.data_directory, "-w", "-l", cluster.log_file, "-o", options)


@pytest.fixture
def subject(sandbox: Sandbox, cluster: Cluster) -> Recoverable:
    """Provide the cluster with modules that are run in a German environment, which is not the server's."""
    foreign = {"LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de", "PGTZ": "Asia/Kathmandu", "ONLY_OF_THE_MODULE": "1"}
    return Recoverable(sandbox, cluster, Modules(sandbox, foreign))


def environment(cluster: Cluster) -> dict[str, str]:
    """Return what the server has in its environment."""
    words = Path(f"/proc/{cluster.pid}/environ").read_text().rstrip("\0").split("\0")
    return {name: value for name, _equals, value in (word.partition("=") for word in words)}


def test_a_server_comes_back_with_the_options_and_the_environment_that_it_had(
    subject: Recoverable, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, other = subject.cluster, free_port()
    quoted = HOSTILE.replace("'", "'\"'\"'")
    start_with(cluster, f"-p {other} -c work_mem=77MB -c max_connections=33 -c '{quoted}'")
    monkeypatch.setattr(cluster, "port", other)
    subject.options["login_port"] = other
    given, before = cluster.sql(GIVEN), environment(cluster)
    assert ("archive_cleanup_command", HOSTILE.partition("=")[2]) in given
    subject.run("postgres_server", state="restarted")
    assert cluster.sql(GIVEN) == given
    assert {**environment(cluster), "PG_GRANDPARENT_PID": ""} == {**before, "PG_GRANDPARENT_PID": ""}
    for state in ("stopped", "started"):
        subject.run("postgres_server", state=state)
    assert cluster.sql(GIVEN) == given
    foreign = [name for name in environment(cluster) if name.startswith(("LC_", "LANG")) or name == "PGTZ"]
    assert not foreign


def test_an_option_that_outranks_a_restore_is_refused_before_it_and_after_it(recoverable: Recoverable) -> None:
    """Before anything is touched; or, where it is given only at the start afterwards, as soon as the server answers."""
    subject, cluster = recoverable, recoverable.cluster
    cluster.sql("CREATE TABLE ledger AS SELECT 1 AS n")
    subject.run("base_backup", compression="none")
    moment = cluster.value(NOW)
    cluster.sql("INSERT INTO ledger VALUES (2)")
    subject.switch()
    wanted = {"program": subject.program, "target_time": moment}
    start_with(cluster, "-i -c work_mem=77MB")
    told = subject.fail("pitr_restore", state="staged", **wanted)
    assert "-i (expected listen_addresses = '')" in told
    assert f"the command line of process {cluster.pid}" in told
    assert not (cluster.home / "data.restore").exists()
    cluster.stop()
    assert f"{cluster.data_directory}/postmaster.opts" in subject.fail("pitr_restore", state="staged", **wanted)
    cluster.start()
    start_with(cluster, "-N 19")
    told = subject.fail("pitr_restore", state="staged", **wanted)
    assert f"-N 19 (expected max_connections >= 20), found in postmaster.opts of {cluster.data_directory}" in told
    start_with(cluster, "-c work_mem=77MB")
    subject.run("pitr_restore", state="staged", **wanted)
    subject.run("postgres_server", state="stopped")
    subject.run("pitr_restore", state="restored", **wanted)
    subject.run("postgres_server", state="started")
    subject.wait_for_target()
    assert cluster.value("SHOW work_mem") == "77MB"
    start_with(cluster, "-c recovery_target_action=promote -c listen_addresses='*'")
    told = subject.fail("recovery", state="promoted")
    assert "-c recovery_target_action=promote (expected recovery_target_action = 'pause')" in told
    assert "-c listen_addresses=* (expected listen_addresses = '')" in told
