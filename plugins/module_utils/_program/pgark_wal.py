# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pgark-wal: what PostgreSQL calls to archive one WAL file, and to fetch one back.

Installed by the modules as one file whose first line names the interpreter, and called without any configuration file.
What stands in archive_command and restore_command, written by _archiving/commands.py, is in short

    a=DIRECTORY; [ "%p" -ef "$a/%f" ] && [ "$a/%f.1" -nt "%p" ] || { pgark-wal push ... --ahead "$a" "%p"; ...; }
    s=DIRECTORY; [ -f "$s/%f" ] && mv -f "$s/%f" "%p" && exit; pgark-wal get ... --spool "$s" "%f" "%p"; ...

so that the shell itself answers for a segment that an earlier push has archived ahead, and delivers one that was
fetched ahead, without starting this program.

Read it from the top: main, push and what it does ahead, get and what it does ahead, then what these stand on. Most
imports are where they are needed: json, re, subprocess, contextlib or argparse would add half of its start or more. And
an import that fails must reach the handler in main: left to Python, it ends with status 1, which is "end of WAL" to a
recovery. Python ends like that by itself when its own library is gone, so the command does not take a 1 from anybody:
it has the program say 44.
"""
# ruff: noqa: PLC0415, SIM105  (imports where they are needed, and no contextlib: see above)

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # type checkers take it for true; importing typing would cost time
if TYPE_CHECKING:
    import hashlib
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

VERSION = "0.1.0"
USAGE = """\
usage: pgark-wal push --repository DIR [--repository DIR ...] --cluster NAME
                      [--compression none|gzip|lz4|zstd] [--jobs N] [--ahead DIR] PATH
       pgark-wal get  --repository DIR [--repository DIR ...] --cluster NAME
                      [--absent-status STATUS] [--jobs N] [--timeline N] [--spool DIR] [--through SEGMENT]
                      FILE PATH
       pgark-wal status --repository DIR [--repository DIR ...] --cluster NAME [--json]
                      [--warning-age SECONDS] [--critical-age SECONDS] PGDATA
       pgark-wal check --repository DIR [--repository DIR ...] --cluster NAME
                      [--compression none|gzip|lz4|zstd] PGDATA
       pgark-wal --help | --version

push  archives the file PATH ("%p" in archive_command) in every repository, and with --ahead the segments
      that wait behind it, N at once; for those it leaves acknowledgements in DIR. Exit status:
        0    it is durable in all of them, or was before; an archived file is never overwritten
        1    anything else; one line on standard error says why
get   delivers the archived FILE ("%f" in restore_command) to PATH ("%p"), from the first repository
      that has it whole; with --spool, a helper then keeps the next segments ready in DIR, for as long as
      the recovery that DIR is named after goes on. Exit status:
        0    delivered and verified
        1    every repository can be read and none has it, or it is a segment behind the one that --through
             names, on whatever timeline: PostgreSQL takes this for the end of WAL; with --absent-status, that
             status instead
        200  anything else, wrong usage included: PostgreSQL aborts recovery on a status above 125
      With --timeline, the number in recovery_target_timeline, a history file of another timeline that is there and
      damaged counts as there: a text comes in its place with which PostgreSQL can do nothing else than count it
status tells what waits in PGDATA and since when, what the repositories got last, and what room there is; it
      writes nothing and needs no server. Exit status, as monitoring plugins have it:
        0    fine
        1    warning: a file has been waiting for --warning-age (120 seconds), there is room for fewer than 32
             segments, or the archive has a gap after its newest backup
        2    critical: a repository cannot be written to, a file has been waiting for --critical-age (600
             seconds), pg_wal has room for fewer than 8 segments, or a file has been waiting for the lower age,
             and at the last rate pg_wal is full within an hour
        3    unknown, wrong usage included
check writes a probe to every repository and to pg_wal, reads it back and removes it. Exit status:
        0    what push needs is there
        1    anything else; one line on standard error says why
"""

# What PostgreSQL makes of get's status, in RestoreArchivedFile() of src/backend/access/transam/xlogarchive.c: above 125
# it aborts recovery (wait_result_is_any_signal() in src/common/wait_error.c), 143 (SIGTERM) it takes for a shutdown,
# and the rest for the end of WAL. Of push's, in src/backend/archive/shell_archive.c: it tries again later; above 125
# it ends the archiver first, and pg_stat_archiver does not count the failure.
OK, PUSH_FAILED, GET_ABSENT, GET_FAILED = 0, 1, 1, 200
FAILED = {"push": PUSH_FAILED, "check": 1, "status": 3}

# XLOG_PAGE_MAGIC in src/include/access/xlog_internal.h of each major version; the struct XLogLongPageHeaderData there:
# magic, flags, timeline, page address, rem_len and padding, system identifier, segment size, block size.
PAGE_MAGIC = {13: 0xD106, 14: 0xD10D, 15: 0xD110, 16: 0xD113, 17: 0xD116, 18: 0xD118}
LONG_HEADER = "=HHIQ8xQII"
XLP_LONG_HEADER = 0x0002
BLOCK_SIZES = [1 << bits for bits in range(10, 17)]  # --with-wal-blocksize, in kB
SEGMENT_SIZES = [1 << bits for bits in range(20, 31)]  # initdb --wal-segsize, in MB

SUFFIXES = {"none": "", "zstd": ".zst", "lz4": ".lz4", "gzip": ".gz"}
COMPRESSORS = {".zst": "zstd -q -1 -T1 --check -c", ".lz4": "lz4 -q -1 --frame-crc -z -c"}
DECOMPRESSORS = {".zst": "zstd -q -d -c", ".lz4": "lz4 -q -d -c"}
# Both formats begin with a magic of four bytes and a byte in which bit 2 says that a checksum of the content follows:
# Frame_Header_Descriptor in zstd_compression_format.md, FLG in lz4_Frame_format.md.
FRAME_MAGIC = {".zst": b"\x28\xb5\x2f\xfd", ".lz4": b"\x04\x22\x4d\x18"}
FRAME_CHECKSUM = 0x04
MOST_BLOCKS = 1 << 17  # of a frame: a GB in those of 8 kB, where compressors make them of 64 kB and more

# A push goes on with what waits behind its segment until one of these is reached. The bytes are also the room that
# acknowledged segments, which PostgreSQL has removed since, keep until the next push.
AHEAD_FILES, AHEAD_BYTES, AHEAD_SECONDS = 64, 512 << 20, 2.0
# What get keeps ready, at least one segment a job; after how long without use that is given up; how often it looks.
SPOOL_BYTES, SPOOL_IDLE_SECONDS, SPOOL_LOOK_SECONDS = 256 << 20, 300.0, 0.005
# After how long a segment is tried again that could not be fetched, unless it is absent and none is ready.
SPOOL_RETRY_SECONDS = 1.0

CHUNK = 1 << 20
LONGEST_NUMBER = 25  # digits; ours have fewer
COPY = 256 << 10  # what is copied through this process: small enough for a processor's cache
SEGMENT_NAME = 24
HEXADECIMAL = "0123456789abcdefABCDEF"
HISTORY_LINE = 1023  # readTimeLineHistory() reads into MAXPGPATH bytes, and takes the rest for another line
STAND_IN = 500
# For how long a push waits until no other one is publishing, and how often it looks.
LOCK_SECONDS, LOCK_LOOK_SECONDS = 20, 0.01
F_SETPIPE_SZ = 1031  # in fcntl from Python 3.10 on
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # O_NONBLOCK: a planted FIFO must not make us wait for ever
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
REPAIR = "HINT: run the role backup_repository"


class Refused(Exception):
    """What was found, what was expected, and a HINT where there is something to do."""


class Damaged(Refused):
    """The archive has a file, and nobody can read it."""


class ProgramFailed(Refused):
    """A compressor's own words."""


def main(argv: list[str]) -> int:
    """Run one command and return its exit status, whatever happens."""
    try:
        if argv in (["--help"], ["--version"]):
            sys.stdout.write(USAGE if argv == ["--help"] else f"pgark-wal {VERSION}\n")
            return OK
        options = Options(argv)
        return {"push": push, "get": get, "status": status, "check": check}[options.command](options)
    except BaseException as error:  # of any kind: Python's own choice of a status could mean "end of WAL"
        complain(reason(error))
        return FAILED.get("".join(argv[:1]), GET_FAILED)


# What may be said of each option; None: it is refused. A relative repository would lie in the data directory.
VALUES: dict[str, Callable[[str], Any]] = {
    "--repository": lambda value: value if value.startswith("/") else None,
    "--cluster": lambda value: value if is_cluster_name(value) else None,
    "--compression": lambda value: value if value in SUFFIXES else None,
    "--absent-status": lambda value: number_between(1, value, 125),
    "--jobs": lambda value: number_between(1, value, 64),
    "--timeline": lambda value: int(value) if is_number(value, "0123456789", 10) else None,
    "--ahead": lambda value: value or None,
    "--spool": lambda value: value or None,
    "--through": lambda value: value if is_segment(value) else None,
    "--warning-age": lambda value: int(value) if value.isascii() and value.isdigit() else None,
    "--critical-age": lambda value: int(value) if value.isascii() and value.isdigit() else None,
}
# The commands: how many words they want, and which options they take besides --repository and --cluster.
COMMANDS: dict[str, tuple[int, tuple[str, ...]]] = {
    "push": (1, ("--compression", "--jobs", "--ahead")),
    "get": (2, ("--absent-status", "--jobs", "--timeline", "--spool", "--through")),
    "status": (1, ("--warning-age", "--critical-age")),
    "check": (1, ("--compression",)),
}


class Options:
    """The command line."""

    def __init__(self, argv: list[str]) -> None:
        self.command = argv[0] if argv else ""
        self.repositories: list[str] = []
        self.cluster = ""
        self.compression = "none"
        self.absent_status = GET_ABSENT
        self.jobs = 1
        self.timeline = 0
        self.ahead = ""
        self.spool = ""
        self.through = ""
        self.json = False
        self.warning_age, self.critical_age = 120, 600
        self.words: list[str] = []
        wanted, self.known = COMMANDS.get(self.command, (-1, ()))
        rest = iter(argv[1:])
        for word in rest:
            if word == "--json" and self.command == "status":
                self.json = True
            elif word.startswith("--"):
                self.set(word, next(rest, ""))
            else:
                self.words.append(word)
        if len(self.words) != wanted or not self.repositories or not self.cluster:
            raise Refused(f"found the arguments {argv}, expected others. HINT: see pgark-wal --help")

    def set(self, name: str, text: str) -> None:
        """Take one option."""
        value = VALUES[name](text) if name in ("--repository", "--cluster", *self.known) else None
        if value is None:
            raise Refused(f"found {name} {text!r}, expected another option or value. HINT: see pgark-wal --help")
        if name == "--repository":
            self.repositories.append(value)
        else:
            setattr(self, name[2:].replace("-", "_"), value)


def number_between(lowest: int, text: str, highest: int) -> int | None:
    """Read a number as people write it, within bounds."""
    return int(text) if text in map(str, range(lowest, highest + 1)) else None


# ---- push ------------------------------------------------------------------------------------------------------------


