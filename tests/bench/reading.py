# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long it takes to read the WAL that a restore would replay, before the server is stopped; beside pg_waldump."""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench import machine
from tests.bench.report import Report, Table
from tests.support import processes
from tests.support.modules import Modules
from tests.support.postgres import Cluster
from tests.support.recoverable import Recoverable
from tests.support.sandbox import MARK, Sandbox

NAME = "reading"
TITLE = "Reading the WAL that a restore would replay"
VERSION = "17"
SEGMENT = 16 << 20
SETTINGS = {
    "shared_buffers": "512MB",
    "autovacuum": "off",
    "synchronous_commit": "off",
    "checkpoint_timeout": "1h",
    "max_wal_size": "8GB",
}
NOW = """SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
TABLE = """
CREATE TABLE ledger (n int, line text);
CREATE PROCEDURE write(many int, each int) LANGUAGE plpgsql AS $$ BEGIN
    FOR turn IN 1..many LOOP
        INSERT INTO ledger SELECT n, repeat(md5((turn + n)::text), 8) FROM generate_series(1, each) AS n;
        COMMIT;
    END LOOP;
END $$"""
# How the WAL is written: so many transactions a call, of so many rows each. Of the second kind, 16 MB have thousands.
KINDS = {"large": (100, 1000), "small": (50000, 1)}
# As pgark-wal compresses; of a plain segment, the checksum lies beside it.
COMPRESSORS: dict[str, list[str]] = {
    "none": [],
    "lz4": ["lz4", "-q", "-1", "-c"],
    "zstd": ["zstd", "-q", "-1", "-c"],
    "gzip": ["gzip", "-1", "-c"],
}
SUFFIXES = {"none": "", "lz4": ".lz4", "zstd": ".zst", "gzip": ".gz"}
BATCH = 16
UNPACK = {"none": "cat", "lz4": "lz4 -q -d -c", "zstd": "zstd -q -d -c", "gzip": "gzip -d -c"}
EXPLANATION = """\
What `recovery_windows.yml`, the check mode of a restore, and a restore before it stops anything have to know: that all
WAL to the target is whole and in its place, and which transactions end in it. {segments} segments of 16 MB were
archived after a backup, from transactions of a thousand rows (*large*) or of one (*small*: thousands of commits a
segment), and the target is behind them all. Everything is on one processor core, and in the page cache.

*First* is the module `backup_info` with an empty cache, from its start to its end, by segment; *again* is the next
call, in all, of which half a second is the start of Python and of the module. *By hand* is the least that anybody has
to do: decompress each segment into a file, and have `pg_waldump --quiet` look at them."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this benchmark."""
    parser.add_argument("--segments", type=int, default=1000, help="segments to read (default: %(default)s)")
    parser.add_argument("--kinds", default=",".join(KINDS), help="of large,small (default: %(default)s)")
    parser.add_argument("--codecs", default=",".join(COMPRESSORS), help="default: %(default)s")


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> Report:
    """Measure each kind of WAL on a cluster of its own."""
    rows = []
    for kind in options.kinds.split(","):
        with Sandbox() as sandbox, sandbox.cluster(VERSION, settings=SETTINGS) as cluster:
            facts = machine.describe(sandbox, cluster)
            del facts["ansible-core"]
            subject = _Subject(sandbox, cluster, say)
            subject.write(kind, options.segments)
            rows += [[f"{kind}, {codec}", *row] for codec, row in subject.measure(options.codecs.split(","))]
    columns = ["transactions, codec", "first, s a segment", "again, s in all", "by hand, s a segment"]
    explanation = EXPLANATION.format(segments=options.segments)
    return Report(TITLE, explanation, facts, [Table("Results", columns, rows)])


