# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Save the WAL of a data directory that is replaced."""

from __future__ import annotations

import os
import shutil
import struct
from contextlib import suppress
from dataclasses import dataclass

from .._errors import CommandFailed, Error
from .._host.files import open_regular, remove_tree, room_of, sync
from .._host.runner import CommandRunner
from .._host.tools import wal_program_cmd
from .._repository.layout import Layout
from .._values.progress import size_text
from .._wal.names import SegmentName, classify
from .._wal.pages import LONG_HEADER
from .._windows.forks import Forked, forked
from .._windows.observe_forks import goes_on
from .._windows.observe_own_wal import is_history
from .compared import Compared

# xlp_magic, xlp_info, xlp_tli, xlp_pageaddr: XLogPageHeaderData in src/include/access/xlog_internal.h
_PAGE_HEADER = struct.Struct("=HHIQ")
_SAVING = ".saving"


@dataclass(frozen=True)
class WalSaver:
    """Save the WAL of an old data directory: archive what waits, copy what is neither archived nor in the new one.

    Archived is what the repositories have with the bytes that it has here. What they have with others is the history of
    another server, which a recovery would read in place of this one: that is refused, or with ``force`` nothing is
    saved from there on.
    """

    old: str
    new: str
    layouts: tuple[Layout, ...]
    program: str
    runner: CommandRunner
    force: bool = False
    system_identifier: str | None = None

    def compare(self) -> None:
        """Compare with the archive what is there while the server still runs, so that `run` reads only what is new.

        What is not archived yet has to find room, in all repositories or in the new data.
        """
        compared, left = Compared(self.old), 0
        for name in self._names():
            with suppress(FileNotFoundError, Forked):  # the server has removed it; a fork is for `run` to judge
                if not self._is_foreign(name) and self._is_itself(name) and not self._is_archived(name, compared):
                    left += os.stat(f"{self.old}/pg_wal/{name}").st_size
        compared.save()
        self._check_room(left)

    def _check_room(self, left: int) -> None:
        free = room_of(f"{self.new}/pg_wal").free
        archive = min(room_of(layout.repository).free for layout in self.layouts)
        if left > max(free, archive):
            raise Error(
                f"{self.old}/pg_wal has {size_text(left)} that are not archived, and there is no room to save them "
                f"when the server is down: {size_text(archive)} are free for the archive, {size_text(free)} in "
                f"{self.new}",
                "make room, or find out why they are not archived",
            )

    def run(self) -> None:
        """Save; a segment that cannot be archived is copied all the same."""
        if not os.path.isdir(f"{self.new}/pg_wal"):
            return  # an exchange that was interrupted has moved it into place, with all that was saved
        for name in os.listdir(f"{self.new}/pg_wal"):
            if name.endswith(_SAVING):
                os.unlink(f"{self.new}/pg_wal/{name}")  # a run was killed, and it may have been archived since
        compared = Compared(self.old)
        try:
            for name in self._names():
                if not self._is_foreign(name):
                    self._save(name, compared)
        except Forked:
            if not self.force:
                raise
        sync(f"{self.new}/pg_wal")

    def _names(self) -> list[str]:
        directory = f"{self.old}/pg_wal"
        names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
        return [name for name in names if classify(name) in ("segment", "history")]

    def _save(self, name: str, compared: Compared) -> None:
        if not self._is_itself(name):
            return
        if os.path.exists(f"{self.old}/pg_wal/archive_status/{name}.ready"):
            repositories = [layout.repository for layout in self.layouts]
            argv = wal_program_cmd(self.program, "push", repositories, self.layouts[0].cluster, f"pg_wal/{name}")
            with suppress(CommandFailed):  # a program that is missing, or refuses: then the segment is copied
                self.runner.run(argv, directory=self.old)
        place = f"{self.new}/pg_wal/{name}"
        if not self._is_archived(name, compared) and self._has_more(name, place):
            done = f"{self.new}/pg_wal/archive_status/{name}.done"
            if os.path.lexists(done):  # what was placed of a timeline that was left is called archived; this is not
                remove_tree(done)
            temporary = f"{place}{_SAVING}"
            shutil.copyfile(f"{self.old}/pg_wal/{name}", temporary)
            sync(temporary)
            os.rename(temporary, place)

    def _has_more(self, name: str, place: str) -> bool:
        """Tell whether the old data has what the new data has not, or not all of it."""
        own = f"{self.old}/pg_wal/{name}"
        return not os.path.exists(place) or (classify(name) == "segment" and goes_on(own, name, place))

    def _is_archived(self, name: str, compared: Compared) -> bool:
        """Tell whether every repository has it; one that cannot be looked into, other than the first, counts as empty.

        What is copied although the first one has it is archived again by the restored server, in those that lack it.
        """
        own = f"{self.old}/pg_wal/{name}"
        found = []
        for number, layout in enumerate(self.layouts):
            try:
                found.append(compared.relation(own, name, layout))
            except OSError:
                if number == 0:
                    raise
                found.append("absent")
            if found[-1] == "other":
                raise forked(name, f"{self.old}/pg_wal", layout.wal, force=True)
        return all(word in ("same", "begun") for word in found)

    def _is_foreign(self, name: str) -> bool:
        """Tell whether a segment is of another cluster, a new one that the restored one replaces."""
        if self.system_identifier is None or classify(name) == "history":
            return False
        with os.fdopen(open_regular(f"{self.old}/pg_wal/{name}"), "rb") as file:
            header = file.read(LONG_HEADER.size)
        return len(header) == LONG_HEADER.size and str(LONG_HEADER.unpack(header)[4]) != self.system_identifier

    def _is_itself(self, name: str) -> bool:
        """Tell a written segment from one that was recycled: renamed ahead of use, its pages are still the old ones.

        And a history from what stood in for one that is damaged in the archive.
        """
        if classify(name) == "history":
            return is_history(f"{self.old}/pg_wal/{name}", name)
        with os.fdopen(open_regular(f"{self.old}/pg_wal/{name}"), "rb") as file:
            header = file.read(_PAGE_HEADER.size)
            size = os.fstat(file.fileno()).st_size
        if len(header) < _PAGE_HEADER.size:
            return False
        address: int = _PAGE_HEADER.unpack(header)[3]
        return address == SegmentName.parse(name).start_lsn(size).value
