# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in archive_command and restore_command, so that PostgreSQL calls pgark-wal."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence

from .._errors import InvalidValue

_WAL_PROGRAM = "pgark-wal"
# Where pgark-wal keeps what it has done ahead; why there: make_own_directory() in pgark_wal.py.
_OURS = "pg_wal/pgsql_tmp.pgark"
_MOST_JOBS = 64
_ABSENT = 44  # a status that neither Python, nor a shell, nor a signal ends with


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
    for proof, and why that is one, is said in pgark_wal.py, class Ahead.
    """
    place = hashlib.sha256("\0".join([*repositories, cluster]).encode(errors="surrogateescape")).hexdigest()[:12]
    archived = [f'[ "$a/%f.{number}" -nt "%p" ]' for number, _repository in enumerate(repositories, 1)]
    words = [program, "push", *_places(repositories, cluster), "--compression", compression, "--jobs", str(jobs)]
    acknowledged = " && ".join(['[ "%p" -ef "$a/%f" ]', *archived])
    push = " ".join([*map(quote_word, words), '--ahead "$a" "%p"'])
    return f"a={_OURS}/push-{place}; {acknowledged} || exec {push}"


def get_command(program: str, repositories: Sequence[str], cluster: str, jobs: int) -> str:
    """Write the ``restore_command`` that fetches with pgark-wal, from the first repository that has a file whole.

    The shell itself delivers what was fetched ahead for this recovery: the directory is named after the boot, the
    process that recovers, and when that started, field 22 of its ``stat`` in proc(5).

    PostgreSQL takes 1 for the end of WAL, and a Python whose library is gone ends with 1 as well. So the program says
    something else when a file is not there, and whatever it does not say itself aborts recovery. The shell's own 126
    and 127, and 143, which is a shutdown, stay as they are.
    """
    started = "{ read -r b </proc/sys/kernel/random/boot_id && read -r s </proc/$PPID/stat; } 2>/dev/null; set -- $s"
    ready = f's={_OURS}/get-$b-$PPID-${{22}}; [ -f "$s/%f" ] && mv -f "$s/%f" "%p" && exit'
    words = [program, "get", *_places(repositories, cluster), "--absent-status", str(_ABSENT), "--jobs", str(jobs)]
    get = " ".join([*map(quote_word, words), '--spool "$s" "%f" "%p"'])
    told = f"case $? in {_ABSENT}) exit 1;; 0|126|127|143) exit $?;; *) exit 200;; esac"
    return f"{started}; {ready}; {get}; {told}"


def _places(repositories: Sequence[str], cluster: str) -> list[str]:
    named = [word for repository in repositories for word in ("--repository", repository)]
    return [*named, "--cluster", cluster]


def archiving_program(command: str, repository: str, cluster: str) -> str | None:
    """Give the pgark-wal that an ``archive_command`` calls to push into this place; None when it does anything else."""
    try:
        words = shlex.split(command.replace("%%", "%"))
    except ValueError:
        return None
    words = words[words.index("exec") + 1 :] if "exec" in words else words
    pairs = set(zip(words, words[1:]))
    if len(words) < 2 or words[0].rpartition("/")[2] != _WAL_PROGRAM or words[1] != "push":
        return None
    return words[0] if {("--repository", repository), ("--cluster", cluster)} <= pairs else None


def check_jobs(jobs: int) -> int:
    """Return how many segments to work on at once, if that is a sensible number."""
    if not 1 <= jobs <= _MOST_JOBS:
        raise InvalidValue(f"found {jobs} jobs, expected 1 to {_MOST_JOBS}")
    return jobs
