# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one family of errors: a message in lower case, and a hint where there is something to do.

The words of a repository, or of anybody else, get into a message bounded, and as characters that do nothing.
"""

from __future__ import annotations

_SHOWN = 60
_LONGEST = 2000  # a path may have 4096 bytes; one that has more than half of them is recognized by its beginning
_LONGEST_MESSAGE = 20_000  # room for the end of a server's log, and for what each of many files has wrong


class Error(Exception):
    """Anything that a person has to read: what was found, what was expected, and what to do.

    The text is ``message`` and, on a line of its own, ``HINT: hint``.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message}\nHINT: {hint}")
        self.message = message
        self.hint = hint


class InvalidValue(Error):
    """A value given by a person, or read from a file, is not one of its kind."""


class CommandFailed(Error):
    """A program that was run exited with an error; the message quotes what it said."""


class TookTooLong(CommandFailed):
    """A program that was run had not ended when its time was up, and was killed."""


class ServerUnavailable(Error):
    """The server cannot be asked: it is down, starting, or another server answers in its place."""


class ServerRefuses(ServerUnavailable):
    """The server cannot be asked as we try to, and waiting does not help."""


class Refused(Error):
    """The server has refused a statement; ``sqlstate`` tells why."""

    def __init__(self, message: str, sqlstate: str | None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class Busy(Error):
    """Another operation holds the cluster's lock."""


def shown(value: object) -> str:
    """Quote a value in a message, as far as that is of use."""
    return _bounded(ascii(value[: _SHOWN + 1] if isinstance(value, str) else value), _SHOWN)


def printable(words: str) -> str:
    r"""Give words of a repository on one line: nothing in them looks like what we say ourselves, or steers a terminal.

    >>> print(printable("a label\nHINT: \x1b[2J"))
    a label\nHINT: \x1b[2J
    """
    words = _bounded(words, _LONGEST)
    return words if words.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)


def presentable(message: str) -> str:
    r"""Give a whole message, which may have several lines: what is said last of all, whoever forgot to say it well.

    >>> print(presentable("it says: \x1b[2J\nHINT: look"))
    it says: \x1b[2J
    HINT: look
    """
    if len(message) > _LONGEST_MESSAGE:
        half = _LONGEST_MESSAGE // 2
        left_out = len(message) - _LONGEST_MESSAGE
        message = f"{message[:half]}\n... {left_out} characters are left out ...\n{message[-half:]}"
    return message if message.isprintable() else "".join(map(_presentable, message))


def _presentable(character: str) -> str:
    return character if character.isprintable() or character in "\n\t" else ascii(character)[1:-1]


def _bounded(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}..."
