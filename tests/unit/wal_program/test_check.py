# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What check finds before PostgreSQL does, and that it leaves nothing wherever it ends."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.support.snapshots import tree
from tests.unit.wal_program.harness import (
    NAME,
    Data,
    Repository,
    assert_done,
    assert_failed,
    fail_at,
    in_namespace,
    kill_at,
    push,
    run,
    run_quickly,
    run_tampered,
    without_power_over_files,
    write_segment,
)


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Provide the data directory of the repository's cluster."""
    return Data.create(tmp_path / "data")


def check(data: Data, *repositories: Repository, compression: str = "none", **options: object) -> CompletedProcess[str]:
    places = [word for repository in repositories for word in ("--repository", str(repository.path))]
    argv = ["check", *places, "--cluster", "main", "--compression", compression, str(data.path)]
    return run(*argv, prefix=without_power_over_files(), **options)


def contents(data: Data, repository: Repository) -> list[set[str]]:
    return [set(tree(data.path)), set(tree(repository.path))]


def test_what_is_right_is_checked_silently_and_left_as_it_is(
    data: Data, repository: Repository, compression: str
) -> None:
    assert_done(push(repository, write_segment(data.pg_wal)))
    before = {path: path.read_bytes() for path in repository.path.rglob("*") if path.is_file()}
    names = contents(data, repository)
    assert_done(check(data, repository, compression=compression))
    assert {path: path.read_bytes() for path in repository.path.rglob("*") if path.is_file()} == before
    assert contents(data, repository) == names


def test_a_spare_directory_in_use_stays(data: Data, repository: Repository) -> None:
    (data.pg_wal / "pgsql_tmp.pgark/push").mkdir(parents=True)
    assert_done(check(data, repository))
    assert [path.name for path in (data.pg_wal / "pgsql_tmp.pgark").iterdir()] == ["push"]


def test_a_push_ahead_at_any_moment_and_a_check_do_not_disturb_each_other(data: Data, repository: Repository) -> None:
    first, second = (write_segment(data.pg_wal, name) for name in (NAME, "000000010000000000000004"))
    data.mark(second.name, "ready")
    ahead = ["--ahead", f"{data.pg_wal}/pgsql_tmp.pgark/push-0", "--jobs", "2"]

    for point in range(1, 60):

        def push_too(number: int, _call: str, _file: str, point: int = point) -> None:
            if number == point:
                assert_done(run("push", *repository.options(), *ahead, first))

        assert run_tampered(["check", *repository.options(), str(data.path)], push_too) == 0, point
        assert not (data.pg_wal / "pgsql_tmp.pgark/check").exists()
    assert (data.pg_wal / f"pgsql_tmp.pgark/push-0/{second.name}").samefile(second)


def unmount(repository: Repository, _data: Data) -> None:
    (repository.path / "repository.json").unlink()


def to_other_cluster(_repository: Repository, data: Data) -> None:
    (data.path / "global/pg_control").write_bytes(bytes(8))


FAULTS: dict[str, tuple[Callable[[Repository, Data], object], str]] = {
    "not mounted": (unmount, "HINT: is it mounted?"),
    "of another cluster": (to_other_cluster, "has system identifier 0, expected 77"),
    "open to all": (lambda repository, _: repository.wal.chmod(0o777), "mode 0777"),
    "closed": (lambda repository, _: repository.wal.chmod(0o550), "found mode 0550"),
    "without a wal that could be made": (lambda repository, _: shut(repository), "Permission denied"),
    "closed below": (lambda repository, _: repository.archived().parent.chmod(0o550), f"{NAME[:16]}, expected that"),
    "with a foreign lock": (lambda repository, _: lock(repository), ".lock, expected that"),
    "closed pg_wal": (lambda _, data: data.pg_wal.chmod(0o500), "found mode 0500"),
    "open pg_wal": (lambda _, data: data.pg_wal.chmod(0o777), "mode 0777"),
}


