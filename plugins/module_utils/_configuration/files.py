# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration outside of a data directory: what a backup keeps of it, and where that goes in a restore."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from .._errors import printable
from .._values import documents

AUTOMATIC = "postgresql.auto.conf"
MAIN = "postgresql.conf"
_MOST_LINKS = 40  # MAXSYMLINKS of Linux


def _plain_path(value: object) -> str:
    """Read a path that is written in one way only, so that what lies behind a link can be told by its beginning."""
    found = documents.path(value)
    if any(part in ("", ".") for part in found.split("/")[1:]):
        raise documents.Unfit("an absolute path without '//', '.' or a slash at its end")
    return found


@dataclass(frozen=True)
class KeptFile:
    """A file, link or directory, at a path without symbolic links; ``mode`` is in octal digits.

    A file's content is ``stored`` in the backup, with its SHA-256. A link is as it was written; links are kept from
    inside the data directory, too, because pg_basebackup leaves them out.
    """

    path: str
    kind: str
    owner: str
    group: str
    mode: str
    target: str | None = None
    stored: str | None = None
    sha256: str | None = None


# What cannot be encoded is not looked up, either; surrogates stand for single bytes only in names of files.
_NAME = documents.matching(r"[^\x00-\x1f\x7f:/\ud800-\udfff]{1,256}", "the name or number of a user or group")
_FIELDS = documents.record_of(
    KeptFile,
    path=_plain_path,
    kind=documents.one_of("file", "link", "directory"),
    owner=_NAME,
    group=_NAME,
    mode=documents.matching("[0-7]{4}", "a mode of four octal digits"),
    stored=documents.optional(documents.matching(r"config/\d{4}", "a file of the backup such as config/0001")),
    sha256=documents.optional(documents.matching("[0-9a-f]{64}", "64 hexadecimal digits")),
)


def kept_file(value: object) -> KeptFile:
    """Read a file, link or directory, with what belongs to its kind."""
    found: KeptFile = _FIELDS(value)
    if found.kind == "file" and None in (found.stored, found.sha256):
        raise documents.Unfit("a file with where it is stored and its SHA-256")
    if found.kind == "link" and not found.target:
        raise documents.Unfit("a link with its target")
    return found


@dataclass(frozen=True)
class Origin:
    """Where a cluster was that was backed up: its data directory, with links resolved, its configuration, its port."""

    data_directory: str
    config_directory: str
    port: int


ORIGIN = documents.record_of(
    Origin, data_directory=_plain_path, config_directory=documents.path, port=documents.number(1, 65535)
)


def is_below(path: str, directory: str) -> bool:
    """Tell whether a path is that of a directory, or of something in it."""
    return path == directory or path.startswith(f"{directory.rstrip('/')}/")


@dataclass(frozen=True)
class Kept:
    """All that a backup keeps beside the data, and where the cluster was."""

    files: Sequence[KeptFile]
    origin: Origin

    @property
    def outside(self) -> tuple[KeptFile, ...]:
        """What lies outside of the data directory."""
        return tuple(file for file in self.files if not is_below(file.path, self.origin.data_directory))

    @property
    def links(self) -> dict[str, str]:
        """The targets of links inside the data directory, by their paths in it."""
        inside = (file for file in self.files if is_below(file.path, self.origin.data_directory))
        return {file.path[len(self.origin.data_directory) + 1 :]: file.target for file in inside if file.target}

    def way(self, path: str) -> list[str]:
        """Give a path, and what it becomes by each link on it that was kept."""
        found = [path]
        for _link in range(_MOST_LINKS):
            link = self._first_on(found[-1])
            if link is None or link.target is None:
                break
            found.append(resolved(link.target, link.path, found[-1][len(link.path) :]))
        return found

    def file_at(self, path: str) -> KeptFile | None:
        """Find the file at a path, through the links that were kept."""
        found = self._by_path.get(self.way(path)[-1])
        return found if found is not None and found.kind == "file" else None

    @cached_property
    def _by_path(self) -> Mapping[str, KeptFile]:
        return {file.path: file for file in self.files}

    def has(self, path: str) -> bool:
        """Tell whether anything was kept from a path."""
        return path in self._by_path

    def _first_on(self, path: str) -> KeptFile | None:
        """Give the first link on a path, else what is at the path itself."""
        parts = path.split("/")
        steps = ("/".join(parts[:count]) for count in range(2, len(parts)))
        links = (
            self._by_path[step] for step in steps if step in self._by_path and self._by_path[step].target is not None
        )
        return next(links, self._by_path.get(path))

    @property
    def main(self) -> KeptFile | None:
        """The main configuration file; None when it is in the data directory, as a file, and so in the backup."""
        return self.file_at(f"{self.origin.config_directory}/{MAIN}")

    def moved_to(self, config_directory: str | None) -> Kept:
        """Give the files of the configuration's own directory another place, where they are to have one.

        Paths in what they say are not changed by that: whether the server finds everything is for it to say.
        """
        was = self.origin.config_directory
        if config_directory in (None, was) or is_below(was, self.origin.data_directory):
            return self
        moved = (replace(file, path=self.moved_path(file.path, str(config_directory))) for file in self.files)
        return Kept(tuple(moved), replace(self.origin, config_directory=str(config_directory)))

    def moved_path(self, path: str, config_directory: str) -> str:
        """Give a path as it is when the configuration's own directory is another one."""
        was = self.origin.config_directory
        return f"{config_directory}{path[len(was) :]}" if is_below(path, was) else path


def resolved(target: str, link: str, rest: str = "") -> str:
    """Give the path to which a link leads, with the ``rest`` of a path that goes on behind it."""
    parts: list[str] = []
    for part in f"{'' if target.startswith('/') else link.rpartition('/')[0]}/{target}{rest}".split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def to_put_back(kept: Kept, there: Mapping[str, str], replacing: bool) -> tuple[KeptFile, ...]:
    """Choose what is put back; ``there`` says by path whether a file is ``missing``, the ``same`` or an ``other`` one.

    Files belong together: where the main one is another one, the host has a configuration of its own, and what is
    missing of the backup's is none of its parts. With ``replacing``, all become those of the backup.
    """
    main = kept.main
    if not replacing and main is not None and there.get(main.path) == "other":
        return ()
    unwanted = ("same",) if replacing else ("same", "other")
    return tuple(file for file in kept.outside if there[file.path] not in unwanted)


def what_differs(kept: Kept, there: Mapping[str, str], chosen: Collection[KeptFile], stored: str) -> tuple[str, ...]:
    """Say which files the server will read that are not those of the backup, and where these lie."""
    others = [f for f in kept.outside if f.kind == "file" and there[f.path] != "same" and f not in chosen]
    if not others:
        return ()
    copies = ", ".join(printable(f"{file.path} ({file.stored})") for file in others)
    text = f"the server will start with a configuration that is not that of the backup, which lies in {stored}"
    return (f"{text}: {copies}; pitr_restore_configuration=backup puts it back",)