class _Subject:
    """A cluster that is archived plainly, and whose segments are compressed in one way after the other."""

    def __init__(self, sandbox: Sandbox, cluster: Cluster, say: Callable[[str], None]) -> None:
        self._sandbox, self._cluster, self._say = sandbox, cluster, say
        self._subject = Recoverable(sandbox, cluster, Modules(sandbox))
        self._target = ""
        self._count = 0

    def write(self, kind: str, segments: int) -> None:
        """Take a backup, and write WAL behind it; what follows the target is one more segment."""
        self._say(f"writing {segments} segments of {kind} transactions in {self._cluster.home}")
        self._subject.enable(compression="none", jobs=2)
        self._cluster.sql(TABLE)
        self._subject.run("base_backup", label="first")
        begin, (many, each) = self._position(), KINDS[kind]
        while self._position() < begin + segments * SEGMENT:
            self._cluster.sql(f"CALL write({many}, {each})")
        self._target = str(self._cluster.value(NOW))
        self._cluster.sql("CALL write(1, 1)")
        self._subject.run("restore_point", switch_wal=True, wait=True, timeout=3600)
        self._cluster.stop()
        # Of the server's own files nothing is read: the archive has to say it all.
        shutil.rmtree(self._cluster.data_directory)

    def measure(self, codecs: list[str]) -> Iterator[tuple[str, list[str]]]:
        """Read what is archived, in each way."""
        plain = sorted(path for path in self._subject.wal.glob("0*/0*") if len(path.name) == 24)
        self._count = len(plain)
        for codec in codecs:
            packed = [self._pack(path, codec) for path in plain]
            if codec != "none":
                for path in plain:
                    path.rename(path.with_name(f".{path.name}"))
            cache = self._sandbox.home / ".cache"
            if cache.exists():
                shutil.rmtree(cache)
            with self._one_core():
                first, again, by_hand = self._read(), self._read(), self._by_hand(packed, codec)
            self._say(f"{codec}: {first:.1f} s, {again:.2f} s, by hand {by_hand:.1f} s")
            yield codec, [f"{first / self._count:.3f}", f"{again:.2f}", f"{by_hand / self._count:.3f}"]
            if codec != "none":
                for path, other in zip(plain, packed, strict=True):
                    other.unlink()
                    path.with_name(f".{path.name}").rename(path)

    def _pack(self, path: Path, codec: str) -> Path:
        """Compress a segment beside it; of a plain one, the checksum is there already."""
        if codec == "none":
            return path
        packed = path.with_name(f"{path.name}{SUFFIXES[codec]}")
        argv: list[str | Path] = [
            "sh",
            "-c",
            'file=$1; shift; exec "$@" <"$0" >"$file"',
            path,
            packed,
            *COMPRESSORS[codec],
        ]
        self._sandbox.run(argv)
        return packed

    def _read(self) -> float:
        begun = time.monotonic()
        found = self._subject.run("backup_info", data_directory=None, target_time=self._target)
        if not found["reachable"]:
            raise AssertionError(found["reason"])
        return time.monotonic() - begun

    def _by_hand(self, packed: list[Path], codec: str) -> float:
        place = self._sandbox.directory(self._sandbox.home / "by hand")
        script = f'cd "$0" && for file; do name=${{file##*/}}; {UNPACK[codec]} "$file" >"${{name%%.*}}"; done'
        names = [path.name[:24] for path in packed]
        begun = time.monotonic()
        for at in range(0, len(packed), BATCH):
            self._sandbox.run(["sh", "-c", script, place, *packed[at : at + BATCH]], timeout=3600)
            last = names[min(at + BATCH, len(names)) - 1]
            self._cluster.run("pg_waldump", "--quiet", f"--path={place}", names[at], last)
            for path in place.iterdir():
                path.unlink()
        return time.monotonic() - begun

    @contextmanager
    def _one_core(self) -> Iterator[None]:
        """Have this process, and the one that starts modules, on one core."""
        ours = [0, *processes.marked(f"{MARK}={self._sandbox.root}")]
        before = os.sched_getaffinity(0)
        for pid in ours:
            os.sched_setaffinity(pid, {min(before)})
        try:
            yield
        finally:
            for pid in ours:
                os.sched_setaffinity(pid, before)

    def _position(self) -> int:
        return int(self._cluster.value("SELECT pg_current_wal_lsn() - '0/0'"))
