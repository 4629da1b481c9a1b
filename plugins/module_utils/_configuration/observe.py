# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the configuration that lies outside of a data directory with a backup, and put it back where it is missing."""

from __future__ import annotations

import errno
import grp
import hashlib
import os
import pwd
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from .._errors import Error
from .._host.files import group_name, read_small, sync, user_name, write_file
from .._host.tree import Tree
from .._values.markers import MARKER
from .files import AUTOMATIC, MAIN, KeptFile, is_below
from .includes import Include, authentication_includes, settings_includes
from .put_back import Place, mode_of
from .steps import PlaceLinks

LARGEST = 16 << 20
_MOST = 2000
_MOST_LINKS = 40  # MAXSYMLINKS of Linux
_PRIVATE = 0o700
# What is in a directory of data, and in a repository.
_TAKEN_BY = ("PG_VERSION", MARKER)

Reader = Callable[[str, str], list[Include]]


class Gatherer:
    """Follow what a server reads from file to file, and note all of it that is outside of its data directory.

    ``endless`` are devices, FIFOs and sockets, which are not read.
    """

    def __init__(self, data_directory: str) -> None:
        self._data = os.path.realpath(data_directory)
        self._noted: dict[str, KeptFile] = {}
        self._read: dict[str, bytes] = {}
        self.endless: list[str] = []

    def settings(self, path: str) -> None:
        """Note a file of settings, and what it includes."""
        self._follow(path, settings_includes)

    def authentication(self, path: str) -> None:
        """Note a file of rules of authentication, or of names of users, and what it includes."""
        self._follow(path, authentication_includes)

    @property
    def read(self) -> dict[str, str]:
        """Give the text of each file that was read, in the order in which they begin."""
        return {path: os.fsdecode(content) for path, content in self._read.items()}

    @property
    def found(self) -> list[KeptFile]:
        """Give what was noted, the way to each thing before it; the contents of files are still where they were."""
        return list(self._noted.values())

    def _follow(self, path: str, reader: Reader) -> None:
        real = self._note(path)
        if real is not None and not os.path.isfile(real) and not os.path.isdir(real):
            self.endless.append(path)
        if real is None or not os.path.isfile(real) or real in self._read:
            return
        if len(self._read) >= _MOST:
            raise Error(f"the configuration has more than {_MOST} files", "look at what its include directives name")
        self._read[real] = read_small(real, LARGEST)
        for include in reader(os.fsdecode(self._read[real]), os.path.dirname(path)):
            for each in self._members(include):
                self._follow(each, reader)

    def _members(self, include: Include) -> list[str]:
        """List what the server reads of a directory: GetConfFilesInDir() in src/backend/utils/misc/conffiles.c."""
        if not include.directory:
            return [include.path]
        self._note(include.path)
        names = sorted(os.listdir(include.path)) if os.path.isdir(include.path) else []
        return [f"{include.path}/{name}" for name in names if name.endswith(".conf") and not name.startswith(".")]

    def _note(self, path: str) -> str | None:
        """Note a path with the directories and links on the way; gives where it really is, None when it is nowhere."""
        way = _way(path)
        if not way:
            return None
        # What is in the data directory without a link that leads out of it is in the base backup.
        if not is_below(way[-1], self._data) or any(os.path.islink(at) and is_below(at, self._data) for at in way):
            for at in way:
                self._add(at)
        return way[-1]

    def _add(self, path: str) -> None:
        status = os.lstat(path)
        kinds = {stat.S_IFDIR: "directory", stat.S_IFREG: "file", stat.S_IFLNK: "link"}
        kind = kinds.get(stat.S_IFMT(status.st_mode))
        if kind is None or path in self._noted or path == "/" or (kind != "link" and is_below(path, self._data)):
            return
        target = os.readlink(path) if kind == "link" else None
        mode = f"{stat.S_IMODE(status.st_mode) & 0o777:04o}"
        self._noted[path] = KeptFile(path, kind, user_name(status.st_uid), group_name(status.st_gid), mode, target)


