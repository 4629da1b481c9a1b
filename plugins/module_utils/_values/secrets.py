# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep passwords out of what is quoted: settings, connection strings, commands, lines of logs."""

from __future__ import annotations

import re
from typing import Any

MASK = "********"
# What a name ends with whose value is a secret: of libpq, of the environment, of what other archivers are given.
_SECRET = (
    r"(?:(?<![a-z])pass|password|passwd|passphrase|passphrase_command|pwd|secret|token|signature"
    r"|(?:access|account|api|cipher|encryption|private|secret|shared|storage)[-_]?key|(?:s3|azure)[-_]key)"
)
# A value in quotes, which are doubled or have a backslash where they stand inside of others, or a word with neither.
_VALUE = (
    r"(?:(?P<inner>''|\\'|\\\")(?:(?!(?P=inner)).)*(?P=inner)"
    r"|'(?:[^'\\\n]|\\.|'')*'|\"(?:[^\"\\\n]|\\.)*\"|(?:[^\s'\"\\]|\\.|['\"](?=\w))+)"
)
_ASSIGNED = re.compile(rf"(?P<name>[\w.-]{{0,60}}{_SECRET}[\"']?[ \t]*[=:][ \t]*)(?P<value>{_VALUE})", re.IGNORECASE)
_OPTION = re.compile(rf"(?P<name>--?[\w-]{{0,60}}{_SECRET}\s+)(?P<value>(?!-){_VALUE})", re.IGNORECASE)
_URI = re.compile(r"(?P<name>[a-z][a-z0-9+.-]{0,20}://[^\s:/@'\"]*:)(?P<value>[^\s/'\"]+)(?=@)", re.IGNORECASE)
_USER = re.compile(r"(?P<name>(?:^|\s)(?:-u|--user)[ =]['\"]?[^\s:'\"]+:)(?P<value>[^\s'\"]+)")
_BEARER = re.compile(r"(?P<name>\bauthorization:?\s+(?:bearer|basic)\s+)(?P<value>[^\s'\"]+)", re.IGNORECASE)


def masked(text: str) -> str:
    """Replace each password, key or token in a text by stars.

    >>> masked("primary_conninfo = 'host=db1 user=replicator password=S3cret'")
    "primary_conninfo = 'host=db1 user=replicator password=********'"
    >>> masked("postgresql://replicator:S3cret@db1/postgres")
    'postgresql://replicator:********@db1/postgres'
    """
    for pattern in (_URI, _BEARER, _USER, _OPTION, _ASSIGNED):
        text = pattern.sub(lambda found: f"{found['name']}{MASK}", text)
    return text


def masked_all(value: Any) -> Any:
    """Mask all texts of a document.

    >>> masked_all({"settings": ["PGPASSWORD=S3cret push %p"], "port": 5432})
    {'settings': ['PGPASSWORD=******** push %p'], 'port': 5432}
    """
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {name: masked_all(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked_all(inner) for inner in value]
    return value
