# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that a server was started with: they outrank every file, and a restart by us is to keep them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .._errors import Error

# PostmasterMain() in src/backend/postmaster/postmaster.c, which the manual describes on the page of "postgres".
_WITH_VALUE = {
    "B": "shared_buffers",
    "C": "",
    "D": "data_directory",
    "d": "log_min_messages",
    "f": "",
    "h": "listen_addresses",
    "k": "unix_socket_directories",
    "N": "max_connections",
    "p": "port",
    "r": "",
    "S": "work_mem",
    "t": "",
    "W": "post_auth_delay",
}
_FLAGS = {
    "e": ("datestyle", "euro"),
    "F": ("fsync", "off"),
    "i": ("listen_addresses", "*"),
    "l": ("ssl", "on"),
    "O": ("allow_system_table_mods", "on"),
    "P": ("ignore_system_indexes", "on"),
    "s": ("log_statement_stats", "on"),
}
# pg_upgrade starts a server with it, without fsync and on another port.
_UPGRADE = "-b"
_ASSIGNING = "c"
_SAME = {"true": "on", "yes": "on", "1": "on", "false": "off", "no": "off"}


@dataclass(frozen=True)
class Option:
    """An option of a command line: the setting that it gives (empty: none), its value, and how it is written."""

    name: str
    value: str
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """Give it as somebody would have typed it."""
        return " ".join(self.words)


def option_words(line: str) -> list[str]:
    r"""Split the line that ``postmaster.opts`` holds, without the program.

    ``CreateOptsFile()`` in ``src/backend/utils/init/miscinit.c`` quotes each word, and escapes nothing in it.

    >>> option_words('/usr/bin/postgres "-D" "/my data" "-c" "archive_command=cp "%p" /x"\n')
    ['-D', '/my data', '-c', 'archive_command=cp "%p" /x']
    """
    words = line.rstrip("\n").partition(' "')[2]
    words = words[:-1] if words.endswith('"') else words
    return words.split('" "') if words else []


def options_line(words: Sequence[str]) -> str:
    """Write what ``option_words`` reads."""
    return "".join(("postgres", *(f' "{word}"' for word in words), "\n"))


def parse_options(words: Sequence[str]) -> list[Option]:
    """Read the words of a server's command line, as ``getopt`` does."""
    return list(_parsed(iter(words)))


def options(line: str) -> dict[str, str]:
    r"""Give the settings that the line in ``postmaster.opts`` has; of several about one the last one counts.

    >>> options('/usr/bin/postgres "-D" "/data" "-p" "5433" "-iF" "--work-mem=4MB"\n')
    {'data_directory': '/data', 'port': '5433', 'listen_addresses': '*', 'fsync': 'off', 'work_mem': '4MB'}
    """
    return {option.name: option.value for option in parse_options(option_words(line)) if option.name}


def _parsed(words: Iterator[str]) -> Iterator[Option]:
    for word in words:
        if word.startswith("--"):
            yield _assigned(word[2:], (word,))
        elif word.startswith("-"):
            yield from _letters(word, words)


def _letters(word: str, words: Iterator[str]) -> Iterator[Option]:
    """Read a word of several letters, of which the last one may have a value: the rest of it, or the next word."""
    for number, letter in enumerate(word[1:], 1):
        if letter not in _WITH_VALUE and letter != _ASSIGNING:
            yield Option(*_FLAGS.get(letter, ("", "")), (f"-{letter}",))
            continue
        rest = word[number + 1 :]
        value = rest or next(words, "")
        own = (f"-{letter}{rest}",) if rest else (f"-{letter}", value)
        yield _assigned(value, own) if letter == _ASSIGNING else _valued(letter, value, own)
        return


def _valued(letter: str, value: str, own: tuple[str, ...]) -> Option:
    return Option(_WITH_VALUE[letter], f"debug{value}" if letter == "d" else value, own)


def _assigned(assignment: str, words: tuple[str, ...]) -> Option:
    name, equals, value = assignment.partition("=")
    return Option(name.replace("-", "_").lower() if equals else "", value, words)


def kept_words(words: Sequence[str], configured: bool) -> tuple[str, ...]:
    """Give the words with which a server is started again, as it was.

    Its data directory is named anew, and so is its configuration file where that is ``configured``. What pg_upgrade
    had started a server with is nothing to go on with.
    """
    found = parse_options(words)
    if any(option.words[0] == _UPGRADE for option in found):
        return ()
    left_out = {"data_directory", "config_file"} if configured else {"data_directory"}
    return tuple(word for option in found if option.name not in left_out for word in option.words)


def check_command_line(found: Iterable[Option], written: Mapping[str, str], place: str) -> None:
    """Refuse options that outrank the settings which a restore writes; ``place`` is where they were found."""
    last = {option.name: option for option in found}
    clashing = {name: last[name] for name in written if name in last and not _same(last[name].value, written[name])}
    if clashing:
        named = ", ".join(
            f"{_shown(option)} (expected {name} = '{written[name]}')" for name, option in clashing.items()
        )
        listens = "listen_addresses" in clashing
        raise Error(
            f"the server is started with options that outrank what a restore writes for its recovery: {named}, "
            f"found in {place}",
            "remove them where the server is started (options in the systemd unit, pg_ctl.conf of Debian's clusters, "
            "pg_ctl -o), with the settings in postgresql.conf instead, and restart it; where nothing starts it like "
            "that any more, remove postmaster.opts"
            + ("; pitr_restore_local_only: false lets it listen on the network meanwhile" if listens else ""),
        )


def _shown(option: Option) -> str:
    """Write an option for a person to read, but for what may hold a password."""
    return f"{option.name}=..." if option.name.endswith("_conninfo") else option.text


def _same(given: str, wanted: str) -> bool:
    return _SAME.get(given.lower(), given) == _SAME.get(wanted.lower(), wanted)
