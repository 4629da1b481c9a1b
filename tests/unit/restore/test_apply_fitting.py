# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is raised in a staged configuration for the WAL, and with which configuration no server would start here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._cluster.data_directory import RestoreRecord
from ansible_collections.pgark.postgres.plugins.module_utils._cluster.observe import read_record, write_record
from ansible_collections.pgark.postgres.plugins.module_utils._errors import CommandFailed, Error
from ansible_collections.pgark.postgres.plugins.module_utils._host.runner import CommandRunner, Result
from ansible_collections.pgark.postgres.plugins.module_utils._restore import apply_fitting as fitting
from ansible_collections.pgark.postgres.plugins.module_utils._restore.fitting import CheckStartable, RaiseSettings
from ansible_collections.pgark.postgres.plugins.module_utils._server.options import options_line
from ansible_collections.pgark.postgres.plugins.module_utils._server.recovery_settings import automatic_value
from tests.unit.restore.test_parameters import CONTROL

SETTINGS = {
    "superuser_reserved_connections": "3",
    "wal_level": "replica",
    "archive_mode": "on",
    "max_wal_senders": "10",
    "max_connections": "100",
    "max_worker_processes": "8",
    "max_prepared_transactions": "0",
    "max_locks_per_transaction": "64",
    "autovacuum_worker_slots": "16",
    "autovacuum_max_workers": "3",
    "reserved_connections": "0",
    "summarize_wal": "off",
    "shared_buffers": "16384",
    "ssl": "off",
    "ssl_cert_file": "server.crt",
    "ssl_key_file": "/etc/ssl/nosuch.key",
    "ssl_ca_file": "",
    "ssl_crl_file": "",
    "dynamic_library_path": "$libdir",
    "shared_preload_libraries": "",
    "session_preload_libraries": "",
    "local_preload_libraries": "",
    "archive_library": "",
}


