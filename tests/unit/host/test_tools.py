# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs get their arguments one by one, and what they print is read."""

import shlex
from pathlib import Path

import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._errors import CommandFailed, Error
from ansible_collections.pgark.postgres.plugins.module_utils._host import tools
from ansible_collections.pgark.postgres.plugins.module_utils._host.runner import Result
from tests.unit.fakes import FakeRunner

BIN = "/opt/pg 17/bin"
CONNECTION = tools.Connection("/run/with space", 5433, "pg user", "s3cret", "postgres")


def test_a_base_backup_takes_the_password_from_its_environment_only() -> None:
    argv = tools.pg_basebackup_cmd(BIN, CONNECTION, "/srv/a b/.x.partial", "x", "fast", ["--compress=none"])
    assert argv == [
        "/opt/pg 17/bin/pg_basebackup",
        *("--host", "/run/with space", "--port", "5433", "--username", "pg user", "--no-password"),
        *("--pgdata", "/srv/a b/.x.partial", "--format=tar", "--wal-method=stream", "--checkpoint=fast"),
        *("--manifest-checksums=SHA256", "--label", "x", "--compress=none"),
    ]
    assert CONNECTION.environment == {"PGPASSWORD": "s3cret"}
    assert tools.Connection("", 5432, "x", None, "postgres").environment == {}


@pytest.mark.parametrize(
    ("host", "peer", "tls", "expected"),
    [
        ("/run/pg", "postgres", (), {"PGREQUIREPEER": "postgres"}),
        ("@abstract", None, (), {}),
        ("localhost", None, (), {"PGREQUIREAUTH": "!password"}),
        ("localhost", None, (("sslmode", "require"),), {"PGSSLMODE": "require", "PGREQUIREAUTH": "!password"}),
        (
            "localhost",
            None,
            (("sslmode", "verify-full"), ("sslrootcert", "/ca"), ("sslcert", "/c"), ("sslkey", "/k")),
            {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/ca", "PGSSLCERT": "/c", "PGSSLKEY": "/k"},
        ),
    ],
)
def test_a_server_has_to_prove_who_it_is(
    host: str, peer: str | None, tls: tuple[tuple[str, str], ...], expected: dict[str, str]
) -> None:
    assert tools.Connection(host, 5432, "x", None, None, peer=peer, tls=tls).environment == expected


@pytest.mark.parametrize(
    ("version", "compression", "options"),
    [
        (130000, "none", []),
        (140011, "gzip", ["--compress=1"]),
        (150000, "none", ["--compress=none"]),
        (150000, "gzip", ["--compress=server-gzip:level=1"]),
        (180006, "zstd", ["--compress=server-zstd:level=1"]),
    ],
)
def test_the_server_compresses_where_it_can(version: int, compression: str, options: list[str]) -> None:
    assert tools.compression_options(version, compression) == options


@pytest.mark.parametrize(
    ("version", "configure", "found"),
    [
        (140000, "'--with-lz4' '--with-zstd'", {"gzip"}),
        (150000, "'--with-lz4' '--with-zstd'", {"gzip", "lz4", "zstd"}),
        (170010, "'--with-lz4'", {"gzip", "lz4"}),
        (180006, "'--prefix=/x' '--without-readline'", {"gzip"}),
    ],
)
def test_a_server_compresses_with_what_it_was_built_with(version: int, configure: str, found: set[str]) -> None:
    assert tools.server_compressions(version, configure) == found


def test_the_options_that_pg_ctl_hands_to_a_shell_are_quoted() -> None:
    options = ["-p", "5433", "-c", "config_file=/etc/it's $HOME/postgresql.conf", "-c", 'archive_command=cp "%p" /x']
    argv = tools.pg_ctl_start_cmd(BIN, "/data $(id)", "/log file", 60, options)
    assert argv[:4] == ["/opt/pg 17/bin/pg_ctl", "start", "-D", "/data $(id)"]
    assert argv[-2] == "-o"
    assert shlex.split(argv[-1]) == options
    assert "-o" not in tools.pg_ctl_start_cmd(BIN, "/data", "/log", 60, [])


def test_verification_ignores_what_it_is_told_to() -> None:
    argv = tools.pg_verifybackup_cmd(BIN, "/data", "/srv/backup_manifest", ["a b", "c"])
    assert argv[0] == "/opt/pg 17/bin/pg_verifybackup"
    assert argv[-5:] == ["--ignore", "a b", "--ignore", "c", "/data"]
    assert argv[argv.index("--manifest-path") + 1] == "/srv/backup_manifest"


def test_pgark_wal_is_called_with_words() -> None:
    assert tools.wal_program_cmd("/opt/a b/pgark-wal", "get", ["/srv/a b", "/srv/c"], "main", "x", "y z") == [
        *(
            "/opt/a b/pgark-wal",
            "get",
            "--repository",
            "/srv/a b",
            "--repository",
            "/srv/c",
            "--cluster",
            "main",
            "x",
            "y z",
        )
    ]


CONTROL = """pg_control version number:            1700
Database system identifier:           7301234567890123456
pg_control last modified:             Sat 21 Nov 2026 12:00:00 PM UTC
Latest checkpoint's TimeLineID:       2
Bytes per WAL segment:                16777216
"""


def test_the_control_file_is_read() -> None:
    runner = FakeRunner(([f"{BIN}/pg_controldata", "-D", "/data dir"], Result(0, CONTROL, "")))
    found = tools.control_data(runner, BIN, "/data dir")
    assert found["Database system identifier"] == "7301234567890123456"
    assert found["pg_control last modified"] == "Sat 21 Nov 2026 12:00:00 PM UTC"
    assert tools.parse_controldata("") == {}


def test_a_control_file_that_cannot_be_read_is_an_error() -> None:
    runner = FakeRunner(([f"{BIN}/pg_controldata", "-D", "/data"], Result(1, "", "could not open file")))
    with pytest.raises(CommandFailed, match="could not open file"):
        tools.control_data(runner, BIN, "/data")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide the only directory on the PATH, with an installation for major version 17 below it."""
    for name in ("pg_controldata", "pg_ctl", "17/bin/pg_ctl"):
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tools, "BIN_DIRECTORIES", (f"{tmp_path}/{{major}}/bin",))
    return tmp_path


def test_the_distributions_place_for_the_version_comes_before_the_path(programs: Path) -> None:
    assert tools.find_bin_directory(17) == f"{programs}/17/bin"
    assert tools.find_bin_directory(18) == str(programs)
    assert tools.find_bin_directory(None) == str(programs)


def test_missing_programs_are_named_with_where_they_were_looked_for(programs: Path) -> None:
    (programs / "pg_controldata").unlink()
    with pytest.raises(Error, match=f"of PostgreSQL 16 were not found in {programs}/16/bin\nHINT: set bin_directory"):
        tools.find_bin_directory(16)
    with pytest.raises(Error, match="the programs of PostgreSQL were not found in the PATH"):
        tools.find_bin_directory(None)


def test_a_missing_decompressor_is_named(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "_STANDARD_PATH", str(programs))
    (programs / "lz4").touch(mode=0o755)
    assert tools.available_decompressors() == {"lz4"}
    assert tools.decompress_cmd("lz4") == [f"{programs}/lz4", "-d", "-c"]
    with pytest.raises(Error, match="program zstd was not found, which a backup with compression zstd needs"):
        tools.decompress_cmd("zstd")