def _way(path: str) -> list[str]:
    """List all that is passed from / to where a path really leads; nothing when it leads nowhere."""
    at, ahead, links, way = "", path.split("/"), 0, []
    while ahead:
        part = ahead.pop(0)
        if part in ("", "."):
            continue
        at = os.path.dirname(at).rstrip("/") if part == ".." else f"{at}/{part}"
        way.append(at)
        links += os.path.islink(at)
        if not os.path.lexists(at) or links > _MOST_LINKS:
            return []
        if os.path.islink(at):
            target = os.readlink(at)
            ahead = [*target.split("/"), *ahead]
            at = "" if target.startswith("/") else os.path.dirname(at).rstrip("/")
    return way


def gather(settings: Iterable[str], authentication: Iterable[str], data_directory: str) -> list[KeptFile]:
    """List what a server reads that lies outside of its data directory, and the links in that which lead there."""
    gatherer = Gatherer(data_directory)
    for path in settings:
        gatherer.settings(path)
    for path in authentication:
        gatherer.authentication(path)
    gatherer.settings(f"{data_directory}/{AUTOMATIC}")
    return gatherer.found


def check_readable(settings: Iterable[str], authentication: Iterable[str], data_directory: str) -> None:
    """Refuse a configuration that includes what nobody gets to the end of, before a program reads it.

    What is not there, or may not be read, the program says itself.
    """
    gatherer = Gatherer(data_directory)
    with suppress(OSError):
        for path in settings:
            gatherer.settings(path)
        for path in authentication:
            gatherer.authentication(path)
    if gatherer.endless:
        raise Error(
            f"the configuration has {gatherer.endless[0]} read, which is no regular file; a server would wait for it",
            "correct what names it, or restore another backup",
        )


def copy_files(found: Iterable[KeptFile], backup: str) -> tuple[KeptFile, ...]:
    """Copy the files into a backup, and give all with where they are stored and what their contents are."""
    kept: list[KeptFile] = []
    for number, file in enumerate(found):
        if file.kind != "file":
            kept.append(file)
            continue
        os.makedirs(f"{backup}/config", mode=_PRIVATE, exist_ok=True)
        content, stored = read_small(file.path, LARGEST), f"config/{number:04d}"
        write_file(f"{backup}/{stored}", content, 0o600)
        kept.append(replace(file, stored=stored, sha256=hashlib.sha256(content).hexdigest()))
    return tuple(kept)


def content_of(backup: str, file: KeptFile) -> bytes:
    """Read a kept file from a backup; raises Error when it is not what was kept."""
    content = read_small(f"{backup}/{file.stored}", LARGEST)
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise Error(
            f"{backup}/{file.stored}, the copy of {file.path}, was changed: its SHA-256 is {digest}, backup.json says "
            f"{file.sha256}",
            "this backup cannot be trusted; restore from another one with backup_label",
        )
    return content


def states(files: Iterable[KeptFile]) -> dict[str, str]:
    """Tell by path whether what was kept is ``missing``, the ``same``, or an ``other`` one."""
    return {file.path: _state(file) for file in files}


def _state(file: KeptFile) -> str:
    if not os.path.lexists(file.path):
        return "missing"
    return "other" if file.kind == "file" and differs(file) else "same"


def differs(file: KeptFile) -> bool:
    """Tell whether a kept file is missing, or another one is in its place; what nobody may read is another one."""
    try:
        return hashlib.sha256(read_small(file.path, LARGEST)).hexdigest() != file.sha256
    except (Error, OSError):
        return True


def texts_of(backup: str, files: Iterable[KeptFile]) -> dict[str, str]:
    """Read by path what kept files say; what cannot be read says nothing here."""
    found = {}
    for file in files:
        if file.kind == "file":
            with suppress(Error, OSError):
                found[file.path] = os.fsdecode(content_of(backup, file))
    return found


def places_of(files: Iterable[KeptFile]) -> dict[str, Place]:
    """Tell by path where it really leads on this host, and whether that is in a directory of data or backups."""
    return {file.path: _place(file) for file in files}


def _place(file: KeptFile) -> Place:
    parent, name = os.path.split(file.path)
    real = f"{os.path.realpath(parent).rstrip('/')}/{name}"
    parts = real.split("/")
    ways = ["/".join(parts[:count]) for count in range(len(parts), 1, -1)]
    taken = (way for way in ways if any(os.path.lexists(f"{way}/{mark}") for mark in _TAKEN_BY))
    return Place(real, next(taken, None), tuple(way for way in ways if os.path.isfile(f"{way}/{MAIN}")))


