# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server is found by its process, whatever a file says."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import Error
from ansible_collections.pgark.postgres.plugins.module_utils._host.processes import (
    end_process,
    find_postmaster,
    find_server,
    is_running,
    started_at,
    startup_progress,
)
from tests.support.waiting import wait_until

Start = Callable[[Path, str], subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start processes that sleep under another name, and end them."""
    with ExitStack() as stack:

        def started(directory: Path, title: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen([title, "60"], executable=shutil.which("sleep"), cwd=directory)
            stack.enter_context(process)
            stack.callback(process.kill)
            # The call returns in the middle of exec, when the new arguments may not be there yet.
            arguments = Path(f"/proc/{process.pid}/cmdline")
            wait_until(lambda: arguments.read_bytes().startswith(title.encode()), message=f"{title} to begin")
            return process

        yield started


@pytest.mark.parametrize("program", ["postgres", "/usr/lib/postgresql/17/bin/postgres", "/opt/with space/postmaster"])
def test_the_server_is_the_process_in_the_directory(tmp_path: Path, start: Start, program: str) -> None:
    assert find_postmaster(str(tmp_path)) is None
    process = start(tmp_path, program)
    assert find_postmaster(str(tmp_path)) == process.pid


@pytest.mark.parametrize("title", ["postgres: checkpointer ", "postgres: 17/main: walwriter ", "psql", "bash"])
def test_other_processes_in_the_directory_are_not_the_server(tmp_path: Path, start: Start, title: str) -> None:
    start(tmp_path, title)
    assert find_postmaster(str(tmp_path)) is None


def test_a_server_in_another_directory_is_another(tmp_path: Path, start: Start) -> None:
    for name in ("17", "17 (deleted)x", "1"):
        (tmp_path / name).mkdir()
        start(tmp_path / name, "postgres")
    (tmp_path / "17" / "sub").mkdir()
    assert find_postmaster(f"{tmp_path}/17/sub") is None
    assert find_postmaster(str(tmp_path)) is None


def test_a_stale_pid_file_misleads_nobody(tmp_path: Path, start: Start) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "postmaster.pid").write_text(f"{start(elsewhere, 'postgres').pid}\n")
    assert find_postmaster(str(tmp_path)) is None


def test_a_server_whose_directory_was_deleted_is_found(tmp_path: Path, start: Start) -> None:
    data = tmp_path / "data"
    data.mkdir()
    process = start(data, "postgres")
    data.rmdir()
    assert find_postmaster(str(data)) == process.pid


def test_a_server_that_has_ended_is_not_found_though_nobody_waited_for_it(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path, "postgres")
    assert is_running(process.pid)
    end_process(process.pid, signal.SIGTERM, 10)
    assert process.returncode is None
    assert find_postmaster(str(tmp_path)) is None
    end_process(process.pid, signal.SIGTERM, 10)
    process.wait()
    end_process(process.pid, signal.SIGTERM, 10)


def test_a_server_that_does_not_end_is_named(tmp_path: Path, start: Start) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is ignored here is ignored by what is started here
    process = start(tmp_path, "postgres")
    signal.signal(signal.SIGINT, before)
    with pytest.raises(Error, match=rf"process {process.pid} did not end within 0\.2 s after SIGINT\nHINT: look"):
        end_process(process.pid, signal.SIGINT, 0.2)
    assert is_running(process.pid)


@pytest.mark.parametrize(
    ("title", "segment"),
    [
        ("postgres: startup recovering 000000010000000000000003", "000000010000000000000003"),
        ("postgres: main: startup waiting for 0000000200000001000000FF", "0000000200000001000000FF"),
        ("postgres: startup ", None),
        ("postgres: walreceiver streaming 0/3000000", None),
    ],
)
def test_the_title_of_the_startup_process_tells_how_far_it_is(
    tmp_path: Path, start: Start, title: str, segment: str | None
) -> None:
    start(tmp_path, title)
    assert startup_progress(os.getpid()) == segment
    assert startup_progress(os.getppid()) is None


def test_a_directory_is_known_by_itself_and_not_by_its_name(tmp_path: Path, start: Start) -> None:
    """As of a server in a container, or one whose directory was renamed."""
    (tmp_path / "data").mkdir()
    process = start(tmp_path / "data", "postgres")
    (tmp_path / "data").rename(tmp_path / "renamed")
    (tmp_path / "data").mkdir()
    assert find_postmaster(f"{tmp_path}/renamed") == process.pid
    assert find_postmaster(f"{tmp_path}/data") is None


def test_what_a_server_has_left_behind_is_found_when_that_is_gone(tmp_path: Path, start: Start) -> None:
    titles = ("17/main: app db [local] INSERT", "x: logger db [local] idle", "17/main: x: logger [local] idle")
    orphans = [start(tmp_path, f"postgres: {title}").pid for title in titles]
    start(tmp_path, "postgres: 17/main: logger ")
    assert find_server(str(tmp_path)) == (None, tuple(sorted(orphans)))
    server = start(tmp_path, "postgres")
    assert find_server(str(tmp_path)) == (server.pid, ())


def test_a_process_is_told_from_a_later_one_of_its_number(tmp_path: Path, start: Start) -> None:
    first = start(tmp_path, "postgres")
    assert started_at(first.pid) == started_at(first.pid)
    assert started_at(first.pid) != started_at(os.getpid())
    assert started_at(2**22 + 1) is None
