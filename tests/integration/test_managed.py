# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that something else starts, stops and makes anew is left to it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

from tests.support.recoverable import Recoverable

# It does what matters here: it is called like Patroni, and its configuration names the data directory.
PROGRAM = "import sys\nprint('up', flush=True)\nsys.stdin.read()\n"


@contextlib.contextmanager
def patroni(subject: Recoverable) -> Iterator[None]:
    """Have a process beside the server that looks like Patroni."""
    home = subject.cluster.home
    program, configuration = home / "patroni", home / "patroni.yml"
    program.write_text(PROGRAM)
    configuration.write_text(f"postgresql:\n  data_dir: {subject.cluster.data_directory}\n  use_slots: true\n")
    for path in (program, configuration):
        subject.owned(path)
    with subprocess.Popen(
        [str(subject.sandbox.python), str(program), str(configuration)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=subject.sandbox.environment,
        cwd=subject.sandbox.home,
        **subject.sandbox.account.as_process_options(),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield


def test_a_cluster_under_patroni_is_left_alone(recoverable: Recoverable) -> None:
    cluster = recoverable.cluster
    wanted = {"program": recoverable.program, "target": "latest"}
    recoverable.run("base_backup", compression="none")
    with patroni(recoverable):
        for state in ("staged", "restored", "rolled_back"):
            for manager_stopped in (False, True):
                message = recoverable.fail("pitr_restore", state=state, manager_stopped=manager_stopped, **wanted)
                assert "the server is managed by Patroni (process " in message
                assert "\nHINT: by hand: stop Patroni on all hosts" in message
        proved = recoverable.run("wal_archiving", program=recoverable.program, timeout=0, verify=True)
        assert proved["verified_segment"], "what is set already is proved"
        message = recoverable.fail("wal_archiving", program=recoverable.program, timeout=61)
        assert "archive_timeout = '61'\nNo setting was changed\nHINT: set them by hand with patronictl" in message
        assert cluster.value("SHOW archive_timeout") == "0"
        assert not cluster.data_directory.with_name("data.restore").exists()
    (cluster.data_directory / "patroni.dynamic.json").write_text("{}")
    assert "give manager_stopped: true" in recoverable.fail("pitr_restore", state="staged", **wanted)
    assert recoverable.run("pitr_restore", state="staged", manager_stopped=True, **wanted)["changed"]
    assert not recoverable.run("pitr_restore", state="staged", **wanted)["changed"], "there is nothing left to refuse"
