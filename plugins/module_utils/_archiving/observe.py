# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove that WAL archiving works: what every repository gives back are the bytes that the server has in pg_wal."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .._cluster.observe import is_standby
from .._errors import CommandFailed, Error
from .._host.digests import sha256_of
from .._host.runner import CommandRunner, said
from .._host.tools import wal_program_cmd
from .._repository.layout import Layout
from .._repository.observe import has_segment
from .._server.server import Archiver, Server
from .._wal.names import SegmentName
from .._windows.forks import FORK_HINT, Forked, forked
from .._windows.observe_forks import digest_of, waiting_fork
from .._windows.observe_own_wal import waiting_files
from .commands import archiving_program, parse_push

_POLL_SECONDS = 0.1
_WAKE_SECONDS = 2
# The archiver tries so often, a second apart, and then sleeps for a minute (NUM_ARCHIVE_RETRIES in pgarch.c).
_ATTEMPTS = 3
_SHOWN = 5
_LONGEST_SHEBANG = 256  # BINPRM_BUF_SIZE of Linux


def archiving_problems(server: Server, layout: Layout) -> list[str]:
    """Say why WAL does not reach this place of the repository; an empty list means that nothing speaks against it."""
    obstacle = _obstacle(server, layout) or _fork(server, layout)
    if obstacle is not None:
        return [obstacle]
    archiver = server.archiver()
    if archiver.failing:
        failed = f"the last attempt to archive {archiver.failed_segment} failed at {archiver.failed_time}"
        return [f"{failed}; the server's log says why"]
    return []


def require_archiving(server: Server, layout: Layout) -> None:
    """Refuse to wait for a segment that cannot arrive; failures of the past do not count, they may be repaired."""
    obstacle = _obstacle(server, layout)
    if obstacle is not None:
        raise Error(
            f"archiving does not work: {obstacle}",
            "run setup_archiving.yml, which installs pgark-wal and configures the server",
        )
    fork = _fork(server, layout)
    if fork is not None:
        raise Forked(f"archiving does not work: {fork}", FORK_HINT)


def check_out_of_recovery(server: Server, data_directory: str, what: str) -> None:
    """Refuse ``what`` a server cannot do in recovery, and say how that ends: a restore is not a standby."""
    if not server.in_recovery():
        return
    if is_standby(data_directory):
        raise Error(f"the server is in recovery and {what}: it is a standby", "do this on its primary")
    raise Error(
        f"the server is in recovery and {what}: a restore is paused at its target, or on the way there",
        "finish the restore first: recovery with state: promoted, or pitr_finalize.yml; pitr_rollback.yml undoes it",
    )


def _obstacle(server: Server, layout: Layout) -> str | None:
    if server.in_recovery():
        return "the server is in recovery and archives nothing"
    settings = server.settings()
    if settings["archive_mode"].value == "off":
        return "archive_mode is off"
    program = program_in_use(server, layout)
    if program is None:
        return f"archive_command is '{settings['archive_command'].value}', which does not push into {layout.directory}"
    why = why_not_executable(program)
    return None if why is None else f"{program}, which archive_command calls, {why}"


def _fork(server: Server, layout: Layout) -> str | None:
    """Look in all places that the server pushes into; one that is not to be looked into is no fork."""
    forks = (waiting_fork(server.data_directory, place) for place in places_in_use(server, layout))
    return next(filter(None, forks), None)


def why_not_executable(program: str) -> str | None:
    """Say why the shell cannot start it, which only the server's log would tell."""
    if not os.path.isfile(program):
        return "is not there"
    if not os.access(program, os.X_OK):
        return "is not executable"
    with open(program, "rb") as file:
        words = file.readline(_LONGEST_SHEBANG).split()
    interpreter = os.fsdecode(words[0][2:]) if words and words[0].startswith(b"#!") else program
    if not os.access(interpreter, os.X_OK):
        return f"names the interpreter {interpreter} in its first line, which is not there or not executable"
    return None


def program_in_use(server: Server, layout: Layout) -> str | None:
    """Give the pgark-wal that the server archives with, if it pushes into this place."""
    return archiving_program(server.show("archive_command"), layout.repository, layout.cluster)


def places_in_use(server: Server, layout: Layout) -> list[Layout]:
    """List the places of the cluster that the server's own archive_command pushes into, this one first."""
    push = parse_push(server.show("archive_command"))
    repositories = [layout.repository, *(() if push is None else push.repositories)]
    return [Layout(repository, layout.cluster) for repository in dict.fromkeys(repositories)]


@dataclass(frozen=True)
class Proof:
    """A segment that was just finished, and the checksum that it has in ``pg_wal``.

    None: the server has removed it, which it does only once its archive_command has said that it is archived.
    """

    segment: SegmentName
    digest: str | None