class Programs(CommandRunner):
    """Answer as PostgreSQL's programs would; what was asked is kept."""

    def __init__(self, staging: Path, **settings: str) -> None:
        super().__init__()
        self.staging = staging
        self.asked: list[list[str]] = []
        self._settings = SETTINGS | settings

    def run(self, argv: Sequence[str], **_options: Any) -> Result:
        self.asked.append(list(argv))
        program = Path(argv[0]).name
        if program == "pg_controldata":
            assert (Path(argv[2]) / "global" / "pg_control").read_text() == "the backup's"
            return Result(0, "".join(f"{name}:  {value}\n" for name, value in CONTROL.items()), "")
        if program == "pg_config":
            return Result(0, f"{Path(argv[0]).parent.parent / 'lib'}\n", "")
        automatic = automatic_value((self.staging / "postgresql.auto.conf").read_text(), argv[2])
        if argv[2] not in self._settings:
            raise CommandFailed(f"postgres ended with status 1: unrecognized configuration parameter {argv[2]}")
        return Result(0, f"{automatic or self._settings[argv[2]]}\n", "")


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    """Provide a staging directory with what a restore has written there, and programs."""
    directory = tmp_path / "data.restore"
    (directory / "global").mkdir(parents=True)
    (directory / "global" / "pg_control.pgark").write_text("the backup's")
    (directory / "postgresql.conf").write_text("")
    (directory / "postgresql.auto.conf").write_text("work_mem = '5MB'\n")
    write_record(str(directory), RestoreRecord({}, "b", "main", "77", "/data.before", needed={"max_connections": 60}))
    for name in ("bin/postgres", "bin/pg_config", "lib/libpqwalreceiver.so", "lib/auto_explain.so"):
        (tmp_path / "pgsql" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pgsql" / name).touch(mode=0o755)
    return directory


def raise_in(staging: Path, programs: Programs, **needed: int) -> list[str]:
    """Raise what is too small, and return what is said."""
    step = RaiseSettings(str(staging), None, str(staging.with_suffix("")), needed)
    return fitting.raise_settings(step, "/bin", programs)


def check_in(staging: Path, programs: Programs, major: int = 18) -> list[str]:
    """Hold the configuration against the host, and return what is said."""
    step = CheckStartable(str(staging), None, str(staging.with_suffix("")), major)
    return fitting.check_step(step, str(staging.parent / "pgsql" / "bin"), programs)


def noted(staging: Path) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Return what the record says is needed, and was raised."""
    record = read_record(str(staging))
    assert record is not None
    return record.needed, record.raised


def test_what_is_too_small_for_the_backup_or_the_wal_is_raised_and_stays_noted(staging: Path) -> None:
    programs = Programs(staging, max_connections="50", max_worker_processes="4")
    told = raise_in(staging, programs, max_connections=120)
    assert [text.partition(",")[0] for text in told] == ["max_connections is 50", "max_worker_processes is 4"]
    automatic = (staging / "postgresql.auto.conf").read_text()
    assert automatic == "work_mem = '5MB'\nmax_connections = '120'\nmax_worker_processes = '8'\n"
    needed, raised = noted(staging)
    assert (needed["max_connections"], needed["max_wal_senders"]) == (120, 10)
    assert raised == {"max_connections": 50, "max_worker_processes": 4}
    # The switch looks once more.
    assert raise_in(staging, programs, max_connections=120) == []
    assert (staging / "postgresql.auto.conf").read_text() == automatic
    assert noted(staging)[1] == raised


def test_the_program_is_asked_about_the_staged_data_whatever_the_configuration_names(staging: Path) -> None:
    (staging / "postmaster.opts").write_text(options_line(("-D", "/data", "-c", "work_mem=8MB")))
    programs = Programs(staging)
    assert raise_in(staging, programs) == []
    assert (staging / "postgresql.auto.conf").read_text() == "work_mem = '5MB'\n"
    asked = [argv[3:] for argv in programs.asked if argv[1] == "-C"]
    assert asked == [["-D", str(staging), "-c", f"data_directory={staging}", "-c", "work_mem=8MB"]] * 5


def test_what_a_command_line_has_is_not_raised_but_refused(staging: Path) -> None:
    (staging / "postmaster.opts").write_text(options_line(("-D", "/data", "-N", "50")))
    before = (staging / "postgresql.auto.conf").read_text()
    with pytest.raises(
        Error, match=r"-N 50 \(expected max_connections >= 100\), found in postmaster.opts of .*/data\n"
    ):
        raise_in(staging, Programs(staging, max_connections="50"))
    assert (staging / "postgresql.auto.conf").read_text() == before


def test_libraries_that_are_here_are_no_matter(staging: Path) -> None:
    inside, data = staging / "libs", staging.with_suffix("")
    inside.mkdir()
    (inside / "own.so").touch()
    (link := staging.with_name("link")).symlink_to(data)
    library = f'auto_explain, "$libdir/auto_explain", libs/own, {data}/libs/own.so, {link}/libs/own'
    assert check_in(staging, Programs(staging, shared_preload_libraries=library)) == []


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("shared_preload_libraries", "no server starts"),
        ("session_preload_libraries", "nobody can log in"),
        ("local_preload_libraries", "nobody can log in"),
    ],
)
def test_a_library_that_is_missing_is_refused_with_its_setting_and_file(
    staging: Path, setting: str, why: str, tmp_path: Path
) -> None:
    (staging / "postgresql.conf").write_text(f"include '{tmp_path}/more.conf'\n")
    (tmp_path / "more.conf").write_text(f"{setting} = 'nosuch'\n")
    with pytest.raises(Error) as error:
        check_in(staging, Programs(staging, **{setting: "nosuch"}))
    assert f"library 'nosuch' of {setting} (set in {tmp_path}/more.conf) is not on this host" in error.value.message
    assert f"without it {why}; looked in {tmp_path}/pgsql/lib" in error.value.message
    assert "install what it belongs to, for PostgreSQL 18" in str(error.value.hint)
    (staging / "postgresql.auto.conf").write_text(f"{setting} = 'nosuch'\n")
    with pytest.raises(Error, match=r"more.conf, postgresql.auto.conf of the restored data\)"):
        check_in(staging, Programs(staging, **{setting: "nosuch"}))


def test_more_buffers_than_memory_are_refused(staging: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "memory", lambda: 16384 * 8192 + (100 << 20))
    assert check_in(staging, Programs(staging)) == []
    with pytest.raises(Error, match="shared_buffers is 256 MB, and this host has 228 MB of memory and swap"):
        check_in(staging, Programs(staging, shared_buffers="32768"))
    with pytest.raises(Error, match=r"max_connections = 262000, .*; that takes .* GB and more of the 228 MB of memory"):
        check_in(staging, Programs(staging, max_connections="262000"))


def test_certificates_that_are_missing_are_refused_where_the_server_speaks_tls(staging: Path, tmp_path: Path) -> None:
    (staging / "postgresql.conf").write_text("ssl_cert_file = 'server.crt'\n")
    told = r"server.crt, which is ssl_cert_file \(set in postgresql.conf of the restored data\), is not on this host"
    with pytest.raises(Error, match=told):
        check_in(staging, Programs(staging, ssl="on"))
    (staging / "server.crt").touch()
    with pytest.raises(Error, match=r"/etc/ssl/nosuch\.key, which is ssl_key_file"):
        check_in(staging, Programs(staging, ssl="on"))
    (tmp_path / "key").touch()
    assert check_in(staging, Programs(staging, ssl="on", ssl_key_file=f"{tmp_path}/key")) == []


def test_a_library_that_only_archives_is_warned_of(staging: Path) -> None:
    [told] = check_in(staging, Programs(staging, archive_library="nosuch"))
    assert "library 'nosuch' of archive_library" in told
    assert check_in(staging, Programs(staging, archive_library="nosuch", archive_mode="off")) == []
    assert check_in(staging, Programs(staging, archive_library="nosuch"), major=14) == []


def test_where_libraries_are_not_found_for_certain_nothing_is_refused(staging: Path, tmp_path: Path) -> None:
    (tmp_path / "pgsql" / "lib" / "libpqwalreceiver.so").unlink()
    [told] = check_in(staging, Programs(staging, shared_preload_libraries="b, a"))
    assert "nobody has looked for these: a, b;" in told
    with pytest.raises(Error, match="library '/srv/nosuch' of shared_preload_libraries"):
        check_in(staging, Programs(staging, shared_preload_libraries="/srv/nosuch"))


def test_settings_that_do_not_go_together_are_refused(staging: Path) -> None:
    with pytest.raises(Error, match=r"superuser_reserved_connections = 90, reserved_connections = 10, max_connections"):
        check_in(staging, Programs(staging, superuser_reserved_connections="90", reserved_connections="10"))
    with pytest.raises(Error, match=r"wal_level = minimal, archive_mode = on, max_wal_senders = 10"):
        check_in(staging, Programs(staging, wal_level="minimal"))


def test_older_servers_are_not_asked_for_what_they_do_not_know(staging: Path) -> None:
    programs = Programs(staging, wal_level="minimal", archive_mode="off", max_wal_senders="0")
    check_in(staging, programs, major=13)
    asked = {argv[2] for argv in programs.asked if argv[1] == "-C"}
    assert not asked & {"reserved_connections", "summarize_wal", "archive_library"}


@pytest.mark.parametrize(
    ("programs", "libraries"),
    [
        ("usr/lib/postgresql/17/bin", "usr/lib/postgresql/17/lib"),
        ("usr/pgsql-17/bin", "usr/pgsql-17/lib"),
        ("usr/bin", "usr/lib64/pgsql"),
        ("usr/local/bin", "usr/local/lib/postgresql"),
    ],
)
def test_the_servers_own_libraries_are_found_without_pg_config(programs: str, libraries: str, tmp_path: Path) -> None:
    for path in (tmp_path / programs / "postgres", tmp_path / libraries / "libpqwalreceiver.so"):
        path.parent.mkdir(parents=True)
        path.touch()
    (tmp_path / "link").symlink_to(tmp_path / programs)
    assert fitting.library_directory(f"{tmp_path}/link", CommandRunner()) == f"{tmp_path}/{libraries}"
