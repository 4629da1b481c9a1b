# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files of a backup's configuration may be put back, and with which modes.

Paths, links, modes and the configuration that names them come from a repository, and who can write there must not
reach anything but the configuration of the server that is restored. So a file has to be one by its name or by being
named, and may not lie where data, backups or programs do; what else there is, people put back by hand.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .._errors import Error, printable
from .files import MAIN, Kept, KeptFile, is_below, resolved
from .includes import authentication_includes, settings_includes

_NAMING = re.compile(r"^[ \t]*(?:hba|ident)_file[ \t]*[= \t][ \t]*'((?:[^'\n]|'')*)'", re.IGNORECASE | re.MULTILINE)
_SUFFIX = ".conf"
# Where pg_createcluster of Debian has the configuration of each cluster, by version and name.
_OF_A_CLUSTER = re.compile(r"/etc/postgresql/[^/]+/[^/]+(?=/)")
_PROGRAMS = ("bin", "sbin", "libexec")
# pg_ctlcluster of Debian reads these beside the configuration: variables and options, which no server includes.
_OF_PG_CTLCLUSTER = ("environment", "pg_ctl.conf", "start.conf")
# What a server or a tool makes in its directory, or takes a sign from: it would write through a link.
_OF_THE_SERVER = re.compile(
    r"pg_.*|pgark.*|base|global|log|current_logfiles|promote|logrotate|backup_.*|tablespace_map.*|PG_VERSION"
    r"|postmaster\..*|.*\.(signal|tmp|old|pid|init|lock)"
)
# What can be, or has, a link out of the data directory.
_LINKS_OF_THE_SERVER = ("pg_tblspc", "pg_wal")
_FILE_MODE = 0o644
_DIRECTORY_MODE = 0o755


@dataclass(frozen=True)
class Place:
    """Where a path really leads on this host, and the directory of data or backups that this is in (None: none).

    ``configures`` are directories on the way that hold a main configuration file, as that of a cluster does.
    """

    real: str
    taken: str | None = None
    configures: tuple[str, ...] = ()


def mode_of(file: KeptFile) -> int:
    """Give the mode with which a file or directory is put back: nobody but the owner may write, nothing may be run.

    >>> [oct(mode_of(KeptFile("/a", kind, "x", "x", "6777"))) for kind in ("file", "directory")]
    ['0o644', '0o755']
    """
    return int(file.mode, 8) & (_DIRECTORY_MODE if file.kind == "directory" else _FILE_MODE)


def named_by(kept: Kept, texts: Mapping[str, str]) -> frozenset[str]:
    """Give all paths that a configuration has a server read, each also as what kept links make of it.

    ``texts`` has what the kept files outside of the data directory say, by path. What lies inside is in the archive of
    the backup: of that, links are known only.
    """
    inside = [f"{kept.origin.data_directory}/{path}" for path in kept.links if path.endswith(_SUFFIX)]
    names = {f"{kept.origin.config_directory}/{MAIN}", *inside}
    begins = {path: [path] for path in texts}
    for link in kept.files:
        found = kept.file_at(link.path) if link.kind == "link" else None
        if found is not None and found.path in begins:
            begins[found.path].append(link.path)  # relative paths begin where the server came from
    for path, text in texts.items():
        for begin in begins[path]:
            names.update(_names_in(text, begin))
    return frozenset(step for name in names for step in kept.way(name))


def _names_in(text: str, path: str) -> Iterator[str]:
    directory = path.rpartition("/")[0]
    for include in (*settings_includes(text, directory), *authentication_includes(text, directory)):
        yield resolved(include.path, "/")
    for match in _NAMING.finditer(text):
        yield resolved(match[1].replace("''", "'"), path)


def check_put_back(
    files: Sequence[KeptFile], kept: Kept, named: Collection[str], places: Mapping[str, Place], ours: Collection[str]
) -> None:
    """Refuse to put back what could do something else than configure a server.

    ``files`` are chosen of ``kept``, ``named`` is what the configuration names, ``places`` tells by path what this host
    has there; ``ours`` are directories of the restore. Names that begin with a dot are those of what users run, or
    trust: a shell's start-up files, keys.
    """
    passed, own = _passed(kept), _own(kept)
    ways = _ways(named), _ways(file.path for file in files if file.kind == "file")
    for file in files:
        place = places[file.path]
        why = (
            _name(file)
            or _place(file, place, passed, ours)
            or _others(file, place, own)
            or _use(file, kept, named, ways, ours)
        )
        if why is not None:
            raise Error(printable(f"the configuration in the backup names {file.path}, {why}"), _BY_HAND)


def read_with(files: Collection[KeptFile], kept: Kept, named: Collection[str]) -> tuple[KeptFile, ...]:
    """Give what a server reads outside of its data directory once ``files``, which were checked, are put back.

    What else the backup names is of no use in a rehearsal.
    """
    passed, ways = _passed(kept), (_ways(named), _ways(file.path for file in kept.files if file.kind == "file"))
    return tuple(
        file
        for file in kept.outside
        if file in files or (_fits(file, named, ways) and _behind(file.path, passed) is None)
    )


