# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have a data directory in which no server runs leave its timeline, by PostgreSQL's own single-user mode.

That is one process, which listens nowhere, and has ended when it is done: as pg_rewind has a cluster recover after a
crash (``ensureCleanShutdown`` in ``src/bin/pg_rewind/pg_rewind.c``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from .._cluster.observe import started_with
from .._errors import CommandFailed, Error
from .._host.files import remove_tree, write_file
from .._host.runner import CommandRunner
from .._host.tools import control_data, single_user_cmd
from .._server.options import kept_words
from .new_timeline import SINGLE, Lineage, NewTimeline

_SIGNAL = "recovery.signal"
_SIGNALS = (_SIGNAL, "standby.signal")
_CLEAN = "shut down"


def observe(path: str, bin_directory: str, runner: CommandRunner) -> Lineage:
    """Look at data that has a control file."""
    slots = f"{path}/pg_replslot"
    return Lineage(
        _where(path, bin_directory, runner)[0],
        tuple(sorted(os.listdir(slots))) if os.path.isdir(slots) else (),
        any(os.path.lexists(f"{path}/{name}") for name in _SIGNALS),
    )


def leave(step: NewTimeline, bin_directory: str, runner: CommandRunner) -> str:
    """Recover to the end of the timeline, and begin another one, unless that was done before; gives what to say of it.

    A server that has crashed first recovers as it would have by itself: only then its control file tells the timeline
    that it was on. So does one that was killed when it had just begun the new timeline.
    """
    path, signal = step.path, f"{step.path}/{_SIGNAL}"
    timeline, clean = _where(path, bin_directory, runner)
    if not clean and not os.path.lexists(signal):
        _run(step, SINGLE, bin_directory, runner)
        timeline, clean = _where(path, bin_directory, runner)
    if timeline <= step.above or os.path.lexists(signal):
        write_file(signal, "", 0o600)
        try:
            _run(step, step.settings(timeline), bin_directory, runner)
        finally:
            if os.path.lexists(signal) and _where(path, bin_directory, runner)[0] == timeline:
                remove_tree(signal)  # as it was: a server that finds it would not start without a restore_command
        timeline, clean = _where(path, bin_directory, runner)
    if timeline <= step.above or not clean:
        raise Error(
            f"the data in {path} is on timeline {timeline} after a recovery that was to end above {step.above}",
            "run this again, which goes on; with new_timeline: never the data stays on its timeline",
        )
    return f"the data goes on on timeline {timeline}, which leaves {step.timeline}: standbys can follow it"


def stay(path: str) -> None:
    """Have a server start as it would have before an attempt that was killed."""
    remove_tree(f"{path}/{_SIGNAL}")


def _run(step: NewTimeline, settings: Mapping[str, str], bin_directory: str, runner: CommandRunner) -> None:
    words = kept_words(started_with(step.path, None), configured=step.config_file is not None)
    argv = single_user_cmd(bin_directory, step.path, step.config_file, words, settings)
    try:
        runner.run(argv)
    except CommandFailed as error:
        raise Error(
            f"the data in {step.path} could not be recovered to the end of its timeline: {error.message}",
            "correct what it says and run this again, which goes on; with new_timeline: never the data stays on its"
            " timeline",
        ) from None


def _where(path: str, bin_directory: str, runner: CommandRunner) -> tuple[int, bool]:
    """Read the timeline of the last checkpoint, and whether it was that of a shutdown."""
    control = control_data(runner, bin_directory, path)
    return int(control["Latest checkpoint's TimeLineID"]), control["Database cluster state"] == _CLEAN
