# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argument lists for the programs that do the work, and parsers for what they print."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .._errors import Error
from .runner import CommandRunner

# Where distributions keep the programs of one major version: Debian and Ubuntu, then the RHEL family.
BIN_DIRECTORIES = ("/usr/lib/postgresql/{major}/bin", "/usr/pgsql-{major}/bin")
_STANDARD_PATH = "/usr/local/bin:/usr/bin:/bin"
# What sslmode has to be for the server's certificate to count, and libpq's parameters as environment variables.
_CERTIFIED = ("verify-ca", "verify-full")
_VARIABLES = {
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "requirepeer": "PGREQUIREPEER",
    "require_auth": "PGREQUIREAUTH",
}
_DECOMPRESSORS = {"zstd": "zstd", "lz4": "lz4", "gzip": "gzip"}


@dataclass(frozen=True)
class Connection:
    """How to reach a server; a password goes into the environment of a program, never into its arguments.

    A host that is empty or a directory is that of a Unix socket, and ``peer`` the user that has to be behind it.
    Without a ``database`` it is the usual one. ``tls`` has libpq's parameters about certificates, and
    ``python_directory`` is where psycopg lies when the interpreter has none of its own.
    """

    host: str
    port: int
    user: str
    password: str | None
    database: str | None
    python_directory: str | None = None
    peer: str | None = None
    tls: tuple[tuple[str, str], ...] = ()

    @property
    def local(self) -> bool:
        """Tell whether it goes over a Unix socket, whose directory begins with @ in the abstract namespace."""
        return self.host[:1] in ("", "/", "@")

    @property
    def certified(self) -> bool:
        """Tell whether the server has to show a certificate that a known authority has signed."""
        return not self.local and dict(self.tls).get("sslmode") in _CERTIFIED

    @property
    def parameters(self) -> dict[str, str]:
        """Give the parameters of libpq by which the server has to prove who it is.

        Where none does, no password is sent in clear, which is what a server asks for by the methods password, ldap,
        pam, radius and bsd.
        """
        if self.local:
            return {} if self.peer is None else {"requirepeer": self.peer}
        return {**dict(self.tls), **({} if self.certified else {"require_auth": "!password"})}

    @property
    def environment(self) -> dict[str, str]:
        """Give the variables for PostgreSQL's client programs; older ones do not look at some of them."""
        named = {_VARIABLES[name]: value for name, value in self.parameters.items()}
        return {**named, **({} if self.password is None else {"PGPASSWORD": self.password})}


def find_bin_directory(major: int | None) -> str:
    """Find the directory of PostgreSQL's programs for a major version: the distribution's place, else the PATH."""
    candidates = [] if major is None else [place.format(major=major) for place in BIN_DIRECTORIES]
    on_path = shutil.which("pg_controldata")
    if on_path is not None:
        candidates.append(os.path.dirname(os.path.realpath(on_path)))
    for candidate in candidates:
        if os.path.exists(f"{candidate}/pg_ctl"):
            return candidate
    wanted = "PostgreSQL" if major is None else f"PostgreSQL {major}"
    raise Error(
        f"the programs of {wanted} were not found in {', '.join(candidates) or 'the PATH'}", "set bin_directory"
    )


def find_program(name: str) -> str | None:
    """Find a program on the PATH and in the standard places."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), _STANDARD_PATH]))


def available_decompressors() -> frozenset[str]:
    """Name the compressions that can be undone on this host."""
    return frozenset(name for name, path in compressors().items() if path is not None)


def compressors() -> dict[str, str | None]:
    """Find the program for each compression."""
    return {name: find_program(program) for name, program in _DECOMPRESSORS.items()}


def decompress_cmd(compression: str) -> list[str]:
    """Read a compressed stream from standard input."""
    return [_compressor(compression), "-d", "-c"]


def compress_cmd(compression: str) -> list[str]:
    """Compress standard input, with little effort, as the server does with the rest of a backup."""
    return [_compressor(compression), "-1", "-c"]


def _compressor(compression: str) -> str:
    program = find_program(_DECOMPRESSORS[compression])
    if program is None:
        raise Error(
            f"program {_DECOMPRESSORS[compression]} was not found, which a backup with compression {compression} needs",
            "install it",
        )
    return program


def pg_controldata_cmd(bin_directory: str, data_directory: str) -> list[str]:
    """Print the control file of a data directory."""
    return [f"{bin_directory}/pg_controldata", "-D", data_directory]


def parse_controldata(text: str) -> dict[str, str]:
    r"""Read what pg_controldata prints.

    >>> parse_controldata("Database system identifier:  771\nLatest checkpoint's TimeLineID:  2\n")
    {'Database system identifier': '771', "Latest checkpoint's TimeLineID": '2'}
    """
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def pg_resetwal_cmd(bin_directory: str, data_directory: str) -> list[str]:
    """Throw the WAL of a cleanly stopped cluster away, and begin a new one behind it."""
    return [f"{bin_directory}/pg_resetwal", "-D", data_directory]


# It takes milliseconds, unless the configuration includes what has no end.
ANSWER_SECONDS = 60


def effective_setting_cmd(
    bin_directory: str, name: str, directory: str, config_file: str | None, more: Sequence[str] = ()
) -> list[str]:
    """Print a setting as a server would have it that is started on a directory with ``more``, without starting it."""
    options = [] if config_file is None else ["-c", f"config_file={config_file}"]
    return [f"{bin_directory}/postgres", "-C", name, "-D", directory, *options, *more]


def library_directory_cmd(bin_directory: str) -> list[str]:
    """Print where the libraries of a server's own are."""
    return [f"{bin_directory}/pg_config", "--pkglibdir"]


