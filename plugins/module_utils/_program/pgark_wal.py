# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pgark-wal: what PostgreSQL calls to archive one WAL file, and to fetch one back.

Installed by the modules as one file whose first line names the interpreter, and called without any configuration:

    archive_command = '/path/pgark-wal push --repository /srv/pgark --cluster main "%p"'
    restore_command = '/path/pgark-wal get --repository /srv/pgark --cluster main --absent-status 44 "%f" "%p";
                       case $? in 44) exit 1;; 0|126|127|143) exit $?;; *) exit 200;; esac'

Read it from the top: main, push, get, then what these stand on. Most imports are where they are needed: PostgreSQL
starts this program for every 16 MB of WAL, and json, re, subprocess, contextlib or argparse would add half of its start
or more. And an import that fails must reach the handler in main: left to Python, it ends with status 1, which is "end
of WAL" to a recovery. Python ends like that by itself when its own library is gone, so the command does not take a 1
from anybody: it has the program say 44.
"""
# ruff: noqa: PLC0415, SIM105  (imports where they are needed, and no contextlib: see above)

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # type checkers take it for true; importing typing would cost time
if TYPE_CHECKING:
    import hashlib
    from collections.abc import Iterable, Iterator

VERSION = "0.1.0"
USAGE = """\
usage: pgark-wal push --repository DIR [--repository DIR ...] --cluster NAME
                      [--compression none|gzip|lz4|zstd] PATH
       pgark-wal get  --repository DIR [--repository DIR ...] --cluster NAME
                      [--absent-status STATUS] FILE PATH
       pgark-wal --help | --version

push  archives the file PATH ("%p" in archive_command) in every repository. Exit status:
        0    it is durable in all of them, or was before; an archived file is never overwritten
        1    anything else; one line on standard error says why
get   delivers the archived FILE ("%f" in restore_command) to PATH ("%p"), from the first repository
      that has it whole. Exit status:
        0    delivered and verified
        1    every repository can be read and none has it: PostgreSQL takes this for the end of WAL;
             with --absent-status, that status instead
        200  anything else, wrong usage included: PostgreSQL aborts recovery on a status above 125
"""

# What PostgreSQL makes of get's status, in RestoreArchivedFile() of src/backend/access/transam/xlogarchive.c: above 125
# it aborts recovery (wait_result_is_any_signal() in src/common/wait_error.c), 143 (SIGTERM) it takes for a shutdown,
# and the rest for the end of WAL. Of push's, in src/backend/archive/shell_archive.c: it tries again later; above 125
# it ends the archiver first, and pg_stat_archiver does not count the failure.
OK, PUSH_FAILED, GET_ABSENT, GET_FAILED = 0, 1, 1, 200

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

CHUNK = 1 << 20
F_SETPIPE_SZ = 1031  # in fcntl from Python 3.10 on
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # O_NONBLOCK: a planted FIFO must not make us wait for ever
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
REPAIR = "HINT: run the role backup_repository"


class Refused(Exception):
    """What was found, what was expected, and a HINT where there is something to do."""


class ProgramFailed(Refused):
    """A compressor's own words."""


def main(argv: list[str]) -> int:
    """Run one command and return its exit status, whatever happens."""
    try:
        if argv in (["--help"], ["--version"]):
            sys.stdout.write(USAGE if argv == ["--help"] else f"pgark-wal {VERSION}\n")
            return OK
        options = Options(argv)
        return push(options) if options.command == "push" else get(options)
    except BaseException as error:  # of any kind: Python's own choice of a status could mean "end of WAL"
        complain(reason(error))
        return PUSH_FAILED if argv[:1] == ["push"] else GET_FAILED