def shut(repository: Repository) -> None:
    write_segment(repository.wal / "x").unlink()
    for path in (repository.wal / "x", repository.wal / NAME[:16], repository.wal):
        if path.exists():
            path.rmdir()
    (repository.path / "main").chmod(0o550)


def lock(repository: Repository) -> None:
    (repository.wal / ".lock").touch()
    (repository.wal / ".lock").chmod(0)


@pytest.mark.parametrize("fault", FAULTS)
def test_what_push_would_fail_at_is_named_with_all_else_that_is_wrong(
    fault: str, data: Data, repository: Repository, tmp_path: Path
) -> None:
    (repository.wal / NAME[:16]).mkdir(mode=0o750)
    if fault == "closed below":
        write_segment(repository.wal / NAME[:16])
    damage, words = FAULTS[fault]
    damage(repository, data)
    second = Repository(tmp_path / "second")
    before = contents(data, repository)
    assert_failed(check(data, repository, second), 1, "archiving cannot work: ", words, f"; {second.path}: found no")
    assert contents(data, repository) == before


def test_another_user_is_refused_before_anything_is_written(data: Data, repository: Repository) -> None:
    os.chown(data.path, 4711, -1) if os.geteuid() == 0 else pytest.fail("run by root in continuous integration")
    before = tree(repository.path)
    assert_failed(check(data, repository), 1, "run by user 0, expected 4711, who owns", "HINT: run it as")
    assert tree(repository.path) == before


def test_a_missing_compressor_is_named(data: Data, repository: Repository) -> None:
    script = f"""
        for place in /usr/local/bin /usr/bin /bin; do test -e $place/lz4 && mount --bind "$EMPTY" $place/lz4; done
        $PROGRAM check --repository "$REPOSITORY" --cluster main --compression lz4 "{data.path}" 2>&1; echo $?
    """
    (empty := data.path / "empty").touch(mode=0o600)
    done = in_namespace(script, repository, EMPTY=str(empty))
    assert "found no program lz4, expected it on PATH. HINT: install it" in done.stdout, done.stderr
    assert done.stdout.endswith("\n1\n")


def test_a_full_and_a_read_only_file_system_are_named(data: Data, repository: Repository, compression: str) -> None:
    command = f'$PROGRAM check --repository "$MOUNT" --cluster main --compression {compression} "{data.path}" 2>&1'
    script = f"""
        mount -t tmpfs -o size=1m,mode=0750 tmpfs "$MOUNT" && cp -a "$REPOSITORY/." "$MOUNT" || exit 9
        head -c 2m /dev/zero > "$MOUNT/ballast" 2> /dev/null; {command}; echo $?; find "$MOUNT/main/wal" -type f
        rm "$MOUNT/ballast"; {command}; echo $?; find "$MOUNT/main/wal" -type f
        mount -o remount,ro "$MOUNT"; {command}; echo $?
    """
    done = in_namespace(script, repository)
    full, one, fine, read_only, also_one = done.stdout.splitlines()
    assert (one, fine, also_one) == ("1", "0", "1")
    assert "No space left on device" in full
    assert "found a read-only file system, expected one to write to" in read_only


def test_wherever_it_is_killed_or_fails_the_next_check_leaves_nothing(data: Data, repository: Repository) -> None:
    argv = ["check", *repository.options(), "--compression", "gzip", str(data.path)]
    before = contents(data, repository)
    for end in (kill_at, lambda point: fail_at(point, errno.EIO)):
        for point in range(1, 1000):
            status = run_tampered(argv, end(point))
            assert run_quickly(argv) == 0
            assert contents(data, repository) == before, point
            if status == 0 and point > 60:
                break


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--repository", "/r", "--cluster", "main"],
        ["--repository", "/r", "--cluster", "main", "--json", "/data"],
        ["--repository", "/r", "--cluster", "main", "--compression", "bzip2", "/data"],
        ["--repository", "/r", "--cluster", "main", "--warning-age", "5", "/data"],
    ],
    ids=" ".join,
)
def test_wrong_usage_fails(argv: list[str]) -> None:
    assert_failed(run("check", *argv), 1, "HINT: see pgark-wal --help")
