# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's own file keeps servers out while data is exchanged, and says afterwards what it said before."""

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import Busy, Error
from ansible_collections.pgark.postgres.plugins.module_utils._host import claim
from ansible_collections.pgark.postgres.plugins.module_utils._host.claim import LOCK_FILE, claimed, look, settle
from ansible_collections.pgark.postgres.plugins.module_utils._restore.staging import move_out
from tests.support.waiting import wait_until
from tests.unit.fakes import Killed, changes_of, killed_at
from tests.unit.synthetic import contents, fill

CONTROL = "global/pg_control"
STALE = "4711\n/data\n1700000000\n5432\n/run\n*\n  5432001   4294967295\nready   \n"


@pytest.fixture(params=[None, STALE], ids=["stopped", "crashed"])
def data(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Provide a data directory whose server was stopped, or has left its file behind."""
    left = {} if request.param is None else {LOCK_FILE: request.param}
    fill(tmp_path / "data", {CONTROL: "x", "PG_VERSION": "17", **left})
    return tmp_path / "data"


@contextmanager
def working(directory: Path, title: str) -> Iterator[int]:
    """Let a process work in a directory that calls itself so."""
    with subprocess.Popen([title, "60"], executable=shutil.which("sleep"), cwd=directory) as process:
        arguments = Path(f"/proc/{process.pid}/cmdline")
        wait_until(lambda: arguments.read_bytes().startswith(title.encode()), message=f"{title} to begin")
        try:
            yield process.pid
        finally:
            process.kill()


def test_a_claim_names_this_process_as_no_server_that_gets_signals_and_goes_without_a_trace(data: Path) -> None:
    before = contents(data)
    with claimed(str(data)):
        assert (data / LOCK_FILE).read_text().splitlines()[:2] == [f"-{os.getpid()}", str(data)]
        with pytest.raises(Busy, match=rf"is being exchanged by another run \(process {os.getpid()}\)"):
            claim.check_unclaimed(str(data))
    assert contents(data) == before
    claim.check_unclaimed(str(data))


def test_a_claim_is_given_up_wherever_the_directory_is_by_then(data: Path, tmp_path: Path) -> None:
    before = contents(data)
    with claimed(str(data)):
        data.rename(tmp_path / "moved")
        fill(data, {CONTROL: "new", LOCK_FILE: "1\n"})
    assert contents(tmp_path / "moved") == before
    assert contents(data) == {CONTROL: "new", LOCK_FILE: "1\n"}


def test_the_number_of_a_run_that_was_killed_may_be_that_of_another_process_by_now(data: Path) -> None:
    """PostgreSQL would not start beside it; what an earlier version has written does not tell."""
    before = contents(data)
    held = claimed(str(data))
    held.__enter__()
    written = (data / LOCK_FILE).read_text()
    started = json.loads(written.splitlines()[3].removeprefix("pgark.postgres: "))["started"]
    (data / LOCK_FILE).write_text(written.replace(f'"started": "{started}"', '"started": "1"'))
    assert claim.check_unclaimed(str(data))
    settle(str(data))
    assert contents(data) == before
    assert not claim.check_unclaimed(str(data))
    (data / LOCK_FILE).write_text(written.replace(f', "started": "{started}"', ""))
    with pytest.raises(Busy, match="is being exchanged by another run"):
        claim.check_unclaimed(str(data))
    held.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("-4711", '{"text": "th'),
        ("-4711", "[]"),
        ("-4711", "null"),
        ("-4711", "{}"),
        ("-4711", '{"before": 1}'),
        ("-4711", '{"before": {}}'),
        ("-4711", '{"before": {"text": null, "mode": 384}}'),
        ("-4711", "[" * 60000),
        ("x", '{"before": null}'),
        ("4711", '{"before": null}'),
        ("", '{"before": null}'),
    ],
)
@pytest.mark.parametrize("act", [look, settle, claim.check_unclaimed])
def test_a_claim_that_is_damaged_is_named_and_nobody_goes_on(
    tmp_path: Path, act: Callable[[str], object], number: str, said: str
) -> None:
    """It is not taken for that of a run which has ended, nor for what a server has left."""
    text = f"{number}\n/data\n1\npgark.postgres: {said}\n"
    fill(tmp_path, {CONTROL: "x", LOCK_FILE: text})
    message = (
        rf"^{tmp_path}/postmaster.pid cannot be read: .* is damaged; expected was .*\nHINT: make sure .*remove the file"
    )
    with pytest.raises(Error, match=message):
        act(str(tmp_path))
    with pytest.raises(Error, match=message), claimed(str(tmp_path)):
        raise AssertionError("claimed")
    assert contents(tmp_path) == {CONTROL: "x", LOCK_FILE: text}


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/nowhere", path)])
def test_what_is_no_file_is_no_claim_and_no_server_has_left_it(tmp_path: Path, make: Callable[[str], None]) -> None:
    fill(tmp_path, {CONTROL: "x"})
    make(f"{tmp_path}/{LOCK_FILE}")
    with pytest.raises(Error, match=rf"^{tmp_path}/postmaster.pid is no regular file.*\nHINT: move it away"):
        look(str(tmp_path))


def test_what_cannot_start_needs_no_claim(tmp_path: Path) -> None:
    fill(tmp_path / "data", {"PG_VERSION": "17"})
    for path in (tmp_path / "data", tmp_path / "missing"):
        with claimed(str(path)):
            assert not (path / LOCK_FILE).exists()


def test_a_claim_of_a_run_that_was_killed_is_given_up_by_the_next(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at any change; PostgreSQL, too, would take what is left for stale."""
    shutil.copytree(data, tmp_path / "counted")
    held = claimed(f"{tmp_path}/counted")
    moments = len(changes_of(monkeypatch, held.__enter__))
    for after in (False, True):
        for moment in range(1, moments + 1):
            copied = tmp_path / f"{moment} {after}"
            shutil.copytree(data, copied)
            with killed_at(monkeypatch, moment, after), pytest.raises(Killed):
                claimed(str(copied)).__enter__()
            with claimed(str(copied)):
                pass
            settle(str(copied))
            assert contents(copied) == contents(data)
    held.__exit__(None, None, None)


def test_a_claim_that_is_not_given_up_is_settled_where_the_data_was_set_aside(data: Path, tmp_path: Path) -> None:
    before = contents(data)
    held = claimed(str(data))
    held.__enter__()
    data.rename(tmp_path / "aside")
    settle(f"{tmp_path}/aside")
    settle(f"{tmp_path}/missing")
    assert contents(tmp_path / "aside") == before
    held.__exit__(None, None, None)
    assert contents(tmp_path / "aside") == before


@pytest.mark.parametrize("title", ["postgres", "postgres: checkpointer ", "postgres: 17/main: app db [local] INSERT"])
def test_whoever_works_in_the_data_is_seen_by_its_directory(data: Path, tmp_path: Path, title: str) -> None:
    """It counts under a name of later, too, as for a server in a container; and nothing has been renamed at the end."""
    (tmp_path / "entrance").mkdir()
    with working(data, title) as pid:
        data.rename(tmp_path / "renamed")
        with pytest.raises(Error, match=rf"(process |in .*: ){pid}.*\nHINT: .*nothing has been changed"):
            look(f"{tmp_path}/renamed")
        with pytest.raises(Error, match=str(pid)):
            claim.move_unused(f"{tmp_path}/renamed", str(data))
        assert not data.exists()


def test_the_logger_outlives_its_server_and_harms_nobody(data: Path) -> None:
    with working(data, "postgres: 17/main: logger "):
        look(str(data))


def starting(patch: pytest.MonkeyPatch, *seen: int | None) -> None:
    """Let a server begin to work after some looks."""
    answers = iter(seen)
    patch.setattr(claim, "find_server", lambda _path: (next(answers), ()))


def test_a_server_that_begins_between_the_last_look_and_the_rename_keeps_its_directory(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting(monkeypatch, None, 4711)
    with pytest.raises(Error, match="a server \\(process 4711\\) is running"):
        claim.move_unused(str(data), f"{tmp_path}/aside")
    assert os.listdir(tmp_path) == ["data"]


def test_a_server_that_begins_in_a_mount_point_keeps_its_entries(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(data)
    starting(monkeypatch, None, 4711)
    with pytest.raises(Error, match="a server \\(process 4711\\) is running"):
        move_out(str(data), f"{tmp_path}/source", f"{tmp_path}/aside", ())
    assert contents(data) == before


def test_a_server_that_writes_its_file_at_that_moment_is_not_robbed_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    fill(data, {CONTROL: "x", LOCK_FILE: STALE})
    real = os.rename

    def late(old: str, new: str, **options: int) -> None:
        fill(data, {LOCK_FILE: "4712\n"})
        real(old, new, **options)

    monkeypatch.setattr(os, "rename", late)
    with pytest.raises(Error, match=r"a server was started on .* meanwhile"), claimed(str(data)):
        raise AssertionError("claimed")
    assert contents(data) == {CONTROL: "x", LOCK_FILE: "4712\n"}


def test_shared_memory_in_use_tells_of_a_process_that_cannot_be_seen(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / LOCK_FILE).write_text(STALE)
    monkeypatch.setattr(claim, "_is_attached", lambda text: text == STALE)
    with pytest.raises(Error, match=r"the shared memory of a server that has worked in .* is still in use"):
        look(str(data))


def test_a_claim_says_what_it_is_to_who_opens_it(data: Path) -> None:
    with claimed(str(data)):
        line = (data / LOCK_FILE).read_text().splitlines()[3]
    assert json.loads(line.removeprefix("pgark.postgres: "))["text"] == "this data directory is being exchanged"


def test_a_claim_for_which_there_is_no_room_is_named_and_leaves_what_was_there(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(data)

    def no_room(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_room)
        with pytest.raises(OSError, match="No space") as found:
            claimed(str(data)).__enter__()
    assert found.value.filename == f"{data}/pgark.postmaster.pid"
    assert contents(data) == before