class Options:
    """The command line."""

    def __init__(self, argv: list[str]) -> None:
        self.command = argv[0] if argv else ""
        self.repositories: list[str] = []
        self.cluster = ""
        self.compression = "none"
        self.absent = GET_ABSENT
        self.words: list[str] = []
        rest = iter(argv[1:])
        for word in rest:
            if word.startswith("--"):
                self.set(word, next(rest, ""))
            else:
                self.words.append(word)
        wanted = {"push": 1, "get": 2}.get(self.command)
        if len(self.words) != wanted or not self.repositories or not self.cluster:
            raise Refused(f"found the arguments {argv}, expected others. HINT: see pgark-wal --help")

    def set(self, name: str, value: str) -> None:
        """Take one option; a relative repository is refused, for it would lie in the data directory."""
        if name == "--repository" and value.startswith("/"):
            self.repositories.append(value)
        elif name == "--cluster" and is_cluster_name(value):
            self.cluster = value
        elif name == "--compression" and value in SUFFIXES and self.command == "push":
            self.compression = value
        elif name == "--absent-status" and value in map(str, range(1, 126)) and self.command == "get":
            self.absent = int(value)
        else:
            raise Refused(f"found {name} {value!r}, expected another option or value. HINT: see pgark-wal --help")


# ---- push ------------------------------------------------------------------------------------------------------------


def push(options: Options) -> int:
    """Archive one file in every repository; one that fails does not keep the others from their copy."""
    source = Source(options.words[0])
    problems = []
    for repository in options.repositories:
        try:
            push_to(Archive(repository, options.cluster, make=True), source, options.compression)
        except Exception as error:
            problems.append(f"{repository}: {reason(error)}")
    if problems:
        raise Refused(f"{source.name} is not archived: {'; '.join(problems)}")
    return OK


class Source:
    """The file that PostgreSQL wants archived."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = check_name(os.path.basename(path))
        self.fd = open_regular(path, os.O_RDONLY | os.O_NONBLOCK)
        self.size = os.fstat(self.fd).st_size

    def chunks(self) -> Iterator[bytes]:
        """Yield the file's bytes, as many as it had when it was opened."""
        offset = 0
        while offset < self.size:
            chunk = os.pread(self.fd, min(CHUNK, self.size - offset), offset)
            if not chunk:
                raise Refused(f"{self.path} shrank while it was read: found {offset} bytes, expected {self.size}")
            offset += len(chunk)
            yield chunk


def push_to(archive: Archive, source: Source, compression: str) -> None:
    """Return only when the file is durable in this archive; raise when it cannot be or must not be."""
    archive.check(source.name, os.pread(source.fd, CHUNK, 0), source.size, os.path.dirname(source.path))
    check_origin(archive, source)
    os.umask(0)  # modes come from the repository; PostgreSQL's umask would keep the group out
    directory = archive.directory_of(source.name, make=True)
    remove_dead_leftovers(directory)
    suffix = SUFFIXES[compression] if is_segment(source.name) else ""
    for archived in find(directory, source.name) or publish(archive, directory, source, suffix):
        confirm_same(archive, directory, source, archived)


def publish(archive: Archive, directory: int, source: Source, suffix: str) -> list[str]:
    """Write, fsync, name, fsync the name; return the names under which another process published it before us."""
    with Temporary(directory, source.name, archive.file_mode) as temporary:
        digest = write_compressed(source, suffix, temporary.fd)
        os.fsync(temporary.fd)
        # link() does not overwrite, but does not know either that the same segment may be there with another suffix.
        lock = archive.lock()
        try:
            others = find(directory, source.name)
            if others:
                return others
            settle_sidecar(archive, directory, source.name, digest)
            os.link(temporary.name, source.name + suffix, src_dir_fd=directory, dst_dir_fd=directory)
        finally:
            os.close(lock)
    os.fsync(directory)
    return []