def single_user_cmd(
    bin_directory: str, directory: str, config_file: str | None, words: Sequence[str], settings: Mapping[str, str]
) -> list[str]:
    """Start a server that takes no connections, recover, and end when there is nothing on its standard input."""
    place = [] if config_file is None else ["-c", f"config_file={config_file}"]
    given = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    argv = [f"{bin_directory}/postgres", "--single", "-D", directory, *place]
    return [*argv, "-c", f"data_directory={directory}", *words, *given, "template1"]


def pg_ctl_cmd(bin_directory: str, action: str, data_directory: str, *options: str) -> list[str]:
    """Control a server."""
    return [f"{bin_directory}/pg_ctl", action, "-D", data_directory, *options]


def pg_ctl_start_cmd(
    bin_directory: str, data_directory: str, log_file: str, timeout: int, options: Sequence[str]
) -> list[str]:
    """Start a server with options, and wait until it takes connections or is recovering.

    pg_ctl hands the text after ``-o`` to a shell, so the words in it are quoted.
    """
    given = ["-o", shlex.join(options)] if options else []
    return pg_ctl_cmd(bin_directory, "start", data_directory, "-l", log_file, "-w", "-t", str(timeout), "-s", *given)


def pg_basebackup_cmd(
    bin_directory: str, connection: Connection, directory: str, label: str, checkpoint: str, compression: Sequence[str]
) -> list[str]:
    """Take a tar-format backup with its WAL streamed in and a SHA-256 manifest."""
    return [
        f"{bin_directory}/pg_basebackup",
        *("--host", connection.host, "--port", str(connection.port), "--username", connection.user, "--no-password"),
        *("--pgdata", directory, "--format=tar", "--wal-method=stream", f"--checkpoint={checkpoint}"),
        *("--manifest-checksums=SHA256", "--label", label, *compression),
    ]


def compression_options(version: int, compression: str) -> list[str]:
    """Compress on the server from PostgreSQL 15 on; before that only pg_basebackup itself can, and only with gzip."""
    if version >= 150000:
        return ["--compress=none" if compression == "none" else f"--compress=server-{compression}:level=1"]
    return [] if compression == "none" else ["--compress=1"]


def server_compressions(version: int, configure: str) -> frozenset[str]:
    """Name the compressions that a server can give a backup, from its version and its ``configure`` options."""
    if version < 150000:
        return frozenset({"gzip"})
    return frozenset({"gzip", *(name for name in ("lz4", "zstd") if f"--with-{name}" in configure)})


def pg_verifybackup_cmd(bin_directory: str, directory: str, manifest: str, ignored: Sequence[str]) -> list[str]:
    """Verify unpacked files and their WAL against a manifest, up to the first problem."""
    skipped = [word for path in ignored for word in ("--ignore", path)]
    return [
        f"{bin_directory}/pg_verifybackup",
        "--exit-on-error",
        "--quiet",
        "--manifest-path",
        manifest,
        *skipped,
        directory,
    ]


def pg_waldump_cmd(bin_directory: str, directory: str, *options: str) -> list[str]:
    """Print records of the WAL files in a directory."""
    return [f"{bin_directory}/pg_waldump", f"--path={directory}", *options]


def wal_program_cmd(program: str, verb: str, repositories: Sequence[str], cluster: str, *arguments: str) -> list[str]:
    """Call pgark-wal."""
    places = [word for repository in repositories for word in ("--repository", repository)]
    return [program, verb, *places, "--cluster", cluster, *arguments]


def control_data(runner: CommandRunner, bin_directory: str, data_directory: str) -> dict[str, str]:
    """Read the control file of a data directory."""
    return parse_controldata(runner.run(pg_controldata_cmd(bin_directory, data_directory)).stdout)
