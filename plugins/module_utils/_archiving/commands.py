# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in archive_command and restore_command, so that PostgreSQL calls pgark-wal."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from .._errors import InvalidValue

_WAL_PROGRAM = "pgark-wal"
_PLACE = ("--repository", "--cluster")
# Where pgark-wal keeps what it has done ahead; why there: make_own_directory() in pgark_wal.py.
_OURS = "pg_wal/pgsql_tmp.pgark"
_STARTED = "case $? in 126|127) exit 1;; *) exit $?;; esac"  # why: push_command()
_SPOOL = '--spool "$s"'
ABSENT = 44  # a status that neither Python, nor a shell, nor a signal ends with


def quote_word(word: str) -> str:
    """Quote one word for the shell that PostgreSQL starts, and for its own ``%`` expansion.

    >>> print(quote_word("/srv/100% safe"))
    '/srv/100%% safe'
    """
    if not word.isprintable():
        raise InvalidValue(f"{word!r} has control characters and cannot be used in a command")
    return shlex.quote(word).replace("%", "%%")


def push_command(program: str, repositories: Sequence[str], cluster: str, compression: str, jobs: int) -> str:
    """Write the ``archive_command`` that archives with pgark-wal in every one of the repositories.

    The shell itself answers for a segment that an earlier call has archived ahead, and starts nothing. What it takes
    for proof, and why that is one, is said in pgark_wal.py, class Ahead. Its own 126 and 127, for a program that cannot
    be started, become 1: PostgreSQL ends its archiver on a status above 125, and counts no failure.
    """
    place = hashlib.sha256("\0".join([*repositories, cluster]).encode(errors="surrogateescape")).hexdigest()[:12]
    archived = [f'[ "$a/%f.{number}" -nt "%p" ]' for number, _repository in enumerate(repositories, 1)]
    words = [program, "push", *_places(repositories, cluster), "--compression", compression, "--jobs", str(jobs)]
    acknowledged = " && ".join(['[ "%p" -ef "$a/%f" ]', *archived])
    push = " ".join([*map(quote_word, words), '--ahead "$a" "%p"'])
    return f"a={_OURS}/push-{place}; {acknowledged} || {{ {push}; {_STARTED}; }}"


def get_command(program: str, repositories: Sequence[str], cluster: str, jobs: int, through: str | None = None) -> str:
    """Write the ``restore_command`` that fetches with pgark-wal, from the first repository that has a file whole.

    Segments behind ``through`` are absent, whatever comes into the archive.

    The shell itself delivers what was fetched ahead for this recovery: the directory is named after the boot, the
    process that recovers, and when that started, field 22 of its ``stat`` in proc(5).

    PostgreSQL takes 1 for the end of WAL, and a Python whose library is gone ends with 1 as well. So the program says
    something else when a file is not there, and whatever it does not say itself aborts recovery. The shell's own 126
    and 127, and 143, which is a shutdown, stay as they are.
    """
    started = "{ read -r b </proc/sys/kernel/random/boot_id && read -r s </proc/$PPID/stat; } 2>/dev/null; set -- $s"
    ready = f's={_OURS}/get-$b-$PPID-${{22}}; [ -f "$s/%f" ] && mv -f "$s/%f" "%p" && exit'
    words = [program, "get", *_places(repositories, cluster), "--absent-status", str(ABSENT), "--jobs", str(jobs)]
    words += [] if through is None else ["--through", through]
    get = " ".join([*map(quote_word, words), f'{_SPOOL} "%f" "%p"'])
    told = f"case $? in {ABSENT}) exit 1;; 0|126|127|143) exit $?;; *) exit 200;; esac"
    return f"{started}; {ready}; {get}; {told}"


def following(command: str, timeline: int) -> str:
    """Tell the ``restore_command`` which timeline is followed: ``recovery_target_timeline`` has to have that number.

    >>> following('pgark-wal get --spool "$s" "%f" "%p"', 2)
    'pgark-wal get --timeline 2 --spool "$s" "%f" "%p"'
    """
    before, spool, after = command.rpartition(_SPOOL)  # the last one: a path may look like it
    return f"{before}--timeline {timeline} {spool}{after}" if spool else command


def _places(repositories: Sequence[str], cluster: str) -> list[str]:
    named = [word for repository in repositories for word in ("--repository", repository)]
    return [*named, "--cluster", cluster]


@dataclass(frozen=True)
class Push:
    """What an ``archive_command`` of ours calls, and the places that it pushes into."""

    program: str
    repositories: tuple[str, ...]
    cluster: str


def parse_push(command: str) -> Push | None:
    """Read an ``archive_command`` that does nothing but call pgark-wal, in every form that was ever written.

    >>> parse_push('/opt/pgark-wal push --repository /srv/pgark --cluster db1 "%p"')
    Push(program='/opt/pgark-wal', repositories=('/srv/pgark',), cluster='db1')
    """
    if not command.endswith(('"%p"', f'"%p"; {_STARTED}; }}')):
        return None
    try:
        words = shlex.split(command.replace("%%", "%"))
    except ValueError:
        return None
    if words[0].startswith(f"a={_OURS}/push-"):
        starts = (number for number, word in enumerate(words) if word in ("exec", "||", "{"))
        words = words[max(starts, default=0) + 1 :]
    if len(words) < 2 or words[0].rpartition("/")[2] != _WAL_PROGRAM or words[1] != "push":
        return None
    values = {name: [value for word, value in zip(words, words[1:]) if word == name] for name in _PLACE}
    repositories, clusters = values["--repository"], values["--cluster"]
    return Push(words[0], tuple(repositories), clusters[0]) if repositories and clusters else None


def archiving_program(command: str, repository: str, cluster: str) -> str | None:
    """Give the pgark-wal that an ``archive_command`` calls to push into this place; None when it does anything else."""
    push = parse_push(command)
    return push.program if push and repository in push.repositories and cluster == push.cluster else None