def write_compressed(source: Source, suffix: str, out: int) -> str:
    """Write the archived form of the file; return the SHA-256 for the sidecar of a plain segment, "" for all others."""
    if suffix == ".gz":
        import zlib

        stream = zlib.compressobj(1, zlib.DEFLATED, 31)  # 31: with gzip's header and CRC
        for chunk in source.chunks():
            write_all(out, stream.compress(chunk))
        write_all(out, stream.flush())
    elif suffix:
        compress_with(COMPRESSORS[suffix], source.chunks(), out)
    else:
        digest = sha256() if is_segment(source.name) else None
        for chunk in source.chunks():
            write_all(out, chunk)
            if digest:
                digest.update(chunk)
        return digest.hexdigest() if digest else ""
    return ""


def settle_sidecar(archive: Archive, directory: int, name: str, digest: str) -> None:
    """Make a plain segment's checksum durable before the segment gets its name, or remove one that a killed push left.

    Compressed files carry a checksum. A plain segment carries none for the whole, and PostgreSQL takes a damaged record
    for the end of WAL.
    """
    sidecar = sidecar_of(name)
    if not digest:
        unlink_if_there(sidecar, directory)
        return
    with Temporary(directory, sidecar, archive.file_mode) as temporary:
        write_all(temporary.fd, sidecar_line(name, digest))
        os.fsync(temporary.fd)
        os.rename(temporary.name, sidecar, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)


def confirm_same(archive: Archive, directory: int, source: Source, archived: str) -> None:
    """Accept an archived file of the same content, and make it durable: its writer may have been killed before that."""
    fd = open_regular(archived, READ, directory)
    check_equal(source, archived, decompress(fd, archived[len(source.name) :]))
    if archived == source.name and is_segment(archived):
        digest = sha256()
        for chunk in source.chunks():
            digest.update(chunk)
        if read_sidecar(directory, archived) != sidecar_line(archived, digest.hexdigest()):
            settle_sidecar(archive, directory, archived, digest.hexdigest())
    for durable in (fd, directory, archive.wal):
        os.fsync(durable)


def check_equal(source: Source, archived: str, chunks: Iterable[bytes]) -> None:
    """Refuse other bytes under the same name, loudly: one of the two would be lost."""
    offset = 0
    for chunk in chunks:
        if chunk != os.pread(source.fd, len(chunk), offset):
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
            self.fd = open_below(self.name, CREATE, directory, mode)
            fcntl.flock(self.fd, fcntl.LOCK_EX)
            if os.fstat(self.fd).st_nlink:
                return
            os.close(self.fd)  # another push took it for dead before it was locked

    def __enter__(self) -> Temporary:
        return self

    def __exit__(self, *_error: object) -> None:
        unlink_if_there(self.name, self.directory)
        os.close(self.fd)


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


# ---- get -------------------------------------------------------------------------------------------------------------


def get(options: Options) -> int:
    """Deliver one file from the first repository that has it whole; only if all can be read may it be called absent."""
    name, path = check_name(options.words[0]), options.words[1]
    problems: list[str] = []
    for repository in options.repositories:
        try:
            if get_from(Archive(repository, options.cluster), name, path, problems):
                if problems:
                    complain(f"{name} is delivered from {repository}, but: {'; '.join(problems)}")
                return OK
        except Exception as error:
            problems.append(f"{repository}: {reason(error)}")
    if problems:
        raise Refused(f"{name} cannot be delivered: {'; '.join(problems)}")
    complain(f"{name} is not in the archive of {options.cluster} in {' or '.join(options.repositories)}")
    return options.absent


def get_from(archive: Archive, name: str, path: str, problems: list[str]) -> bool:
    """Try each archived form of the file; one that is corrupt is added to the problems, and the next one tried."""
    try:
        directory = archive.directory_of(name)
    except FileNotFoundError:
        return False
    for archived in find(directory, name):
        try:
            deliver(archive, directory, archived, name, path)
            return True
        except Exception as error:
            problems.append(f"{archive.path}: {archived}: {reason(error)}")
    return False


