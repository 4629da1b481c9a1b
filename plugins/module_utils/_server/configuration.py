# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a server's settings come from, and what keeps a change of them from taking effect."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from .._errors import Error
from .options import option_words, parse_options
from .settings import COMMAND_LINE, Change, ConfigurationLine, Setting


@dataclass(frozen=True)
class Configuration:
    """All settings with the lines of files that are about them, and ``postmaster.opts``: how the server was started.

    The names in the lines are in lower case, as files may have them in any.
    """

    settings: Mapping[str, Setting]
    entries: tuple[ConfigurationLine, ...] = ()
    options: str = ""

    @classmethod
    def of(cls, settings: Mapping[str, Setting], entries: Iterable[ConfigurationLine], options: str) -> Configuration:
        """Put settings and lines together; of several lines about one setting the last one counts."""
        entries = tuple(entries)
        automatic = {entry.name: entry for entry in entries if entry.automatic}
        by_hand = {entry.name: entry for entry in entries if not entry.automatic}
        joined = {
            name: replace(setting, automatic=automatic.get(name.lower()), by_hand=by_hand.get(name.lower()))
            for name, setting in settings.items()
        }
        return cls(joined, entries, options)

    def check_command_line(self, changes: Iterable[Change]) -> None:
        """Refuse to change what was given on the server's command line: nothing that is written in a file changes that.

        docs: "Parameter Interaction via the Shell" (section 19.1.4 of PostgreSQL's manual)
        """
        for change in changes:
            setting = self.settings[change.name]
            if setting.source == COMMAND_LINE and change.after is not None:
                option = option_for(change.name, self.options)
                written = "" if option is None else f", where postmaster.opts in the data directory has {option}"
                raise Error(
                    f"{change.name} is '{setting.value}', expected '{change.after}'; it comes from the server's "
                    f"command line{written}, which outranks ALTER SYSTEM and every file",
                    "remove it where the server is started (options in the systemd unit, pg_ctl.conf of Debian's "
                    "clusters, pg_ctl -o) and restart the server",
                )

    def faults(self, corrected: Collection[str], reloaded: bool) -> list[str]:
        """Say which lines of files the server does not take, but for those about settings that are to be corrected.

        What waits for a restart is shown by ``pg_file_settings`` as an error, too. That it waits is known only after a
        reload; before one, every line about a setting that needs a restart may be such a one.
        """
        return [
            f"{entry.place}: {entry.error}" + ("" if entry.name is None else f": {entry.name} = '{entry.value}'")
            for entry in self.entries
            if entry.error is not None and entry.name not in corrected and not self._may_wait(entry, reloaded)
        ]

    def _may_wait(self, entry: ConfigurationLine, reloaded: bool) -> bool:
        named = (setting for name, setting in self.settings.items() if name.lower() == entry.name)
        return any(setting.pending_restart if reloaded else setting.needs_restart for setting in named)


def option_for(name: str, options: str) -> str | None:
    r"""Find the option that gave a setting, in the line that ``postmaster.opts`` holds; the last one counts.

    >>> option_for("archive_mode", '/usr/bin/postgres "-D" "/data" "-c" "archive_mode=off"\n')
    '-c archive_mode=off'
    >>> option_for("archive_mode", '/usr/bin/postgres "--archive-mode=off"\n')
    '--archive-mode=off'
    """
    found = [option.text for option in parse_options(option_words(options)) if option.name == name]
    return found[-1] if found else None
