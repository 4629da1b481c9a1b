# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many segments, while pgark-wal and the server are killed at moments that nobody chose: out, and back in."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._archiving.commands import quote_word
from tests.support.archiving import Archiving, contents
from tests.support.marks import soak
from tests.support.postgres import Cluster
from tests.support.sandbox import Sandbox
from tests.support.soak import Share
from tests.support.strikes import ArchivingStrikes, RecoveryStrikes
from tests.unit.wal_program.harness import COMPRESSIONS, MB

BATCH, PER_DIRECTORY = 80, 4096
# Who is killed, how often: at full length, and in a slice.
OUT = {"push": (9, 2), "server": (9, 1), "server_alone": (4, 1)}
BACK_IN = {"get": (5, 1), "helper": (5, 1), "server": (5, 1)}
COMPRESSION = {"14": "none", "16": "gzip", "17": "lz4", "18": "zstd"}
# What is killed loses nothing that was written: the server need not wait for its disk here, as pgark-wal does.
SETTINGS = {"fsync": "off", "wal_init_zero": "off", "max_wal_size": "64MB"}
WRITE = f"""
    DO $$ BEGIN
        FOR segment IN 1 .. {BATCH} LOOP
            INSERT INTO kept (payload) SELECT md5(random()::text) FROM generate_series(1, 20);
            PERFORM pg_switch_wal();
            COMMIT;
        END LOOP;
    END $$
"""
POSITION = "SELECT pg_walfile_name(pg_current_wal_lsn())"
SUMMARY = "SELECT count(*), md5(string_agg(payload, ',' ORDER BY id)) FROM kept"


def number(name: str) -> int:
    return int(name[8:16], 16) * PER_DIRECTORY + int(name[16:], 16)


def name_of(segment: int) -> str:
    return f"00000001{segment // PER_DIRECTORY:08X}{segment % PER_DIRECTORY:08X}"


def victims(share: Share, figures: dict[str, tuple[int, int]]) -> list[str]:
    return [victim for victim, (full, drawn) in figures.items() for _time in range(share.length(full, drawn))]


@pytest.fixture
def archiving(sandbox: Sandbox, version: str) -> Iterator[Archiving]:
    """Provide a server with segments of 1 MB, the first of which fill up a directory of the archive."""
    with sandbox.cluster(version, "many", settings=SETTINGS, wal_segment_size=1) as cluster:
        cluster.stop()
        cluster.run("pg_resetwal", "-l", name_of(PER_DIRECTORY - 2 * BATCH), "-D", cluster.data_directory)
        cluster.start()
        yield Archiving(cluster, COMPRESSION[version])


@soak
def test_after_random_kills_every_segment_is_archived_once_and_comes_back(archiving: Archiving, share: Share) -> None:
    cluster = archiving.cluster
    segments = share.length(2000, 4 * BATCH)
    witness = watch(archiving)

    cluster.sql("CREATE TABLE kept (id serial, payload text)")
    strikes = ArchivingStrikes(archiving, share.random, victims(share, OUT))
    last = number(cluster.value(POSITION)) + segments
    while strikes.victims or number(cluster.value(POSITION)) < last:
        assert number(cluster.value(POSITION)) < last + segments, f"could not be hit: {strikes.victims}"
        write_and_strike(cluster, strikes)
    expected = cluster.sql(SUMMARY)
    last_name = archiving.finish_segments(2)[1]  # one more push, to clear up after one that was killed
    archiving.wait_for_all(timeout=300)
    check_archive(archiving, witness, last_name, segments)

    returning = RecoveryStrikes(archiving, share.random, victims(share, BACK_IN))
    for recovery in itertools.count(1):
        archiving.lose_and_lay_out()
        returning.recover(most=50)
        assert cluster.sql(SUMMARY) == expected
        if not returning.victims:
            break
        assert recovery < 10, f"could not be hit in ten recoveries: {returning.victims}"
    archiving.finish_segments(2)  # what a killed helper has left goes with the next recovery or push
    archiving.wait_for_all()
    archiving.assert_nothing_of_recovery_is_left()


def watch(archiving: Archiving) -> Path:
    """Have each segment's checksum taken by another program whenever PostgreSQL asks for it to be archived."""
    witness = archiving.cluster.home / "witness"
    command = archiving.command(COMPRESSION[archiving.cluster.version])
    archiving.archive_by(f'sha256sum "%p" >>{quote_word(str(witness))}; {command}')
    return witness


def write_and_strike(cluster: Cluster, strikes: ArchivingStrikes) -> None:
    """Write a batch of segments, and have the server killed, with or without its push, before all are archived."""

    def write() -> None:
        with contextlib.suppress(psycopg.OperationalError):  # the server was killed
            cluster.sql(WRITE)

    with ThreadPoolExecutor(1) as pool:
        strikes.strike(pool.submit(write))
    cluster.start()


def check_archive(archiving: Archiving, witness: Path, last: str, segments: int) -> None:
    """Check that every segment from the base backup's to this one is there, once, as the other program has seen it."""
    seen = defaultdict(set)
    for line in witness.read_text(encoding="utf-8").splitlines():
        digest, _space, path = line.partition("  ")
        seen[Path(path).name].add(digest)
    label = (archiving.backup / "backup_label").read_text(encoding="utf-8")
    first = number(label.partition("(file ")[2][:24])
    names = [name_of(segment) for segment in range(first, number(last) + 1)]
    assert len(names) > segments
    suffix = COMPRESSIONS[COMPRESSION[archiving.cluster.version]]
    files = archiving.repository.files()
    assert {file for file in files if file[:24] >= names[0]} - {file for file in files if file.endswith(".backup")} == {
        name + suffix for name in names
    }
    assert not {file for file in files if file.startswith(".")}
    paths = [archiving.repository.wal / name[:16] / (name + suffix) for name in names]
    archived = [{hashlib.sha256(content).hexdigest()} for content in contents(paths, suffix, MB)]
    # The witness came with the second segment or so; it saw some twice, and never other bytes.
    assert archived[2:] == [seen[name] for name in names[2:]]
