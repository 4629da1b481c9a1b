# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a benchmark found is shown as it was found."""

from __future__ import annotations

from pathlib import Path

from tests.bench import profile
from tests.bench.report import Report, Table

TABLE = Table("Results", ["clusters", "s"], [["1", "2.5"], ["a | longer name", "12.25"]])
MEASURED = """<testsuites><testsuite name="play">
<testcase name="[one] Set up: pgark.postgres.wal_archiving : settings | Change" time="0.5"/>
<testcase name="[two] Set up: pgark.postgres.wal_archiving : settings | Change" time="1.25"/>
<testcase name="[one] Set up: Say what was done" time="0.1"><skipped/></testcase>
</testsuite></testsuites>"""


def test_columns_of_text_are_as_wide_as_they_must_be() -> None:
    assert TABLE.text().splitlines() == [
        "Results",
        "  clusters             s",
        "  1                  2.5",
        "  a | longer name  12.25",
    ]


def test_a_page_holds_the_tables_the_facts_and_how_to_repeat_it() -> None:
    page = Report("Title", "What it is.", {"cores": "2"}, [TABLE]).page("make bench")
    assert page.startswith("# Title, 20")
    table = "| --- | ---: |\n| 1 | 2.5 |\n| a \\| longer name | 12.25 |\n"
    for part in ("What it is.", table, "- cores: 2\n", "```console\n$ make bench\n```\n"):
        assert part in page


def test_a_task_lasts_until_the_last_host_is_done(tmp_path: Path) -> None:
    (tmp_path / "setup_archiving.xml").write_text(MEASURED, encoding="utf-8")
    assert profile.task_seconds(tmp_path) == {"wal_archiving : settings | Change": 1.25, "Say what was done": 0.1}