def prove_archiving(server: Server, layouts: Sequence[Layout], runner: CommandRunner, timeout: int) -> str:
    """Switch WAL, and prove that every repository has the segment as the server wrote it; gives its name."""
    for layout in layouts:
        require_archiving(server, layout)
    segment = server.switch_wal()[0]
    prove_archived(server, layouts, runner, segment, timeout)
    return str(segment)


def prove_archived(
    server: Server,
    layouts: Sequence[Layout],
    runner: CommandRunner,
    segment: SegmentName,
    timeout: int,
    *,
    before: Archiver | None = None,
) -> None:
    """Wait for a segment that is finished, read it back from each repository alone, and compare it with pg_wal's.

    The repositories are those named, and the others that the server's own archive_command pushes into. Who gives
    what the archiver had counted ``before`` does not wait until the time is up for one that has only failed since.
    """
    proof = Proof(segment, digest_of(server.data_directory, segment))
    places = [place for layout in layouts for place in places_in_use(server, layout)]
    for layout in dict.fromkeys(places):
        _wait_archived(server, layout, proof, timeout, before)
        _read_back(server, layout, runner, proof)


def _wait_archived(server: Server, layout: Layout, proof: Proof, timeout: int, before: Archiver | None) -> None:
    """Wait until a file of that name is in the repository; the error says what the archiver has been doing."""
    start = woken = time.monotonic()
    while not has_segment(layout, str(proof.segment)):
        now = time.monotonic()
        if now > start + timeout:
            fork = waiting_fork(server.data_directory, layout)
            if fork is not None:
                raise Forked(f"archiving does not work: {fork}", FORK_HINT)
            waited = f"did not arrive in {layout.wal} within {now - start:.0f} s"
            raise CommandFailed(
                f"segment {proof.segment} {waited}; {_archiver_story(server)}",
                "look for the lines of pgark-wal in the server's log; they say why",
            )
        if now > woken + _WAKE_SECONDS:
            woken = now
            server.wake()
            if before is not None and _only_fails(before, server.archiver()):
                timeout = 0
        time.sleep(_POLL_SECONDS)


def _only_fails(before: Archiver, now: Archiver) -> bool:
    """Tell whether nothing was archived meanwhile, and the archiver has gone to sleep over it."""
    return now.last_time == before.last_time and now.failed_count >= before.failed_count + _ATTEMPTS


def drain(server: Server, timeout: int) -> None:
    """Have everything archived that was written so far; an error names what is still waiting when the time is up."""
    if not server.in_recovery():
        server.switch_wal()
    wanted = set(waiting_files(server.data_directory))
    start = woken = time.monotonic()
    while left := sorted(wanted.intersection(waiting_files(server.data_directory))):
        now = time.monotonic()
        if now > start + timeout:
            raise CommandFailed(
                f"{names_text(left)} waited to be archived for {timeout} s, and the server would drop them once"
                f" archiving is switched off. It was left as it is; {_archiver_story(server)}",
                "repair what keeps them from being archived, the server's log says what; or give them up, with"
                " wal_archiving_discard_waiting=true (discard_waiting of the module wal_archiving)",
            )
        if now > woken + _WAKE_SECONDS:
            woken = now
            server.reload()  # upon which an archiver that waits after a failure tries again
        time.sleep(_POLL_SECONDS)


def names_text(names: Sequence[str]) -> str:
    """Name some files, of many only the first ones."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} of the server's WAL files ({', '.join(names[:_SHOWN])}{more})"


def _archiver_story(server: Server) -> str:
    archiver = server.archiver()
    if archiver.failing:
        return (
            f"archiving {archiver.failed_segment} failed {archiver.failed_count} times, last at {archiver.failed_time}"
        )
    done = "nothing yet" if archiver.last_segment is None else f"{archiver.last_segment} at {archiver.last_time}"
    return f"the archiver reports no failure since it last archived {done}"


def _read_back(server: Server, layout: Layout, runner: CommandRunner, proof: Proof) -> None:
    """Fetch a segment as a recovering server would, and refuse another one than the server wrote under that name.

    pgark-wal delivers it only when it is whole.
    """
    program = program_in_use(server, layout)
    if program is None:
        raise Error(
            f"archive_command is '{server.show('archive_command')}', which is not pgark-wal for {layout.directory}"
        )
    name = str(proof.segment)
    with tempfile.TemporaryDirectory(prefix="pgark-") as scratch:
        fetched = os.path.join(scratch, "segment")
        argv = wal_program_cmd(program, "get", [layout.repository], layout.cluster, name, fetched)
        result = runner.run(argv, check=False)
        if result.status != 0:
            raise Error(f"segment {name} was archived but cannot be read back: {said(result)}")
        with open(fetched, "rb") as file:
            found = sha256_of(file).sha256
    if proof.digest not in (None, found):
        raise forked(name, f"{server.data_directory}/pg_wal", layout.wal)
