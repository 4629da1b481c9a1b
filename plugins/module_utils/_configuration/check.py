# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the server's own program whether it would work where it should."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from .._errors import CommandFailed, Error, TookTooLong
from .._host.processes import servers_running
from .._host.runner import CommandRunner
from .._host.tools import ANSWER_SECONDS, effective_setting_cmd
from .files import AUTOMATIC, MAIN
from .observe import check_readable
from .own_places import NAMES_OF_PLACES, check_not_shared
from .steps import CheckConfiguration, check_effective

_OTHERS_SECONDS = 10
_CORRECT = "correct it; what the cluster had when it was backed up lies in config/ of the backup, as backup.json says"


def check_step(step: CheckConfiguration, bin_directory: str, runner: CommandRunner) -> None:
    """Ask the server's own program in which directory it would work, and look for the rules that let clients in."""
    main = step.config_file or f"{step.directory}/{MAIN}"
    check_readable([main, f"{step.directory}/{AUTOMATIC}"], [], step.directory)
    check_effective(os.path.realpath(_effective("data_directory", step, bin_directory, runner)), step)
    rules = _effective("hba_file", step, bin_directory, runner)
    if not os.path.isfile(rules):
        raise Error(f"hba_file is {rules}, which is not there, and without it no server starts", _CORRECT)
    check_readable([], [rules], step.directory)
    if step.apart:
        _check_places(step, bin_directory, runner)


def _effective(name: str, step: CheckConfiguration, bin_directory: str, runner: CommandRunner) -> str:
    argv = effective_setting_cmd(bin_directory, name, step.directory, step.config_file)
    try:
        return runner.run(argv, limit=ANSWER_SECONDS).stdout.rstrip("\n")
    except CommandFailed as error:
        place = step.config_file or f"{step.directory}/postgresql.conf"
        raise Error(f"the configuration in {place} cannot be read: {error.message}", _CORRECT) from None


def _check_places(step: CheckConfiguration, bin_directory: str, runner: CommandRunner) -> None:
    """Ask the server's program, and those of the servers that run here, where they write."""
    others = {place: words for place, words in servers_running().items() if place not in step.accepted}
    if others:
        own = _places(partial(_asking_for, step, bin_directory), runner)
        asking = {place: partial(_asking, words) for place, words in others.items()}
        found = {place: _places(command, runner, _OTHERS_SECONDS) for place, command in asking.items()}
        check_not_shared(own, found, step.accepted[-1])


def _asking_for(step: CheckConfiguration, bin_directory: str, name: str) -> list[str]:
    return effective_setting_cmd(bin_directory, name, step.directory, step.config_file)


def _asking(words: list[str], name: str) -> list[str]:
    return [*words, "-C", name]


def _places(
    command: Callable[[str], list[str]], runner: CommandRunner, seconds: float = ANSWER_SECONDS
) -> dict[str, str]:
    """Ask for each setting that says where a server writes; one that it does not know is left out.

    Of a configuration that nobody gets to the end of no more is asked: those of others are not ours to refuse.
    """
    found: dict[str, str] = {}
    for name in NAMES_OF_PLACES:
        try:
            found[name] = runner.run(command(name), limit=seconds).stdout.rstrip("\n")
        except TookTooLong:
            return found
        except CommandFailed:
            continue
    return found
