# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which other files a configuration file of PostgreSQL has the server read.

docs: "Managing Configuration File Contents" (section 19.1.5) and "The pg_hba.conf File" (20.1) of PostgreSQL's manual
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_DIRECTIVE = re.compile(
    r"^[ \t]*(?P<name>include|include_if_exists|include_dir)(?:[ \t]*=[ \t]*|[ \t]+|(?='))"
    r"(?:'(?P<quoted>(?:[^'\\\n]|''|\\.)*)'|(?P<plain>[^\s'#]+))",
    re.IGNORECASE | re.MULTILINE,
)
_ESCAPED = re.compile(r"''|\\(.)")
# A word ends at white space and commas outside of quotes: next_token() in src/backend/libpq/hba.c.
_WORD = re.compile(r'(?:[^\s,"#]|"[^"\n]*"?)+|#.*')
_INCLUDES = ("include", "include_if_exists", "include_dir")


@dataclass(frozen=True)
class Include:
    """A file that is read as well, or a directory of which each ``*.conf`` is."""

    path: str
    directory: bool = False


def settings_includes(text: str, directory: str) -> list[Include]:
    r"""Find what a file of settings includes; a relative path begins in the ``directory`` of that file.

    >>> settings_includes("include_dir = 'conf.d'\n#include 'a'\ninclude '/etc/it''s'\n", "/etc/main")
    [Include(path='/etc/main/conf.d', directory=True), Include(path="/etc/it's", directory=False)]
    """
    found = []
    for match in _DIRECTIVE.finditer(text):
        found.append(_include(_path_in(match), directory, match["name"].lower() == "include_dir"))
    return found


def with_includes(text: str, there: Callable[[str], str]) -> str:
    r"""Have a file of settings include other paths in the place of absolute ones.

    >>> with_includes("include '/etc/a.conf' # why\ninclude_dir 'conf.d'\n", lambda path: f"/tmp{path}")
    "include '/tmp/etc/a.conf' # why\ninclude_dir 'conf.d'\n"
    """

    def changed(match: re.Match[str]) -> str:
        path = _path_in(match)
        if not path.startswith("/"):
            return match[0]
        quoted = there(path).replace("\\", "\\\\").replace("'", "''")
        return f"{match['name']} '{quoted}'"

    return _DIRECTIVE.sub(changed, text)


def _path_in(match: re.Match[str]) -> str:
    quoted = match["quoted"]
    return match["plain"] if quoted is None else _ESCAPED.sub(lambda part: part[1] or "'", quoted)


def authentication_includes(text: str, directory: str) -> list[Include]:
    r"""Find what ``pg_hba.conf`` or ``pg_ident.conf`` includes, be it as a line or, after ``@``, as a list of names.

    >>> authentication_includes('include_dir "hba.d"\nlocal all @admins,bob peer # @x\n', "/etc/main")
    [Include(path='/etc/main/hba.d', directory=True), Include(path='/etc/main/admins', directory=False)]
    """
    return [each for line in text.replace("\\\n", " ").split("\n") for each in _in_line(line, directory)]


def _in_line(line: str, directory: str) -> Iterator[Include]:
    words = [word for word in _WORD.findall(line) if not word.startswith("#")]
    if len(words) > 1 and words[0] in _INCLUDES:
        yield _include(words[1].replace('"', ""), directory, words[0] == "include_dir")
    for word in words:
        if word.startswith("@") and len(word) > 1:
            yield _include(word[1:].replace('"', ""), directory, False)


def _include(path: str, directory: str, is_directory: bool) -> Include:
    joined = path if path.startswith("/") else f"{directory}/{path}"
    return Include("/" + "/".join(part for part in joined.split("/") if part not in ("", ".")), is_directory)
