# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways to archive WAL and to fetch it back that are measured beside each other."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.bench.wal_backlog import Backlog, give
from tests.bench.wal_program import get_command, install, push_command, quote_word
from tests.unit.wal_program.harness import Repository

CODECS = ("none", "lz4", "zstd", "gzip")
JOBS = 2
# The same for all that fetch ahead; pgark-wal has it as SPOOL_BYTES.
QUEUE = "256MiB"
NOT_INSTALLED = "not installed"
# What pgBackRest calls them.
COMPRESS_TYPES = {"none": "none", "lz4": "lz4", "zstd": "zst", "gzip": "gz"}


class Way:
    """How a server archives and recovers; everything of it is below one directory, and made anew by `lay_out`."""

    name = ""
    codecs: tuple[str, ...] = CODECS

    def __init__(self, backlog: Backlog, directory: Path) -> None:
        self.backlog, self.directory = backlog, directory

    def missing(self, codec: str) -> str:
        """Say why this cannot be measured here, if that is so."""
        programs = {"lz4", "zstd"}
        return NOT_INSTALLED if codec in programs and shutil.which(codec) is None else ""

    def lay_out(self, codec: str) -> None:
        """Make an empty archive for the codec."""
        self.backlog.empty(self.archive(codec))

    def archive(self, codec: str) -> Path:
        """Name the directory with all that a codec's archive consists of."""
        return self.directory / codec

    def archiving(self, codec: str) -> dict[str, str]:
        """Return the settings to archive with."""
        raise NotImplementedError

    def restoring(self, codec: str) -> dict[str, str]:
        """Return the settings to recover with."""
        raise NotImplementedError

    def archived(self, codec: str) -> set[str]:
        """Name the segments that the archive has, under whatever names."""
        return {path.name[:24] for path in self.archive(codec).rglob("*") if path.is_file()}


class PgarkWal(Way):
    """What this collection installs."""

    name = f"pgark-wal, {JOBS} jobs"

    def __init__(self, backlog: Backlog, directory: Path) -> None:
        super().__init__(backlog, directory)
        self._program = install(backlog.sandbox, backlog.cluster.home)

    def lay_out(self, codec: str) -> None:
        super().lay_out(codec)
        version, identifier = self.backlog.version, self.backlog.system_identifier
        Repository.create(self._repository(codec), version=version, system_identifier=identifier)
        give(self.backlog.sandbox, self.archive(codec))

    def archiving(self, codec: str) -> dict[str, str]:
        return {"archive_command": push_command(self._program, self._repository(codec), codec, JOBS)}

    def restoring(self, codec: str) -> dict[str, str]:
        return {"restore_command": get_command(self._program, self._repository(codec), JOBS)}

    def _repository(self, codec: str) -> Path:
        return self.archive(codec) / "repository"


class BasicArchive(Way):
    """PostgreSQL's own example of a module that archives, from its contrib."""

    name = "basic_archive"
    codecs = ("none",)

    def missing(self, codec: str) -> str:
        libraries = self.backlog.cluster.run("pg_config", "--pkglibdir").stdout.strip()
        return super().missing(codec) if (Path(libraries) / "basic_archive.so").exists() else NOT_INSTALLED

    def archiving(self, codec: str) -> dict[str, str]:
        place = {"basic_archive.archive_directory": str(self.archive(codec))}
        return {"archive_library": "basic_archive", **place}


class Copy(Way):
    """What PostgreSQL's manual shows as an example: durable only once the system has written it back."""

    name = "cp, not durable"
    codecs = ("none",)

    def archiving(self, codec: str) -> dict[str, str]:
        return {"archive_command": f'cp "%p" {quote_word(str(self.archive(codec)))}/"%f"'}

    def restoring(self, codec: str) -> dict[str, str]:
        return {"restore_command": f'cp {quote_word(str(self.archive(codec)))}/"%f" "%p"'}


class Link(Copy):
    """What takes no time to speak of to fetch, so that replaying is all that is left: the archived file itself."""

    name = "nothing to fetch: ln"

    def restoring(self, codec: str) -> dict[str, str]:
        return {"restore_command": f'ln {quote_word(str(self.archive(codec)))}/"%f" "%p"'}


class PgBackRest(Way):
    """pgBackRest, each segment by itself."""

    name = "pgBackRest, synchronous"
    asynchronous = "n"

    def missing(self, codec: str) -> str:
        """Say so without the program, which has the codecs in it, and without a server that it knows."""
        if shutil.which("pgbackrest") is None:
            return NOT_INSTALLED
        return "" if self.backlog.cluster.version == "15" else "needs PostgreSQL 15"

    def lay_out(self, codec: str) -> None:
        super().lay_out(codec)
        configuration = self.archive(codec) / "pgbackrest.conf"
        configuration.write_text(self._configuration(codec), encoding="utf-8")
        self.backlog.sandbox.run([*self._words(codec), "--no-online", "stanza-create"])

    def archiving(self, codec: str) -> dict[str, str]:
        return {"archive_command": f'{self._command(codec)} archive-push "%p"'}

    def restoring(self, codec: str) -> dict[str, str]:
        return {"restore_command": f'{self._command(codec)} archive-get "%f" "%p"'}

    def _command(self, codec: str) -> str:
        return " ".join(map(quote_word, self._words(codec)))

    def _words(self, codec: str) -> list[str]:
        program = shutil.which("pgbackrest") or "pgbackrest"
        return [program, f"--config={self.archive(codec) / 'pgbackrest.conf'}", "--stanza=main"]

    def _configuration(self, codec: str) -> str:
        cluster, home = self.backlog.cluster, self.archive(codec)
        places = {"repo1-path": "repository", "spool-path": "spool", "lock-path": "lock", "log-path": "log"}
        options = {name: str(home / place) for name, place in places.items()}
        options |= {"log-level-console": "off", "log-level-stderr": "warn", "log-level-file": "off"}
        options |= {"archive-async": self.asynchronous, "archive-get-queue-max": QUEUE, "process-max": str(JOBS)}
        options |= {"compress-type": COMPRESS_TYPES[codec]} | ({} if codec == "none" else {"compress-level": "1"})
        server = {"pg1-path": str(cluster.data_directory), "pg1-socket-path": str(cluster.socket_directory)}
        server |= {"pg1-port": str(cluster.port), "pg1-user": cluster.owner}
        return f"[global]\n{_lines(options)}\n[main]\n{_lines(server)}"


class PgBackRestAhead(PgBackRest):
    """pgBackRest, which archives and fetches ahead, and acknowledges from a spool directory."""

    name = f"pgBackRest, asynchronous, {JOBS} processes"
    asynchronous = "y"


def _lines(options: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in options.items())