def deliver(archive: Archive, directory: int, archived: str, name: str, path: str) -> None:
    """Write beside PATH, verify, rename: PostgreSQL sees the whole and right file or none."""
    temporary = f"{path}.pgark-tmp"  # always the same name: what a killed get left is replaced by the next
    unlink_if_there(temporary)
    out = os.open(temporary, CREATE, 0o640)  # less PostgreSQL's umask
    try:
        digest = sha256() if archived == name and is_segment(name) else None
        for chunk in decompress(open_regular(archived, READ, directory), archived[len(name) :]):
            write_all(out, chunk)
            if digest:
                digest.update(chunk)
        if digest and read_sidecar(directory, name) != sidecar_line(name, digest.hexdigest()):
            raise Refused(f"corrupt or unverifiable: found SHA-256 {digest.hexdigest()}, not in {sidecar_of(name)}")
        archive.check(name, os.pread(out, CHUNK, 0), os.fstat(out).st_size)
        os.rename(temporary, path)
    finally:
        os.close(out)
        unlink_if_there(temporary)


# ---- the repository --------------------------------------------------------------------------------------------------


class Archive:
    """One cluster's WAL in one repository, opened and identified; descriptors are left to the end of the process."""

    def __init__(self, repository: str, cluster: str, make: bool = False) -> None:
        self.path = os.path.join(repository, cluster, "wal")
        home = open_directory(cluster, open_repository(repository))
        self.system_identifier, self.major = read_identity(home)
        self.wal = make_directory("wal", home) if make else open_directory("wal", home)
        with os.scandir(self.wal) as entries:
            next(entries, None)  # a directory that cannot be listed must not pass for one without the file
        self.file_mode = 0o640 & os.fstat(self.wal).st_mode

    def directory_of(self, name: str, make: bool = False) -> int:
        """Open the directory for a file of this name; FileNotFoundError if it is not there, nor to be made."""
        if name.endswith(".history"):
            return self.wal
        return make_directory(name[:16], self.wal) if make else open_directory(name[:16], self.wal)

    def lock(self) -> int:
        """Keep every other push to this archive from publishing, until the descriptor is closed or its holder dies."""
        import fcntl

        fd = open_below(".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, self.wal, self.file_mode)
        fcntl.flock(fd, fcntl.LOCK_EX)
        return fd

    def check(self, name: str, head: bytes, size: int, beside: str | None = None) -> None:
        """Refuse content that is wrong under this name; `beside` is where the history file of a segment may be."""
        if is_segment(name):
            check_segment(self, name, head, size, beside)
        elif name.endswith(".history"):
            parse_history(name, head)
        elif not head.startswith(b"START WAL LOCATION: "):
            raise Refused(f"{name} begins with {head[:20]!r}, expected 'START WAL LOCATION: '")


def open_repository(path: str) -> int:
    """Open a repository, and refuse a directory that is none: most likely it is the empty mount point of one."""
    try:
        root = open_directory(path)
        marker = read_json("repository.json", root)
    except FileNotFoundError:
        raise Refused("found no repository.json, expected a repository. HINT: is it mounted?") from None
    if marker.get("format") != 1 or not marker.get("id"):
        raise Refused(f"repository.json has {marker}, expected format 1 and an id")
    return root


def read_identity(home: int) -> tuple[int, int]:
    """Return the system identifier and the major version of the cluster that this directory belongs to."""
    found = read_json("cluster.json", home)
    identifier, version = str(found.get("system_identifier")), str(found.get("version"))
    if found.get("format") != 1 or not (identifier.isdigit() and version.isdigit()):
        raise Refused(f"cluster.json has {found}, expected format 1, system_identifier and version. {REPAIR}")
    if int(version) // 10000 not in PAGE_MAGIC:
        raise Refused(f"cluster.json has version {version}, expected PostgreSQL {min(PAGE_MAGIC)} to {max(PAGE_MAGIC)}")
    return int(identifier), int(version) // 10000


def read_json(name: str, directory: int) -> dict[str, object]:
    """Read a JSON object. One that is flat and plain, as ours are, does not need json, which takes longer to import."""
    text = os.read(open_regular(name, READ, directory), CHUNK).decode().strip()
    plain: dict[str, object] = {}
    for item in text[1:-1].split(","):
        key, _colon, value = (part.strip() for part in item.partition(":"))
        if not is_plain_string(key) or not (is_plain_string(value) or (value.isascii() and value.isdigit())):
            break
        plain[key[1:-1]] = value[1:-1] if value[0] == '"' else int(value)
    else:
        if text[0] + text[-1] == "{}":
            return plain
    import json

    loaded = json.loads(text)
    return loaded if isinstance(loaded, dict) else {}


def is_plain_string(text: str) -> bool:
    """Tell whether this is a JSON string that stands for just what is between its quotes."""
    return len(text) > 1 and text[0] + text[-1] == '""' and text.isprintable() and not set('"\\') & set(text[1:-1])


def open_directory(name: str, parent: int | None = None) -> int:
    """Open a directory: not through a symlink when it is below the repository, and not when others may write in it."""
    fd = open_below(name, os.O_RDONLY | os.O_DIRECTORY | (0 if parent is None else os.O_NOFOLLOW), parent)
    mode = os.fstat(fd).st_mode & 0o7777
    if mode & 0o002:
        raise Refused(f"directory {name} has mode {mode:04o}, expected one that keeps others from writing. {REPAIR}")
    return fd


def make_directory(name: str, parent: int) -> int:
    """Open a directory; make it first, with its parent's mode, when it is not there."""
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
        raise Refused(f"{name} is not a regular file")
    return fd


def open_below(name: str, flags: int, parent: int | None, mode: int = 0o777) -> int:
    """Call os.open, and say so when it failed because of a symlink: the kernel's word for that depends on the flags."""
    try:
        return os.open(name, flags, mode, dir_fd=parent)
    except OSError as error:
        if flags & os.O_NOFOLLOW and is_symlink(name, parent):
            raise Refused(f"{name} is a symbolic link, expected none below the repository. {REPAIR}") from None
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

    data = os.path.dirname(os.path.dirname(source.path)) or "."
    try:
        fd = open_regular(os.path.join(data, "global", "pg_control"), os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return  # brought here by hand
    [identifier] = struct.unpack("=Q", os.read(fd, 8))  # ControlFileData in src/include/catalog/pg_control.h
    os.close(fd)
    expect(source.name, "a data directory with system identifier", identifier, archive.system_identifier)
    check_no_clone(source.name, data, identifier)


def check_no_clone(name: str, data: str, identifier: int) -> None:
    """Refuse what a restore from another cluster's backup has made, and copies of it, until it has been detached."""
    try:
        fd = open_regular(os.path.join(data, "pgark_restore.json"), READ)
    except FileNotFoundError:
        return
    text = os.read(fd, CHUNK)
    os.close(fd)
    if b'"source": null' in text:
        return  # the usual case, which does without json
    import json

    record = json.loads(text)
    if record.get("source") and record.get("system_identifier") == str(identifier):
        raise Refused(
            f"{name} is of a clone of {record['source']}, expected a cluster with an identity of its own."
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
        fd = open_regular(os.path.join(directory, name), os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return []
    return parse_history(name, os.read(fd, CHUNK))


def parse_history(name: str, content: bytes) -> list[tuple[int, int]]:
    """Return the ancestors with their ends, read as by readTimeLineHistory() in src/backend/access/transam/timeline.c.

    >>> parse_history("00000003.history", b"1 0/3000028 a reason")
    [(1, 50331688)]
    """
    ancestors: list[tuple[int, int]] = []
    for line in content.decode(errors="replace").split("\n"):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            high, low = words[1].split("/")
            ancestors.append((int(words[0]), int(high, 16) * 2**32 + int(low, 16)))
        except (IndexError, ValueError):
            raise Refused(f"{name} has the line {line!r}, expected a timeline, an LSN and a reason") from None
    timelines = [timeline for timeline, _end in ancestors] + [int(name[:8], 16)]
    if not ancestors or len(content) >= CHUNK or timelines != sorted(set(timelines)):
        raise Refused(f"{name} lists timelines {timelines[:-1]}, expected ascending ones below its own")
    return ancestors


def lsn(position: int) -> str:
    """Write a position as PostgreSQL does."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


# ---- content ---------------------------------------------------------------------------------------------------------


def decompress(fd: int, suffix: str) -> Iterator[bytes]:
    """Yield the content of an archived file, and raise Refused at its end if its own checksum does not hold."""
    if suffix == ".gz":
        chunks = gunzip(fd)
    elif suffix:
        chunks = decompress_with(DECOMPRESSORS[suffix], fd, suffix)
    else:
        chunks = iter(lambda: os.read(fd, CHUNK), b"")
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > SEGMENT_SIZES[-1]:
            raise Refused(f"corrupt: found more than {SEGMENT_SIZES[-1]} bytes, expected a WAL file")
        yield chunk


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


def compress_with(command: str, chunks: Iterable[bytes], out: int) -> None:
    """Have a program compress the chunks into a file."""
    reader, writer = wide_pipe()
    try:
        with Program(command, reader, out):
            os.close(reader)
            try:
                for chunk in chunks:
                    write_all(writer, chunk)
            finally:
                os.close(writer)
    except ProgramFailed:
        write_all(out, bytes(8 * CHUNK))  # lz4 does not say why it could not write: "no space left" will come from here
        raise


def decompress_with(command: str, fd: int, suffix: str) -> Iterator[bytes]:
    """Have a program decompress a file, if that is of the right kind and has a checksum for the program to verify."""
    head = os.pread(fd, 5, 0)
    if head[:4] != FRAME_MAGIC[suffix] or not head[4] & FRAME_CHECKSUM:
        raise Refused(f"corrupt or unverifiable: begins with {head.hex()}, expected a {suffix} file with a checksum")
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


class Program:
    """A program that reads one descriptor and writes another; leaving the block waits for it and raises its failure."""

    def __init__(self, command: str, stdin: int, stdout: int) -> None:
        words = command.split()
        self.name = words[0]
        self.stderr, stderr = os.pipe()
        # The environment is left out: it could change the level, or the number of threads.
        self.pid = os.posix_spawn(
            find_program(self.name),
            words,
            {"LC_ALL": "C"},
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate((stdin, stdout, stderr))],
        )
        os.close(stderr)

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        words = b"".join(iter(lambda: os.read(self.stderr, CHUNK), b"")).decode(errors="replace")
        os.close(self.stderr)
        status = os.waitpid(self.pid, 0)[1]
        # After its failure, "broken pipe" is all that we would have to say.
        if status and (error is None or isinstance(error, BrokenPipeError)):
            raise ProgramFailed(f"{self.name} failed: {' '.join(words.split()) or f'wait status {status}'}") from None


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
        return os.read(open_regular(sidecar_of(name), READ, directory), CHUNK)
    except FileNotFoundError:
        return b""


# ---- small things ----------------------------------------------------------------------------------------------------


def sha256() -> hashlib._Hash:
    """Start a checksum."""
    import hashlib

    return hashlib.sha256()


def write_all(fd: int, data: bytes) -> None:
    """Write all of it: a single write may stop half-way on a pipe, or where the disk is nearly full."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


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


def complain(message: str) -> None:
    """Write one line to standard error, whatever characters the message has."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in f"pgark-wal: {message}")
    try:
        os.write(2, f"{line}\n".encode())
    except OSError:
        pass  # nobody listens; the exit status says enough


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