def push(options: Options) -> int:
    """Archive one file in every repository, and what waits behind it; one that fails does not keep others from theirs.

    What was archived ahead is acknowledged once every repository has it.
    """
    first = Source(options.words[0])
    ahead = look_ahead(options.ahead, first)
    sources, seconds = [first, *ahead.waiting] if ahead else [first], AHEAD_SECONDS
    archived, problems = [], []
    for repository in options.repositories:
        try:
            archive = Archive(repository, options.cluster, make=True)
            names = push_to(archive, sources, options, seconds)
            archived.append((archive, names))
            sources, seconds = sources[: len(names)], float("inf")
        except Exception as error:
            problems.append(f"{repository}: {reason(error)}")
            sources = [first]
    if problems:
        raise Refused(f"{first.name} is not archived: {'; '.join(problems)}")
    if ahead:
        ahead.acknowledge(sources[1:], archived)
    return OK


class Source:
    """A file to archive; `home` is the directory that it is in, where its name leads elsewhere."""

    def __init__(self, path: str, home: str | None = None) -> None:
        self.path = path
        self.home = os.path.dirname(path) if home is None else home
        self.name = check_name(os.path.basename(path))
        self.fd = open_regular(path, os.O_RDONLY | os.O_NONBLOCK)
        found = os.fstat(self.fd)
        self.size, self.written = found.st_size, found.st_mtime_ns

    def chunks(self) -> Iterator[memoryview]:
        """Yield the file's bytes, as many as it had when it was opened; a chunk is overwritten by the next one."""
        buffer, offset = memoryview(bytearray(COPY)), 0
        while offset < self.size:
            found = os.preadv(self.fd, [buffer[: self.size - offset]], offset)
            if not found:
                raise Refused(f"{self.path} shrank while it was read: found {offset} bytes, expected {self.size}")
            offset += found
            yield buffer[:found]

    def check_unchanged(self) -> None:
        """Refuse a file that was written to while it was read: what was archived may be neither of its states."""
        found = os.fstat(self.fd)
        if (found.st_size, found.st_mtime_ns) != (self.size, self.written):
            raise Refused(f"{self.path} was written to while it was read, expected a finished file")


def push_to(archive: Archive, sources: Sequence[Source], options: Options, seconds: float) -> list[str]:
    """Return under which names the files are durable in this archive: the first, and some that follow it without a gap.

    Raise when the first cannot be or must not be. Those that follow are left out as soon as one fails, or time is up.
    """
    check_origin(archive, sources[0])
    os.umask(0)  # modes come from the repository; PostgreSQL's umask would keep the group out
    directory = archive.directory_of(sources[0].name, make=True)
    remove_dead_leftovers(directory)
    suffix = SUFFIXES[options.compression] if is_segment(sources[0].name) else ""

    def prepare(source: Source) -> Prepared:
        return Prepared(archive, directory, source, suffix)

    batch = in_parallel(prepare, sources, options.jobs, seconds)
    if len(batch) > 1 and isinstance(batch[0], (OSError, ProgramFailed)):
        close_all(batch)  # on a nearly full disk, what follows may have taken the room of the first
        batch = in_parallel(prepare, sources[:1], 1, seconds)
    try:
        return publish(archive, directory, batch)
    finally:
        close_all(batch)


