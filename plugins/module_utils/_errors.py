# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one family of errors: a message in lower case, and a hint where there is something to do."""

from __future__ import annotations


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