def what_comes_back(files: Sequence[KeptFile], stored: str) -> tuple[str, ...]:
    """Say what will be put back, so that a person can look at it before that."""
    named = [file.path if file.target is None else f"{file.path} -> {file.target}" for file in files]
    text = f"when the data is put in place, configuration is put back from {stored}: {', '.join(named)}"
    return (printable(text),) if named else ()


def check_links(kept: Kept, ours: Collection[str]) -> None:
    """Refuse links inside the data directory that no configuration has; a server writes through some names there."""
    passed = _passed(kept)
    for path, target in kept.links.items():
        file = KeptFile(f"{kept.origin.data_directory}/{path}", "link", "", "", "0777", target)
        own = not path.endswith(_SUFFIX) and any(map(_OF_THE_SERVER.fullmatch, path.split("/")))
        why = (
            "which has a name of the server's own"
            if own or not path or path.split("/")[0] in _LINKS_OF_THE_SERVER
            else _behind(file.path, passed) or _target(file, kept, ours)
        )
        if why is not None:
            said = f"the configuration in the backup has a link {path} in the data directory, {why}"
            raise Error(printable(said), _UNTRUSTED)


def _behind(path: str, passed: Collection[str]) -> str | None:
    """Say which kept file or link a path goes through; paths are kept without links on them."""
    parts = path.split("/")
    found = next((way for way in ("/".join(parts[:n]) for n in range(2, len(parts))) if way in passed), None)
    return None if found is None else f"which is behind the link or file {found}"


def _passed(kept: Kept) -> frozenset[str]:
    """Give the paths behind which nothing can be that was kept."""
    return frozenset(file.path for file in kept.files if file.kind != "directory")


def _name(file: KeptFile) -> str | None:
    *parents, name = file.path.split("/")[1:]
    if any(part == "" or part.startswith(".") for part in (*parents, name)):
        return "and nothing is put where a name begins with a dot, or is none"
    program = next((part for part in parents if part in _PROGRAMS), None)
    if program is not None:
        return f"and nothing is put into a directory {program}, where programs are"
    return "which is for pg_ctlcluster, not for a server" if name in _OF_PG_CTLCLUSTER else None


def _place(file: KeptFile, place: Place, passed: Collection[str], ours: Collection[str]) -> str | None:
    if place.taken is not None:
        return f"which is in {place.taken}, where data or backups are"
    inside = next((each for each in ours if is_below(file.path, each) or is_below(place.real, each)), None)
    if inside is not None:
        return f"which is in {inside}"
    return _behind(file.path, passed)


def _own(kept: Kept) -> tuple[str, ...]:
    """Give the directories of the cluster's own configuration, as it is named and as it is found by kept links."""
    main = kept.main
    return (kept.origin.config_directory, *([] if main is None else [main.path.rpartition("/")[0]]))


def _others(file: KeptFile, place: Place, own: Collection[str]) -> str | None:
    """Say which other cluster's configuration something is in; what several clusters share is in none's directory."""
    if any(is_below(file.path, each) for each in own):
        return None
    found = [match[0] for path in (file.path, place.real) if (match := _OF_A_CLUSTER.match(path))]
    whose = next((each for each in (*found, *place.configures) if each not in own), None)
    return None if whose is None else f"which is in {whose}, where the configuration of another cluster is"


def _ways(paths: Iterable[str]) -> set[str]:
    """Give paths with all that is passed on the way to them."""
    split = (path.split("/") for path in paths)
    return {"/".join(parts[:count]) for parts in split for count in range(2, len(parts) + 1)}


def _use(
    file: KeptFile, kept: Kept, named: Collection[str], ways: tuple[set[str], set[str]], ours: Collection[str]
) -> str | None:
    if not _fits(file, named, ways):
        return "which is not called *.conf, and which nothing in it has a server read"
    return _target(file, kept, ours) if file.kind == "link" else None


def _fits(file: KeptFile, named: Collection[str], ways: tuple[set[str], set[str]]) -> bool:
    """Tell whether something is of a configuration, by its name or by being named."""
    if file.kind == "directory":
        return any(file.path in each for each in ways)
    return file.path.endswith(_SUFFIX) or file.path in (named if file.kind == "file" else ways[0])


def _target(link: KeptFile, kept: Kept, ours: Collection[str]) -> str | None:
    """Have links lead to what was kept with them, into the data directory, or to nothing."""
    end = resolved(str(link.target), link.path)
    known = end == "/dev/null" or any(is_below(end, each) for each in (kept.origin.data_directory, *ours))
    if known or kept.has(kept.way(end)[-1]):
        return None
    return f"and it is a link to {link.target}, which the backup does not have"


_BY_HAND = "look at what that is, and put it there by hand if it is right, or restore from another backup"
_UNTRUSTED = "this backup cannot be trusted; restore from another one with backup_label"
