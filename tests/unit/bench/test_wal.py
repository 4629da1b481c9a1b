# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures about WAL are those of the server's log, and a table says what was not measured."""

from __future__ import annotations

import argparse

import pytest

from tests.bench.__main__ import BENCHMARKS
from tests.bench.wal_figures import READY, SEGMENT_NAME, Grid, expand, moment, recovery, rotated, segment_name, spread

LOG = """\
2026-01-01 10:00:00.000 UTC [1] LOG:  starting PostgreSQL 15.1
2026-01-01 10:00:00.500 UTC [2] LOG:  restored log file "000000010000000000000002" from archive
2026-01-01 10:00:04.250 UTC [2] LOG:  redo done at 0/5000028 system usage: CPU: user: 1.0 s
2026-01-01 10:00:05.000 UTC [2] LOG:  archive recovery complete
2026-01-01 10:00:05.125 UTC [1] LOG:  database system is ready to accept connections
"""


def test_a_recovery_lasts_from_the_start_of_the_server() -> None:
    assert recovery(LOG) == pytest.approx((4.25, 5.0))


def test_each_turn_begins_with_another_way() -> None:
    assert ["".join(rotated("abc", turn)) for turn in range(4)] == ["abc", "bca", "cab", "abc"]
    assert rotated([], 1) == []


def test_a_moment_can_be_compared_with_a_clock() -> None:
    assert moment(LOG, READY).timestamp() == pytest.approx(1767261605.125)


def test_a_log_without_an_end_of_recovery_is_not_measured() -> None:
    with pytest.raises(AssertionError, match="does not have 'archive recovery complete'"):
        recovery(LOG.partition("2026-01-01 10:00:05.000")[0])


def test_a_grid_shows_medians_and_why_there_is_none() -> None:
    grid = Grid(["one way", "another"], ["none", "zstd"])
    for value in (3.0, 1.0, 2.5):
        grid.add("one way", "none", value)
    grid.note("another", "none", "not installed")
    table = grid.table("Heading", "way", 1)
    assert table.columns == ["way", "none", "zstd"]
    assert table.rows == [["one way", "2.5 (1.0 to 3.0)", "-"], ["another", "not installed", "-"]]


def test_one_value_has_no_spread() -> None:
    assert spread([12.345], 2) == "12.35"


@pytest.mark.parametrize(
    ("number", "name"),
    [(1, "000000010000000000000001"), (255, "0000000100000000000000FF"), (100_000, "0000000100000186000000A0")],
)
def test_segments_are_named_as_postgresql_does(number: int, name: str) -> None:
    assert segment_name(number) == name
    assert SEGMENT_NAME.fullmatch(name)


def test_a_command_is_expanded_as_postgresql_does() -> None:
    assert expand('cp "%p" /a%%b/"%f"', "pg_wal/x", "x") == 'cp "pg_wal/x" /a%b/"x"'


@pytest.mark.parametrize(
    ("words", "parts", "codecs"),
    [
        ([], ("drain", "recover", "calls"), ("none", "lz4", "zstd", "gzip")),
        (["--parts", "calls,drain", "--codecs", "zstd"], ("drain", "calls"), ("zstd",)),
    ],
)
def test_parts_and_codecs_are_chosen(words: list[str], parts: tuple[str, ...], codecs: tuple[str, ...]) -> None:
    options = _options(words)
    assert (options.parts, options.codecs) == (parts, codecs)


def test_a_part_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _options(["--parts", "drain,rest"])
    assert "found rest, expected of drain, recover, calls" in capsys.readouterr().err


def _options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    BENCHMARKS["wal"].add_options(parser)
    return parser.parse_args(words)
