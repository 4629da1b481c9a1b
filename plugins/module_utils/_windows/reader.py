# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read WAL with pg_waldump: archived segments are decompressed into a private directory, a few at a time."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from .._errors import CommandFailed, Error
from .._host.runner import CommandRunner, Result, said
from .._host.tools import pg_waldump_cmd
from .._repository.catalog import Catalog, SegmentFile
from .._wal.names import Lsn, SegmentName
from .._wal.observe_users_text import lines_of_records
from .._wal.pages import Place
from .._wal.records import Record, parse_position, parse_records
from .._wal.summary import Summary, summaries
from .cache import WalCache
from .segments import bring, is_empty_from
from .source import SegmentContents
from .spans import WalSpan

_BATCH_BYTES = 256 * 1024 * 1024
_LISTED = 8  # segments whose records are kept, because more than one question is asked about them
_KINDS = ("Transaction", "XLOG", "Tablespace")
_VERSION = re.compile(r"PostgreSQL\) (\d+)")


@dataclass
class _Batch:
    """Consecutive segments that were read at once; of the last one only what begins before it is known for certain."""

    found: dict[int, Summary] = field(default_factory=dict)
    damaged: int | None = None
    words: str | None = None


class WalReader:
    """Reads segments of a catalog, wherever its files lie; a context manager, which removes its directory.

    ``replaced`` tells, by name, which segments were damaged and what was read instead.
    """

    def __init__(self, catalog: Catalog, bin_directory: str, runner: CommandRunner, cache: WalCache | None) -> None:
        self._files: Mapping[tuple[int, int], SegmentFile] = catalog.files
        self._spares = catalog.spares
        self.replaced: dict[str, str] = {}
        self._identity = catalog.identity
        self._size = catalog.identity.wal_segment_size
        self._major = catalog.identity.major
        self._bin_directory = bin_directory
        self._checked = False
        self._runner = runner
        self._cache = cache
        self._known: dict[str, Summary] = {}
        self._listed: dict[str, list[Record]] = {}
        self._directory: str | None = None

    def __enter__(self) -> WalReader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._directory is not None:
            shutil.rmtree(self._directory)
        if self._cache is not None:
            self._cache.save()

    def backwards(self, stretch: WalSpan, first: int, last: int) -> Iterator[SegmentContents]:
        """Look into the segments from ``last`` down to ``first``, in batches that grow; the caller ends it early."""
        largest = max(1, _BATCH_BYTES // self._size)
        count = 1
        while last >= first:
            known = self._recall(stretch, last)
            if known is not None:
                yield SegmentContents(last, known)
                last -= 1
                continue
            low = last
            while low > max(first, last - count + 1) and self._recall(stretch, low - 1) is None:
                low -= 1
            yield from self._look(stretch, low, last)
            last, count = low - 1, min(2 * count, largest)

    def forwards(self, stretch: WalSpan, first: int, last: int) -> Iterator[SegmentContents]:
        """Look into the segments from ``first`` up to ``last``, in batches that grow; the caller ends it early."""
        largest = max(1, _BATCH_BYTES // self._size)
        count = 1
        while first <= last:
            known = self._recall(stretch, first)
            if known is not None:
                yield SegmentContents(first, known)
                first += 1
                continue
            high = first
            while high < min(last, first + count - 1) and self._recall(stretch, high + 1) is None:
                high += 1
            for seen in reversed(list(self._look(stretch, first, high))):
                first = seen.number + 1
                yield seen
                if seen.damage is not None:
                    break  # what follows it in the batch was not read
            count = min(2 * count, largest)

    def _look(self, stretch: WalSpan, first: int, last: int) -> Iterator[SegmentContents]:
        batch = self._read(stretch, first, last)
        for number in range(last, first - 1, -1):
            summary = batch.found.get(number, Summary())
            if batch.damaged is not None and number >= batch.damaged:
                yield SegmentContents(number, summary, batch.words if number == batch.damaged else None)
            else:
                self._remember(stretch, number, summary)
                yield SegmentContents(number, summary)

    def _read(self, stretch: WalSpan, first: int, last: int) -> _Batch:
        """Read some segments, and the one after them: a record may cross into it."""
        end = min(last + 1, stretch.last)
        unreadable = self._fetch(stretch, first, end)
        if unreadable is not None and unreadable[0] <= last:
            readable = _Batch() if unreadable[0] == first else self._read(stretch, first, unreadable[0] - 1)
            return _Batch(readable.found, *unreadable) if readable.damaged is None else readable
        end = end if unreadable is None else last
        result = self._dump(stretch, first, end)
        batch = _Batch(summaries(result.stdout, self._size))
        if result.status != 0:
            position = parse_position(result.stderr)
            if position is None:
                raise CommandFailed(f"pg_waldump ended with status {result.status}: {said(result)}")
            number = max(first, position // self._size)
            if number <= last and not self._is_end(stretch, number, position):
                batch.damaged, batch.words = number, _reason(result.stderr)
        return batch

    def _is_end(self, stretch: WalSpan, number: int, position: int) -> bool:
        """Tell whether WAL ends at a position for no other reason than that more was not written yet."""
        if number < stretch.last:
            return False
        path = f"{self._place(stretch)}/{self._name(stretch, number)}"
        return self._file(stretch, number).own or is_empty_from(path, position % self._size)

    def records(self, stretch: WalSpan, number: int) -> list[Record]:
        """List the records that begin in one segment."""
        key = self._key(stretch, number)
        if key not in self._listed:
            self._listed = {**dict(list(self._listed.items())[1 - _LISTED :]), key: self._list(stretch, number)}
        return self._listed[key]

    def _list(self, stretch: WalSpan, number: int) -> list[Record]:
        end = min(number + 1, stretch.last)
        if self._fetch(stretch, number, end) is not None:
            return []
        found = parse_records(self._dump(stretch, number, end).stdout)
        return [record for record in found if record.lsn // self._size == number]

    def has_record_from(self, stretch: WalSpan, position: Lsn) -> bool:
        """Tell whether any record begins at a position of the last segment, or later."""
        if self._fetch(stretch, stretch.last, stretch.last) is not None:
            return False
        result = self._run(stretch, self._name(stretch, stretch.last), f"--start={position}", "--limit=1")
        return result.stdout.startswith("rmgr:")

    def _dump(self, stretch: WalSpan, first: int, last: int) -> Result:
        """Print what is of interest; before PostgreSQL 15 only one kind of records can be chosen at a time."""
        segments = (self._name(stretch, first), self._name(stretch, last))
        if self._major >= 15:
            return self._print(stretch, _KINDS, segments)
        printed = [self._print(stretch, (kind,), segments) for kind in _KINDS]
        # Not splitlines: what a user has named may hold what Python, unlike pg_waldump, breaks at.
        lines = [line for result in printed for line in result.stdout.split("\n") if line]
        return replace(printed[0], stdout="".join(f"{line}\n" for line in sorted(lines, key=_position_of_line)))

    def _print(self, stretch: WalSpan, kinds: Iterable[str], segments: tuple[str, str]) -> Result:
        """Print records, each on one line."""
        result = self._run(stretch, *(f"--rmgr={kind}" for kind in kinds), *segments)
        place = self._place(stretch)
        text = lines_of_records(
            result.stdout, lambda number: f"{place}/{self._name(stretch, number)}", self._size, self._major
        )
        return replace(result, stdout=text)

    def _run(self, stretch: WalSpan, *options: str) -> Result:
        self._check_version()
        argv = pg_waldump_cmd(self._bin_directory, self._place(stretch), *options)
        return self._runner.run(argv, check=False, environment={"TZ": "UTC"})

    def _check_version(self) -> None:
        """Refuse programs of another version, to which every segment would look damaged."""
        if self._checked:
            return
        version = self._runner.run([f"{self._bin_directory}/pg_waldump", "--version"]).stdout.strip()
        found = _VERSION.search(version)
        if found is None or int(found[1]) != self._major:
            raise Error(
                f"{self._bin_directory} has {version or 'a pg_waldump without a version'}, "
                f"expected that of PostgreSQL {self._major}",
                "set bin_directory to the programs of that version",
            )
        self._checked = True

    def _fetch(self, stretch: WalSpan, first: int, last: int) -> tuple[int, str] | None:
        """Bring segments into the private directory; give the first one that cannot be had, and why."""
        place = self._place(stretch)
        os.makedirs(place, mode=0o700, exist_ok=True)
        wanted = {self._name(stretch, number): number for number in range(first, last + 1)}
        for name in set(os.listdir(place)) - set(wanted):
            os.unlink(f"{place}/{name}")
        for name, number in wanted.items():
            if not os.path.lexists(f"{place}/{name}"):
                where = Place(self._identity, stretch.path, number)
                problem = self._bring(stretch, number, where, f"{place}/{name}")
                if problem is not None:
                    return number, problem
        return None

    def _bring(self, stretch: WalSpan, number: int, where: Place, target: str) -> str | None:
        """Bring a segment from where a server would get it: from the first repository that has it whole."""
        spares = self._spares.get((stretch.path.timeline_at(number, self._size), number), ())
        brought = bring((self._file(stretch, number), *spares), where, target)
        if brought.passed_over is not None:
            self.replaced[str(stretch.name(number))] = brought.passed_over
        return brought.problem

    def _file(self, stretch: WalSpan, number: int) -> SegmentFile:
        return self._files[stretch.path.timeline_at(number, self._size), number]

    def _place(self, stretch: WalSpan) -> str:
        if self._directory is None:
            self._directory = tempfile.mkdtemp(prefix="pgark-wal-")
        return f"{self._directory}/{stretch.path.timeline}"

    def _name(self, stretch: WalSpan, number: int) -> str:
        """Give a segment the name that it would have on the path's last timeline.

        pg_waldump follows one timeline by the names of files. That of the pages may only grow from page to page
        (``XLogReaderValidatePageHeader``), and on a path it does, so all of the path can be read as one.
        """
        return str(SegmentName.numbered(stretch.path.timeline, number, self._size))

    def _files_of(self, stretch: WalSpan, number: int) -> list[SegmentFile]:
        """List what a summary holds for: a record that begins in a segment may end in the one after it."""
        return [self._file(stretch, each) for each in range(number, min(number + 1, stretch.last) + 1)]

    def _key(self, stretch: WalSpan, number: int) -> str:
        """Tell by what a summary is known: the files that were read, and the timelines that were expected in them."""
        files = self._files_of(stretch, number)
        timelines = Place(self._identity, stretch.path, number).timelines
        return " ".join(
            [
                str(self._identity.version),
                *(f"{os.path.basename(file.path)}:{file.size}:{file.mtime_ns}:{file.state}" for file in files),
                *(f"{timeline}@{begin:x}" for begin, timeline in timelines),
            ]
        )

    def _recall(self, stretch: WalSpan, number: int) -> Summary | None:
        key = self._key(stretch, number)
        if key not in self._known and self._cache is not None:
            cached = self._cache.get(key)
            if cached is not None:
                self._known[key] = cached
        return self._known.get(key)

    def _remember(self, stretch: WalSpan, number: int, summary: Summary) -> None:
        key = self._key(stretch, number)
        self._known[key] = summary
        # One in a data directory may still be written, and one that is damaged is to be named each time.
        names = {str(stretch.name(each)) for each in (number, number + 1)}
        fleeting = names & set(self.replaced) or any(file.own for file in self._files_of(stretch, number))
        if self._cache is not None and not fleeting:
            self._cache.put(key, summary)


def _reason(errors: str) -> str:
    """Give the last words of pg_waldump without the program's name."""
    return errors.strip().splitlines()[-1].split("error: ", 1)[-1].split("fatal: ", 1)[-1]


def _position_of_line(line: str) -> str:
    """Give what lines sort by: the position is padded with zeros."""
    match = re.search(r"lsn: ([0-9A-F]+)/([0-9A-F]+)", line)
    return "" if match is None else f"{match[1]:>8}/{match[2]:>8}"
