# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a server looks for the libraries that its configuration names.

Source: ``load_libraries`` in ``src/backend/utils/init/miscinit.c``, ``expand_dynamic_library_name`` in
``src/backend/utils/fmgr/dfmgr.c``.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from .._errors import Error

# Without one of these no server starts, or nobody can log in to it.
REQUIRED = ("shared_preload_libraries", "session_preload_libraries", "local_preload_libraries")
_RESTRICTED = "local_preload_libraries"
_MACRO = "$libdir"
_SUFFIX = ".so"
_ELEMENT = re.compile(r'\s*(?:"(?P<quoted>(?:[^"]|"")*)"\s*|(?P<plain>[^\s",][^,]*))(?:,|$)')


def split_list(text: str) -> list[str]:
    """Split a list of libraries; one that is not well-formed counts as empty, as it does for the server.

    >>> split_list(' auto_explain, "$libdir/a, b" ')
    ['auto_explain', '$libdir/a, b']
    """
    text, found, at = text.rstrip(), [], 0
    while at < len(text):
        match = _ELEMENT.match(text, at)
        if match is None:
            return []
        quoted = match["quoted"]
        found.append(match["plain"].rstrip() if quoted is None else quoted.replace('""', '"'))
        at = match.end()
    return [] if text.endswith(",") else found


@dataclass(frozen=True)
class Places:
    """Where to look: ``libdir`` is the server's own directory of libraries (None: not known), ``data`` its working one.

    ``path`` is the setting dynamic_library_path.
    """

    libdir: str | None
    path: str
    data: str

    def of(self, name: str, setting: str) -> list[str] | None:
        """List the files that would do for a library; None when it cannot be known where they would have to be."""
        if setting == _RESTRICTED and "/" not in name:
            name = f"{_MACRO}/plugins/{name}"
        if "/" in name:
            begins = [self._expanded(name)]
        else:
            begins = [self._expanded(f"{part}/{name}") for part in self.path.split(":") if part] or [name]
        known = [begin for begin in begins if begin is not None]
        if len(known) < len(begins):
            return None
        paths = [begin if begin.startswith("/") else f"{self.data}/{begin}" for begin in known]
        return [path + suffix for path in paths for suffix in ("", _SUFFIX)]

    def _expanded(self, path: str) -> str | None:
        first, slash, rest = path.partition("/")
        if first != _MACRO:
            return path
        return None if self.libdir is None else f"{self.libdir}{slash}{rest}"


def missing(name: str, setting: str, looked: Collection[str], place: str, major: int) -> Error:
    """Say that a library is not there which a server needs; ``place`` is where the setting has it from."""
    directories = sorted({path.rpartition("/")[0] for path in looked})
    why = "no server starts" if setting == REQUIRED[0] else "nobody can log in"
    return Error(
        f"library '{name}' of {setting} ({place}) is not on this host, and without it {why}; looked in "
        f"{', '.join(directories)}",
        f"install what it belongs to, for PostgreSQL {major} (dpkg -S or rpm -qf with its path says what that is on "
        f"the host that was backed up), or restore without it: give {setting} with the others alone in "
        "pitr_restore_settings",
    )


def not_looked_for(names: Collection[str]) -> str:
    """Warn that it is not known whether libraries are there."""
    return (
        f"it is not known where PostgreSQL's libraries are on this host, so nobody has looked for these: "
        f"{', '.join(sorted(names))}; without them no server starts, or nobody can log in"
    )


def archive_library_missing(name: str, place: str) -> str:
    """Warn of a library without which a server does everything but archive."""
    return (
        f"library '{name}' of archive_library ({place}) is not on this host: the restored server cannot archive until "
        "it is installed"
    )
