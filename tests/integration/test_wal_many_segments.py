# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""2,000 segments, while pgark-wal and the server are killed at moments that nobody chose: out, and back in."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from ansible_collections.pgark.postgres.plugins.module_utils._core.commands import quote_word
from tests.support.archiving import Archiving, contents
from tests.support.postgres import Cluster
from tests.support.sandbox import Sandbox
from tests.support.strikes import ArchivingStrikes, RecoveryStrikes
from tests.unit.wal_program.harness import COMPRESSIONS, MB

SEGMENTS, BATCH, PER_DIRECTORY = 2000, 80, 4096
COMPRESSION = {"17": "lz4", "18": "zstd"}
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


@pytest.fixture
def archiving(sandbox: Sandbox, version: str) -> Iterator[Archiving]:
    """Provide a server with segments of 1 MB, the first of which fill up a directory of the archive."""
    with sandbox.cluster(version, "many", settings=SETTINGS, wal_segment_size=1) as cluster:
        cluster.stop()
        first = name_of(PER_DIRECTORY - SEGMENTS // 4)
        cluster.run("pg_resetwal", "-l", first, "-D", cluster.data_directory)
        cluster.start()
        yield Archiving(cluster, COMPRESSION[version])


def test_after_random_kills_every_segment_is_archived_once_and_comes_back(archiving: Archiving) -> None:
    cluster = archiving.cluster
    seed = int(os.environ.get("PGARK_TEST_SEED", random.SystemRandom().randrange(10**6)))
    told = f"with PGARK_TEST_SEED={seed}"
    drawn = random.Random(seed)
    witness = watch(archiving)

    cluster.sql("CREATE TABLE kept (id serial, payload text)")
    strikes = ArchivingStrikes(archiving, drawn)
    last = number(cluster.value(POSITION)) + SEGMENTS
    while number(cluster.value(POSITION)) < last:
        write_and_strike(cluster, strikes)
    expected = cluster.sql(SUMMARY)
    last_name = archiving.finish_segments(2)[1]  # one more push, to clear up after one that was killed
    archiving.wait_for_all(timeout=60)
    check_archive(archiving, witness, last_name, told)
    assert strikes.killed["push"] > 6, (told, strikes.killed)
    assert strikes.killed["server"] > 6, (told, strikes.killed)
    assert strikes.killed["server without its push"] > 1, (told, strikes.killed)
    assert strikes.acknowledged_at_once > 10, told

    victims = ["get"] * 6 + ["helper"] * 8 + ["server"] * 6
    drawn.shuffle(victims)
    archiving.lose_and_lay_out()
    returning = RecoveryStrikes(archiving, drawn)
    returning.recover(victims)
    assert cluster.sql(SUMMARY) == expected, (told, returning.killed)
    assert min(returning.killed[victim] for victim in ("get", "helper", "recovering server")) > 2, (
        told,
        returning.killed,
    )
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


def check_archive(archiving: Archiving, witness: Path, last: str, told: str) -> None:
    """Check that every segment from the base backup's to this one is there, once, as the other program has seen it."""
    seen = defaultdict(set)
    for line in witness.read_text(encoding="utf-8").splitlines():
        digest, _space, path = line.partition("  ")
        seen[Path(path).name].add(digest)
    label = (archiving.backup / "backup_label").read_text(encoding="utf-8")
    first = number(label.partition("(file ")[2][:24])
    names = [name_of(segment) for segment in range(first, number(last) + 1)]
    assert len(names) > SEGMENTS
    suffix = COMPRESSIONS[COMPRESSION[archiving.cluster.version]]
    files = archiving.repository.files()
    assert {file for file in files if file[:24] >= names[0]} - {file for file in files if file.endswith(".backup")} == {
        name + suffix for name in names
    }, told
    assert not {file for file in files if file.startswith(".")}, told
    paths = [archiving.repository.wal / name[:16] / (name + suffix) for name in names]
    archived = [{hashlib.sha256(content).hexdigest()} for content in contents(paths, suffix, MB)]
    # The witness came with the second segment or so; it saw some twice, and never other bytes.
    assert archived[2:] == [seen[name] for name in names[2:]]