def check_places(files: Sequence[KeptFile]) -> None:
    """Refuse to write where this user may not, or where somebody else could have laid the way."""
    made = {file.path for file in files if file.kind == "directory"}
    for file in files:
        parent = os.path.dirname(file.path)
        if parent in made:
            continue
        _check_way(file)
        if not os.path.isdir(parent) or not os.access(parent, os.W_OK | os.X_OK):
            named = ", ".join(each.path for each in files)
            raise Error(
                f"{file.path} of the configuration is missing, and {parent} "
                + ("cannot be written to" if os.path.isdir(parent) else "is not there"),
                f"put these back as root, or make {parent} writable for the owner of the cluster: {named}",
            )


def _check_way(file: KeptFile) -> None:
    """Refuse a path through a link that another user made."""
    trusted, at = (0, os.geteuid()), ""
    for part in os.path.dirname(file.path).split("/")[1:]:
        if os.path.islink(f"{at}/{part}") and os.stat(at or "/").st_uid not in trusted:
            raise Error(
                f"{file.path} of the configuration is missing, and {at}/{part} on the way is a link in a directory of "
                "another user",
                "put the file there by hand if that is right",
            )
        at = f"{at}/{part}"


def place_links(step: PlaceLinks) -> None:
    """Make links, and copies of what links led to, in a staged data directory, where nothing is in their place.

    None of them goes through a link: those that were just made, and of tablespaces and WAL, lead out of the staging.
    """
    with Tree(step.path) as tree:
        for path, target in step.links.items():
            with _in_place(path):
                tree.link(path, target)
        for path, file in step.copies.items():
            with _in_place(path):
                tree.file(path, 0o600, [content_of(step.backup, file)])


@contextmanager
def _in_place(path: str) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        raise Error(
            f"the configuration in the backup has a link {path} in the data directory, which is in no directory there",
            "this backup cannot be trusted; restore from another one with backup_label",
        ) from None


def put_back(backup: str, files: Sequence[KeptFile], suffix: str) -> list[str]:
    """Put kept files where they were, with fitting modes; gives what belongs to another user or group than it did.

    All contents are looked at before one is written. What is in the place of a file is kept under its name with the
    ``suffix`` behind it.
    """
    contents = {file.path: content_of(backup, file) for file in files if file.kind == "file"}
    for file in files:
        if file.kind == "directory":
            with suppress(FileExistsError):
                os.mkdir(file.path, _PRIVATE)
                os.chmod(file.path, mode_of(file))
                sync(os.path.dirname(file.path))
        elif file.kind == "link" and not os.path.lexists(file.path):
            os.symlink(str(file.target), file.path)
            sync(os.path.dirname(file.path))
        elif file.kind == "file" and differs(file):
            _keep(file.path, f"{file.path}{suffix}")
            write_file(file.path, contents[file.path], mode_of(file))
    return [text for text in map(_give, files) if text is not None]


def _keep(path: str, aside: str) -> None:
    """Keep what is at a path also under another name; nothing when there is nothing."""
    try:
        os.link(path, aside, follow_symlinks=False)
    except (FileNotFoundError, FileExistsError):
        return
    sync(os.path.dirname(path))


def _give(file: KeptFile) -> str | None:
    """Give a file to whom it belonged, as far as this user may."""
    status = os.lstat(file.path)
    for uid, gid in ((_number(pwd.getpwnam, file.owner), -1), (-1, _number(grp.getgrnam, file.group))):
        with suppress(OSError):
            os.chown(file.path, uid, gid, follow_symlinks=False)
    status = os.lstat(file.path)
    now, was = f"{user_name(status.st_uid)}:{group_name(status.st_gid)}", f"{file.owner}:{file.group}"
    return None if now == was else f"{file.path} belongs to {now}, and belonged to {was}"


def _number(look: Callable[[str], Sequence[object]], name: str) -> int:
    """Find the number of a user or group; -1, which changes nothing, when it is not known here."""
    try:
        return int(str(look(name)[2]))
    except (KeyError, UnicodeError):
        return -1