class Prepared:
    """A file that is written under a hidden name, its checksum too; or one that is archived already."""

    def __init__(self, archive: Archive, directory: int, source: Source, suffix: str) -> None:
        self.source = source
        self.name = source.name
        self.temporary: Temporary | None = None
        self.sidecar: Temporary | None = None
        archive.check(source.name, os.pread(source.fd, CHUNK, 0), source.size, source.home)
        self.archived = self.confirm(archive, directory)
        try:
            if not self.archived:
                self.archived = self.name + suffix
                self.write(archive, directory, suffix)
            source.check_unchanged()
        except BaseException:
            self.close()
            raise

    def confirm(self, archive: Archive, directory: int) -> str:
        """Return under which name it is archived, or "".

        A timeline that is left twice in one segment leaves two different .partial files of one name, and no server ever
        asks for either: the later one gets a name of its own, since archiving must not stop at it.
        """
        try:
            return confirm_archived(archive, directory, self.source, self.name)
        except Refused:
            if not self.name.endswith(".partial"):
                raise
        self.name = f"{self.source.name}.{digest_of(self.source)[:12]}"
        return confirm_archived(archive, directory, self.source, self.name)

    def write(self, archive: Archive, directory: int, suffix: str) -> None:
        """Write the file's archived form; a plain segment's checksum goes beside it, as compressed files carry one."""
        name = self.name
        self.temporary = Temporary(directory, name, archive.file_mode)
        digest = write_compressed(self.source, suffix, self.temporary.fd)
        # The kernel begins to write to the disk, while the next file is prepared; it need not keep what was written.
        os.posix_fadvise(self.temporary.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        if digest:
            self.sidecar = Temporary(directory, sidecar_of(name), archive.file_mode)
            write_all(self.sidecar.fd, sidecar_line(name, digest))

    def sync(self) -> None:
        """Wait until what was written is on disk."""
        for temporary in (self.temporary, self.sidecar):
            if temporary:
                os.fsync(temporary.fd)

    def close(self) -> None:
        """Remove the hidden names."""
        for temporary in (self.temporary, self.sidecar):
            if temporary:
                temporary.close()


def publish(archive: Archive, directory: int, batch: Sequence[Prepared | Exception]) -> list[str]:
    """Name the files in their order up to the first that failed, fsync the names, and return them.

    So nothing is archived whose predecessor is not.
    """
    ready = first_ones(batch, raise_failure)
    if any(entry.temporary for entry in ready):
        # link() does not overwrite, but does not know either that a segment may be there with another suffix.
        lock = archive.lock()
        try:
            ready = first_ones(ready, lambda entry: check_new(directory, entry))
            ready = first_ones(ready, lambda entry: settle_sidecar(directory, entry))
            if any(entry.sidecar for entry in ready):
                os.fsync(directory)  # a segment must not outlive a power failure that its checksum does not
            ready = first_ones(ready, lambda entry: link(directory, entry))
        except Overtaken as overtaken:
            entry = overtaken.entry
            return [confirm_archived(archive, directory, entry.source, entry.name)]
        finally:
            os.close(lock)
        close_all(ready)
        os.fsync(directory)
    return [entry.archived for entry in ready]


class Overtaken(Exception):
    """Another push published the file meanwhile."""

    def __init__(self, entry: Prepared) -> None:
        super().__init__(f"{entry.name} was archived by another process")
        self.entry = entry


def raise_failure(entry: Prepared | Exception) -> None:
    """Raise what kept a file from being prepared."""
    if isinstance(entry, Exception):
        raise entry


def check_new(directory: int, entry: Prepared) -> None:
    """Refuse a file that another process has published since it was prepared."""
    if entry.temporary and find(directory, entry.name):
        raise Overtaken(entry)


def settle_sidecar(directory: int, entry: Prepared) -> None:
    """Put a plain segment's checksum in its place before the segment, or remove one that a killed push left.

    Compressed files carry a checksum. A plain segment carries none for the whole, and PostgreSQL takes a damaged record
    for the end of WAL.
    """
    if entry.sidecar:
        entry.sidecar.rename(sidecar_of(entry.name))
    elif entry.temporary:
        unlink_if_there(sidecar_of(entry.name), directory)


def link(directory: int, entry: Prepared) -> None:
    """Give a file its name."""
    if entry.temporary:
        os.link(entry.temporary.name, entry.archived, src_dir_fd=directory, dst_dir_fd=directory)


def first_ones(entries: Iterable[Any], act: Callable[[Any], None]) -> list[Any]:
    """Act on one after the other until that fails, and return those before; raise when it fails for the first."""
    done: list[Any] = []
    for entry in entries:
        try:
            act(entry)
        except Exception:
            if not done:
                raise
            break
        done.append(entry)
    return done


def close_all(batch: Sequence[Prepared | Exception]) -> None:
    """Remove the hidden names of all that were prepared."""
    for entry in batch:
        if isinstance(entry, Prepared):
            entry.close()


def in_parallel(
    prepare: Callable[[Source], Prepared], sources: Sequence[Source], jobs: int, seconds: float
) -> list[Prepared | Exception]:
    """Return what came of each source in its order, on disk, or why nothing did, up to the first that was not begun.

    None is begun after so many seconds, or after a failure; the first always is. What takes long here releases Python's
    lock: reading, writing, fsync, SHA-256, zlib and waiting for a program.
    """
    import time

    found: dict[int, Prepared | Exception] = {}
    failed: list[Exception] = []
    numbers, end = iter(range(len(sources))), time.monotonic() + seconds

    def work() -> None:
        for number in numbers:
            try:
                found[number] = prepare(sources[number])
            except Exception as error:
                found[number] = error
                failed.append(error)
            if failed or time.monotonic() > end:
                return

    run_threads(work, min(jobs, len(sources)) - 1)
    return [synced(found[number]) for number in sorted(found)]


def synced(entry: Prepared | Exception) -> Prepared | Exception:
    """Have on disk what was prepared, or return why it is not."""
    if isinstance(entry, Prepared):
        try:
            entry.sync()
        except OSError as error:
            entry.close()
            return error
    return entry


def run_threads(work: Callable[[], None], others: int) -> None:
    """Do some work in this thread and in so many others, and wait for all of them."""
    if others < 1:
        return work()
    import threading

    threads = [threading.Thread(target=work) for _number in range(others)]
    for thread in threads:
        thread.start()
    try:
        return work()
    finally:
        for thread in threads:
            thread.join()


def write_compressed(source: Source, suffix: str, out: int) -> str:
    """Write the archived form of the file; return the SHA-256 for the sidecar of a plain segment, "" for all others."""
    if suffix == ".gz":
        import zlib

        stream = zlib.compressobj(1, zlib.DEFLATED, 31)  # 31: with gzip's header and CRC
        for chunk in source.chunks():
            write_all(out, stream.compress(chunk))
        write_all(out, stream.flush())
    elif suffix:
        compress_with(COMPRESSORS[suffix], source.fd, out)
    else:
        digest = sha256() if is_segment(source.name) else None
        for chunk in source.chunks():
            write_all(out, chunk)
            if digest:
                digest.update(chunk)
        return digest.hexdigest() if digest else ""
    return ""


def confirm_archived(archive: Archive, directory: int, source: Source, name: str) -> str:
    """Return the archived form of this name that has the file's content, made durable, or "" when none is there.

    Its writer may have been killed before it was durable. Other content is refused.
    """
    archived = ""
    for archived in find(directory, name):
        fd = open_regular(archived, READ, directory)
        try:
            check_equal(source, archived, decompress(fd, archived[len(name) :]))
            if archived == name and is_segment(name):
                mend_sidecar(archive, directory, source, name)
            for durable in (fd, directory, archive.wal):
                os.fsync(durable)
        finally:
            os.close(fd)
    return archived


def mend_sidecar(archive: Archive, directory: int, source: Source, name: str) -> None:
    """Write the checksum of an archived plain segment again, where it is missing or wrong."""
    line = sidecar_line(name, digest_of(source))
    if read_sidecar(directory, name) == line:
        return
    temporary = Temporary(directory, sidecar_of(name), archive.file_mode)
    try:
        write_all(temporary.fd, line)
        os.fsync(temporary.fd)
        temporary.rename(sidecar_of(name))
    finally:
        temporary.close()


def digest_of(source: Source) -> str:
    """Return the SHA-256 of a file to archive."""
    digest = sha256()
    for chunk in source.chunks():
        digest.update(chunk)
    return digest.hexdigest()


def check_equal(source: Source, archived: str, chunks: Iterable[bytes | memoryview]) -> None:
    """Refuse other bytes under the same name, loudly: one of the two would be lost."""
    offset = 0
    for chunk in chunks:
        if bytes(chunk) != os.pread(source.fd, len(chunk), offset):
            break
        offset += len(chunk)
    else:
        if offset == source.size:
            return
    raise Refused(
        f"{archived} is there already, and its content differs from that of {source.path}: found a difference in the"
        f" MB from byte {offset} on, expected none; it was not touched. HINT: does another server use this archive?"
    )


class Temporary:
    """A file under a hidden name, locked as long as its writer lives, so that a later push can tell a dead leftover."""

    def __init__(self, directory: int, name: str, mode: int) -> None:
        import fcntl

        self.directory = directory
        while True:
            self.name = f".{name}.{os.urandom(6).hex()}.tmp"
            self.fd = open_below(self.name, CREATE, directory, 0o600)  # whoever could open it could lock it first
            fcntl.flock(self.fd, fcntl.LOCK_EX)
            os.fchmod(self.fd, mode)
            if os.fstat(self.fd).st_nlink:
                return
            os.close(self.fd)  # another push took it for dead before it was locked

    def rename(self, name: str) -> None:
        """Put it in its place, instead of what is there."""
        os.rename(self.name, name, src_dir_fd=self.directory, dst_dir_fd=self.directory)

    def close(self) -> None:
        """Remove the hidden name, if it is still there; do nothing the second time."""
        if self.fd >= 0:
            unlink_if_there(self.name, self.directory)
            os.close(self.fd)
            self.fd = -1


def remove_dead_leftovers(directory: int) -> None:
    """Remove what killed pushes left: temporary files that no living process has locked."""
    import fcntl

    for name in os.listdir(directory):
        if not (name.startswith(".") and name.endswith(".tmp")):
            continue
        try:
            fd = open_below(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, directory)
        except FileNotFoundError:
            continue  # its writer finished in this moment
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unlink_if_there(name, directory)
        except BlockingIOError:
            pass  # its writer lives
        finally:
            os.close(fd)


# ---- push, ahead -----------------------------------------------------------------------------------------------------


def look_ahead(directory: str, first: Source) -> Ahead | None:
    """Find what waits behind a segment; None where nothing can be archived ahead, which is never an error."""
    if not directory or len(first.name) != SEGMENT_NAME or first.size not in SEGMENT_SIZES:
        return None
    try:
        return Ahead(directory, first)
    except OSError:
        return None  # another push is at it, or pg_wal is not to be written to, which pgark-wal check finds


class Ahead:
    """The segments that wait behind one, and the acknowledgements of those that were archived with it.

    The shell takes a segment for archived when, in this directory, its name leads to the same inode as in pg_wal, and
    its name with the number of each repository to a file that was written after it. The first is a hard link: while it
    is there, no other file can be taken for this one. The second is a symbolic link to the archived file, on a way that
    leads through a directory with the repository's id: it leads nowhere when the repository is not mounted, was made
    anew, or is another one. A segment that is written to once more is younger than its archived file. The directory
    is named after the repositories and the cluster: with other ones, other acknowledgements count.
    """

    def __init__(self, directory: str, first: Source) -> None:
        self.directory = directory
        make_own_directory(directory)
        self.fd = own_directory(directory)
        empty_directory(self.fd)  # the shell has made use of what is there, or could not
        remove_unused(os.path.dirname(directory), os.path.basename(directory))
        self.waiting: list[Source] = []
        for name in next_names(first.name, first.size)[: min(AHEAD_FILES - 1, AHEAD_BYTES // first.size)]:
            try:
                os.stat(f"{first.home}/archive_status/{name}.ready")
                os.link(f"{first.home}/{name}", f"{directory}/{name}")
                self.waiting.append(Source(f"{directory}/{name}", first.home))
            except (OSError, Refused):
                break

    def acknowledge(self, sources: Sequence[Source], archived: Sequence[tuple[Archive, list[str]]]) -> None:
        """Acknowledge what every repository has; let go of the rest. It may fail, and is then archived once more."""
        try:
            for number, (archive, names) in enumerate(archived, 1):
                way = archive.way_through_id()
                for source, name in zip(sources, names[1:]):
                    os.symlink(f"{way}/{name[:16]}/{name}", f"{source.path}.{number}")
            for source in self.waiting[len(sources) :]:
                os.unlink(source.path)
        except OSError:
            pass


def next_names(name: str, size: int) -> list[str]:
    """Name the segments that follow one, as far as they go into the same directory of the archive.

    >>> next_names("0000000100000002000000FD", 16 << 20)
    ['0000000100000002000000FE', '0000000100000002000000FF']
    """
    return [f"{name[:16]}{number:08X}" for number in range(int(name[16:], 16) + 1, 2**32 // size)]


def make_own_directory(path: str) -> None:
    """Make a directory of ours in pg_wal, which has to be there.

    pg_wal/pgsql_tmp.pgark is on the file system of the segments, and not in base backups, which leave all of pg_wal
    out; pg_rewind passes over names that begin with pgsql_tmp.
    """
    for missing in (os.path.dirname(path), path):
        try:
            os.mkdir(missing, 0o700)
        except FileExistsError:
            pass


def own_directory(path: str) -> int:
    """Open and lock a directory of ours; BlockingIOError when another process has it."""
    import fcntl

    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(fd)
        raise
    return fd


def empty_directory(directory: int, but: str = "") -> None:
    """Remove the files in a directory."""
    for name in os.listdir(directory):
        if name != but:
            unlink_if_there(name, directory)


def remove_directory(path: str, directory: int) -> bool:
    """Remove a directory of ours, which is open and locked; False when something was put into it meanwhile."""
    import errno

    empty_directory(directory)
    try:
        os.rmdir(path)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        return False
    return True


def remove_unused(parent: str, used: str) -> None:
    """Remove the other directories of ours: of an earlier configuration, or of a recovery that is over."""
    for name in os.listdir(parent):
        path = f"{parent}/{name}"
        if name == used or (name.startswith("push-") and used.startswith("get-")) or find_spool(path):
            continue
        try:
            directory = own_directory(path)
        except OSError:
            continue  # in use, or nothing of ours
        try:
            remove_directory(path, directory)
        except OSError:
            pass  # something of somebody else's is in it
        finally:
            os.close(directory)


# ---- get -------------------------------------------------------------------------------------------------------------


def get(options: Options) -> int:
    """Deliver one file; only when every repository can be read and none has it may it be called absent."""
    name, path = check_name(options.words[0]), options.words[1]
    spool = find_spool(options.spool)
    if spool and spool.take(name, path):
        return OK
    try:
        found = fetch(options, name, path, f"{path}.pgark-tmp")
    except Damaged as error:
        if not is_only_counted(name, options.timeline):
            raise
        stand_in(path, f"{path}.pgark-tmp", str(error))
        complain(f"{error}. Timeline {int(name[:8], 16)} is passed over: its number is taken")
        return OK
    if not found:
        where = f"in the archive of {options.cluster} in {' or '.join(options.repositories)}"
        wanted = f", or not wanted: what is to be recovered ends with {options.through}" if options.through else ""
        complain(f"{name} is not {where}{wanted}")
        return options.absent_status
    if spool and (len(name) == SEGMENT_NAME or name.endswith(".history")):
        spool.go_on(name, path, options)
    return OK


def is_only_counted(name: str, timeline: int) -> bool:
    """Tell whether PostgreSQL asks for a file in a recovery to a timeline to see that it is there, not to read it.

    That is so of each history file but the timeline's own: findNewestTimeLine() in
    src/backend/access/transam/timeline.c looks for a number that is free, and restoreTimeLineHistoryFiles() there keeps
    those of lower ones for standbys. Of its own, writeTimeLineHistory() copies the text into the next.
    """
    return timeline > 0 and name.endswith(".history") and int(name[:8], 16) != timeline


def stand_in(path: str, temporary: str, why: str) -> None:
    """Write what says why there is no history. Whoever reads it for one ends: "syntax error in history file"."""
    unlink_if_there(temporary)
    out = os.open(temporary, CREATE, 0o640)
    try:
        write_all(out, f"pgark-wal: {ascii(why)[1:-1][:STAND_IN]}\n".encode())
        os.rename(temporary, path)
    finally:
        os.close(out)
        unlink_if_there(temporary)


def fetch(options: Options, name: str, path: str, temporary: str) -> bool:
    """Deliver one file from the first repository that has it whole; False when all can be read and none has it.

    Raises Damaged when one has it, and nothing that can be delivered. What came behind the end of what was planned is
    not there for this recovery.
    """
    if options.through and is_segment(name) and name[8:] > options.through[8:]:
        return False
    problems: list[str] = []
    there = False
    for repository in options.repositories:
        try:
            archive = Archive(repository, options.cluster)
            known = len(problems)
            try:
                delivered = get_from(archive, name, path, temporary, problems)
            finally:
                archive.close()
            there = there or len(problems) > known
            if delivered:
                if problems:
                    complain(f"{name} is delivered from {repository}, but: {'; '.join(problems)}")
                return True
        except Exception as error:
            problems.append(f"{repository}: {reason(error)}")
    if problems:
        raise (Damaged if there else Refused)(f"{name} cannot be delivered: {'; '.join(problems)}")
    return False


def get_from(archive: Archive, name: str, path: str, temporary: str, problems: list[str]) -> bool:
    """Try each archived form of the file; one that is corrupt is added to the problems, and the next one tried."""
    try:
        directory = archive.directory_of(name)
    except FileNotFoundError:
        return False
    for archived in find(directory, name):
        try:
            deliver(archive, directory, archived, name, path, temporary)
            return True
        except Exception as error:
            problems.append(f"{archive.path}: {archived}: {reason(error)}")
    return False


def deliver(archive: Archive, directory: int, archived: str, name: str, path: str, temporary: str) -> None:
    """Write beside PATH, verify, rename: PostgreSQL sees the whole and right file or none."""
    import fcntl

    unlink_if_there(temporary)  # always the same name: what a killed get left is replaced by the next
    source = open_regular(archived, READ, directory)
    size = os.fstat(source).st_size
    if size >= CHUNK and not is_segment(name):
        os.close(source)
        raise Refused(f"{name} has {size} bytes, expected a small file. HINT: was it put there by hand?")
    out = os.open(temporary, CREATE, 0o640)  # less PostgreSQL's umask
    try:
        fcntl.flock(out, fcntl.LOCK_EX)  # whoever wants the file may wait for it
        digest = sha256() if archived == name and is_segment(name) else None
        decompress_to(out, source, archived[len(name) :], digest, archive.segment_size)
        if digest and read_sidecar(directory, name) != sidecar_line(name, digest.hexdigest()):
            raise Refused(f"corrupt or unverifiable: found SHA-256 {digest.hexdigest()}, not in {sidecar_of(name)}")
        archive.check(name, os.pread(out, CHUNK, 0), os.fstat(out).st_size)
        os.rename(temporary, path)
    finally:
        os.close(source)
        os.close(out)
        unlink_if_there(temporary)


# ---- get, ahead ------------------------------------------------------------------------------------------------------


def find_spool(directory: str) -> Spool | None:
    """Take the directory that the shell named after a recovery; None when there is none, or it is over."""
    try:
        spool = Spool(directory)
        return spool if spool.recovery_goes_on() else None
    except (OSError, ValueError):
        return None


class Spool:
    """What is kept ready for one recovery: .../get-BOOT-PID-START, by the process that recovers, and when it started.

    Nothing but a whole and verified segment has a segment's name in it. Another recovery, before or after this one,
    has another directory, and never sees what is in here: a process number comes again, but not with the same start
    since the same boot of the system.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.boot, self.pid, self.start = directory.rpartition("/get-")[2].rsplit("-", 2)
        self.position = f"{directory}/.position"

    def recovery_goes_on(self) -> bool:
        """Tell whether the process still runs that this is named after: proc(5) has its start in field 22 of stat."""
        if self.pid == "1":
            return False  # to whom the shell was given, for the process that recovers had ended before it began
        try:
            boot = read_small("/proc/sys/kernel/random/boot_id").decode().strip()
            fields = read_small(f"/proc/{int(self.pid)}/stat").rpartition(b")")[2].split()
        except OSError:
            return False
        return (boot, fields[19].decode()) == (self.boot, self.start) and fields[0] != b"Z"

    def take(self, name: str, path: str) -> bool:
        """Deliver a segment that is ready, or that the helper is about to have ready."""
        import fcntl

        for _attempt in range(2):
            try:
                os.rename(f"{self.directory}/{name}", path)
                return True
            except OSError:
                pass
            try:
                fd = os.open(f"{self.directory}/.{name}.tmp", os.O_RDONLY)
            except OSError:
                continue
            fcntl.flock(fd, fcntl.LOCK_SH)  # until it is ready, or its writer is dead
            os.close(fd)
        return False

    def go_on(self, name: str, path: str, options: Options) -> None:
        """Have a helper fetch what follows this file. That it cannot is no error: then each is fetched when asked for.

        A segment says where the recovery is; a history file, on which timelines it goes on.
        """
        try:
            make_own_directory(self.directory)
            segment, size, history, content = self.read_position()
            if len(name) == SEGMENT_NAME:
                segment, size = name, os.stat(path).st_size
            else:
                history, content = name, read_small(path)
            replace_small(self.position, f"{segment} {size} {history}\n".encode() + content)
            start_helper(self, options)
        except OSError:
            pass

    def read_position(self) -> tuple[str, int, str, bytes]:
        """Return the last segment that get delivered and its size, the last history file and its content; "-": none."""
        try:
            line, _end, content = read_small(self.position).partition(b"\n")
        except FileNotFoundError:
            return "-", 0, "-", b""
        segment, size, history = line.decode().split()
        return segment, int(size), history, content


def start_helper(spool: Spool, options: Options) -> None:
    """Leave a helper behind; BlockingIOError when there is one, which will see the new position."""
    directory = own_directory(spool.directory)
    empty_directory(directory, but=os.path.basename(spool.position))
    remove_unused(os.path.dirname(spool.directory), os.path.basename(spool.directory))
    if os.fork():
        return
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(null, standard)  # PostgreSQL's logger waits for the end of all who could write to it
        removed = False
        while not removed:  # or get has said meanwhile that the recovery is somewhere else
            Helper(spool, options).run()
            removed = remove_directory(spool.directory, directory)
    finally:
        os._exit(0)  # nothing else is for this process to do, whatever happened


class Helper:
    """Keeps the segments that come next ready, in a process of its own, until nobody needs them any more.

    It ends with the recovery, when the archive has no more, or when nothing has been taken for long. `names` are those
    to have ready, in their order; `missing` is one that the archive does not have, or not whole: whoever asks for that
    is told why.
    """

    def __init__(self, spool: Spool, options: Options) -> None:
        import threading
        import time

        self.spool, self.options, self.clock = spool, options, time
        self.changed = threading.Condition()
        self.threads = [threading.Thread(target=self.work) for _number in range(options.jobs)]
        self.position = ("", 0, "", b"")
        self.last = ""
        self.names: list[str] = []
        self.busy: set[str] = set()
        self.ready: set[str] = set()
        self.missing, self.absent, self.failed = "", False, 0.0
        self.over = False
        self.used = time.monotonic()

    def run(self) -> None:
        """Look again and again what was taken; in the end, wait for the threads."""
        for thread in self.threads:
            thread.start()
        try:
            while self.spool.recovery_goes_on() and self.look():
                self.clock.sleep(SPOOL_LOOK_SECONDS)
        finally:
            with self.changed:
                self.over = True
                self.changed.notify_all()
            for thread in self.threads:
                while thread.is_alive():
                    end_programs()  # again and again: one may have been started just now
                    thread.join(SPOOL_LOOK_SECONDS)

    def look(self) -> bool:
        """Go on to where the recovery is, and tell whether there is something to do."""
        with self.changed:
            while self.names and self.names[0] in self.ready and not self.is_there(self.names[0]):
                self.move(self.names[0])
            before, self.position = self.position, self.spool.read_position()
            if before != self.position:
                self.move(self.last if before[0] == self.position[0] else self.position[0])
            now = self.clock.monotonic()
            if self.missing and (self.ready or not self.absent) and now - self.failed > SPOOL_RETRY_SECONDS:
                self.missing = ""
                self.changed.notify_all()
            idle = now - self.used > SPOOL_IDLE_SECONDS
            return not idle and bool(self.busy or self.ready or not self.absent or self.names[:1] != [self.missing])

    def is_there(self, name: str) -> bool:
        """Tell whether a segment has not been taken yet."""
        return os.path.exists(f"{self.spool.directory}/{name}")

    def move(self, name: str) -> None:
        """Have what follows this segment ready, and nothing else."""
        self.last, self.used = name, self.clock.monotonic()
        _segment, size, history, content = self.position
        if not size:
            return  # a history file is all that was delivered: before the first segment, or at the end
        count = max(self.options.jobs, min(AHEAD_FILES, SPOOL_BYTES // size))
        self.names = names_after(name, size, history, content)[:count]
        for name in self.ready.difference(self.names):
            self.drop(name)
        self.ready.intersection_update(self.names)
        self.missing = ""
        self.changed.notify_all()

    def work(self) -> None:
        """Fetch one after the other."""
        for name in iter(self.choose, ""):
            place = f"{self.spool.directory}/{name}"
            absent = False
            try:
                found = self.has_room() and fetch(self.options, name, place, f"{self.spool.directory}/.{name}.tmp")
                absent = not found
            except Exception:
                found = False
            with self.changed:
                self.busy.discard(name)
                if found and name in self.names:
                    self.ready.add(name)
                    continue
                if name in self.names:
                    self.missing, self.failed = min(name, self.missing or name), self.clock.monotonic()
                    self.absent = absent
                self.drop(name)  # recovery has gone elsewhere, or something failed after the rename

    def drop(self, name: str) -> None:
        """Remove a segment; what cannot be removed, as it may have been taken just now, goes with the directory."""
        try:
            os.unlink(f"{self.spool.directory}/{name}")
        except OSError:
            pass

    def choose(self) -> str:
        """Wait for something to fetch, and return its name; "" at the end."""
        with self.changed:
            while not self.over:
                for name in self.names:
                    if name == self.missing:
                        break
                    if name not in self.busy and name not in self.ready:
                        self.busy.add(name)
                        return name
                self.changed.wait()
        return ""

    def has_room(self) -> bool:
        """Tell whether pg_wal has room enough for what is fetched ahead not to be missed where it is needed."""
        found = os.statvfs(self.spool.directory)
        return found.f_bavail * found.f_frsize > 4 * max(SPOOL_BYTES, self.position[1])


def names_after(name: str, size: int, history: str, content: bytes) -> list[str]:
    """Name the segments that a recovery asks for next.

    It asks for each on the newest of its timelines that has begun by then: XLogFileReadAnyTLI() in
    src/backend/access/transam/xlogrecovery.c.

    >>> names_after("00000001000000000000000D", 16 << 20, "00000002.history", b"1 0/F000028 a reason")[:3]
    ['00000001000000000000000E', '00000002000000000000000F', '000000020000000000000010']
    """
    timeline, per_file = int(name[:8], 16), 2**32 // size
    forks = []
    if history != "-":
        ancestors = parse_history(history, content)
        path = [ancestor for ancestor, _end in ancestors] + [int(history[:8], 16)]
        if timeline in path:
            forks = [(end // size, newer) for (_ancestor, end), newer in zip(ancestors, path[1:]) if newer > timeline]
    names = []
    start = int(name[8:16], 16) * per_file + int(name[16:], 16) + 1
    for number in range(start, start + AHEAD_FILES):
        timeline = max([timeline, *(newer for begin, newer in forks if begin <= number)])
        names.append(f"{timeline:08X}{number // per_file:08X}{number % per_file:08X}")
    return names


# ---- status ----------------------------------------------------------------------------------------------------------

LEVELS = ("ok", "warning", "critical")  # by exit status, as monitoring plugins have it; their 3 is "unknown"
LAST = 32  # so many of the last segments tell the rate
FEW, SCARCE, SOON = 32, 8, 3600  # segments that there is room for; seconds until there is none


def status(options: Options) -> int:
    """Say how archiving stands. Writes nothing, asks no server, and lists only the newest directories of an archive."""
    import time

    now = time.time()
    facts = look_at_pg_wal(options.words[0], now)
    facts["repositories"] = [look_at_archive(path, options.cluster, facts, now) for path in options.repositories]
    facts["critical"], facts["warning"] = judge(facts, options.warning_age, options.critical_age)
    level = 2 if facts["critical"] else 1 if facts["warning"] else 0
    facts["status"] = LEVELS[level]
    if options.json:
        import json

        text = json.dumps(facts)
    else:
        text = "\n".join(map(printable, describe(facts)))
    write_all(1, f"{text}\n".encode())
    return level


def look_at_pg_wal(data: str, now: float) -> dict[str, Any]:
    """Find what waits, how fast WAL is written, and the room that is left for it.

    The archiver renames .ready to .done, so the time of either is that of the segment's end.
    """
    path = os.path.join(data, "pg_wal")
    try:
        found = [(info.st_mtime, *os.path.splitext(name)) for name, info in entries_of(f"{path}/archive_status")]
        size = next((info.st_size for name, info in entries_of(path) if is_whole(name)), 0)
    except FileNotFoundError:
        raise Refused(f"found no pg_wal/archive_status in {data}, expected a data directory") from None
    if size not in SEGMENT_SIZES:
        raise Refused(f"found {f'a segment of {size} bytes' if size else 'no segment'} in {path}, expected whole ones")
    waiting = [(moment, name) for moment, name, state in found if state == ".ready"]
    rate = rate_of([moment for moment, name, _state in found if is_whole(name)], now)
    room = room_on(os.statvfs(path), size)
    return {
        "data_directory": data,
        "segment_size": size,
        "waiting": len(waiting),
        "oldest_waiting": aged(min(waiting), now) if waiting else None,
        "pg_wal": {"path": path, **room, "segments_per_second": rate, "seconds": rate and room["segments"] / rate},
    }


def look_at_archive(repository: str, cluster: str, facts: dict[str, Any], now: float) -> dict[str, Any]:
    """Find what a repository got last, and how fast, the room in it, and why a push would fail now."""
    names = (
        "problem",
        "free_bytes",
        "segments",
        "last_archived",
        "segments_per_second",
        "bytes_per_second",
        "locked_by",
        "gap",
    )
    found: dict[str, Any] = {"path": repository, **dict.fromkeys(names)}
    try:
        archive = Archive(repository, cluster)
        found |= room_on(os.fstatvfs(archive.wal), facts["segment_size"])
        found["locked_by"] = archive.lock_holders()
        last = last_archived(archive.wal)
        if last:
            rate = rate_of([moment for moment, _name in last], None)
            found |= {"segments_per_second": rate, "bytes_per_second": rate and rate * facts["segment_size"]}
            found["last_archived"] = aged(max(last), now)
            found["gap"] = gap_after_backups(archive, max(name for _moment, name in last), facts["segment_size"])
        segment = facts["oldest_waiting"] or found["last_archived"] or {"name": "."}
        check_writable(archive, facts["data_directory"], segment["name"][:16])
        if facts["oldest_waiting"]:
            check_not_forked(archive, facts["data_directory"], segment["name"])
        if not found["segments"]:
            raise Refused(f"found {size_text(found['free_bytes'])} free, expected room for a segment. HINT: make room")
    except Exception as error:
        found["problem"] = reason(error)
    return found


def last_archived(wal: int) -> list[tuple[float, str]]:
    """Return the segments in the directories that changed last, and in the highest: a removal is a change, too."""
    directories = [(info.st_mtime, name) for name, info in entries_of(wal) if is_whole(f"{name}00000000")]
    newest = {name for _moment, name in sorted(directories)[-2:]} | {
        max((name for _moment, name in directories), default="")
    }
    found = []
    for name in filter(None, newest):
        for file, info in entries_of(open_directory(name, wal)):
            if is_whole(file[:SEGMENT_NAME]) and file[SEGMENT_NAME:] in SUFFIXES.values():
                found.append((info.st_mtime, file[:SEGMENT_NAME]))
    return found


def gap_after_backups(archive: Archive, last: str, size: int) -> dict[str, str] | None:
    """Find what is missing between the newest backup and the last segment: no backup leads to what follows it.

    Of the last segment's timeline, all are to be there from its first one on; before that, those of any lower one.
    """
    end, label = max(backup_ends(archive), default=(0, ""))
    if not label:
        return None
    timeline, per_file, first = int(last[:8], 16), 2**32 // size, (end - 1) // size
    there: dict[int, set[int]] = {}
    for name in segments_from(first, archive.wal, per_file):
        there.setdefault(int(name[:8], 16), set()).add(int(name[8:16], 16) * per_file + int(name[16:], 16))
    own = there.pop(timeline, set())
    older = set().union(*(numbers for lower, numbers in there.items() if lower < timeline))
    begin, stop = min(own, default=first), max(own, default=first)
    for number in range(first, stop):
        if number not in (own if number >= begin else older):
            return {"missing": f"{timeline:08X}{number // per_file:08X}{number % per_file:08X}", "backup": label}
    return None


def backup_ends(archive: Archive) -> Iterator[tuple[int, str]]:
    """Yield where each backup of a cluster ends in its WAL, and its label; what cannot be read is none."""
    try:
        backups = archive.keep(open_directory("backup", archive.home))
    except OSError:
        return  # a further repository has none
    for label in os.listdir(backups):
        try:
            directory = open_directory(label, backups)
        except (OSError, Refused):
            continue
        try:
            high, low = str(read_json("backup.json", directory)["stop_lsn"]).split("/")
            yield int(high, 16) * 2**32 + int(low, 16), label
        except (OSError, KeyError, ValueError, RecursionError, Refused):
            pass  # not finished, or damaged: others tell of that
        finally:
            os.close(directory)


def segments_from(number: int, wal: int, per_file: int) -> Iterator[str]:
    """Yield the names of the archived segments with at least this number, of all timelines."""
    for name, _info in entries_of(wal):
        if not is_whole(f"{name}00000000") or int(name[8:], 16) < number // per_file:
            continue
        directory = open_directory(name, wal)
        try:
            files = os.listdir(directory)
        finally:
            os.close(directory)
        for file in files:
            segment = file[:SEGMENT_NAME]
            if not is_whole(segment) or file[SEGMENT_NAME:] not in SUFFIXES.values():
                continue
            if int(segment[8:16], 16) * per_file + int(segment[16:], 16) >= number:
                yield segment


def check_writable(archive: Archive, data: str, directory: str) -> None:
    """Refuse what a push into this directory would fail at, as far as that can be told without writing."""
    import struct

    [identifier] = struct.unpack_from("=Q", read_small(os.path.join(data, "global", "pg_control")))
    expect(data, "system identifier", identifier, archive.system_identifier)
    check_no_clone(data, data, identifier)
    if os.fstatvfs(archive.wal).f_flag & os.ST_RDONLY:
        raise Refused(
            "found a read-only file system, expected one to write to. HINT: see the kernel's log, and remount"
        )
    for name, rights in ((".", os.W_OK | os.X_OK), (directory, os.W_OK | os.X_OK), (".lock", os.R_OK | os.W_OK)):
        check_access(archive.path, archive.wal, name, rights)


def check_not_forked(archive: Archive, data: str, name: str) -> None:
    """Refuse other content under the name of the file at which archiving stands: no push will ever get past it."""
    if name.endswith(".partial"):
        return  # two of that name are kept side by side
    try:
        source = Source(f"{data}/pg_wal/{name}")
        directory = archive.directory_of(name)
    except FileNotFoundError:
        return  # archived and removed meanwhile; or nothing of the kind is archived
    for archived in find(directory, name):
        fd = open_regular(archived, READ, directory)
        try:
            check_equal(source, archived, decompress(fd, archived[len(name) :]))
        finally:
            os.close(fd)


def check_access(path: str, directory: int, name: str, rights: int, hint: str = REPAIR) -> None:
    """Refuse what is in a directory, if it is there, when this user has not all rights that are needed."""
    if os.access(name, os.F_OK, dir_fd=directory) and not os.access(name, rights, dir_fd=directory):
        info, path = os.stat(name, dir_fd=directory), os.path.normpath(os.path.join(path, name))
        found = f"found mode {info.st_mode & 0o7777:04o} and owner {info.st_uid} of {path}"
        raise Refused(f"{found}, expected that user {os.geteuid()} may write to it. {hint}")


def judge(facts: dict[str, Any], warning_age: int, critical_age: int) -> tuple[list[str], list[str]]:
    """Tell what is critical, and what deserves a warning."""
    critical, warning = [], []
    for found in facts["repositories"]:
        if found["problem"]:
            critical.append(f"{found['path']} cannot be written to: {found['problem']}")
        elif found["segments"] < FEW:
            warning.append(f"{found['path']} has room for {found['segments']} segments, expected {FEW}")
        if found["gap"]:
            gap = f"{found['gap']['missing']} is missing from {found['path']} after backup {found['gap']['backup']}"
            hint = "HINT: what was archived after it can be restored once there is a new backup"
            warning.append(f"{gap}, expected an archive without a gap. {hint}")
    oldest, pg_wal = facts["oldest_waiting"], facts["pg_wal"]
    age = oldest["age"] if oldest else 0
    late = bool(oldest) and age >= min(warning_age, critical_age)
    if late:
        limit, place = (critical_age, critical) if age >= critical_age else (warning_age, warning)
        why = f"expected less than {time_text(limit)}. HINT: the server's log says what its archive_command printed"
        place.append(f"{oldest['name']} has been waiting for {time_text(age)}, {why}")
    if late:
        place += [
            f"{found['path']}: wal/.lock is held by {who}"
            for found in facts["repositories"]
            for who in found["locked_by"] or ()
        ]
    soon = late and pg_wal["seconds"] is not None and pg_wal["seconds"] < SOON
    if soon or pg_wal["segments"] < FEW:
        place = critical if soon or pg_wal["segments"] < SCARCE else warning
        place.append(f"{pg_wal['path']} {room_text(pg_wal)}, expected {FEW}, and {time_text(SOON)} when WAL waits")
    return critical, warning


def describe(facts: dict[str, Any]) -> Iterator[str]:
    """Yield the lines for people; the first is all that some monitoring shows."""
    oldest, pg_wal = facts["oldest_waiting"], facts["pg_wal"]
    since = f", {oldest['name']} for {time_text(oldest['age'])}" if oldest else ""
    waiting = f"{facts['waiting']} waiting{since}"
    yield f"{facts['status'].upper()}: {'; '.join(facts['critical'] + facts['warning']) or waiting}"
    yield f"{facts['data_directory']} has {waiting}"
    yield f"{pg_wal['path']} {room_text(pg_wal)}"
    for found in facts["repositories"]:
        words = [room_text(found)] if found["segments"] is not None else []
        if found["last_archived"]:
            words.append(f"got {found['last_archived']['name']} {time_text(found['last_archived']['age'])} ago")
        if found["segments_per_second"]:
            rate = f"{found['segments_per_second']:.3g} segments, {size_text(found['bytes_per_second'])} of WAL"
            words.append(f"the last ones with {rate} a second")
        yield f"{found['path']} {', '.join(words) or 'cannot be looked into'}"


def entries_of(directory: str | int) -> Iterator[tuple[str, os.stat_result]]:
    """Yield what is in a directory; what goes away meanwhile is left out."""
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                yield entry.name, entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                pass


def is_whole(name: str) -> bool:
    """Tell whether this is the name of a whole segment."""
    return len(name) == SEGMENT_NAME and set("0123456789ABCDEF").issuperset(name)


def aged(segment: tuple[float, str], now: float) -> dict[str, Any]:
    """Describe a file that something happened to at a moment."""
    import time

    moment, name = segment
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
    return {"name": name, "time": stamp, "age": max(0, round(now - moment))}


def rate_of(moments: list[float], now: float | None) -> float | None:
    """Return how many segments there were a second, over the last ones, and the time since then if `now` is given."""
    last = sorted(moments)[-LAST:]
    span = (last[-1] if now is None else now) - last[0] if len(last) > 1 else 0
    return (len(last) - 1) / span if span > 0 else None


def room_on(space: os.statvfs_result, size: int) -> dict[str, int]:
    """Return the free space of a file system, and how many segments it is enough for."""
    free = space.f_bavail * space.f_frsize
    full = space.f_files and not space.f_favail  # of files, however small
    return {"free_bytes": free, "segments": 0 if full else free // size}


def room_text(found: dict[str, Any]) -> str:
    """Say what room_on found, and for how long it is enough."""
    lasts = f", for about {time_text(found['seconds'])} at the last rate" if found.get("seconds") else ""
    return f"has {size_text(found['free_bytes'])} free, room for {found['segments']} segments{lasts}"


def time_text(seconds: float) -> str:
    """Write a duration in the largest unit of which there are at least two."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def size_text(size: float) -> str:
    """Write a size as pg_size_pretty() does."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 10240:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.0f} TB"


# ---- check -----------------------------------------------------------------------------------------------------------

PROBE = "0" * SEGMENT_NAME  # no server ever writes a segment of this name


def check(options: Options) -> int:
    """Do with a probe, in pg_wal and in every archive, what is done with segments; leaves nothing."""
    data, problems = options.words[0], []
    owner, user = os.stat(data).st_uid, os.geteuid()
    if owner != user:
        raise Refused(f"run by user {user}, expected {owner}, who owns {data}. HINT: run it as the server's user")
    probe = None
    try:
        probe = OwnProbe(os.path.join(data, "pg_wal"))
    except Exception as error:
        problems.append(f"{data}: {reason(error)}")
    try:
        for repository in options.repositories:
            try:
                archive = Archive(repository, options.cluster, make=True)
                check_writable(archive, data, max(last_archived(archive.wal), default=(0, "."))[1][:16])
                if probe:
                    try_out(archive, probe.source, SUFFIXES[options.compression])
            except Exception as error:
                problems.append(f"{repository}: {reason(error)}")
    finally:
        if probe:
            probe.remove()
    if problems:
        raise Refused(f"archiving cannot work: {'; '.join(problems)}")
    return OK


class OwnProbe:
    """A file in a directory of ours in pg_wal that stands in for a segment; half of it cannot be compressed."""

    def __init__(self, pg_wal: str) -> None:
        fd = open_directory(pg_wal)
        check_access(pg_wal, fd, ".", os.R_OK | os.W_OK | os.X_OK, "HINT: give it back to the server's user")
        os.close(fd)
        self.path = f"{pg_wal}/pgsql_tmp.pgark/check"
        self.fd = self.own()
        try:
            empty_directory(self.fd)
            fd = os.open(PROBE, CREATE, 0o600, dir_fd=self.fd)
            write_all(fd, os.urandom(1 << 16) + bytes(1 << 16))
            os.close(fd)
            os.link(PROBE, "linked", src_dir_fd=self.fd, dst_dir_fd=self.fd)  # as push does with what waits
            self.source = Source(f"{self.path}/{PROBE}", pg_wal)
        except BaseException:
            self.remove()
            raise

    def own(self) -> int:
        """Make the directory and lock it, so that no push takes it for a leftover and no other check uses it."""
        import time

        for attempt in range(20):
            try:
                make_own_directory(self.path)
                return own_directory(self.path)
            except (BlockingIOError, FileNotFoundError):
                time.sleep(0.01 * attempt)
        raise Refused(f"found {self.path} in use, expected no other check at the same time")

    def remove(self) -> None:
        """Remove the directory, and the one that it is in unless that has others."""
        remove_directory(self.path, self.fd)
        try:
            os.rmdir(os.path.dirname(self.path))
        except OSError:
            pass


def try_out(archive: Archive, probe: Source, suffix: str) -> None:
    """Write a probe under a hidden name, link it to another one, read it back and remove both."""
    os.umask(0)
    remove_dead_leftovers(archive.wal)
    temporary = Temporary(archive.wal, "check", archive.file_mode)
    linked = f"{temporary.name}.tmp"  # the same file, so it has the same lock, and goes as a dead leftover, too
    try:
        write_compressed(probe, suffix, temporary.fd)
        os.fsync(temporary.fd)
        os.link(temporary.name, linked, src_dir_fd=archive.wal, dst_dir_fd=archive.wal)
        os.fsync(archive.wal)
        found = b"".join(map(bytes, decompress(open_regular(linked, READ, archive.wal), suffix)))
    finally:
        unlink_if_there(linked, archive.wal)
        temporary.close()
    if found != b"".join(map(bytes, probe.chunks())):
        raise Refused(f"found {len(found)} bytes that differ from the {probe.size} that were written there")


# ---- the repository --------------------------------------------------------------------------------------------------


class Archive:
    """One cluster's WAL in one repository, opened and identified."""

    def __init__(self, repository: str, cluster: str, make: bool = False) -> None:
        self.path = os.path.join(repository, cluster, "wal")
        self.opened: list[int] = []
        try:
            root = self.keep(open_repository(repository))
            self.id = read_id(root)
            self.home = self.keep(open_directory(cluster, root))
            self.system_identifier, self.major, self.segment_size = read_identity(self.home)
            self.wal = self.keep(make_directory("wal", self.home) if make else open_directory("wal", self.home))
            with os.scandir(self.wal) as entries:
                next(entries, None)  # a directory that cannot be listed must not pass for one without the file
        except BaseException:
            self.close()
            raise
        self.file_mode = 0o640 & os.fstat(self.wal).st_mode

    def keep(self, fd: int) -> int:
        """Have a descriptor closed with the others."""
        self.opened.append(fd)
        return fd

    def close(self) -> None:
        """Close what was opened, as whoever fetches one segment after the other has to."""
        while self.opened:
            os.close(self.opened.pop())

    def directory_of(self, name: str, make: bool = False) -> int:
        """Open the directory for a file of this name; FileNotFoundError if it is not there, nor to be made."""
        if name.endswith(".history"):
            return self.wal
        return self.keep(make_directory(name[:16], self.wal) if make else open_directory(name[:16], self.wal))

    def way_through_id(self) -> str:
        """Return a path of the archive that leads through a directory with the repository's id."""
        if not is_cluster_name(self.id):
            raise Refused(f"repository.json has the id {self.id!r}, expected letters, digits, '.', '_' and '-'")
        try:
            os.mkdir(f".of-{self.id}", 0o700, dir_fd=self.wal)
        except FileExistsError:
            pass
        return f"{self.path}/.of-{self.id}/.."

    def lock(self) -> int:
        """Keep every other push to this archive from publishing, until the descriptor is closed or its holder dies.

        Whoever can open the file could hold the lock for as long as he likes, so nobody else can. Another push holds it
        for moments only.
        """
        import fcntl
        import time

        fd = open_below(".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, self.wal, 0o600)
        if os.fstat(fd).st_mode & 0o077:
            os.fchmod(fd, 0o600)
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return fd
            except BlockingIOError:
                if time.monotonic() > deadline:
                    break
            time.sleep(LOCK_LOOK_SECONDS)
        who = " and ".join(self.lock_holders()) or "a process that /proc/locks does not show"
        os.close(fd)
        raise Refused(f"found {self.path}/.lock held by {who}, expected that for less than {LOCK_SECONDS} s")

    def lock_holders(self) -> list[str]:
        """Say which processes hold the lock, from proc(5); a process of another container is not shown there."""
        try:
            info = os.stat(".lock", dir_fd=self.wal, follow_symlinks=False)
        except FileNotFoundError:
            return []
        place = f"{os.major(info.st_dev):02x}:{os.minor(info.st_dev):02x}:{info.st_ino}"
        lines = [line.split() for line in read_whole("/proc/locks").decode().splitlines()]
        held = [(words[4], words[5]) for words in lines if words[1] == "FLOCK"]
        here = [pid for pid, at in held if at == place]
        # overlayfs and btrfs tell stat(2) of another device than they have themselves, and of the same inode
        return list(map(process_text, here or [pid for pid, at in held if at.rpartition(":")[2] == str(info.st_ino)]))

    def check(self, name: str, head: bytes, size: int, beside: str | None = None) -> None:
        """Refuse content that is wrong under this name; `beside` is where the history file of a segment may be."""
        if is_segment(name):
            check_segment(self, name, head, size, beside)
        elif name.endswith(".history"):
            parse_history(name, head)
        elif not head.startswith(b"START WAL LOCATION: "):
            raise Refused(f"{name} begins with {head[:20]!r}, expected 'START WAL LOCATION: '")


def process_text(pid: str) -> str:
    """Say what a process is, and whose."""
    try:
        name, owner = read_whole(f"/proc/{pid}/comm").decode(errors="replace").strip(), os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return f"process {pid}"
    return f"process {pid} ({name} of user {owner})"


def open_repository(path: str) -> int:
    """Open a directory, and refuse one that is no repository: most likely it is the empty mount point of one."""
    root = -1
    try:
        root = open_directory(path)
        os.stat("repository.json", dir_fd=root)
    except FileNotFoundError:
        if root >= 0:
            os.close(root)
        raise Refused("found no repository.json, expected a repository. HINT: is it mounted?") from None
    return root


def read_id(root: int) -> str:
    """Return what tells this repository from all others."""
    marker = read_json("repository.json", root)
    found = marker.get("id")
    if marker.get("format") != 1 or not isinstance(found, str) or not found:
        raise Refused(f"repository.json has {shown(marker)}, expected format 1 and an id")
    return found


def read_identity(home: int) -> tuple[int, int, int]:
    """Return system identifier, major version and segment size of the cluster that this directory belongs to."""
    found = read_json("cluster.json", home)
    identifier, version, size = (found.get(key) for key in ("system_identifier", "version", "wal_segment_size"))
    if isinstance(version, bool) or isinstance(size, bool):
        version, size = None, None  # they are numbers, too, to Python
    if found.get("format") != 1 or not is_identifier(identifier) or not isinstance(version, int):
        raise Refused(f"cluster.json has {shown(found)}, expected format 1, system_identifier and version. {REPAIR}")
    if version // 10000 not in PAGE_MAGIC:
        raise Refused(f"cluster.json has version {version}, expected PostgreSQL {min(PAGE_MAGIC)} to {max(PAGE_MAGIC)}")
    if not isinstance(size, int) or size not in SEGMENT_SIZES:
        raise Refused(f"cluster.json has wal_segment_size {shown(size)}, expected a possible one. {REPAIR}")
    return int(str(identifier)), version // 10000, size


def is_identifier(value: object) -> bool:
    """Tell whether this is a system identifier in quotes: the readers of many languages would round the number."""
    return isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20


def shown(value: object) -> str:
    """Quote what was found, as far as that is of use."""
    text = ascii(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def read_json(name: str, directory: int) -> dict[str, object]:
    """Read a JSON object. One that is flat and plain, as ours are, does not need json, which takes longer to import."""
    content = read_small(name, directory)
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        text = ""
    plain: dict[str, object] = {}
    for item in text[1:-1].split(","):
        key, _colon, value = (part.strip() for part in item.partition(":"))
        number = value.isascii() and value.isdigit() and len(value) <= LONGEST_NUMBER
        if not is_plain_string(key) or not (is_plain_string(value) or number):
            break
        plain[key[1:-1]] = value[1:-1] if value[0] == '"' else int(value)
    else:
        if text[0] + text[-1] == "{}":
            return plain
    return parse_json(name, content)


def parse_json(name: str, content: bytes) -> dict[str, Any]:
    """Read a JSON object, or say that it is none, however it was made up."""
    import json

    def parse_int(digits: str) -> int:
        if len(digits) > LONGEST_NUMBER:  # the time that int() takes grows with the square of their number
            raise ValueError(f"a number of {len(digits)} digits")
        return int(digits)

    try:
        loaded = json.loads(content.decode(), parse_int=parse_int)
    except (RecursionError, ValueError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Refused(
            f"{name} is not a JSON document of ours: {why}. HINT: it was changed by hand, or damaged"
        ) from None
    if not isinstance(loaded, dict):
        raise Refused(f"{name} holds a {type(loaded).__name__}, expected a JSON object")
    return loaded


def is_plain_string(text: str) -> bool:
    """Tell whether this is a JSON string that stands for just what is between its quotes."""
    return len(text) > 1 and text[0] + text[-1] == '""' and text.isprintable() and not set('"\\') & set(text[1:-1])


def open_directory(name: str, parent: int | None = None) -> int:
    """Open a directory: not through a symlink when it is below the repository, and not when others may write in it."""
    fd = open_below(name, os.O_RDONLY | os.O_DIRECTORY | (0 if parent is None else os.O_NOFOLLOW), parent)
    mode = os.fstat(fd).st_mode & 0o7777
    if mode & 0o002:
        os.close(fd)
        wanted = f"one that keeps others from writing. {REPAIR}, or chmod o-w it"
        raise Refused(f"directory {name} has mode {mode:04o}, expected {wanted}")
    return fd


def make_directory(name: str, parent: int) -> int:
    """Open a directory; make it first, with its parent's mode, when it is not there."""
    os.umask(0)  # PostgreSQL's would keep the group out
    try:
        os.mkdir(name, os.fstat(parent).st_mode & 0o7777, dir_fd=parent)
    except FileExistsError:
        pass
    except OSError as error:
        raise located(error, parent) from None
    fd = open_directory(name, parent)
    # Whoever made it may have been killed before this fsync. Once something is published in it, the fsync was done.
    with os.scandir(fd) as entries:
        if all(entry.name.startswith(".") for entry in entries):
            os.fsync(parent)
    return fd


def open_regular(name: str, flags: int, parent: int | None = None) -> int:
    """Open a regular file and nothing else."""
    import stat

    fd = open_below(name, flags, parent)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Refused(f"{name} is not a regular file")
    return fd


def open_below(name: str, flags: int, parent: int | None, mode: int = 0o777) -> int:
    """Call os.open, and say so when it failed because of a symlink: the kernel's word for that depends on the flags."""
    try:
        return os.open(name, flags, mode, dir_fd=parent)
    except OSError as error:
        if flags & os.O_NOFOLLOW and is_symlink(name, parent):
            found = f"{name} is a symbolic link, expected none below the repository"
            raise Refused(f"{found}. HINT: move it away") from None
        raise located(error, parent) from None


def is_symlink(name: str, parent: int | None) -> bool:
    """Tell whether there is a symbolic link of this name."""
    import stat

    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except OSError:
        return False


def located(error: OSError, parent: int | None) -> OSError:
    """Complete the name in an error by the directory that it is in: the kernel was told that by a descriptor."""
    if parent is not None and isinstance(error.filename, str):
        try:
            error.filename = os.path.join(os.readlink(f"/proc/self/fd/{parent}"), error.filename)
        except OSError:
            pass  # another system than Linux; the name alone has to do
    return error


def find(directory: int, name: str) -> list[str]:
    """Return the archived forms of a file: its name with each suffix that is there."""
    found = []
    for suffix in SUFFIXES.values() if is_segment(name) else ("",):
        try:
            os.stat(name + suffix, dir_fd=directory, follow_symlinks=False)
            found.append(name + suffix)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise located(error, directory) from None
    return found


# ---- names and headers -----------------------------------------------------------------------------------------------


def is_cluster_name(name: str) -> bool:
    """Tell whether a word may name a cluster's directory."""
    letters = name.replace("_", "a").replace("-", "a").replace(".", "a")
    return letters.isascii() and letters.isalnum() and name[0] not in "-." and len(name) <= 63


def check_name(name: str) -> str:
    """Refuse every file name but the four forms that PostgreSQL archives, Is*FileName() in xlog_internal.h."""
    number, dot, rest = name.partition(".")
    offset = rest[:-7] if rest.endswith(".backup") else "0" * 8
    if set("0123456789ABCDEF").issuperset(number + offset) and len(offset) == 8:
        segment = len(number) == 24 and (dot + rest in ("", ".partial") or rest == f"{offset}.backup")
        if segment or (len(number) == 8 and rest == "history"):
            return name
    raise Refused(f"found the file name {name!r}, expected that of a segment, .partial, .history or .backup file")


def is_segment(name: str) -> bool:
    """Tell whether a file is a whole or partial segment: only these have a page header, and are compressed."""
    return not name.endswith((".history", ".backup"))


def check_segment(archive: Archive, name: str, head: bytes, size: int, beside: str | None) -> None:
    """Refuse a segment of another version, cluster, size, position or timeline: its first page says it all."""
    import struct

    if len(head) < struct.calcsize(LONG_HEADER):
        raise Refused(f"{name} has {size} bytes, expected a WAL segment")
    magic, flags, timeline, address, identifier, segment_size, block_size = struct.unpack_from(LONG_HEADER, head)
    versions = {number: f"0x{number:04X} (PostgreSQL {major})" for major, number in PAGE_MAGIC.items()}
    expect(name, "page magic", versions.get(magic, f"0x{magic:04X}"), versions[PAGE_MAGIC[archive.major]])
    expect(name, "page flags", f"0x{flags:04X}", f"0x{flags | XLP_LONG_HEADER:04X}")
    expect(name, "system identifier", identifier, archive.system_identifier)
    if block_size not in BLOCK_SIZES or segment_size not in SEGMENT_SIZES:
        raise Refused(f"{name} has WAL block size {block_size} and segment size {segment_size}, expected possible ones")
    expect(name, "segment size", segment_size, archive.segment_size)
    expect(name, "size", size, segment_size)
    log_file, segment = int(name[8:16], 16), int(name[16:24], 16)
    expect(name, "segment number", segment, segment % (2**32 // segment_size))
    start = log_file * 2**32 + segment * segment_size
    expect(name, "page address", lsn(address), lsn(start))
    if timeline != int(name[:8], 16):
        check_ancestor(name, timeline, start, start + segment_size, beside)


def check_origin(archive: Archive, source: Source) -> None:
    """Refuse what comes from another cluster's data directory, or from a clone that has no identity of its own.

    Only segments say which cluster they are of. A history file of a clone would send the cluster that it was restored
    from, and every restore of that, to the clone's timeline.
    """
    import struct

    data = os.path.dirname(source.home) or "."
    try:
        control = read_small(os.path.join(data, "global", "pg_control"))
    except FileNotFoundError:
        return  # brought here by hand
    [identifier] = struct.unpack_from("=Q", control)  # ControlFileData in src/include/catalog/pg_control.h
    expect(source.name, "a data directory with system identifier", identifier, archive.system_identifier)
    check_no_clone(source.name, data, identifier)


def check_no_clone(name: str, data: str, identifier: int) -> None:
    """Refuse what a restore from another cluster's backup has made, and copies of it, until it has been detached."""
    try:
        text = read_small(os.path.join(data, "pgark_restore.json"), follow=False)
    except FileNotFoundError:
        return
    if b'"source": null' in text:
        return  # the usual case, which does without json
    record = parse_json("pgark_restore.json", text)
    if record.get("source") and record.get("system_identifier") == str(identifier):
        raise Refused(
            f"{name} is of a clone of {str(record['source'])[:100]}, expected a cluster with an identity of its own."
            f" HINT: stop the server, and run pitr_restore with state: detached"
        )


def expect(name: str, what: str, found: object, expected: object) -> None:
    """Refuse a value that is not the expected one."""
    if found != expected:
        raise Refused(f"{name} has {what} {found}, expected {expected}")


def check_ancestor(name: str, timeline: int, start: int, end: int, beside: str | None) -> None:
    """Accept a timeline's first segment, which begins with a copy of its ancestor's pages.

    XLogInitNewTimeline() in src/backend/access/transam/xlog.c copies them. The timeline's history file says which
    ancestor's, and that the switch is in this segment; if that is not there, any older timeline will do.
    """
    own = int(name[:8], 16)
    history = read_history(f"{name[:8]}.history", beside)
    if history:
        owner = next((ancestor for ancestor, switch in history if switch > start), own)
        accepted = timeline == owner and history[-1][1] < end
    else:
        accepted = 0 < timeline < own
    if not accepted:
        raise Refused(f"{name} has page timeline {timeline}, expected {own}, or the one it left in this segment")


def read_history(name: str, directory: str | None) -> list[tuple[int, int]]:
    """Return the ancestors in a history file with the positions where they end; none if it is not there."""
    if directory is None:
        return []
    try:
        return parse_history(name, read_small(os.path.join(directory, name)))
    except FileNotFoundError:
        return []


def parse_history(name: str, content: bytes) -> list[tuple[int, int]]:
    r"""Return the ancestors with their ends, read as by readTimeLineHistory() in src/backend/access/transam/timeline.c.

    Each ends where the first of those after it does: a restore along a timeline that stops before that began leaves an
    older one, and names both. The modules read histories by the same rules: TimelinePath in _wal/names.py.

    >>> parse_history("00000003.history", b"1 0/3000028 a reason")
    [(1, 50331688)]
    >>> parse_history("00000003.history", b"1 0/3000028 a reason\n2 0/2000100 another")
    [(1, 33554688), (2, 33554688)]
    """
    ancestors: list[tuple[int, int]] = []
    for line in content.split(b"\n"):
        words = [word.decode(errors="replace") for word in line[:HISTORY_LINE].split()[:2]]
        if not words or words[0].startswith("#"):
            continue
        high, _slash, low = words[-1].partition("/")
        right = len(line) <= HISTORY_LINE and len(words) > 1 and is_number(words[0], "0123456789", 10)
        if not (right and is_number(high, HEXADECIMAL, 8) and is_number(low, HEXADECIMAL, 8)):
            raise Refused(f"{name} has the line {shown(line)[1:]}, expected a timeline, an LSN and a reason")
        ancestors.append((int(words[0]), int(high, 16) * 2**32 + int(low, 16)))
    timelines = [0, *(timeline for timeline, _end in ancestors), int(name[:8], 16)]
    if not ancestors or len(content) >= CHUNK or timelines != sorted(set(timelines)):
        raise Refused(f"{name} lists timelines {shown(timelines[1:-1])}, expected ascending ones below its own")
    first = ancestors[-1][1]
    for place in range(len(ancestors) - 1, -1, -1):
        first = min(first, ancestors[place][1])
        ancestors[place] = ancestors[place][0], first
    return ancestors


def is_number(text: str, digits: str, most: int) -> bool:
    """Tell whether a text is a number of at most so many digits, and no more than int() would take for one."""
    return 0 < len(text) <= most and set(digits).issuperset(text)


def lsn(position: int) -> str:
    """Write a position as PostgreSQL does."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


# ---- content ---------------------------------------------------------------------------------------------------------


def decompress_to(out: int, fd: int, suffix: str, digest: hashlib._Hash | None, limit: int) -> None:
    """Write the content of an archived file to another, and raise Refused if its own checksum does not hold."""
    if suffix in DECOMPRESSORS:
        decompress_by(DECOMPRESSORS[suffix], fd, suffix, out, limit)
    else:
        for chunk in decompress(fd, suffix, limit):
            write_all(out, chunk)
            if digest:
                digest.update(chunk)


def decompress(fd: int, suffix: str, limit: int = SEGMENT_SIZES[-1]) -> Iterator[bytes | memoryview]:
    """Yield the content of an archived file, and raise Refused at its end if its own checksum does not hold."""
    chunks: Iterable[bytes | memoryview]
    if suffix == ".gz":
        chunks = gunzip(fd)
    elif suffix:
        chunks = decompress_with(DECOMPRESSORS[suffix], fd, suffix)
    else:
        chunks = read_chunks(fd)
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > limit:
            raise too_long(limit)
        yield chunk


def read_chunks(fd: int) -> Iterator[memoryview]:
    """Yield a file's bytes; a chunk is overwritten by the next one."""
    buffer = memoryview(bytearray(COPY))
    while found := os.readv(fd, [buffer]):
        yield buffer[:found]


def gunzip(fd: int) -> Iterator[bytes]:
    """Yield the content of one gzip member that must fill the whole file; zlib checks its CRC and length."""
    import zlib

    stream = zlib.decompressobj(31)
    while not stream.eof:
        data = stream.unconsumed_tail or os.read(fd, CHUNK)
        try:
            chunk = stream.decompress(data, CHUNK)
        except zlib.error as error:
            raise Refused(f"corrupt: {error}") from None
        if not (data or chunk):
            raise Refused("corrupt: found the end of the file before that of its content")
        yield chunk
    if stream.unused_data or os.read(fd, 1):
        raise Refused("corrupt: found bytes after the end of the content")


def compress_with(command: str, fd: int, out: int) -> None:
    """Have a program compress a file into another; it reads and writes by itself."""
    os.lseek(fd, 0, os.SEEK_SET)  # another repository may have had it before
    try:
        with Program(command, fd, out):
            pass
        if command == COMPRESSORS[".lz4"]:
            check_lz4_frame(out)
    except ProgramFailed:
        write_all(out, bytes(8 * CHUNK))  # lz4 does not say why it could not write: "no space left" will come from here
        raise


def check_lz4_frame(fd: int) -> None:
    """Refuse a file that ends before its frame does: lz4 1.9 exits 0 when there is no room for the last 4 kB."""
    found, expected = os.fstat(fd).st_size, end_of_frame(fd, ".lz4")
    if found != expected:
        raise ProgramFailed(f"lz4 failed: wrote {found} bytes of a frame that has {expected} or more")


def check_frame(fd: int, suffix: str) -> None:
    """Refuse a file that is not one frame, from its first byte to its last, with a checksum for the program to verify.

    A program takes what follows for more content, whose checksum is another one or none, or passes over it.
    """
    head = os.pread(fd, 5, 0)
    if head[:4] != FRAME_MAGIC[suffix] or len(head) < 5 or not head[4] & FRAME_CHECKSUM:
        raise Refused(f"corrupt or unverifiable: begins with {head.hex()}, expected a {suffix} file with a checksum")
    found, expected = os.fstat(fd).st_size, end_of_frame(fd, suffix)
    if found != expected:
        raise Refused(f"corrupt: found {found} bytes, expected those of one frame, which ends at byte {expected}")


def end_of_frame(fd: int, suffix: str) -> int:
    """Return where a file's first frame ends by the sizes before its blocks: behind the file's end if it is cut off."""
    flags, size = (os.pread(fd, 5, 0)[4:] or b"\0")[0], os.fstat(fd).st_size
    begin, next_block = (zstd_begin, zstd_block) if suffix == ".zst" else (lz4_begin, lz4_block)
    at, last = begin(flags), False
    for _block in range(MOST_BLOCKS):
        if last or at >= size:
            break
        length, last = next_block(int.from_bytes(os.pread(fd, 4, at), "little"), flags)
        at += length
    return at + (4 if flags & FRAME_CHECKSUM else 0)


def zstd_begin(flags: int) -> int:
    """Return the length of magic and header, by zstd_compression_format.md."""
    single = flags >> 5 & 1
    return 6 - single + (0, 1, 2, 4)[flags & 3] + (single, 2, 4, 8)[flags >> 6]


def zstd_block(header: int, _flags: int) -> tuple[int, bool]:
    """Return the length of a block with its header of three bytes, and whether it is the last; of kind 1 is one byte.

    >>> zstd_block(5 << 3, 0), zstd_block(5 << 3 | 1 << 1 | 1, 0)
    ((8, False), (4, True))
    """
    header &= 0xFFFFFF
    return 3 + (1 if header >> 1 & 3 == 1 else header >> 3), bool(header & 1)


def lz4_begin(flags: int) -> int:
    """Return the length of magic and descriptor, by lz4_Frame_format.md."""
    return 7 + (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0)


def lz4_block(header: int, flags: int) -> tuple[int, bool]:
    """Return the length of a block with its size and its checksum; the size 0 is behind the last one.

    >>> lz4_block(1 << 31 | 5, 0x10), lz4_block(0, 0x10)
    ((13, False), (4, True))
    """
    length = header & 0x7FFFFFFF
    return 4 + length + (4 if length and flags & 0x10 else 0), not length


def decompress_by(command: str, fd: int, suffix: str, out: int, limit: int) -> None:
    """Have a program decompress a file into another; it may not write more than there can be in a WAL file."""
    import resource

    check_frame(fd, suffix)
    try:
        with Program(command, fd, out) as pid:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit + 1, limit + 1))
    finally:
        if os.fstat(out).st_size > limit:
            raise too_long(limit)


def too_long(limit: int) -> Refused:
    """Say that there is more in a file than there can be."""
    return Refused(f"corrupt: found more than {limit} bytes, expected a WAL file")


def decompress_with(command: str, fd: int, suffix: str) -> Iterator[bytes]:
    """Have a program decompress a file, for the content to be looked at here."""
    check_frame(fd, suffix)
    reader, writer = wide_pipe()
    with Program(command, fd, writer):
        os.close(writer)
        try:
            yield from iter(lambda: os.read(reader, CHUNK), b"")
        finally:
            os.close(reader)


def wide_pipe() -> tuple[int, int]:
    """Make a pipe that holds a whole chunk; with the usual 64 kB the two programs would wait for each other a lot."""
    import fcntl

    reader, writer = os.pipe()
    try:
        fcntl.fcntl(writer, F_SETPIPE_SZ, CHUNK)
    except OSError:
        pass  # a user may have only so much in pipes; it works without, slower
    return reader, writer


RUNNING: set[int] = set()


class Program:
    """A program that reads one descriptor and writes another; leaving the block waits for it and raises its failure."""

    def __init__(self, command: str, stdin: int, stdout: int) -> None:
        words = command.split()
        self.name = words[0]
        path = find_program(self.name)
        self.stderr, stderr = os.pipe()
        # The environment is left out: it could change the level, or the number of threads.
        # PostgreSQL calls this; AnsibleModule.run_command is not here.
        self.pid = os.posix_spawn(  # pylint: disable=ansible-bad-function
            path,
            words,
            {"LC_ALL": "C"},
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate((stdin, stdout, stderr))],
        )
        RUNNING.add(self.pid)
        os.close(stderr)

    def __enter__(self) -> int:
        return self.pid

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        words = b"".join(iter(lambda: os.read(self.stderr, CHUNK), b"")).decode(errors="replace")
        os.close(self.stderr)
        status = os.waitpid(self.pid, 0)[1]
        RUNNING.discard(self.pid)
        # After its failure, "broken pipe" is all that we would have to say.
        if status and (error is None or isinstance(error, BrokenPipeError)):
            raise ProgramFailed(f"{self.name} failed: {' '.join(words.split()) or f'wait status {status}'}") from None


def end_programs() -> None:
    """Tell all that run to end."""
    for pid in list(RUNNING):
        try:
            os.kill(pid, 15)
        except ProcessLookupError:
            pass  # it has ended by itself


def find_program(name: str) -> str:
    """Find a program on PATH, or where the systems that we know have it; never in the data directory."""
    for directory in [*os.environ.get("PATH", "").split(":"), "/usr/local/bin", "/usr/bin", "/bin"]:
        path = os.path.join(directory, name)
        if directory.startswith("/") and os.access(path, os.X_OK):
            return path
    raise Refused(f"found no program {name}, expected it on PATH. HINT: install it, or choose another compression")


def sidecar_of(name: str) -> str:
    """Name the file that has the checksum of a plain segment."""
    return f"{name}.sha256"


def sidecar_line(name: str, digest: str) -> bytes:
    """Write a sidecar's content; sha256sum --check reads it too."""
    return f"{digest}  {name}\n".encode()


def read_sidecar(directory: int, name: str) -> bytes:
    """Return a sidecar's content, nothing if there is none."""
    try:
        return read_small(sidecar_of(name), directory)
    except FileNotFoundError:
        return b""


# ---- small things ----------------------------------------------------------------------------------------------------


def sha256() -> hashlib._Hash:
    """Start a checksum."""
    import hashlib

    return hashlib.sha256()


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of it: a single write may stop half-way on a pipe, or where the disk is nearly full."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def read_small(name: str, directory: int | None = None, follow: bool = True) -> bytes:
    """Return what is in a small regular file, a symbolic link to which is followed only outside of repositories."""
    flags = READ if directory is not None or not follow else os.O_RDONLY | os.O_NONBLOCK
    fd = open_regular(name, flags, directory)
    try:
        content = os.read(fd, CHUNK)
    finally:
        os.close(fd)
    if len(content) == CHUNK:
        raise Refused(f"{name} has {CHUNK} bytes or more, expected a small file. HINT: was it put there by hand?")
    return content


def read_whole(path: str) -> bytes:
    """Return all that is in a file of proc(5), which gives it piece by piece."""
    with open(path, "rb") as file:
        return file.read()


def replace_small(path: str, content: bytes) -> None:
    """Write a small file beside its place and rename it, so that whoever reads it never sees half of it."""
    fd = os.open(f"{path}.tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        write_all(fd, content)
    finally:
        os.close(fd)
    os.rename(f"{path}.tmp", path)


def unlink_if_there(name: str, directory: int | None = None) -> None:
    """Remove a file that may be gone already."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass


def reason(error: BaseException) -> str:
    """Say what an exception means, in the operating system's words where it comes from there."""
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {os.fsdecode(error.filename)}" if isinstance(error.filename, (str, bytes)) else "")
    return f"{type(error).__name__}: {error}"


def printable(text: str) -> str:
    """Make one line of it, whatever characters it has."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def complain(message: str) -> None:
    """Write one line to standard error, whatever characters the message has."""
    try:
        os.write(2, f"{printable(f'pgark-wal: {message}')}\n".encode())
    except OSError:
        pass  # nobody listens; the exit status says enough


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
